"""The contract of the history stores, asked of a real SQLite file and a real Redis server alike."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from history_places import NOW
from history_writer import batch_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from item2vec.errors import DataError, MissingDependencyError, UsageError
from item2vec.recommendations.history_stores import Added, open_history_store
from item2vec.recommendations.user_events import DAY_US, UserEvent

WRITER = Path(__file__).with_name("history_writer.py")
ODD_IDS = [
    "u",
    "U",
    "u ",
    " u",
    "u\0",
    "u\0v",
    "\0",
    "\n",
    "u\u200b",
    "é",
    "e\u0301",
    "\ufeffu",
    "\u202eu",
    "日本語",
    "👩‍👩‍👧",
    "\U0010ffff",
    "*",
    "[u]",
    "user:u",
    "'; DROP TABLE events; --",
    "%00",
    "1",
    "a" * 256,
    "👩" * 256,
]


def click(item, ts_us=NOW, dwell=None) -> UserEvent:
    return UserEvent(item, "click", ts_us, dwell)


def items(events) -> list:
    return [event.item_id for event in events]


def test_a_history_is_in_order_of_time_and_then_of_arrival(store):
    assert store.add({"u": [click("c", NOW), click("b", NOW - 1), click("z", NOW), click("a", NOW - 9)]}) == (
        Added(stored=4, repeated=0, expired=0, displaced=0)
    )
    store.add({"v": [click("other", NOW)]})
    store.add({"u": [click("d", NOW), click("before", NOW - 5), click("b", NOW)]})
    assert items(store.history("u")) == ["a", "before", "b", "c", "z", "d", "b"]
    assert store.history("nobody") == []


def test_events_come_back_as_they_went_in(store):
    given_ = [
        UserEvent("a", "click", NOW - 6, 61.5),
        UserEvent("a", "skip", NOW - 6),
        UserEvent("a", "wishlist", NOW - 5, 0.0),
        UserEvent("a", "inquiry", NOW - 4, 1 / 3),
        UserEvent("a", "booking", NOW - 3, 5e-324),
        UserEvent("a", "rejection", NOW - 2, math.inf),
        UserEvent("a", "click", NOW - 1, np.float64(2.5)),
    ]
    store.add({"u": given_})
    found = store.history("u")
    assert found == given_
    assert all(type(event) is UserEvent for event in found)
    assert {type(value) for event in found for value in event} == {str, int, float, type(None)}
    assert found[0].is_long_click


def test_odd_user_ids_are_told_apart(place):
    with place.open() as store:
        store.add({user: [click(str(number))] for number, user in enumerate(ODD_IDS)})
    with place.open() as store:
        expected = {user: [click(str(number))] for number, user in enumerate(ODD_IDS)}
        assert store.histories(ODD_IDS) == expected
        assert list(store.histories(reversed(ODD_IDS))) == ODD_IDS[::-1]
        for number, user in enumerate(ODD_IDS):
            assert store.history(user) == expected[user]
            assert store.forget(user) == 1
            assert all(
                bool(events) == (place > number)
                for place, events in enumerate(store.histories(ODD_IDS).values())
            )


@pytest.mark.parametrize(
    "ids",
    [ODD_IDS, [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)]],
    ids=["strings", "integers"],
)
def test_item_ids_come_back_exactly(place, ids):
    with place.open() as store:
        assert store.add({"u": [click(item, NOW) for item in ids]}).stored == len(ids)
        assert store.add({"u": [click(item, NOW) for item in ids]}).repeated == len(ids)
    with place.open() as store:
        found = items(store.history("u"))
        assert found == ids
        assert {type(item) for item in found} == {type(ids[0])}


def test_numpy_s_numbers_and_texts_are_numbers_and_texts(new_place):
    with new_place().open() as store:
        store.add({np.str_("u"): [click(np.int64(7), np.int64(NOW)), click(7, NOW)]})
        assert store.history("u") == [click(7, NOW)]
    with new_place().open() as store:
        store.add({"u": [click(np.str_("7"))]})
        assert [type(item) for item in items(store.history("u", limit=np.int32(1)))] == [str]


class Named(str, Enum):  # noqa: UP042 (its text is "Named.A", its value "a")
    A = "a"


def test_a_text_with_ways_of_its_own_is_its_text(store):
    store.add({Named.A: [click(Named.A)], "a": [click("a")]})
    assert store.history("a") == store.history(Named.A) == [click("a")]
    assert [type(item) for item in items(store.history("a"))] == [str]


def test_a_store_has_one_type_of_item_id(place):
    with place.open() as store:
        with pytest.raises(DataError, match="both strings and integers"):
            store.add({"u": [click("1")], "v": [click(1)]})
        assert store.add({"u": [click(1)]}).stored == 1
        with pytest.raises(DataError, match="item ids are string, those of this history store int64"):
            store.add({"v": [click("1")]})
        store.forget("u")
    with place.open() as store, pytest.raises(DataError, match="int64"):
        store.add({"u": [click("1")]})
    with pytest.raises(DataError, match="item ids are string, those of this history store int64"):
        place.open(id_type="string")
    with place.open(id_type="int64") as store:
        assert store.histories(["u", "v"]) == {"u": [], "v": []}


def test_an_id_type_that_is_given_holds_from_the_first_event_on(place):
    with place.open(id_type="string") as store, pytest.raises(DataError, match="int64"):
        store.add({"u": [click(1)]})


def test_a_repeat_is_stored_once(place):
    with place.open() as store:
        assert store.add({"u": [click("a", NOW, 3.0), click("a", NOW, 5.0)]}) == Added(1, 1, 0)
        retry = {"u": [click("a", NOW, 9.0), click("b", NOW)], "v": [click("a", NOW)]}
        assert store.add(retry) == Added(2, 1, 0)
        assert store.add(retry) == Added(0, 3, 0)
        assert store.add({"u": [click("a", NOW - 1), UserEvent("a", "booking", NOW)]}) == Added(2, 0, 0)
    with place.open() as store:
        assert store.add(retry) == Added(0, 3, 0)
        assert store.history("u") == [
            click("a", NOW - 1),
            click("a", NOW, 3.0),
            click("b", NOW),
            UserEvent("a", "booking", NOW),
        ]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "abcde"),
        ({"limit": None}, "abcde"),
        ({"limit": 0}, ""),
        ({"limit": 1}, "e"),
        ({"limit": 2}, "de"),
        ({"limit": 5}, "abcde"),
        ({"limit": 10**30}, "abcde"),
        ({"since_us": NOW - 3}, "bcde"),
        ({"since_us": NOW - 2}, "de"),
        ({"until_us": NOW - 3}, "a"),
        ({"until_us": NOW - 2}, "abc"),
        ({"since_us": NOW - 3, "until_us": NOW - 2}, "bc"),
        ({"since_us": NOW - 3, "until_us": NOW - 2, "limit": 1}, "c"),
        ({"since_us": NOW - 3, "until_us": NOW - 3}, ""),
        ({"since_us": NOW, "until_us": NOW - 9}, ""),
        ({"since_us": NOW + 1}, ""),
        ({"until_us": 0}, ""),
        ({"until_us": -1}, ""),
        ({"since_us": -(10**30), "until_us": 10**30}, "abcde"),
        ({"since_us": 10**30}, ""),
    ],
)
def test_a_part_of_a_history(store, asked, expected):
    times = {"a": NOW - 4, "b": NOW - 3, "c": NOW - 3, "d": NOW - 2, "e": NOW}
    store.add({"u": [click(item, ts_us) for item, ts_us in times.items()]})
    assert items(store.history("u", **asked)) == list(expected)
    found = store.histories(["u", "v", "u"], **asked)
    assert {user: items(events) for user, events in found.items()} == {"u": list(expected), "v": []}


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": -1},
        {"limit": 1.0},
        {"limit": True},
        {"limit": "1"},
        {"since_us": 1.5},
        {"since_us": "now"},
        {"until_us": math.nan},
        {"until_us": False},
    ],
    ids=str,
)
def test_what_is_no_part_of_a_history_is_refused(store, asked):
    (name,) = asked
    for ask in (lambda: store.history("u", **asked), lambda: store.histories(["u"], **asked)):
        with pytest.raises(UsageError, match=name):
            ask()


BAD_USERS = {
    "": "0 characters",
    "a" * 257: "257 characters",
    "\ud800": "not valid Unicode",
    1: "int; user ids are strings",
    None: "NoneType",
    b"u": "bytes",
    ("u",): "tuple",
}


@pytest.mark.parametrize("user", BAD_USERS, ids=lambda user: repr(user)[:12])
def test_what_is_no_user_is_refused(store, user):
    store.add({"u": [click("a")]})
    for ask in (
        lambda: store.add({"v": [click("b")], user: [click("b")]}),
        lambda: store.history(user),
        lambda: store.histories(["u", user]),
        lambda: store.forget(user),
    ):
        with pytest.raises(DataError, match=BAD_USERS[user]):
            ask()
    assert store.histories(["u", "v"]) == {"u": [click("a")], "v": []}


def test_users_come_as_a_list(store):
    for users in ("uv", b"u", 7, None):
        with pytest.raises(DataError, match="user ids come as a list"):
            store.histories(users)
    assert store.histories([]) == {}
    assert store.histories(iter(["u"])) == {"u": []}


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([click("b"), ("a", "click", NOW)], "event 1: tuple is no UserEvent"),
        ([click("b"), None], "event 1: NoneType"),
        ("ab", "events come as a list, and not as str"),
        (click("b"), "events come as a list, and not as UserEvent"),
        ({"b": 1}, "events come as a list, and not as dict"),
        (None, "events come as a list, and not as NoneType"),
        ([click(1.0)], "event 0: the item id is float"),
        ([click(True)], "event 0: the item id is bool"),
        ([click(None)], "event 0: the item id is NoneType"),
        ([click("")], "event 0: the item id has 0 characters"),
        ([click("a" * 257)], "event 0: the item id has 257 characters"),
        ([click("b"), click("\udfff")], r"event 1: the item id '\\udfff' is not valid Unicode"),
        ([click(2**63)], "event 0: the item id 9223372036854775808 is no int64"),
        ([click(-(2**63) - 1)], "is no int64"),
        ([UserEvent("b", "impression", NOW)], "unknown event type 'impression'"),
        ([UserEvent("b", None, NOW)], "unknown event type"),
        ([click("b", -1)], "ts_us is no time"),
        ([click("b", float(NOW))], "ts_us is no time"),
        ([click("b", None)], "ts_us is no time"),
        ([click("b", 2**63)], "ts_us is no time"),
        ([click("b", NOW, -1.0)], "dwell_seconds"),
        ([click("b", NOW, "9")], "dwell_seconds"),
        ([click("b", NOW, 10**400)], "dwell_seconds is too large"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_no_event_is_refused_with_its_whole_batch(store, events, told):
    store.add({"u": [click("a")]})
    with pytest.raises(DataError, match=f"user 'v': {told}|user 'v': .*{told}"):
        store.add({"u": [click("b")], "v": events, "w": [click("b")]})
    assert store.histories(["u", "v", "w"]) == {"u": [click("a")], "v": [], "w": []}


def test_events_come_by_user(store):
    for events in ([click("a")], None, "u", [("u", [click("a")])]):
        with pytest.raises(DataError, match="events come by user"):
            store.add(events)
    assert store.add({}) == store.add({"u": []}) == store.add({"u": ()}) == Added(0, 0, 0)


def test_an_event_of_the_future_is_refused_and_one_of_the_present_is_not(store):
    assert store.add({"u": [click("a", NOW + DAY_US)]}).stored == 1
    with pytest.raises(DataError, match=r"user 'v': event 1: .*more than a day ahead of the clock"):
        store.add({"u": [click("b")], "v": [click("b"), click("b", NOW + DAY_US + 1)]})
    with pytest.raises(DataError, match="microseconds"):
        store.add({"v": [click("b", NOW * 1000)]})  # nanoseconds
    assert store.histories(["u", "v"]) == {"u": [click("a", NOW + DAY_US)], "v": []}


def test_the_clock_is_the_machine_s_unless_another_is_given(place):
    with place.open(clock=None) as store:
        now = time.time_ns() // 1000
        assert store.add({"u": [click("a", now), click("b", NOW - 400 * DAY_US)]}) == Added(1, 0, 1)
        assert items(store.history("u")) == ["a"]
        with pytest.raises(DataError, match="ahead of the clock"):
            store.add({"u": [click("c", now + 2 * DAY_US)]})


def test_events_expire(place):
    with place.open(ttl_days=2) as store:
        oldest = NOW - 2 * DAY_US
        added = store.add({"u": [click("gone", oldest - 1), click("a", oldest)], "v": [click("gone", 0)]})
        assert added == Added(1, 0, 2)
        store.add({"u": [click("b", oldest + 5)], "v": [click("c", oldest + 9)], "w": [click("d", NOW)]})
        assert store.expire() == store.expire(NOW) == store.expire(0) == 0
        place.clock.now += 1
        assert items(store.history("u")) == ["b"]  # hidden at once
        assert items(store.history("u", since_us=0, limit=9)) == ["b"]
        assert store.expire() == 1  # and removed
        assert store.expire() == 0
        assert store.expire(place.clock.now + 8) == 1
        assert {user: items(events) for user, events in store.histories(["u", "v", "w"]).items()} == {
            "u": [],
            "v": ["c"],
            "w": ["d"],
        }
        place.clock.now = NOW + 3 * DAY_US
        assert store.history("w") == []
        assert store.expire() == 2
        assert store.forget("w") == 0


def test_a_time_to_expire_by_that_cannot_be_is_refused(store):
    store.add({"u": [click("a")]})
    for now in (NOW + DAY_US + 1, NOW * 1000, -1, float(NOW), "now", True):
        with pytest.raises(DataError, match="microseconds since 1970"):
            store.expire(now)
    assert store.expire(NOW + DAY_US) == 0
    assert items(store.history("u")) == ["a"]


def test_thousands_of_users_expire(place):
    with place.open(ttl_days=1) as store:
        store.add({f"user-{number}": [click("a", NOW - number)] for number in range(2_500)})
        place.clock.now = NOW + DAY_US - 999
        assert store.expire() == 1_500
        found = store.histories(f"user-{number}" for number in range(2_500))
        assert len(found) == 2_500
        assert [bool(events) for events in found.values()] == [True] * 1_000 + [False] * 1_500


def test_the_oldest_go_when_a_user_has_too_many(place):
    with place.open(max_events_per_user=3) as store:
        robot = [click(f"i{number}", NOW - 100 + number) for number in range(10)]
        assert store.add({"robot": robot, "u": [click("a")]}) == Added(11, 0, 0, 7)
        assert store.history("robot") == robot[-3:]
        assert store.add({"robot": [click("late", NOW - 94), click("same", NOW - 91)]}) == Added(2, 0, 0, 2)
        assert items(store.history("robot")) == ["i8", "i9", "same"]
        assert items(store.history("u")) == ["a"]
    with place.open(max_events_per_user=1) as store:
        assert items(store.history("robot")) == ["i8", "i9", "same"]
        assert store.add({"robot": [click("last")]}) == Added(1, 0, 0, 3)
        assert items(store.history("robot")) == ["last"]


def test_a_robot_s_thousands_in_one_microsecond(store):
    events = [click(f"i{number}") for number in range(3_000)]
    assert store.add({"robot": events}) == Added(3_000, 0, 0, 2_000)
    assert store.add({"robot": events[-1_000:]}) == Added(0, 1_000, 0)
    assert store.history("robot") == events[-1_000:]


def test_a_user_is_forgotten(place):
    with place.open() as store:
        store.add({"u": [click("a"), click("b")], "v": [click("a")]})
        assert store.forget("u") == 2
        assert store.forget("u") == store.forget("nobody") == 0
        assert store.histories(["u", "v"]) == {"u": [], "v": [click("a")]}
    with place.open() as store:
        assert store.history("u") == []
        assert store.add({"u": [click("a")]}) == Added(1, 0, 0)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("ttl_days", value) for value in (0, -1, math.nan, math.inf, "30", None, True, 40_000)]
    + [("max_events_per_user", value) for value in (0, -1, 1.5, "9", None, True, 2**31)]
    + [("id_type", value) for value in ("int", "", int)],
)
def test_settings_out_of_range_are_refused(place, setting, value):
    with pytest.raises(UsageError, match=f"{setting} is"):
        place.open(**{setting: value})


def test_a_closed_store_says_so(place):
    store = place.open()
    with store as same:
        assert same is store
        store.add({"u": [click("a")]})
    store.close()
    for ask in (
        lambda: store.add({"u": [click("a")]}),
        lambda: store.history("u"),
        lambda: store.histories(["u"]),
        lambda: store.forget("u"),
        store.expire,
    ):
        with pytest.raises(UsageError, match="closed"):
            ask()


class Referee:
    """The contract on a plain dict."""

    def __init__(self, ttl_us: int, most: int) -> None:
        self.ttl_us, self.most, self.events = ttl_us, most, {}

    def add(self, events_by_user, now) -> Added:
        counts = dict.fromkeys(Added._fields, 0)
        for user, given_ in events_by_user.items():
            kept = [event for event in given_ if event.ts_us >= now - self.ttl_us]
            counts["expired"] += len(given_) - len(kept)
            if not kept:
                continue
            events = [event for event in self.events.get(user, []) if event.ts_us >= now - self.ttl_us]
            for event in kept:
                new = all(event[:3] != other[:3] for other in events)
                counts["stored" if new else "repeated"] += 1
                events += [event] * new
            events.sort(key=lambda event: event.ts_us)  # stable: arrival decides
            counts["displaced"] += max(0, len(events) - self.most)
            self.events[user] = events[-self.most :]
        return Added(**counts)

    def history(self, user, now, since, until, limit) -> list[UserEvent]:
        since = max(now - self.ttl_us, since if since is not None else 0)
        until = until if until is not None else math.inf
        found = [event for event in self.events.get(user, []) if since <= event.ts_us < until]
        return found if limit is None else found[max(0, len(found) - limit) :]

    def expire(self, now) -> int:
        before = sum(map(len, self.events.values()))
        for user, events in self.events.items():
            self.events[user] = [event for event in events if event.ts_us >= now - self.ttl_us]
        return before - sum(map(len, self.events.values()))


HOUR = DAY_US // 24
USERS = st.sampled_from(["u", "v", "u\0"])
TIMES = st.integers(-30, 24).map(lambda hours: NOW + hours * HOUR)
EVENTS = st.builds(
    UserEvent,
    st.sampled_from(["a", "b", "é"]),
    st.sampled_from(["click", "booking"]),
    TIMES,
    st.sampled_from([None, 0.0, 90.0]),
)
STEPS = st.one_of(
    st.tuples(st.just("add"), st.dictionaries(USERS, st.lists(EVENTS, max_size=9), max_size=3)),
    st.tuples(st.just("history"), USERS, st.none() | TIMES, st.none() | TIMES, st.none() | st.integers(0, 6)),
    st.tuples(st.just("forget"), USERS),
    st.tuples(st.just("expire"), st.none() | st.integers(-30, 24)),
    st.tuples(st.just("wait"), st.integers(0, 8)),
    st.tuples(st.just("reopen")),
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
@given(steps=st.lists(STEPS, max_size=20))
def test_a_store_does_what_a_plain_dict_would(new_place, steps):
    place, referee = new_place(), Referee(DAY_US, 5)
    clock = place.clock
    rules = {"ttl_days": 1, "max_events_per_user": 5}
    store = place.open(**rules)
    for what, *values in steps:
        if what == "add":
            assert store.add(values[0]) == referee.add(values[0], clock.now)
        elif what == "history":
            user, since, until, limit = values
            found = store.histories([user, "w"], since_us=since, until_us=until, limit=limit)
            assert found == {user: referee.history(user, clock.now, since, until, limit), "w": []}
        elif what == "forget":
            assert store.forget(values[0]) == len(referee.events.pop(values[0], []))
        elif what == "expire":
            now = clock.now if values[0] is None else clock.now + values[0] * HOUR
            assert store.expire(None if values[0] is None else now) == referee.expire(now)
        elif what == "wait":
            clock.now += values[0] * HOUR
        else:
            store.close()
            store = place.open(**rules)
    for _ in range(2):
        for user in ("u", "v", "u\0"):
            assert store.history(user) == referee.history(user, clock.now, None, None, None)
        clock.now += 12 * HOUR
    store.close()


def test_threads_share_a_store(store):
    """Eight write, each its own and what all write; four read, and see whole batches only."""

    def write(thread: int) -> int:
        return sum(
            store.add(
                {
                    "left": [click(f"{thread}-{number}", NOW - number)],
                    "right": [click(f"{thread}-{number}", NOW - number)],
                    "all": [click(f"{number}", NOW - number)],
                }
            ).stored
            for number in range(25)
        )

    def read(_: int) -> int:
        for _ in range(60):
            found = store.histories(["right", "left"])
            assert sorted(items(found["left"])) == sorted(items(found["right"]))
            times = [event.ts_us for event in store.history("all")]
            assert times == sorted(times)
        return 0

    with ThreadPoolExecutor(12) as pool:
        reads = pool.map(read, range(4))
        assert sum(pool.map(write, range(8))) == 8 * 25 * 2 + 25
        assert sum(reads) == 0
    found = store.histories(["left", "right", "all"])
    assert [len(events) for events in found.values()] == [200, 200, 25]


def test_a_thousand_histories_are_of_one_moment(store):
    users = [f"user-{number}" for number in range(1_000)]

    def write() -> None:
        for number in range(20):
            store.add({user: [click(f"{number}", NOW + number)] for user in users})

    with ThreadPoolExecutor(1) as pool:
        writes = pool.submit(write)
        while not writes.done():
            assert len({len(events) for events in store.histories(users).values()}) == 1
        writes.result()


def started(place, name: str, first: int, behind: int, n_users: int) -> subprocess.Popen:
    arguments = [place.url, place.prefix, name, *map(str, (NOW, first, behind, n_users))]
    return subprocess.Popen(
        [sys.executable, str(WRITER), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_processes_write_one_store(place):
    """They open it at once, write the same batches and some of their own; each event is stored once."""
    several = [started(place, "same", 0, 150, 20) for _ in range(2)] + [started(place, "own", 150, 200, 20)]
    assert [process.stdout.readline() for process in several] == ["opened\n"] * 3
    for process in several:
        process.stdin.write("go\n")
        process.stdin.flush()
    stored = []
    for process in several:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        stored += [int(line.split()[1]) for line in out.splitlines()]
    assert sum(stored) == 200 * 20
    with place.open() as store:
        found = store.histories(f"user-{user}" for user in range(20))
    expected = {f"same-{number}" for number in range(150)} | {f"own-{number}" for number in range(150, 200)}
    assert all(set(items(events)) == expected and len(events) == 200 for events in found.values())


def test_a_killed_writer_leaves_whole_batches(place):
    rng, n_users = random.Random(5), 1_000
    for round_ in range(5):
        process = started(place, f"kill{round_}", 0, 10_000, n_users)
        assert process.stdout.readline() == "opened\n"
        process.stdin.write("go\n")
        process.stdin.close()
        told = process.stdout.readline()
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        told += process.stdout.read()
        process.stdout.close()
        assert process.wait(10) == -9
        done = {f"kill{round_}-{line.split()[0]}" for line in told.splitlines() if line.count(" ")}
        with place.open(max_events_per_user=100_000) as store:
            several = store.histories(f"user-{user}" for user in range(n_users)).values()
            first = items(next(iter(several)))
            assert all(items(events) == first for events in several)
            assert done <= set(first)
            again = f"kill{round_}"
            assert store.add(batch_of(again, 0, n_users, NOW)).repeated == n_users


def test_unknown_schemes_are_told_with_the_known_ones():
    for url in (
        "mysql://me:secret@host/db",
        "history.db",
        "me:secret@host",
        "",
        ":memory:",
        None,
        7,
        "SQLITE://",
    ):
        with pytest.raises(UsageError, match=r"sqlite:///history.db.*redis://host:6379/0") as told:
            open_history_store(url)
        assert "secret" not in str(told.value)


def test_without_its_client_redis_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "item2vec.recommendations.history_stores.redis", raising=False)
    monkeypatch.delitem(sys.modules, "item2vec.recommendations.history_stores.redis_server", raising=False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'item2vec\[redis\]'"):
        open_history_store("redis://localhost:6379/0")
    open_history_store("sqlite://").close()


def test_sqlite_loads_no_client_and_a_store_no_trainer():
    program = (
        "import sys; from item2vec.recommendations.history_stores import open_history_store\n"
        "open_history_store('sqlite://').close()\n"
        "assert not {'redis', 'torch', 'pandas', 'sklearn', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_where_changes_are_tested_redis_is_too():
    root = Path(__file__).resolve().parents[2]
    ci = (root / ".ci" / "run").read_text()
    before = ci[: ci.index("make test")]
    assert "for tool in make g++ redis-server " in before
    assert "export ITEM2VEC_REQUIRE_REDIS=1\n" in before
