"""Hand-computed answers, one rule at a time, and what is refused."""

from __future__ import annotations

import re
import sys
from importlib.resources import files

import numpy as np
import pyarrow as pa
import pytest
from sessions_referee import Event, write_events

from item2vec.errors import ConfigError, DataError, EmptyDataError, MissingDependencyError, SourceError
from item2vec.sessions import SessionsConfig, sessionize

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def log(text, user="u", market=None):
    """Read words such as ``b!@90`` or ``d~20@200``: item, kind, dwell, second; no kind is a click."""
    events = []
    kinds = {"": "click", "!": "booking", "*": "wishlist", "?": "impression", "x": "rejection"}
    for n, word in enumerate(text.split()):
        item, kind, dwell, seconds = re.fullmatch(r"([a-w]+)([!*?x]?)(?:~(\d+))?@([\d.]+)", word).groups()
        ts_us = round(float(seconds) * 1e6)
        stay = None if dwell is None else float(dwell)
        events.append(
            Event(user, ts_us, kinds[kind], item, event_id=f"{n:04}", dwell_seconds=stay, market=market)
        )
    return events


CASES = {
    "a gap of exactly 30 minutes does not split": ("a@0 b@1800", {}, "ab", [""]),
    "one microsecond more does": ("a@0 b@1800 c@3600.000001 d@3601", {}, "ab cd", ["", ""]),
    "single clicks are no session": ("a@0 b@5000 c@5001", {}, "bc", [""]),
    "repeats are kept": ("a@0 a@1 b@2 a@3", {}, "aaba", [""]),
    "repeats collapse": ("a@0 a@1 b@2 a@3", {"repeats": "collapse"}, "aba", [""]),
    "repeats are made unique": ("a@0 a@1 b@2 a@3", {"repeats": "unique"}, "ab", [""]),
    "length counts after repeats": ("a@0 a@1 b@9000 c@9001", {"repeats": "collapse"}, "bc", [""]),
    "a stay of exactly 30 s stays": ("a@0 b@30 c@59.9 d@100", {"min_dwell_seconds": 30}, "acd", [""]),
    "a stay lasts over the whole run": ("a@0 a@20 b@31 c@32", {"min_dwell_seconds": 30}, "aac", [""]),
    "a short run goes as a whole": ("a@0 a@20 b@29 c@90", {"min_dwell_seconds": 30}, "bc", [""]),
    "the last run is unknown and kept": ("a@0 b@60 b@61", {"min_dwell_seconds": 30}, "abb", [""]),
    "the source's dwell goes first": ("a~5@0 b~30@60 c@61 d@62", {"min_dwell_seconds": 30}, "bd", [""]),
    "another action ends a stay": ("a@0 b*@10 c@50 d@90", {"min_dwell_seconds": 30}, "cd", [""]),
    "an action on the same item does not": ("a@0 a*@10 c@50 d@90", {"min_dwell_seconds": 30}, "acd", [""]),
    "an impression or a rejection is no move": (
        "a@0 b?@10 bx@11 c@50",
        {"min_dwell_seconds": 30},
        "ac",
        [""],
    ),
    "dwell does not merge sessions": ("a@0 b@1700 c@1710 d@3450", {"min_dwell_seconds": 30}, "acd", [""]),
    "collapse comes after dwell": (
        "a@0 b@60 a@65 c@125",
        {"min_dwell_seconds": 30, "repeats": "collapse"},
        "ac",
        [""],
    ),
    "a booking is no token and does not split": ("a@0 a!@900 b@1800", {}, "ab", ["a"]),
    "a booking bridges no gap": ("a@0 b@1 c!@1500 c@3000 d@3001", {}, "ab cd", ["", ""]),
    "a booking before the click is not the click's": ("b!@0 a@10 b@20", {}, "ab", [""]),
    "a booking at the click's own time is": ("a@0 b@20 b!@20", {}, "ab", ["b"]),
    "24 hours after the last click still count": (f"a@0 b@10 a!@{DAY + 10}", {}, "ab", ["a"]),
    "a second more does not": (f"a@0 b@10 a!@{DAY + 11}", {}, "ab", [""]),
    "the window is a setting": (
        f"a@0 b@10 a!@{HOUR + 11} b!@{HOUR}",
        {"booking_window_hours": 1},
        "ab",
        ["b"],
    ),
    "the latest session that clicked it": (
        "a@0 b@1 a@9000 c@9001 d@20000 e@20001 a!@20002",
        {},
        "ab ac de",
        ["", "a", ""],
    ),
    "an item booked twice counts once": ("a@0 b@1 b!@2 a!@3 b!@4", {}, "ab", ["ba"]),
    "without market nothing else is booked": ("a@0 b@1 c!@2", {}, "ab", [""]),
}


