"""Bad rows, in any order and over any files, change neither the events nor the sessions of the good ones."""

from __future__ import annotations

import itertools
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bad_input.case import GOOD, Ignored, Quarantined, event_table, texts, write_rows
from bad_input.table import all_cases
from event_logs import csv_text, event_row, jsonl_text
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.events import Events, read_events
from item2vec.sessions import Sessions, sessionize

KINDS = ("csv", "jsonl", "parquet")
COLUMNS = tuple(GOOD[0])
BAD = {
    kind: [
        case
        for case in all_cases()
        if kind in case.formats
        and isinstance(case.outcome, Quarantined | Ignored)
        and not case.settings
        and (case.change is not None or (case.line or {}).get(kind))
    ]
    for kind in KINDS
}
Row = dict[str, Any] | bytes
EXTRA = ("", "__file", "Item_ID", "USER_ID", "Event_Id", "x", "a\0b", "items", "ts_us ")
"""Keys that a bad JSON row may have beside its own."""
WITHOUT = ("", "event_id", "ts")
"""What the good JSON rows lack: nothing, their ids, or ``ts`` (they have ``ts_us``); bad rows have all."""


def bad_row(case: Any, kind: str, n: int) -> Row:
    """The case's odd row, under an id of its own."""
    if case.change is None:
        return bytes(case.line[kind])
    return texts(event_row(1000 + n)) | dict(case.change)


def written(rows: list[Row], kind: str, path: Path) -> Path:
    """Write rows and raw lines in the order given."""
    if kind == "parquet":
        return write_rows(path, rows, **dict.fromkeys(COLUMNS, pa.string()))  # type: ignore[arg-type]
    text = csv_text if kind == "csv" else jsonl_text
    lines = [row if isinstance(row, bytes) else text([row]).encode().split(b"\n")[-2] for row in rows]
    header = [",".join(COLUMNS).encode()] if kind == "csv" else []
    path.write_bytes(b"\n".join([*header, *lines]) + b"\n")
    return path


def session_rows(events: Events) -> Sessions:
    return sessionize(events, min_length=1)


def good_rows(lacking: str) -> list[Row]:
    """The good rows without a key; the time then stands in ``ts_us``."""
    rows = [texts(row) for row in GOOD]
    if lacking == "ts":
        return [{"ts_us" if key == "ts" else key: value for key, value in row.items()} for row in rows]
    return [{key: value for key, value in row.items() if key != lacking} for row in rows]


@cache
def clean(lacking: str) -> tuple[pa.Table, Sessions]:
    """The events and sessions of the good rows alone."""
    kind = "jsonl" if lacking else "csv"
    with tempfile.TemporaryDirectory() as folder:
        events = read_events(written(good_rows(lacking), kind, Path(folder) / f"log.{kind}"))
        assert lacking == "event_id" or events.to_table().equals(event_table(GOOD))
        return events.to_table(), session_rows(events)


def check_mix(data: st.DataObject, folder: Path) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    lacking = data.draw(st.sampled_from(WITHOUT)) if kind == "jsonl" else ""
    good = good_rows(lacking)
    again = data.draw(st.lists(st.sampled_from(good), max_size=3))
    cases = data.draw(st.lists(st.sampled_from(BAD[kind]), max_size=6))
    bad = [bad_row(case, kind, n) for n, case in enumerate(cases)]
    if kind == "jsonl":
        more = data.draw(st.lists(st.lists(st.sampled_from(EXTRA), max_size=3), max_size=len(bad)))
        for row, names in zip(bad, more, strict=False):
            if isinstance(row, dict):
                row |= dict.fromkeys(names, "more")
    rows = data.draw(st.permutations([*good, *again, *bad]))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(rows) - 1), max_size=3, unique=True)))
    edges = [0, *cuts, len(rows)]
    files = [
        written(rows[a:b], kind, folder / f"{n}.{kind}") for n, (a, b) in enumerate(itertools.pairwise(edges))
    ]
    events = read_events(data.draw(st.permutations(files)), max_quarantined=1)
    account = events.reconciliation
    account.check()
    refused = [case.outcome.reason for case in cases if isinstance(case.outcome, Quarantined)]
    ignored = [case.outcome.reason for case in cases if isinstance(case.outcome, Ignored)]
    assert (account.rows_in, account.ok, account.duplicate) == (len(rows), len(good), len(again))
    assert account.quarantined == {reason: refused.count(reason) for reason in refused}
    assert account.ignored == {reason: ignored.count(reason) for reason in ignored}
    assert len(events.quarantine()) == len(refused)
    if kind != "parquet":
        assert account.lines["physical"] == sum(path.read_bytes().count(b"\n") for path in files)
    table, sessions = clean(lacking)
    assert events.to_table().equals(table)
    found = session_rows(events)
    for name in ("item_ids", "user_ids"):
        assert getattr(found, name).equals(getattr(sessions, name))
    for name in ("tokens", "offsets", "booked", "booked_offsets", "weights", "ts_us"):
        assert np.array_equal(getattr(found, name), getattr(sessions, name)), name


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_bad_rows_change_neither_events_nor_sessions(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_mix(data, tmp_path_factory.mktemp("mix"))


@pytest.mark.long
def test_bad_rows_change_neither_events_nor_sessions_in_many_mixes(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    done = 0

    @settings(deadline=None, max_examples=400)
    @given(data=st.data())
    def many(data: st.DataObject) -> None:
        nonlocal done
        check_mix(data, tmp_path_factory.mktemp("mix"))
        done += 1

    many()
    with capsys.disabled():
        n = len({case.name for cases in BAD.values() for case in cases})
        sys.stdout.write(f"\n{done} mixes with rows of {n} bad-input cases: the good rows stood\n")


@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_of_rows_with_one_id_the_same_stands_in_every_order(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, kind = tmp_path_factory.mktemp("ids"), data.draw(st.sampled_from(KINDS))
    pool = [event_row(n % 3, item_id=f"i{n % 4}", ts=GOOD[0]["ts"] + n // 6) for n in range(12)]
    rows = data.draw(st.lists(st.sampled_from(pool), min_size=2, max_size=10))
    tables = []
    for turn, order in enumerate((rows, data.draw(st.permutations(rows)))):
        cut = data.draw(st.integers(1, len(rows) - 1))
        files = [
            written([texts(row) for row in part], kind, folder / f"{turn}-{n}.{kind}")
            for n, part in enumerate((order[:cut], order[cut:]))
        ]
        events = read_events(files, max_quarantined=1)
        tables.append((events.to_table(), events.reconciliation.ok, events.reconciliation.duplicate))
    assert tables[0][0].equals(tables[1][0])
    assert tables[0][1:] == tables[1][1:]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_content_again_adds_no_event(kind: str, tmp_path: Path) -> None:
    once = written([texts(row) for row in GOOD], kind, tmp_path / f"a.{kind}")
    (tmp_path / f"b.{kind}").write_bytes(once.read_bytes())
    events = read_events(tmp_path)
    assert (len(events), events.reconciliation.duplicate) == (len(GOOD), len(GOOD))
    assert events.to_table().equals(read_events([once, once]).to_table())
