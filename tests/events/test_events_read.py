"""One log, many shapes: formats, mappings, times, ids."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_logs import csv_text, event_row, jsonl_text, write_parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.errors import ConfigError, CorruptArtifactError, SourceError, UsageError
from item2vec.events import Events, EventsConfig, Reconciliation, event_schema, read_events

ROWS = [event_row(n) for n in range(20)]
TEN = datetime(2024, 3, 1, 10, tzinfo=UTC)
TEN_US = 1_709_287_200_000_000


@pytest.fixture
def log(write: Callable[..., Path]) -> Path:
    return write("log.parquet", ROWS)


def test_the_table_is_typed_and_in_total_order(log: Path) -> None:
    events = read_events(log)
    table = events.to_table()
    assert table.schema == event_schema("string")
    keys = [tuple(row[k] for k in ("user_id", "ts_us", "seq", "event_id")) for row in table.to_pylist()]
    assert keys == sorted(keys)
    expected = {row["event_id"]: row | {"ts_us": row["ts"]} for row in ROWS}
    for row in table.to_pylist():
        assert row == {key: expected[row["event_id"]][key] for key in row}
    assert len(events) == 20
    assert events.reconciliation == Reconciliation(
        20, 20, 0, {}, {}, {"booking": 5, "click": 5, "impression": 5, "wishlist": 5}, {}
    )


@pytest.mark.parametrize(
    "name",
    ["a.csv", "a.tsv", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.ndjson", "a.jsonl.gz", "a.jsonl.zst", "a.pq"],
)
def test_every_format_gives_the_same_table(name: str, log: Path, write: Callable[..., Path]) -> None:
    if name == "a.ndjson":
        path = write("b.jsonl", ROWS).rename(log.parent / name)
    else:
        path = write_parquet(log.parent / name, ROWS) if name == "a.pq" else write(name, ROWS)
    assert read_events(path).to_table().equals(read_events(log).to_table())


def test_many_files_a_glob_and_a_folder_are_the_same_log(log: Path, write: Callable[..., Path]) -> None:
    parts = [write(f"day/{name}.csv", ROWS[a : a + 10]) for name, a in (("x[1]", 0), ("y", 10))]
    write("day/_SUCCESS", "")
    write("day/.hidden.csv", "rubbish")
    whole = read_events(log).to_table()
    for path in (parts, parts[::-1], str(log.parent / "day" / "*.csv"), log.parent / "day"):
        assert read_events(path).to_table().equals(whole)


@settings(deadline=None, max_examples=12)
@given(
    order=st.permutations(range(12)),
    cuts=st.lists(st.integers(0, 12), max_size=3),
    kind=st.sampled_from(["csv", "jsonl", "parquet"]),
)
def test_neither_order_nor_split_of_the_rows_matters(
    order: list[int], cuts: list[int], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("split")
    rows = [event_row(n) for n in order]
    edges = [0, *sorted(cuts), len(rows)]
    for number, (a, b) in enumerate(itertools.pairwise(edges)):
        if a < b and kind == "parquet":
            write_parquet(folder / f"{number}.parquet", rows[a:b], market=pa.string())
        elif a < b:
            text = csv_text(rows[a:b]) if kind == "csv" else jsonl_text(rows[a:b])
            (folder / f"{number}.{kind}").write_text(text)
    whole = write_parquet(folder / "whole.pq", [event_row(n) for n in range(12)])
    parts = sorted(str(path) for path in folder.glob(f"*.{kind}"))
    assert read_events(parts).to_table().equals(read_events(whole).to_table())


def test_columns_and_values_are_mapped(write: Callable[..., Path]) -> None:
    day = "1,2024-03-01"
    text = f"who,when,what,thing,a,b\n{day},look,h1,s1,1\n{day},look,h1,s1,2\n{day},sort,,s1,3\n"
    events = read_events(
        write("log.csv", text),
        columns={
            "user_id": "who",
            "ts": "when",
            "event_type": "what",
            "item_id": "thing",
            "event_id": ["a", "b"],
            "seq": "b",
        },
        event_types={"look": "click", "sort": "ignore"},
    )
    rows = events.to_table().to_pylist()
    assert [(r["event_id"], r["seq"], r["event_type"], r["item_id"]) for r in rows] == [
        ("s1|1", 1, "click", "h1"),
        ("s1|2", 2, "click", "h1"),
    ]
    assert events.reconciliation.ignored == {"sort": 1}


def test_parts_of_a_composite_id_are_kept_apart(write: Callable[..., Path]) -> None:
    rows = [event_row(0, event_id="x|y", search_id="z"), event_row(0, event_id="x", search_id="y|z")]
    events = read_events(write("log.csv", rows), columns={"event_id": ["event_id", "search_id"]})
    assert sorted(events.to_table()["event_id"].to_pylist()) == [r"x\|y|z", r"x|y\|z"]


def test_no_two_composites_are_the_same_id(tmp_path):
    cells = [("a\\", "b|c"), ("a|b\\", "c"), ("x", None), ("x", ""), ("x", "\\N")]
    columns = {"first": [a for a, _ in cells], "second": [b for _, b in cells]}
    rows = {
        "user_id": ["u"] * 5,
        "ts_us": [10**15] * 5,
        "event_type": ["click"] * 5,
        "item_id": list("vwxyz"),
    }
    pq.write_table(pa.table(rows | columns), tmp_path / "log.parquet")
    events = read_events(tmp_path / "log.parquet", columns={"event_id": ["first", "second"]})
    assert len(events) == len(cells)
    assert events.reconciliation.ok == len(cells)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_without_an_id_the_whole_row_is_hashed(kind: str, write: Callable[..., Path]) -> None:
    rows = [{k: v for k, v in event_row(n).items() if k != "event_id"} for n in (1, 2, 1)]
    events = read_events(write(f"log.{kind}", rows))
    assert (events.reconciliation.ok, events.reconciliation.duplicate) == (2, 1)
    assert all(len(one) == 32 for one in events.to_table()["event_id"].to_pylist())


def test_the_hash_does_not_depend_on_the_order_of_columns(write: Callable[..., Path]) -> None:
    row = {k: v for k, v in event_row(1).items() if k != "event_id"}
    turned = dict(reversed(row.items()))
    tables = [read_events(write(name, [one])).to_table() for name, one in (("a.csv", row), ("b.csv", turned))]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (1_709_287_200, "auto"),
        (1_709_287_200, "s"),
        (1_709_287_200_000, "auto"),
        (1_709_287_200_000, "ms"),
        (TEN_US, "auto"),
        (TEN_US, "us"),
        (1_709_287_200.0, "auto"),
        (1_709_287_200.0, "s"),
        ("2024-03-01T10:00:00", "auto"),
        ("2024-03-01 10:00", "iso"),
        ("2024-03-01T10:00:00Z", "auto"),
        ("2024-03-01T12:00:00.000+02:00", "auto"),
        ("2024-03-01T05:00:00-0500", "iso"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_way_to_write_a_time(value: Any, unit: str, kind: str, write: Callable[..., Path]) -> None:
    path = write(f"log.{kind}", [event_row(1, ts=value)])
    assert read_events(path, timestamp_unit=unit).to_table()["ts_us"].to_pylist() == [TEN_US]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([TEN.replace(tzinfo=None)], pa.timestamp("us")), TEN_US),
        (pa.array([TEN.replace(tzinfo=None)], pa.timestamp("ns")), TEN_US),
        (pa.array([TEN], pa.timestamp("ms", "Europe/Paris")), TEN_US),
        (pa.array([date(2024, 3, 1)], pa.date32()), TEN_US - 36_000_000_000),
        (pa.array([1_709_287_200.5], pa.float64()), TEN_US + 500_000),
    ],
)
def test_parquet_times_of_every_type(column: pa.Array, expected: int, tmp_path: Path) -> None:
    table = pa.Table.from_pylist([event_row(1)]).drop_columns("ts").append_column("ts", column)
    pq.write_table(table, tmp_path / "log.parquet")
    assert read_events(tmp_path / "log.parquet").to_table()["ts_us"].to_pylist() == [expected]


def test_our_own_microseconds_are_never_taken_for_seconds(log: Path, write: Callable[..., Path]) -> None:
    rows = [{("ts_us" if k == "ts" else k): (5 if k == "ts" else v) for k, v in event_row(1).items()}]
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert read_events(write(name, rows), earliest="1970-01-01").to_table()["ts_us"].to_pylist() == [5]
    once = read_events(log)
    assert read_events(once.files).to_table().equals(once.to_table())


def test_the_id_type_is_the_source_s_or_the_declared_one(write: Callable[..., Path]) -> None:
    rows = [event_row(n, item_id=n + 7) for n in range(3)]
    assert read_events(write("a.parquet", rows)).id_type == "int64"
    assert read_events(write("a.csv", rows)).id_type == "string"
    declared = read_events(write("b.csv", rows), id_type="int64")
    assert declared.to_table()["item_id"].to_pylist() == [7, 8, 9]
    assert read_events(write("b.parquet", rows), id_type="string").to_table()["item_id"].to_pylist() == [
        "7",
        "8",
        "9",
    ]


def test_a_constant_type_and_a_column_left_out(write: Callable[..., Path]) -> None:
    table = read_events(write("a.csv", ROWS), columns={"market": ""}, event_type="booking").to_table()
    assert set(table["event_type"].to_pylist()) == {"booking"}
    assert table["market"].null_count == 20


def test_parts_hold_whole_users(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    from item2vec.events import engine, publish

    whole = read_events(log).to_table()
    monkeypatch.setattr(publish, "PART_ROWS", 3)
    monkeypatch.setattr(engine, "BATCH_ROWS", 4)
    events = read_events(log)
    users = [set(pq.ParquetFile(part).read()["user_id"].to_pylist()) for part in events.files]
    assert sorted(user for part in users for user in part) == ["u0", "u1", "u2"]
    assert len(users) > 1
    assert events.to_table().equals(whole)


def test_the_same_input_gives_the_same_bytes(log: Path, tmp_path: Path) -> None:
    outs = [read_events(log, out=tmp_path / name) for name in ("one", "two")]
    files = [sorted(p.relative_to(o.path) for p in o.path.rglob("*.*")) for o in outs]
    assert files[0] == files[1]
    assert all((outs[0].path / f).read_bytes() == (outs[1].path / f).read_bytes() for f in files[0])


def test_the_folder_opens_again_and_damage_is_noticed(log: Path, tmp_path: Path) -> None:
    events = read_events(log, out=tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()].count("out") == 1
    assert not list(tmp_path.glob(".out*"))
    assert Events.open(tmp_path / "out").to_table().equals(events.to_table())
    with pytest.raises(UsageError, match="already exists"):
        read_events(log, out=tmp_path / "out")
    with pytest.raises(SourceError, match="holds no event table"):
        Events.open(tmp_path)
    Path(events.files[0]).write_bytes(b"PAR1")
    with pytest.raises(CorruptArtifactError, match="damaged"):
        Events.open(tmp_path / "out")


def test_a_temporary_table_lives_as_long_as_the_object(log: Path) -> None:
    events = read_events(log)
    path = events.path
    assert path.is_dir()
    del events
    assert not path.exists()


def test_keywords_win_over_the_config(log: Path) -> None:
    config = EventsConfig(path=str(log), event_types={"click": "ignore", "wishlist": "inquiry"})
    assert read_events(config=config).reconciliation.ignored == {"click": 5}
    both = read_events(config=config, event_types={"click": "click"})
    assert both.reconciliation.events == {"booking": 5, "click": 5, "impression": 5, "inquiry": 5}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"columns": {"listing": "x"}}, "unknown event column 'listing'"),
        ({"columns": {"item_id": ["a", "b"]}}, "'item_id' takes one column"),
        ({"columns": {"event_id": []}}, "empty list"),
        ({"event_types": {"x": "buy"}}, "event_types"),
        ({"importer": "netflix"}, "importer"),
        ({"delimiter": ";;"}, "delimiter"),
        ({"max_quarantined": 2}, "max_quarantined"),
        ({"memory_limit": "lots"}, "memory_limit"),
        ({"event_type": "click", "columns": {"event_type": "event_type"}}, "keep one"),
        ({"timestamp_unit": "iso"}, "holds numbers"),
    ],
)
def test_a_bad_setting_is_named(keys: dict[str, Any], message: str, log: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_events(log, **keys)


def test_no_path_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no path"):
        read_events()


def test_the_package_imports_light() -> None:
    code = "import sys, item2vec.events.config; print({'duckdb', 'pandas', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_the_sql_engine_never_draws_its_own_bar(tmp_path):
    from item2vec.events.engine import Engine

    engine = Engine(tmp_path / "spill", "200MB", "a test")
    assert engine.run("SELECT current_setting('enable_progress_bar')") == [(False,)]


AROUND = ["{} ", " {}", "\t{}", "{}\u00a0", "\u2003{}\u200b"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("around", AROUND)
def test_white_space_around_text_makes_no_other_id(
    kind: str, around: str, log: Path, write: Callable[..., Path]
) -> None:
    padded = ("user_id", "item_id", "event_type", "market", "search_id", "event_id")
    rows = [{k: around.format(v) if k in padded and v else v for k, v in row.items()} for row in ROWS]
    mixed = write(f"mixed.{kind}", [*rows[:10], *ROWS[10:]])
    whole = read_events(log).to_table()
    assert read_events(mixed).to_table().equals(whole)
    both = read_events([mixed, write(f"plain.{kind}", ROWS)])
    assert (len(both), both.reconciliation.duplicate) == (20, 20)
    named = {"event_id": ["user_id", "event_id"]}
    assert read_events(mixed, named).to_table().equals(read_events(log, named).to_table())


def test_white_space_inside_text_stays_and_the_mapping_is_read_the_same_way(
    write: Callable[..., Path],
) -> None:
    rows = [
        event_row(0, event_type=" view item ", item_id="a  b "),
        event_row(1, event_type="\tsort", user_id=" "),
    ]
    events = read_events(write("a.jsonl", rows), event_types={"view item ": "click", "sort": "ignore"})
    assert events.to_table()["item_id"].to_pylist() == ["a  b"]
    assert events.reconciliation.ignored == {"sort": 1}
    numbers = [event_row(n, item_id=f" {n}\t") for n in range(3)]
    assert read_events(write("b.csv", numbers), id_type="int64").to_table()["item_id"].to_pylist() == [
        0,
        1,
        2,
    ]


def test_no_two_different_rows_have_the_same_hash(tmp_path: Path) -> None:
    texts = ["a", "a\x1fb", "b", "b\x1fa", "", None, "1:a", "1:a1:b", ":", "\x01"]
    rows = [event_row(0, event_id=None) | {"x": one, "y": two} for one in texts for two in texts]
    events = read_events(write_parquet(tmp_path / "log.parquet", rows), {"event_id": ""})
    assert events.reconciliation.ok == len(set(events.to_table()["event_id"].to_pylist())) == len(rows)


@pytest.mark.parametrize("parts", [(None,), (None, "Paris"), ("Paris", None)])
def test_a_column_without_a_single_value_is_a_column(parts: tuple[str | None, ...], tmp_path: Path) -> None:
    for n, market in enumerate(parts):  # pandas stores such a column with the Arrow type null
        write_parquet(tmp_path / f"{n}.parquet", [event_row(4 * n + i, market=market) for i in range(4)])
    markets = read_events(tmp_path).to_table()["market"].to_pylist()
    assert sorted(markets, key=str) == sorted([market for market in parts for _ in range(4)], key=str)


def test_a_disk_that_is_full_is_told_in_plain_words(log: Path, tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from item2vec.events import read_events\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "try:\n    read_events(sys.argv[1])\n"
        "except Exception as error:\n    sys.stdout.write(f'{type(error).__name__}: {error}')"
    )
    found = subprocess.run([sys.executable, "-c", code, str(log)], capture_output=True, check=True, text=True)
    assert found.stdout.startswith("RunError: no writing of the events at ")
    assert "File too large" in found.stdout
    assert "free some space" in found.stdout