@pytest.mark.parametrize("name", CASES)
def test_hand_computed(tmp_path, name):
    text, keys, expected, booked = CASES[name]
    sessions = sessionize(write_events(tmp_path, log(text)), **keys)
    assert ["".join(items) for items in sessions.to_lists()] == expected.split()
    ids = sessions.item_ids.to_pylist()
    rows = np.split(sessions.booked, sessions.booked_offsets[1:-1])
    assert ["".join(ids[token] for token in row) for row in rows] == booked
    assert sessions.weights.tolist() == [5.0 if items else 1.0 for items in booked]


def test_a_booked_item_has_the_time_of_its_first_booking(tmp_path):
    # Booked again in the same session (b at 70, a at 9003), or in a later one that clicked it (b at 9004).
    text = "a@0 b@1 b!@2 a!@9 b!@70 b@9000 c@9001 a!@9003 b!@9004"
    sessions = sessionize(write_events(tmp_path, log(text)))
    assert sessions.to_lists() == [["a", "b"], ["b", "c"]]
    assert [sessions.item_ids[token].as_py() for token in sessions.booked] == ["b", "a", "b"]
    assert sessions.booked_us.tolist() == [2_000_000, 9_000_000, 9_004_000_000]


def test_a_booking_goes_to_a_session_of_its_market(tmp_path):
    events = log("a@0 b@1", market="Bern") + log("c@9000 d@9001", market="Köln")
    events += log("e!@9002", market="Bern") + log("f!@9003", market="Aarau")
    sessions = sessionize(write_events(tmp_path, events))
    assert sessions.to_lists() == [["a", "b"], ["c", "d"]]
    assert [sessions.item_ids[token].as_py() for token in sessions.booked] == ["e"]
    assert sessions.booked_offsets.tolist() == [0, 1, 1]
    assert sessions.booked_us.tolist() == [9_002_000_000]
    expected = {"in": 2, "booked_clicked": 0, "booked_market": 1, "unattributed": 1}
    assert sessions.funnel["bookings"] == expected


def test_over_active_users_are_dropped_with_their_bookings(tmp_path):
    many = log("a@0 b@1 c@2 d@3 a!@4", user="robot") + log(f"a@0 b@1 c@{DAY} d@{DAY + 1}", user="guest")
    table = write_events(tmp_path, many)
    for caps in ({"max_session_length": 3}, {"max_clicks_per_user_day": 3}):
        sessions = sessionize(table, **caps)
        assert set(sessions.user_ids.to_pylist()) == {"guest"}
        assert sessions.funnel["users"] == {"in": 2, "over_active": 1, "without_session": 0, "kept": 1}
        assert sessions.funnel["clicks"] == {"in": 8, "over_active": 4, "too_short": 0, "kept": 4}
        assert sessions.funnel["bookings"]["over_active"] == 1
    assert len(sessionize(table, max_session_length=4)) == 3


def test_who_promotes_an_item_is_dropped(tmp_path):
    visits = [f"t@{k * HOUR} {other}@{k * HOUR + 1}" for k, other in enumerate("abc")]
    events = log(" ".join(visits), user="promoter") + log("t@0 a@1 t@2 t@3", user="guest")
    table = write_events(tmp_path, events)
    assert len(sessionize(table, max_sessions_per_user_item=3)) == 4
    sessions = sessionize(table, max_sessions_per_user_item=2)
    assert sessions.user_ids.to_pylist() == ["guest"]  # four clicks, but one session
    assert sessions.funnel["users"]["over_active"] == 1
    assert sessions.funnel["clicks"] == {"in": 10, "over_active": 6, "too_short": 0, "kept": 4}


