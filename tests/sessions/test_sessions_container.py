"""The container: what it accepts, what it gives back, and its artifact."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions_referee import Event, write_events

from item2vec.errors import CorruptArtifactError, DataError, UsageError
from item2vec.sessions import Sessions, columns, sessionize
from item2vec.sessions.columns import number_ids
from item2vec.sessions.parts import clicks_schema, sessions_schema

DAY_US = 86_400_000_000


def assert_same(first: Sessions, second: Sessions) -> None:
    for field in dataclasses.fields(Sessions):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, field.name)
        elif isinstance(a, pa.Array | pa.Table):
            assert a.equals(b), field.name
        else:
            assert a == b, field.name


@pytest.fixture
def three() -> Sessions:
    return Sessions.from_lists(
        [["b", "a", "b"], ["c", "d"], ["a"]],
        booked=[["d", "a", "d"], [], ["z"]],
        markets={"a": "Köln", "b": "Bern", "z": "Bern"},
        weights=[5, 1, 2.5],
    )


@pytest.fixture
def dated(tmp_path) -> Sessions:
    events = []
    for user in range(6):
        for n in range(8):
            ts_us = (user % 3) * DAY_US + n * 1_000_000
            kind = "booking" if n == 7 and user % 2 else "click"
            item = f"item {(user * n) % 5}"
            events.append(Event(f"u{user}", ts_us, kind, item, event_id=f"{user}-{n}", market=f"m{user % 2}"))
    items = pa.table({"item_id": [f"item {n}" for n in range(5)], "price": [1.0, 2.0, None, 4.0, 5.0]})
    return sessionize(write_events(tmp_path / "log", events, items))


def test_from_lists(three):
    assert three.item_ids.to_pylist() == ["a", "b", "c", "d", "z"]
    assert three.tokens.tolist() == [1, 0, 1, 2, 3, 0]
    assert three.offsets.tolist() == [0, 3, 5, 6]
    assert three.booked.tolist() == [3, 0, 4]
    assert three.booked_offsets.tolist() == [0, 2, 2, 3]
    assert three.booked_us is None
    assert three.markets.tolist() == [1, 0, -1, -1, 0]
    assert three.market_names == ("Bern", "Köln")
    assert three.session_markets().tolist() == [0, -1, 1]
    assert (len(three), three.n_items, three.n_clicks, three.id_type) == (3, 5, 6, "string")
    assert repr(three) == "Sessions(3 click sessions, 6 tokens, 5 items)"


def test_session_market_ties_go_to_the_first_name():
    sessions = Sessions.from_lists([["a", "b"], ["b", "a", "a"]], markets={"a": "Köln", "b": "Bern"})
    assert [sessions.market_names[num] for num in sessions.session_markets()] == ["Bern", "Köln"]


def test_from_lists_with_items_and_integers():
    items = pa.table({"item_id": [3, 1], "market": ["Bern", " "], "price": [3.0, 1.0]})
    sessions = Sessions.from_lists([[1, np.int64(2)], [3]], markets={2: "Köln"}, items=items)
    assert sessions.id_type == "int64"
    assert sessions.items["market"].to_pylist() == [None, "Köln", "Bern"]
    assert sessions.items["price"].to_pylist() == [1.0, None, 3.0]
    assert sessions.to_lists() == [[1, 2], [3]]


@settings(max_examples=60, deadline=None)
@given(
    lists=st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6), max_size=8),
    data=st.data(),
)
def test_lists_and_take_round_trip(lists, data):
    sessions = Sessions.from_lists(lists, booked=[row[:2] for row in lists])
    assert sessions.to_lists() == lists
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10)) if lists else []
    taken = sessions.take(chosen)
    assert taken.to_lists() == [lists[number] for number in chosen]
    assert taken.item_ids.equals(sessions.item_ids)
    rows = np.split(taken.booked, taken.booked_offsets[1:-1])
    ids = sessions.item_ids.to_pylist()
    expected = [list(dict.fromkeys(lists[number][:2])) for number in chosen]
    assert [[ids[token] for token in row] for row in rows][: len(chosen)] == expected


def test_take_with_a_mask_keeps_times_and_users(dated):
    mask = dated.start_us >= DAY_US
    taken = dated.take(mask)
    assert 0 < len(taken) < len(dated)
    assert taken.start_us.tolist() == dated.start_us[mask].tolist()
    assert taken.user_ids.to_pylist() == [
        u for u, m in zip(dated.user_ids.to_pylist(), mask, strict=True) if m
    ]
    assert taken.ts_us[taken.offsets[:-1]].tolist() == taken.start_us.tolist()
    assert taken.ts_us[taken.offsets[1:] - 1].tolist() == taken.end_us.tolist()
    owners = np.repeat(np.arange(len(dated)), np.diff(dated.booked_offsets))
    assert 0 < len(taken.booked_us) < len(dated.booked_us)
    assert taken.booked_us.tolist() == dated.booked_us[mask[owners]].tolist()


@pytest.mark.parametrize("numbers", [[3], [-1], [0.5], [[0, 1]], [True]])
def test_take_refuses(three, numbers):
    with pytest.raises(UsageError):
        three.take(numbers)


ids = st.one_of(st.lists(st.lists(st.text(), min_size=1)), st.lists(st.lists(st.integers(-9, 9), min_size=1)))


@given(ids, st.sampled_from([list, tuple, iter]), st.integers(1, 5))
@settings(deadline=None)
def test_lists_come_back_as_they_went_in(lists, kind, lists_at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_LISTS_AT_ONCE", lists_at_once)
        sessions = Sessions.from_lists([kind(session) for session in lists], booked=lists[::-1])
    assert sessions.to_lists() == lists
    distinct = {item for session in lists for item in session}
    assert sessions.item_ids.to_pylist() == sorted(
        distinct, key=lambda i: i.encode() if isinstance(i, str) else i
    )
    booked = [sessions.item_ids[token].as_py() for token in sessions.booked]
    assert booked == [item for session in lists[::-1] for item in dict.fromkeys(session)]


def test_ids_in_several_arrays_are_numbered_together():
    distinct, numbers = number_ids([pa.array(ids, pa.string()) for ids in (["c", "a"], [], ["b", "c"])])
    assert distinct.to_pylist() == ["a", "b", "c"]
    assert numbers.tolist() == [2, 0, 1, 2]


@pytest.mark.parametrize(("lists", "booked"), [([["a"], ["b"], [1]], None), ([[1], [2]], [[], ["a"]])])
def test_ids_of_two_types_far_apart_are_refused(lists, booked, monkeypatch):
    monkeypatch.setattr(columns, "_LISTS_AT_ONCE", 1)
    with pytest.raises(DataError, match="item ids are int and str"):
        Sessions.from_lists(lists, booked=booked)


@pytest.mark.parametrize(
    ("lists", "keys", "message"),
    [
        ([["a"], []], {}, "session number 1 has no clicks"),
        ([["a", 1]], {}, "int and str"),
        ([[1.5]], {}, "float"),
        ([[True]], {}, "bool"),
        ([[1, True]], {}, "bool and int"),
        ([["a", None]], {}, "NoneType and str"),
        ([["a"]], {"booked": []}, "1 sessions but 0 lists"),
        (["abc", "abd"], {}, r"session 0 is 'abc'; give a list per session, \[\['abc'\], …\]"),
        ([["a"], b"ab"], {}, "session 1 is b'ab'; give a list"),
        ([["a"], np.str_("ab")], {}, "session 1 is"),
        ([[1], 7], {}, r"session 1 is 7; give a list per session, \[\[7\], …\]"),
        ([[1], np.array(7)], {}, r"session 1 is array\(7\)"),
        ([["a"]] * 5000 + [None], {}, r"session 5000 is None; give a list per session, \[\[\], …\]"),
        (
            [["a"], ["b"]],
            {"booked": ["L1", "L3"]},
            r"booked entry 0 is 'L1'; give a list per session, \[\['L1'\], …\]",
        ),
        ([["a"], ["b"]], {"booked": [None, ["a"]]}, "booked entry 0 is None"),
        ([["a"], ["b"]], {"booked": [[], [["a"]]]}, "item ids are list"),
        ([["a"]], {"weights": [1, 2]}, "weights has 2"),
        ([["a"]], {"weights": [0]}, "greater than zero"),
        ([["a"]], {"weights": [float("nan")]}, "finite"),
        ([["a"]], {"items": pa.table({"id": ["a"]})}, "no column item_id"),
        ([["a"]], {"items": pa.table({"item_id": [1]})}, "cast one"),
        ([["a"]], {"items": pa.table({"item_id": ["a", "a"]})}, "twice"),
    ],
)
def test_from_lists_refuses(lists, keys, message):
    with pytest.raises(DataError, match=message):
        Sessions.from_lists(lists, **keys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": [0, 0, 0, 0, 0, 5]}, "tokens must lie"),
        ({"tokens": [0.5] * 6}, "tokens is float64"),
        ({"tokens": [[0] * 6]}, "dimensions"),
        ({"offsets": [0, 3, 5]}, "offsets has 3"),
        ({"offsets": [0, 5, 3, 6]}, "offsets must rise"),
        ({"offsets": [0, 3, 5, 5]}, "offsets must rise"),
        ({"booked_offsets": [1, 2, 2, 3]}, "booked_offsets must rise"),
        ({"booked": [3, 0, -1]}, "booked must lie"),
        ({"item_ids": pa.array(["b", "a", "c", "d", "z"])}, "ascending"),
        ({"item_ids": pa.array(["a", "a", "c", "d", "z"])}, "ascending"),
        ({"item_ids": pa.array(["a", None, "c", "d", "z"])}, "nulls"),
        ({"item_ids": pa.array([0.0, 1.0, 2.0, 3.0, 4.0])}, "double"),
        ({"markets": [0, 0, 0, 0, 2]}, "markets must lie"),
        ({"market_names": ("Köln", "Bern")}, "market_names"),
        ({"user_ids": pa.array(["u"])}, "user_ids has 1"),
        ({"user_ids": pa.array([1, 2, 3])}, "user_ids must be strings"),
        ({"start_us": [0, 0, 0]}, "together"),
        ({"start_us": [0, 0, 2], "end_us": [0, 0, 1]}, "ends before"),
        ({"ts_us": [0]}, "ts_us has 1"),
        ({"booked_us": [0]}, "booked_us has 1"),
        ({"booked_us": [0.5] * 3}, "booked_us is float64"),
        (
            {"start_us": [3, 4, 5], "end_us": [3, 4, 5], "booked_us": [3, 9, 4]},
            r"booked_us\[2\] lies before session number 2 starts",
        ),
        ({"items": pa.table({"item_id": ["a"]})}, "one row for each of the 5"),
        ({"items": pa.table({"item_id": ["b", "a", "c", "d", "z"]})}, "order of item_ids"),
        ({"kind": "view"}, "kind"),
    ],
)
def test_the_door_refuses(three, change, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(three, **change)


def test_artifact_round_trip(dated, tmp_path):
    dated.save(tmp_path / "s")
    assert_same(Sessions.load(tmp_path / "s"), dated)
    dates = ["date=1970-01-01", "date=1970-01-02", "date=1970-01-03"]
    for folder in ("clicks", "sessions"):
        assert sorted(part.name for part in (tmp_path / "s" / folder).iterdir()) == dates
    clicks = pq.read_schema(tmp_path / "s" / "clicks" / dates[0] / "part-0.parquet")
    sessions = pq.read_schema(tmp_path / "s" / "sessions" / dates[0] / "part-0.parquet")
    assert (clicks, sessions) == (clicks_schema(pa.string()), sessions_schema(pa.string()))


def test_artifact_without_times_and_of_bookings(three, tmp_path):
    three.save(tmp_path / "s")
    assert (tmp_path / "s" / "clicks" / "part-0.parquet").is_file()
    assert_same(Sessions.load(tmp_path / "s"), three)
    bookings = [Event("u", n * 400 * DAY_US, "booking", f"i{n}", event_id=str(n)) for n in range(4)]
    sequences = sessionize(write_events(tmp_path / "log", bookings), kind="booking", out=tmp_path / "b")
    assert (tmp_path / "b" / "clicks" / "part-0.parquet").is_file()
    assert_same(Sessions.load(tmp_path / "b"), sequences)


def test_artifact_keeps_what_is_known_of_the_bookings(dated, three, tmp_path):
    timed = dataclasses.replace(three, booked_us=[7, 2, 5])
    for name, sessions in {"unknown": dataclasses.replace(dated, booked_us=None), "timed": timed}.items():
        sessions.save(tmp_path / name)
        assert_same(Sessions.load(tmp_path / name), sessions)


def test_an_artifact_without_booking_times_is_refused(dated, tmp_path):
    dated.save(tmp_path / "s")
    part = next((tmp_path / "s" / "sessions").rglob("*.parquet"))
    whole = pq.ParquetFile(part).read()
    pq.write_table(whole.drop_columns(["booked_us"]), part)
    with pytest.raises(CorruptArtifactError, match=r"the columns of sessions are not .* booked_us"):
        Sessions.load(tmp_path / "s")
    # Unknown on one day only would be read as unknown on all of them.
    column = whole.column_names.index("booked_us")
    unknown = pa.nulls(whole.num_rows, whole.schema.field("booked_us").type)
    pq.write_table(whole.set_column(column, whole.schema.field("booked_us"), unknown), part)
    with pytest.raises(CorruptArtifactError, match="booked_us is known on some days only"):
        Sessions.load(tmp_path / "s")
    about = tmp_path / "s" / "funnel.json"
    about.write_text(about.read_text("utf-8").replace('"format": 2', '"format": 1'), "utf-8")
    with pytest.raises(CorruptArtifactError, match="format 1, and this version reads format 2; build it"):
        Sessions.load(tmp_path / "s")


def test_artifact_comes_back_in_the_order_of_ids(dated, tmp_path):
    dated.take(np.arange(len(dated))[::-1]).save(tmp_path / "s")
    assert_same(Sessions.load(tmp_path / "s"), dated)


def test_artifact_of_no_sessions(dated, tmp_path):
    dated.take([]).save(tmp_path / "s")
    loaded = Sessions.load(tmp_path / "s")
    assert (len(loaded), loaded.n_items) == (0, dated.n_items)


def _digests(path):
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file()
    }


def test_same_sessions_same_bytes_and_a_day_more_changes_no_other(dated, tmp_path):
    dated.save(tmp_path / "one")
    dated.save(tmp_path / "two")
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")
    dated.take(dated.start_us < 2 * DAY_US).save(tmp_path / "fewer")
    fewer, all_days = _digests(tmp_path / "fewer"), _digests(tmp_path / "one")
    parts = {name: digest for name, digest in all_days.items() if "date=" in name}
    gone = {name for name in parts if "1970-01-03" in name}
    assert {n: d for n, d in fewer.items() if "date=" in n} == {
        n: d for n, d in parts.items() if n not in gone
    }


def test_save_refuses_a_used_folder_and_repeated_sessions(three, tmp_path):
    three.save(tmp_path / "s")
    with pytest.raises(DataError, match="not empty"):
        three.save(tmp_path / "s")
    with pytest.raises(DataError, match="repeated"):
        three.take([0, 0]).save(tmp_path / "t")


def test_flipped_bits_and_missing_files_are_noticed(dated, tmp_path):
    dated.save(tmp_path / "s")
    rng = np.random.default_rng(0)
    for file in sorted(file for file in (tmp_path / "s").rglob("*.parquet")):
        whole = file.read_bytes()
        # Page checksums do not cover the footer: guarding that is the manifest's part.
        pages = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
        for _ in range(6):
            damaged = bytearray(whole)
            damaged[rng.integers(4, pages)] ^= 1 << int(rng.integers(8))
            file.write_bytes(damaged)
            # A flip may be without effect, but never gives a wrong answer.
            with contextlib.suppress(CorruptArtifactError):
                assert_same(Sessions.load(tmp_path / "s"), dated)
        file.unlink()
        with pytest.raises(CorruptArtifactError, match="build it again"):
            Sessions.load(tmp_path / "s")
        file.write_bytes(whole)
    (tmp_path / "s" / "funnel.json").write_text("{}")
    with pytest.raises(CorruptArtifactError, match="format"):
        Sessions.load(tmp_path / "s")


def test_parts_of_different_sessions_do_not_load(dated, tmp_path):
    dated.save(tmp_path / "s")
    first, second = sorted((tmp_path / "s" / "clicks").rglob("*.parquet"))[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(CorruptArtifactError):
        Sessions.load(tmp_path / "s")


def test_load_imports_nothing_heavy(dated, tmp_path):
    dated.save(tmp_path / "s")
    code = (
        "import sys; from item2vec.sessions import Sessions; Sessions.load(sys.argv[1]);"
        "print([m for m in ('pandas', 'duckdb', 'pydantic', 'torch', 'numba') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
