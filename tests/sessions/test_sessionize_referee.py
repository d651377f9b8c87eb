"""The SQL rules against plain loops, on tables full of ties, exact gaps and repeats."""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions_referee import DAY_US, Event, Rules, markets_of, session_market, sessions_of, write_events

from item2vec.errors import EmptyDataError
from item2vec.sessions import sessionize

S = 1_000_000
STEPS = [
    0,
    0,
    1,
    10 * S,
    30 * S - 1,
    30 * S,
    600 * S,
    1800 * S,
    1800 * S + 1,
    40_000 * S,
    86_400 * S,
    90_000 * S,
]
TYPES = ["click"] * 6 + ["booking", "booking", "wishlist", "inquiry", "impression", "rejection"]
MARKETS = [None, "", " ", "Bern", "Köln"]


@st.composite
def event_tables(draw):
    events = []
    for user in range(draw(st.integers(1, 5))):
        # Around midnight (UTC) and before 1970 days and remainders go wrong first.
        now = draw(st.sampled_from([0, -5 * S, 86_399 * S, 1_470_000_000 * S]))
        for _ in range(draw(st.integers(1, 14))):
            now += draw(st.sampled_from(STEPS))
            events.append(
                Event(
                    user_id=f"u{user}",
                    ts_us=now,
                    event_type=draw(st.sampled_from(TYPES)),
                    item_id=draw(st.sampled_from(["a", "a", "b", "Z", "ä"])),
                    seq=draw(st.sampled_from([0, 0, 1])),
                    event_id=f"e{draw(st.permutations(range(3)))[0]}-{len(events)}",
                    dwell_seconds=draw(st.sampled_from([None, None, None, 0.0, 29.9, 30.0])),
                    market=draw(st.sampled_from(MARKETS)),
                )
            )
    return draw(st.permutations(events))


rule_sets = st.builds(
    Rules,
    gap_minutes=st.sampled_from([30.0, 30.0, 0.5]),
    min_dwell_seconds=st.sampled_from([None, 0.0, 30.0]),
    min_length=st.sampled_from([1, 2, 3]),
    repeats=st.sampled_from(["keep", "collapse", "unique"]),
    booking_window_hours=st.sampled_from([24.0, 24.0, 0.0, 1.0]),
    max_session_length=st.sampled_from([None, None, 3]),
    max_clicks_per_user_day=st.sampled_from([None, None, 4]),
    max_sessions_per_user_item=st.sampled_from([None, None, 1, 2]),
    min_users_per_item=st.sampled_from([None, None, 1, 2, 3]),
)
item_tables = st.sampled_from([None, {"a": "Köln", "b": None, "Z": "Aarau"}])


def check_against_referee(events, rules, item_markets):
    items = None
    if item_markets is not None:
        ids, names = zip(*item_markets.items(), strict=True)
        items = pa.table({"item_id": pa.array(ids, pa.string()), "market": pa.array(names, pa.string())})
    expected, lost, bookings = sessions_of(events, rules, item_markets)
    keys = dict(vars(rules))
    with tempfile.TemporaryDirectory() as folder:
        table = write_events(Path(folder), events, items)
        if not expected:
            with pytest.raises(EmptyDataError):
                sessionize(table, **keys)
            return None
        sessions = sessionize(table, **keys)
    ids = sessions.item_ids.to_pylist()
    assert sessions.to_lists() == [[c.item_id for c in s.clicks] for s in expected]
    assert sessions.user_ids.to_pylist() == [s.user_id for s in expected]
    assert sessions.ts_us.tolist() == [c.ts_us for s in expected for c in s.clicks]
    assert sessions.start_us.tolist() == [s.clicks[0].ts_us for s in expected]
    assert sessions.end_us.tolist() == [s.clicks[-1].ts_us for s in expected]
    booked = np.split(sessions.booked, sessions.booked_offsets[1:-1])
    assert [[ids[token] for token in row] for row in booked] == [s.booked for s in expected]
    assert sessions.booked_us.tolist() == [us for s in expected for us in s.booked_us]
    assert sessions.weights.tolist() == [rules.booked_weight if s.booked else 1.0 for s in expected]
    markets = markets_of(events, item_markets or {})
    names = [*sessions.market_names, None]
    assert [names[num] for num in sessions.markets] == [markets.get(item) for item in ids]
    assert sessions.items["market"].to_pylist() == [markets.get(item) for item in ids]
    expected_markets = [session_market(s.clicks, markets) for s in expected]
    assert [names[num] for num in sessions.session_markets()] == expected_markets
    check_funnel(sessions, lost, bookings, rules)
    return sessions