def test_items_of_few_users_are_dropped_with_their_bookings(tmp_path):
    # r is u's and the robot's, who does not count. s is booked by two, clicked by one; q is only booked.
    robot = log("r@0 r@1 r@2 r@3 a@4 b@5 r!@6", user="robot")
    first = log("a@0 r@1 b@2 s@3 r!@4 s!@5 a!@6", user="u", market="Bern")
    second = log("a@0 b@1 s!@2 q!@3", user="v", market="Bern") + log("q!@9", user="no clicks")
    table = write_events(tmp_path, robot + first + second)
    sessions = sessionize(table, min_users_per_item=2, max_session_length=5)
    assert sessions.to_lists() == [["a", "b"], ["a", "b"]]
    assert sessions.item_ids.to_pylist() == ["a", "b"]
    assert sessions.booked.tolist() == [0]
    assert sessions.funnel["clicks"] == {
        "in": 12,
        "over_active": 6,
        "few_users": 2,
        "too_short": 0,
        "kept": 4,
    }
    assert sessions.funnel["bookings"] == {
        "in": 7,
        "over_active": 1,
        "few_users": 4,
        "booked_clicked": 1,
        "booked_market": 0,
        "unattributed": 1,
    }
    assert sessionize(table, min_users_per_item=2).item_ids.to_pylist() == ["a", "b", "r"]


def test_a_stay_too_short_makes_no_user_of_an_item(tmp_path):
    events = log("a@0 r@60 b@120", user="u") + log("a@0 r@60 b@61", user="v")
    table = write_events(tmp_path, events)
    assert sessionize(table, min_users_per_item=2).n_items == 3
    sessions = sessionize(table, min_users_per_item=2, min_dwell_seconds=30)
    assert sessions.to_lists() == [["a", "b"], ["a", "b"]]
    assert sessions.funnel["sessions"] == {"split": 2, "emptied": 0, "too_short": 0, "kept": 2}


def test_a_session_of_rare_items_is_emptied(tmp_path):
    events = log(f"a@0 b@1 r@{DAY} s@{DAY + 1}", user="u") + log("a@0 b@1", user="v")
    sessions = sessionize(write_events(tmp_path, events), min_users_per_item=2)
    assert sessions.funnel["sessions"] == {"split": 3, "emptied": 1, "too_short": 0, "kept": 2}
    assert sessions.item_ids.to_pylist() == ["a", "b"]


