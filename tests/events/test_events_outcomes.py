"""Every source row has one outcome, and the outcomes add up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_logs import csv_text, event_row, jsonl_text, write_parquet

from item2vec.errors import CorruptArtifactError, DataError, EmptyDataError, QuarantineError, SourceError
from item2vec.events import Reconciliation, read_events

GOOD = [event_row(n) for n in range(8)]
BAD_FIELDS = [
    ({"event_type": None}, "no event_type"),
    ({"event_type": "  "}, "no event_type"),
    ({"event_type": "buy"}, "unknown event_type"),
    ({"event_type": "Click"}, "unknown event_type"),
    ({"user_id": None}, "no user_id"),
    ({"user_id": " \t"}, "no user_id"),
    ({"user_id": "\u00a0"}, "no user_id"),
    ({"item_id": ""}, "no item_id"),
    ({"event_id": ""}, "no event_id"),
    ({"ts": None}, "no timestamp"),
    ({"ts": "yesterday"}, "unreadable timestamp"),
    ({"ts": "2024-02-30"}, "unreadable timestamp"),
    ({"ts": "2024-13-01T00:00:00Z"}, "unreadable timestamp"),
    ({"ts": "infinity"}, "unreadable timestamp"),
    ({"ts": "NaN"}, "unreadable timestamp"),
    ({"ts": "1e400"}, "unreadable timestamp"),
    ({"ts": "-5"}, "timestamp out of range"),
    ({"ts": "9999-12-31"}, "timestamp out of range"),
    ({"ts": str(2**70)}, "unreadable timestamp"),
    ({"seq": "first"}, "seq is not an int64"),
    ({"seq": "1.5"}, "seq is not an int64"),
    ({"seq": str(2**63)}, "seq is not an int64"),
    ({"position": "3rd"}, "position is not an int32"),
    ({"position": str(2**31)}, "position is not an int32"),
    ({"dwell_seconds": "long"}, "dwell_seconds is not a number of seconds"),
    ({"dwell_seconds": "-1"}, "dwell_seconds is not a number of seconds"),
    ({"dwell_seconds": "inf"}, "dwell_seconds is not a number of seconds"),
]


def texts(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if value is None else str(value) for key, value in row.items()}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(("change", "reason"), BAD_FIELDS)
def test_a_bad_field_is_quarantined_with_its_reason(
    change: dict[str, Any], reason: str, kind: str, write: Callable[..., Path]
) -> None:
    bad = texts(event_row(99, **change))
    rows = [*map(texts, GOOD[:4]), bad, *map(texts, GOOD[4:])]
    path = write(f"log.{kind}", rows)
    events = read_events(path, max_quarantined=0.5)
    assert events.reconciliation.quarantined == {reason: 1}
    assert events.to_table().equals(read_events(write(f"good.{kind}", [*map(texts, GOOD)])).to_table())
    [refused] = events.quarantine().to_pylist()
    assert refused["file"] == str(path)
    assert refused["line"] == {"csv": 6, "jsonl": 5, "parquet": 5}[kind]
    assert refused["reason"] == reason
    if kind == "csv":
        assert refused["raw"] == path.read_text().splitlines()[5]
    else:
        assert json.loads(refused["raw"]) == bad


@pytest.mark.parametrize("value", ["12.7", "1e3", "0x10", "h1", str(2**63), "007"])
def test_ids_of_another_type_are_quarantined(value: str, write: Callable[..., Path]) -> None:
    rows = [event_row(0, item_id=5), event_row(1, item_id=value)]
    events = read_events(write("a.csv", rows), id_type="int64", max_quarantined=0.5)
    assert events.reconciliation.quarantined == {"item_id is not an int64": 1}
    assert events.to_table()["item_id"].to_pylist() == [5]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("hello", "not a JSON object"),
        ("5", "not a JSON object"),
    ],
)
def test_lines_that_are_no_json_object_are_quarantined(
    line: str, reason: str, write: Callable[..., Path]
) -> None:
    events = read_events(write("a.jsonl", jsonl_text(GOOD) + line + "\n"), max_quarantined=0.5)
    assert events.reconciliation.quarantined == {reason: 1}
    assert events.quarantine().to_pylist()[0]["raw"] == line
    assert events.reconciliation.rows_in == 9


def test_blank_lines_are_counted_and_ignored(write: Callable[..., Path]) -> None:
    for name, text in (("a.csv", "\n" + csv_text(GOOD) + "\n\r\n"), ("a.jsonl", jsonl_text(GOOD) + "\n\n\n")):
        account = read_events(write(name, text)).reconciliation
        assert (account.rows_in, account.ok, account.ignored) == (11, 8, {"blank line": 3})


def test_exact_duplicates_are_counted_once_each(write: Callable[..., Path]) -> None:
    paths = [write("a.csv", GOOD), write("b.csv", GOOD[:3]), write("c.csv", [GOOD[0], GOOD[0]])]
    events = read_events(paths)
    assert (events.reconciliation.ok, events.reconciliation.duplicate) == (8, 5)
    assert events.to_table().equals(read_events(paths[0]).to_table())


def test_an_ignored_row_repeated_is_a_duplicate(write: Callable[..., Path]) -> None:
    rows = [
        *GOOD,
        event_row(20, event_type="sort", item_id=None),
        event_row(20, event_type="sort", item_id=None),
    ]
    account = read_events(write("a.csv", rows), event_types={"sort": "ignore"}).reconciliation
    assert (account.ok, account.duplicate, account.ignored) == (8, 1, {"sort": 1})


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_id_with_another_body_is_quarantined_and_the_first_row_stands(
    kind: str, write: Callable[..., Path]
) -> None:
    rows = [*GOOD, event_row(0, item_id="other"), event_row(0), event_row(0, market="Rome")]
    events = read_events(write(f"a.{kind}", rows), max_quarantined=0.5)
    account = events.reconciliation
    assert (account.ok, account.duplicate) == (8, 1)
    assert account.quarantined == {"event_id repeated with another body": 2}
    assert events.to_table().equals(read_events(write(f"b.{kind}", GOOD)).to_table())
    assert [row["line"] for row in events.quarantine().to_pylist()] == (
        [10, 12] if kind == "csv" else [9, 11]
    )


def test_above_the_limit_nothing_is_published_but_the_refused_rows_can_be_kept(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write("a.csv", [*GOOD, event_row(9, ts="never")])
    with pytest.raises(QuarantineError, match=r"1 of 9 rows .*\(11\.1%\).*unreadable timestamp 1.*a\.csv:10"):
        read_events(path, out=tmp_path / "out", quarantine=tmp_path / "refused")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "refused"]
    kept = pq.ParquetFile(tmp_path / "refused" / "events.parquet").read().to_pylist()
    assert [row["line"] for row in kept] == [10]
    assert len(read_events(path, max_quarantined=1 / 9)) == 8


def test_nothing_left_is_an_error_that_says_why(write: Callable[..., Path], tmp_path: Path) -> None:
    header = csv_text(GOOD).splitlines()[0] + "\n"
    with pytest.raises(EmptyDataError, match="has a header but no rows") as caught:
        read_events(write("a.csv", header), quarantine=tmp_path / "refused")
    assert "refused" not in str(caught.value)
    pq.write_table(pa.Table.from_pylist(GOOD)[:0], tmp_path / "a.parquet")
    with pytest.raises(EmptyDataError, match="has columns but no rows"):
        read_events(tmp_path / "a.parquet")
    with pytest.raises(EmptyDataError, match="ignored: click 2, impression 2"):
        read_events(
            write("b.csv", GOOD),
            event_types=dict.fromkeys(("click", "impression", "booking", "wishlist"), "ignore"),
        )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "no such file"),
        ("no*.csv", None, "no file matches"),
        ("a.csv", "", "is empty"),
        ("a.csv", "\n\n", "no line with column names"),
        ("a.jsonl", "", "is empty"),
        ("a.xyz", "x", "does not tell the format"),
        ("a.csv", "user_id,ts\n1,2\n", "no column for item_id, event_type"),
        ("a.csv", "user_id,user_id\n", "'user_id' twice"),
        ("a.csv", "Item,item\n", "'Item' twice"),
        ("a.csv", "user_id,\n", "without a name"),
        ("a.csv", "user_id;ts;item_id\nu,1;5;i\n", "separated by ','; set delimiter = \";\""),
        ("a.csv", "user_id\tts\titem_id\n", r'set delimiter = "\\t"'),
        ("a.tsv", "user_id,ts,item_id\n", 'set delimiter = ","'),
        ("a.csv", b"\xff\xfeu\0", "UTF-16"),
        ("a.csv", b"PAR1....PAR1", "is a Parquet file"),
        ("a.jsonl", '{"user_id": 1}\n', "no column for ts, item_id, event_type"),
        ("a.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03abc", "damaged or cut short"),
        ("a.csv.zst", b"\x28\xb5\x2f\xfd\x04abc", "damaged or cut short"),
    ],
)
def test_a_source_that_cannot_be_read_is_named_with_the_next_step(
    name: str, content: str | bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SourceError, match=message) as caught:
        read_events(path)
    assert name in str(caught.value)
    assert ";" in str(caught.value) or "Name it" in str(caught.value)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_cut_short_is_refused(suffix: str, write: Callable[..., Path]) -> None:
    path = write(f"a.csv{suffix}", [event_row(n) for n in range(500)])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SourceError, match="damaged or cut short"):
        read_events(path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_file_that_lacks_a_column_is_named(kind: str, write: Callable[..., Path]) -> None:
    renamed = [{("hotel" if k == "item_id" else k): v for k, v in row.items()} for row in GOOD[4:]]
    paths = [write(f"a.{kind}", GOOD[:4]), write(f"b.{kind}", renamed)]
    with pytest.raises(
        SourceError, match=rf"b\.{kind} has no column 'item_id', .*a\.{kind} has; it has .*hotel"
    ):
        read_events(paths)
    with pytest.raises(SourceError, match=rf"a\.{kind} has no column 'hotel', .*b\.{kind} has"):
        read_events(paths, columns={"item_id": "hotel"})
    with pytest.raises(SourceError, match=rf"a\.{kind} and 1 more file has no column 'place'"):
        read_events(paths, columns={"item_id": "place"})


def test_unknown_event_types_are_listed_by_frequency(write: Callable[..., Path]) -> None:
    kinds = ["View"] * 3 + ["VIEW"] * 2 + ["click", "buy \t"]
    rows = [event_row(n, event_type=kind) for n, kind in enumerate(kinds)]
    with pytest.raises(
        QuarantineError, match="'View' 3, 'VIEW' 2, 'buy' 1; map them with the key event_types"
    ):
        read_events(write("a.csv", rows))
    many = [event_row(n, event_type=f"kind {n}" * 20) for n in range(9)]
    with pytest.raises(QuarantineError, match=r"'kind 0kind 0[^']{0,40}…' 1, .*, …; map them"):
        read_events(write("b.jsonl", many))
    with pytest.raises(EmptyDataError, match="'View' 3, 'VIEW' 2; map them"):
        read_events(write("c.csv", rows[:5]), max_quarantined=1)


@pytest.mark.parametrize(
    ("unit", "accepted"), [("auto", "ISO 8601 .* milli"), ("ms", "milliseconds since 1970")]
)
def test_the_accepted_timestamps_are_named(unit: Any, accepted: str, write: Callable[..., Path]) -> None:
    with pytest.raises(QuarantineError, match=rf"A timestamp is .*{accepted}.*timestamp_unit = '{unit}'"):
        read_events(write("a.csv", [event_row(0, ts="03/01/2024")]), timestamp_unit=unit)


def test_damaged_parquet_is_refused_with_its_name(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [event_row(n) for n in range(500)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(SourceError, match=r"a\.parquet is not a readable Parquet file"):
        read_events(path)
    path.write_bytes(b"PAR1" + bytes(len(whole) // 2 - 4) + whole[len(whole) // 2 :])
    with pytest.raises(SourceError, match=r"a\.parquet cannot be read"):
        read_events(path)
    path.write_text("user_id,ts\n")
    with pytest.raises(SourceError, match="is not a Parquet file"):
        read_events(path)


def test_parquet_files_that_drift_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", GOOD)
    write_parquet(tmp_path / "b.parquet", [event_row(n, item_id=n) for n in range(20, 30)])
    with pytest.raises(SourceError, match=r"b\.parquet has 'item_id' as integer, .*a\.parquet as text"):
        read_events(tmp_path)
    write_parquet(tmp_path / "b.parquet", [{k: v for k, v in GOOD[0].items() if k != "market"}])
    with pytest.raises(SourceError, match=r"b\.parquet has no column 'market'"):
        read_events(tmp_path)
    assert len(read_events(tmp_path, columns={"market": ""})) == 8


@pytest.mark.parametrize("column", ["user_id", "item_id", "event_id"])
def test_floats_are_no_ids(column: str, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [event_row(n, **{column: n + 0.5}) for n in range(3)])
    with pytest.raises(SourceError, match=f"cannot be {column}"):
        read_events(path)


def test_integers_that_pandas_stored_as_floats_are_read(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", GOOD, position=pa.float64())
    assert (
        read_events(path).to_table()["position"].to_pylist()
        == read_events(write_parquet(tmp_path / "b.parquet", GOOD)).to_table()["position"].to_pylist()
    )


def test_mixed_formats_are_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    write("a.csv", GOOD)
    write("b.parquet", GOOD)
    with pytest.raises(SourceError, match="different formats"):
        read_events(tmp_path)


def test_an_account_that_does_not_add_up_is_an_error() -> None:
    account = Reconciliation(10, 5, 1, {"open quote": 1}, {"sort": 2}, {"click": 50})
    with pytest.raises(DataError, match=r"10 came in.*= 9"):
        account.check()
    assert Reconciliation.from_json(account.to_json()) == account
    with pytest.raises(CorruptArtifactError):
        Reconciliation.from_json("{}")
