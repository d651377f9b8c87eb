"""Files that change, vanish or are forbidden while they are read, and files with damaged bytes."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from event_logs import csv_text, event_row, jsonl_text, write_parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.artifacts import durable
from item2vec.errors import DataError, Item2VecError, SourceError
from item2vec.events import Events, Reconciliation, publish, read_events
from item2vec.events.files import find_source

ROWS = [event_row(n) for n in range(40)]
KINDS = ("csv", "jsonl", "parquet", "csv.gz")


@contextmanager
def nobody() -> Iterator[None]:
    """Give up the rights of the superuser, if the tests run with them."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ROWS)
    folder = tmp_path / "closed"
    folder.mkdir()
    write_parquet(folder / "b.parquet", ROWS)
    path.chmod(0)
    folder.chmod(0)
    tmp_path.chmod(0o755)
    opened = [one for one in tmp_path.parents if one.owner() == Path.home().owner() and one != Path("/tmp")]
    modes = {one: one.stat().st_mode for one in opened if str(one).startswith("/tmp/")}
    for one in modes:
        one.chmod(0o755)
    try:
        with nobody():
            for target in (path, folder, folder / "b.parquet"):
                with pytest.raises(SourceError, match=f"{target.name}.*(permission|Permission|access)"):
                    find_source([str(target)])
    finally:
        folder.chmod(0o755)
        for one, mode in modes.items():
            one.chmod(mode)


def test_a_socket_and_an_impossible_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("a.csv")
        with pytest.raises(SourceError, match="not a regular file"):
            read_events("a.csv")
    with pytest.raises(SourceError, match="check the path"):
        read_events("x" * 300 + ".csv")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("change", ["grown", "cut", "gone", "replaced"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    kind: str, change: str, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from item2vec.events import table

    path = write(f"a.{kind}", ROWS)
    real = table.write_quarantine

    def meanwhile(*args: Any) -> Any:
        data = path.read_bytes()
        path.unlink()
        if change != "gone":
            path.write_bytes({"grown": data + data[-9:], "cut": data[:-9], "replaced": data}[change])
        return real(*args)

    monkeypatch.setattr(table, "write_quarantine", meanwhile)
    with pytest.raises(SourceError, match=rf"a\.{kind}"):
        read_events(path, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_lines_that_do_not_add_up_are_an_error(write: Callable[..., Path]) -> None:
    text = "\n" + csv_text(ROWS[:3]) + '"u,1\n\nu,1,0,x,click,i,,"a\nb",,\n'
    account = read_events(write("a.csv", text), max_quarantined=0.5).reconciliation
    assert account.lines == {"physical": 9, "header": 1, "blank": 2, "records": 6}
    assert read_events(write("a.jsonl", jsonl_text(ROWS).rstrip())).reconciliation.lines == {
        "physical": 40,
        "header": 0,
        "blank": 0,
        "records": 40,
    }
    wrong = Reconciliation(3, 3, 0, lines={"physical": 5, "header": 1, "blank": 0, "records": 3})
    with pytest.raises(DataError, match="lines do not reconcile: 5 are"):
        wrong.check()


def test_a_reader_that_loses_a_line_is_caught(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from item2vec.events.lines import LineReader

    path = write("a.csv", [event_row(n) for n in range(400)])
    monkeypatch.setattr("item2vec.events.lines.BLOCK_BYTES", 2000)
    real = LineReader.__iter__

    def forgetful(reader: LineReader) -> Iterator[Any]:
        yield from (lines for number, lines in enumerate(real(reader)) if number != 2)

    monkeypatch.setattr(LineReader, "__iter__", forgetful)
    with pytest.raises(DataError, match="lines do not reconcile"):
        read_events(path)


def test_a_table_written_by_hand_is_synced_before_it_has_its_name(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync_path(path: Path) -> None:
        synced.append(path.name if path.is_file() else f"{path.name}/")
        durable.fsync_path(path)

    monkeypatch.setattr(publish, "fsync_path", fsync_path)
    events = read_events(write("a.csv", ROWS), out=tmp_path / "out")
    files = {path.name for path in events.path.rglob("*") if path.is_file()}
    assert files <= set(synced)
    assert synced[-1] == f"{tmp_path.name}/"
    assert {"events/", "quarantine/", "table/"} <= set(synced)
    assert Events.open(tmp_path / "out").to_table().equals(events.to_table())


def mutated(kind: str, folder: Path, cuts: list[tuple[int, int, bytes]]) -> Path:
    """A good log with some of its bytes replaced."""
    path = folder / f"log.{kind}"
    if kind == "parquet":
        write_parquet(path, ROWS)
    else:
        text = (csv_text(ROWS) if "csv" in kind else jsonl_text(ROWS)).encode()
        path.write_bytes(gzip.compress(text, mtime=0) if "gz" in kind else text)
    data = path.read_bytes()
    for at, length, new in cuts:
        at %= len(data) + 1
        data = data[:at] + new + data[at + length :]
    path.write_bytes(data)
    return path


CUTS = st.lists(
    st.tuples(
        st.integers(0, 1 << 20),
        st.integers(0, 3) | st.integers(0, 400),
        st.binary(max_size=3) | st.sampled_from([b'"', b"\n", b"\r", b",", b"\0", b"{", b"\\u", b"NaN"]),
    ),
    min_size=1,
    max_size=6,
)


def survive(kind: str, folder: Path, cuts: list[tuple[int, int, bytes]]) -> None:
    """Only our own errors; where the file is read, the account adds up."""
    path = mutated(kind, folder, cuts)
    try:
        events = read_events(path, max_quarantined=1)
    except Item2VecError as error:
        assert "log." in str(error)  # noqa: PT017
        return
    account = events.reconciliation
    account.check()
    assert len(events.quarantine()) == account.n_quarantined
    assert events.to_table().num_rows == account.ok == len(events)
    if kind in ("csv", "jsonl"):
        assert (
            account.lines["physical"] == len(path.read_bytes().splitlines())
            or b"\r" in path.read_bytes()
            or {0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x85} & set(path.read_bytes())
        )


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=12)
@given(cuts=CUTS)
def test_damaged_bytes_end_in_our_own_words(
    kind: str, cuts: list[tuple[int, int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    survive(kind, tmp_path_factory.mktemp("fuzz"), cuts)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=400)
@given(cuts=CUTS)
def test_damaged_bytes_end_in_our_own_words_at_length(
    kind: str, cuts: list[tuple[int, int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    survive(kind, tmp_path_factory.mktemp("fuzz"), cuts)