H2, H4 = 2 * HOUR, 4 * HOUR
PAIRS = {
    "a pair met before in the day goes": (f"t@0 a@1 t@{H2} a@{H2 + 1}", "ta"),
    "in either order": (f"t@0 a@1 a@{H2} t@{H2 + 1} b@{H2 + 2}", "ta ab"),
    "another day counts again": (f"t@0 a@1 t@{DAY} a@{DAY + 1}", "ta ta"),
    "the day is the session's first click's": (
        f"b@{DAY - 1} t@{DAY} a@{DAY + 1} t@{DAY + H2} a@{DAY + H2 + 1}",
        "bta ta",
    ),
    "other pairs of the item stay": (f"t@0 a@1 t@{H2} b@{H2 + 1} t@{H4} c@{H4 + 1}", "ta tb tc"),
    "a session's own repeats stay": ("t@0 a@1 t@2 b@3 t@4 a@5", "tatbta"),
    "every click on the item goes": (f"t@0 a@1 t@{H2} a@{H2 + 1} b@{H2 + 2} a@{H2 + 3}", "ta tb"),
    "however far apart": (f"t@0 b@1 c@2 a@3 a@{H2} c@{H2 + 1} d@{H2 + 2} t@{H2 + 3}", "tbca ad"),
    "a pair that was dropped counts as met": (
        f"a@0 b@1 b@{H2} a@{H2 + 1} c@{H2 + 2} a@{H4} c@{H4 + 1} d@{H4 + 2}",
        "ab bc ad",
    ),
    "an item alone in its sessions is no pair": (f"t@0 t@1 t@{H2} t@{H2 + 1}", "tt tt"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_once_per_day(tmp_path, name):
    text, expected = PAIRS[name]
    table = write_events(tmp_path, log(text))
    sessions = sessionize(table, pairs_once_per_day=True, max_session_length=100)
    assert ["".join(items) for items in sessions.to_lists()] == expected.split()
    clicks = sessions.funnel["clicks"]
    assert clicks["in"] == clicks["repeated_pairs"] + clicks["too_short"] + clicks["kept"]


def test_pairs_of_other_users_do_not_count(tmp_path):
    table = write_events(tmp_path, log("t@0 a@1", user="u") + log("t@0 a@1", user="v"))
    sessions = sessionize(table, pairs_once_per_day=True, max_clicks_per_user_day=9)
    assert sessions.to_lists() == [["t", "a"], ["t", "a"]]
    assert sessions.funnel["clicks"]["repeated_pairs"] == 0


def test_session_ids_do_not_depend_on_other_days(tmp_path):
    first = log("a@0 b@1", user="z") + log("c@5 d@6", user="k")
    more = log(f"a@{DAY} d@{DAY + 1}", user="a")
    one_day = sessionize(write_events(tmp_path / "one", first))
    two_days = sessionize(write_events(tmp_path / "two", first + more))
    assert one_day.session_ids.tolist() == [0, 1]
    assert two_days.session_ids.tolist() == [0, 1, 1 << 32]
    assert two_days.user_ids.to_pylist() == ["k", "z", "a"]


def test_integer_ids_and_item_attributes(tmp_path):
    events = [Event("u", n * 1_000_000, "click", item, event_id=str(n)) for n, item in enumerate([10, 9, 10])]
    items = pa.table({"item_id": [11, 9], "price": [1.5, 2.5], "market": ["Bern", "Köln"]})
    sessions = sessionize(write_events(tmp_path, events, items))
    assert sessions.id_type == "int64"
    assert sessions.to_lists() == [[10, 9, 10]]
    expected = [
        {"item_id": 9, "market": "Köln", "price": 2.5},
        {"item_id": 10, "market": None, "price": None},
    ]
    assert sessions.items.to_pylist() == expected
    assert (sessions.markets.tolist(), sessions.market_names) == ([0, -1], ("Köln",))


def test_items_not_in_any_session_are_left_out(tmp_path):
    sessions = sessionize(write_events(tmp_path, log("a@0 b@9000 c@9001 d!@9002 c!@9003 e*@9004")))
    assert sessions.item_ids.to_pylist() == ["b", "c"]


def test_bookings_become_one_sequence_per_user(tmp_path):
    text = f"a!@0 c@1 b!@{400 * DAY} a!@{900 * DAY}"
    sessions = sessionize(write_events(tmp_path, log(text) + log("a!@5", user="v")), kind="booking")
    assert sessions.kind == "booking"
    assert sessions.to_lists() == [["a", "b", "a"]]
    assert (sessions.booked.tolist(), sessions.weights.tolist()) == ([], [1.0])
    assert sessions.booked_us.tolist() == []
    assert sessions.funnel["tokens"] == {"in": 4, "too_short": 1, "kept": 3}


def test_progress_shows_the_steps(tmp_path, capsys):
    sessionize(write_events(tmp_path, log("a@0 b@1")), show_progress=True)
    assert "sessions" in capsys.readouterr().err


def test_nothing_left_says_what_took_it(tmp_path):
    table = write_events(tmp_path, log("a@0 b@10 c@5000", user="u"))
    with pytest.raises(
        EmptyDataError, match=r"of 3 click events .* 1 as short_dwell, 2 as too_short; lower min_length"
    ):
        sessionize(table, min_dwell_seconds=30)


def test_no_clicks_names_the_other_kind(tmp_path):
    with pytest.raises(EmptyDataError, match=r"no click events \(2 booking\).*kind='booking'"):
        sessionize(write_events(tmp_path, log("a!@0 b!@1")))
    with pytest.raises(EmptyDataError, match="none at all"):
        sessionize(write_events(tmp_path / "empty", []))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"gap_minutes": 0}, "gap_minutes"),
        ({"gap_minutes": float("nan")}, "gap_minutes"),
        ({"min_dwell_seconds": -1}, "min_dwell_seconds"),
        ({"min_dwell_seconds": 1801}, "longer than the gap"),
        ({"min_length": 0}, "min_length"),
        ({"repeats": "drop"}, "repeats"),
        ({"kind": "view"}, "kind"),
        ({"kind": "booking", "min_dwell_seconds": 30}, "min_dwell_seconds: of no meaning"),
        ({"kind": "booking", "gap_minutes": 5}, "gap_minutes: of no meaning"),
        ({"booking_window_hours": -1}, "booking_window_hours"),
        ({"booked_weight": 0}, "booked_weight"),
        ({"max_session_length": 0}, "max_session_length"),
        ({"max_clicks_per_user_day": 1.5}, "max_clicks_per_user_day"),
        ({"max_sessions_per_user_item": 0}, "max_sessions_per_user_item"),
        ({"min_users_per_item": -1}, "min_users_per_item"),
        ({"pairs_once_per_day": "yes, please"}, "pairs_once_per_day"),
        ({"pairs_once_per_day": True}, "needs max_session_length or max_clicks_per_user_day"),
        ({"kind": "booking", "max_sessions_per_user_item": 3}, "max_sessions_per_user_item: of no meaning"),
        (
            {"kind": "booking", "pairs_once_per_day": True, "max_session_length": 9},
            "pairs_once_per_day: of no meaning",
        ),
        ({"engine": "flink"}, "engine"),
        ({"memory_limit": "lots"}, "memory_limit"),
    ],
)
def test_bad_settings_are_named(tmp_path, keys, message):
    with pytest.raises(ConfigError, match=message):
        sessionize(write_events(tmp_path, log("a@0 b@1")), **keys)


