"""The id of a row without one depends on its own cells only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from event_logs import csv_text, event_row, write_parquet

from item2vec.events import read_events

KINDS = ("csv", "parquet")


def bare(n: int, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in event_row(n).items() if key != "event_id"} | more


def write(path: Path, rows: list[dict[str, Any]], **types: pa.DataType) -> Path:
    if path.suffix == ".csv":
        path.write_text(csv_text(rows))
        return path
    return write_parquet(path, rows, **types)


def ids(*paths: Path) -> list[str]:
    return sorted(read_events(list(paths)).to_table()["event_id"].to_pylist())


@pytest.mark.parametrize("kind", KINDS)
def test_other_files_do_not_change_an_id(kind: str, tmp_path: Path) -> None:
    one = write(tmp_path / f"a.{kind}", [bare(n) for n in range(3)])
    other = write(tmp_path / f"b.{kind}", [bare(n, extra="x") for n in range(3, 5)])
    assert sorted(ids(one) + ids(other)) == ids(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_an_added_column_without_a_value_makes_no_other_event(kind: str, tmp_path: Path) -> None:
    one = write(tmp_path / f"a.{kind}", [bare(n) for n in range(3)])
    again = write(tmp_path / f"b.{kind}", [bare(n, extra=None) for n in range(3)], extra=pa.string())
    account = read_events([one, again]).reconciliation
    assert (account.ok, account.duplicate) == (3, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_under_another_name_is_another_row(kind: str, tmp_path: Path) -> None:
    rows = [bare(1, a="x", b=None), bare(1, a=None, b="x"), bare(1, a="1:bs1:x", b=None)]
    types = {"a": pa.string(), "b": pa.string()}
    assert read_events(write(tmp_path / f"a.{kind}", rows, **types)).reconciliation.ok == 3
