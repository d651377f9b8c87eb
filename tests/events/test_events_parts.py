"""What must not enter the events: the machine's time zone, and which of the files comes first."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_logs import event_row, write_parquet

from item2vec.errors import UsageError
from item2vec.events import read_events

ROWS = [event_row(n) for n in range(6)]
PROGRAM = """
import sys
from item2vec.events import read_events
rows = read_events(sys.argv[1]).to_table().to_pylist()
print([(row["event_id"], row["item_id"], row["ts_us"]) for row in rows])
"""


@pytest.mark.parametrize("with_ids", [False, True])
def test_the_time_zone_of_the_machine_changes_neither_ids_nor_order(tmp_path: Path, with_ids: bool) -> None:
    start = datetime(2024, 3, 30, 23, 30, tzinfo=UTC)
    rows: list[dict[str, Any]] = [
        {"user_id": "u", "ts": start + timedelta(hours=n // 4), "event_type": "click", "item_id": f"i{n}"}
        | ({"event_id": f"e{n // 2}"} if with_ids else {})
        for n in range(16)
    ]
    if with_ids:  # of two bodies, the first by their text stands
        rows = [row for n, row in enumerate(rows) if n % 2 == 0]
    write_parquet(tmp_path / "a.parquet", rows, ts=pa.timestamp("us", "UTC"))
    found = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, tmp_path / "a.parquet"],
            env=os.environ | {"TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for zone in ("UTC", "Asia/Tokyo", "America/St_Johns")
    }
    assert len(found) == 1, found


def read_both_ways(folder: Path, tables: list[pa.Table], **keys: Any) -> pa.Table:
    """Write one part per table, under names in either order, and make sure that both ways read alike."""
    read = []
    for order in itertools.permutations(range(len(tables))):
        place = folder / "".join(map(str, order))
        place.mkdir()
        for name, part in enumerate(order):
            pq.write_table(tables[part], place / f"{name}.parquet")
        events = read_events(place, **keys)
        assert events.reconciliation.n_quarantined == 0
        read.append(events.to_table())
    assert all(one.equals(read[0]) for one in read[1:]), [one.to_pylist() for one in read]
    return read[0]


def part(rows: list[dict[str, Any]], drop: tuple[str, ...] = (), **types: pa.DataType) -> pa.Table:
    table = pa.Table.from_pylist([{k: v for k, v in row.items() if k not in drop} for row in rows])
    for name, kind in types.items():
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
    return table


@pytest.mark.parametrize("drop", [(), ("event_id",)])
def test_a_narrow_part_of_integers_does_not_rule_a_wide_one(tmp_path: Path, drop: tuple[str, ...]) -> None:
    narrow = part([event_row(n, item_id=n) for n in range(3)], drop, item_id=pa.int32())
    wide = part([event_row(n, item_id=2**40 + n) for n in range(3, 6)], drop, item_id=pa.int64())
    table = read_both_ways(tmp_path, [narrow, wide])
    assert sorted(table["item_id"].to_pylist()) == [0, 1, 2, 2**40 + 3, 2**40 + 4, 2**40 + 5]


@pytest.mark.parametrize("drop", [(), ("event_id",)])
def test_a_float32_part_keeps_the_digits_it_has_and_takes_none_of_a_float64_part(
    tmp_path: Path, drop: tuple[str, ...]
) -> None:
    narrow = part([event_row(0, dwell_seconds=0.1)], drop, dwell_seconds=pa.float32())
    wide = part([event_row(1, dwell_seconds=0.1)], drop, dwell_seconds=pa.float64())
    table = read_both_ways(tmp_path, [narrow, wide])
    assert sorted(table["dwell_seconds"].to_pylist()) == [0.1, 0.10000000149011612]


@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
)
def test_texts_stored_in_several_ways_are_one_family(tmp_path: Path, kind: pa.DataType) -> None:
    drop = ("event_id",)
    table = read_both_ways(tmp_path, [part(ROWS[:3], drop), part(ROWS[3:], drop, user_id=kind, item_id=kind)])
    assert sorted(table["item_id"].to_pylist()) == sorted(row["item_id"] for row in ROWS)


@pytest.mark.parametrize("value", [2.0**53, -(2.0**53), 1e18])
def test_a_float_that_stands_for_several_integers_is_no_id(tmp_path: Path, value: float) -> None:
    rows = [event_row(0, item_id=2.0**53 - 1), event_row(1, item_id=value)]
    path = write_parquet(tmp_path / "a.parquet", rows)
    events = read_events(path, id_type="int64", max_quarantined=1)
    assert events.reconciliation.quarantined == {"item_id is not an int64": 1}
    assert events.to_table()["item_id"].to_pylist() == [2**53 - 1]
    narrow = write_parquet(
        tmp_path / "b.parquet",
        [event_row(0, item_id=float(2**24 - 1)), event_row(1, item_id=float(2**24))],
        item_id=pa.float32(),
    )
    events = read_events(narrow, id_type="int64", max_quarantined=1)
    assert events.to_table()["item_id"].to_pylist() == [2**24 - 1]


def test_private_characters_are_part_of_an_id(tmp_path: Path) -> None:
    names = ["i", "\ue000i", "i\uf8ff"]
    path = write_parquet(tmp_path / "a.parquet", [event_row(n, item_id=name) for n, name in enumerate(names)])
    assert sorted(read_events(path).to_table()["item_id"].to_pylist()) == sorted(names)


@pytest.mark.parametrize("around", ["\u200b", "\x1f", "\u2060", "\u00a0"])
def test_the_names_of_event_types_are_stripped_as_the_cells_are(tmp_path: Path, around: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", [event_row(0, event_type=f"{around}buy"), event_row(1)])
    events = read_events(
        path, event_types={f"buy{around}": "booking", f"{around}impression{around}": "ignore"}
    )
    assert events.reconciliation.events == {"booking": 1}
    assert events.reconciliation.n_ignored == 1


@pytest.mark.parametrize(
    ("key", "place", "message"),
    [
        ("quarantine", "file", "a file is in the way"),
        ("quarantine", "file/below", "a file is in the way"),
        ("quarantine", "/proc/x", "cannot be made"),
        ("out", "file/below", "a file is in the way"),
        ("out", "file/below/deep", "a file is in the way"),
        ("out", "/proc/x", "cannot be made"),
        ("out", "/proc/x/y", "cannot be made"),
    ],
)
def test_a_folder_that_cannot_be_is_refused_before_anything_is_read(
    tmp_path: Path, key: Any, place: str, message: str
) -> None:
    path = write_parquet(tmp_path / "a.parquet", ROWS)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=rf"{message}.*; name another folder"):
        read_events(path, **{key: tmp_path / place})
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.parquet", "file"]