def test_an_engine_that_is_not_installed_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "item2vec.sessions.spark_engine", None)
    with pytest.raises(MissingDependencyError, match=r"engine='spark'.*pip install 'item2vec\[spark\]'"):
        sessionize(write_events(tmp_path, log("a@0 b@1")), engine="spark")


def test_a_missing_and_a_damaged_event_file(tmp_path):
    table = write_events(tmp_path, log("a@0 b@1"))
    with open(table.files[0], "r+b") as file:
        file.truncate(40)
    with pytest.raises(SourceError, match="events cannot be read"):
        sessionize(table)
    table.files[0] = str(tmp_path / "nowhere.parquet")
    with pytest.raises(SourceError, match="nowhere"):
        sessionize(table)


def test_item_table_with_a_repeated_id(tmp_path):
    items = pa.table({"item_id": ["a", "a"]})
    with pytest.raises(DataError, match="twice"):
        sessionize(write_events(tmp_path, log("a@0 b@1"), items))


def test_signature_and_config_have_the_same_keys_and_defaults():
    import inspect

    parameters = inspect.signature(sessionize).parameters
    keys = {
        name: p.default for name, p in parameters.items() if name not in ("events", "out", "show_progress")
    }
    assert keys == {name: field.default for name, field in SessionsConfig.model_fields.items()}


def test_sql_stays_in_the_shared_dialect():
    banned = r"QUALIFY|ILIKE|::|\[|LIST\(|ARRAY|EPOCH|TIMESTAMP|IGNORE NULLS|FILTER|//|HASH\(|RANDOM|EXCLUDE"
    texts = {file.name: file.read_text("utf-8") for file in (files("item2vec.sessions") / "sql").iterdir()}
    assert len(texts) > 10
    for name, text in texts.items():
        assert not re.search(banned, re.sub(r"--.*", "", text), re.IGNORECASE), name


def test_results_have_the_same_types_in_every_engine(tmp_path):
    # DuckDB's SUM is a HUGEINT that lands in Parquet as a double, Spark's ROW_NUMBER is 32 bits wide.
    from item2vec.sessions.duckdb_engine import DuckDBEngine
    from item2vec.sessions.rules import Rules

    engine = DuckDBEngine("500MB")
    engine.open_events(write_events(tmp_path, log("a@0 b@1 a!@2")).files)
    rules = Rules(engine, SessionsConfig(min_dwell_seconds=1))
    rules.count_events()
    n_items = len(rules.number_users_and_items())
    rules.split()
    rules.filter_clicks()
    rules.keep_long_sessions()
    booked = rules.attribute_bookings(np.full(n_items, -1, np.int32))
    rows, tokens = rules.results()
    wide, item = pa.int64(), pa.int32()
    assert rows.schema.types == [wide, pa.string(), wide, wide, wide]
    assert (tokens.schema.types, booked.schema.types) == ([item, wide], [wide, item, wide])
    assert engine.fetch("SELECT n, session_num FROM after_short_dwell").schema.types == [wide, wide]
    engine.close()