def check_funnel(sessions, lost, bookings, rules):
    tokens = sessions.funnel["clicks" if rules.kind == "click" else "tokens"]
    assert {rule: count for rule, count in tokens.items() if count} == {r: c for r, c in lost.items() if c}
    assert tokens["in"] == sum(count for rule, count in tokens.items() if rule != "in")
    assert tokens["kept"] == sessions.n_clicks
    numbers = sessions.funnel["sessions"]
    assert numbers["split"] == numbers["emptied"] + numbers["too_short"] + numbers["kept"]
    assert numbers["kept"] == len(sessions)
    users = sessions.funnel["users"]
    assert users["in"] == sum(count for rule, count in users.items() if rule != "in")
    assert users["kept"] == len(set(sessions.user_ids.to_pylist()))
    if rules.kind == "click":
        counted = sessions.funnel["bookings"]
        assert {r: c for r, c in counted.items() if c} == {r: c for r, c in bookings.items() if c}
        assert counted["in"] == sum(count for rule, count in counted.items() if rule != "in")


@settings(max_examples=150, deadline=None)
@given(events=event_tables(), rules=rule_sets, item_markets=item_tables)
def test_click_sessions_equal_the_plain_loops(events, rules, item_markets):
    check_against_referee(events, rules, item_markets)


@st.composite
def busy_days(draw):
    """Draw clicks of two users in many sessions a day, around midnight, on few items."""
    events = []
    for user in ("u", "v"):
        now = draw(st.sampled_from([0, 86_400 * S - 1801 * S, -3600 * S]))
        for _ in range(draw(st.integers(4, 30))):
            now += draw(st.sampled_from([0, 1, 10 * S, 1800 * S + 1, 1800 * S + 1, 20_000 * S]))
            item = draw(st.sampled_from("abcd"))
            kind = draw(st.sampled_from(["click"] * 9 + ["booking"]))
            events.append(Event(user, now, kind, item, event_id=f"{len(events):03}"))
    return draw(st.permutations(events))


@settings(max_examples=60, deadline=None)
@given(
    events=busy_days(),
    rules=st.builds(
        Rules,
        pairs_once_per_day=st.just(True),
        max_session_length=st.just(1000),
        min_length=st.sampled_from([1, 2]),
        min_dwell_seconds=st.sampled_from([None, None, 10.0]),
        repeats=st.sampled_from(["keep", "collapse", "unique"]),
        max_sessions_per_user_item=st.sampled_from([None, None, 4]),
        min_users_per_item=st.sampled_from([None, 2]),
    ),
)
def test_busy_days_equal_the_plain_loops_and_no_pair_meets_twice(events, rules):
    sessions = check_against_referee(events, rules, None)
    if sessions is None:
        return
    met = set()
    for user, start_us, items in zip(
        sessions.user_ids.to_pylist(), sessions.start_us.tolist(), sessions.to_lists(), strict=True
    ):
        pairs = {(user, start_us // DAY_US, *sorted(pair)) for pair in combinations(set(items), 2)}
        assert not pairs & met
        met |= pairs
    if rules.repeats == "unique":  # then a pair is counted once, whatever the window
        assert all(len(set(items)) == len(items) for items in sessions.to_lists())


@settings(max_examples=30, deadline=None)
@given(
    events=event_tables(),
    rules=st.builds(
        Rules,
        kind=st.just("booking"),
        min_users_per_item=st.sampled_from([None, None, 2]),
        min_length=st.sampled_from([1, 2]),
        repeats=st.sampled_from(["keep", "collapse", "unique"]),
        max_session_length=st.sampled_from([None, 3]),
        max_clicks_per_user_day=st.sampled_from([None, 2]),
    ),
)
def test_booking_sequences_equal_the_plain_loops(events, rules):
    check_against_referee(events, rules, None)
