"""One class of bad input: how to write it, its one declared outcome, and the code that makes that outcome."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from event_logs import csv_text, event_row, jsonl_text, write_parquet

from item2vec.errors import Item2VecError
from item2vec.events import Events, event_schema, read_events

ALL = ("csv", "jsonl", "parquet")
TEXT = ("csv", "jsonl")
FORMAT_NAMES = {"csv": "CSV", "jsonl": "JSON Lines", "parquet": "Parquet"}
GOOD = tuple(event_row(n) for n in range(8))
"""The good rows of every log; a bad one lies in their middle."""
N_BEFORE = 4


@dataclass(frozen=True)
class Guard:
    """The code that makes an outcome: with these texts of the package replaced, the case must fail.

    Parameters
    ----------
    file : str
        Path below ``src/item2vec``, as ``events/mapping.py``.
    old, new : str
        A text that occurs once in the file, and what takes its place.
    more : tuple of (file, old, new)
        Further replacements, where two places guard the same thing.
    """

    file: str
    old: str
    new: str
    more: tuple[tuple[str, str, str], ...] = ()

    @property
    def edits(self) -> tuple[tuple[str, str, str], ...]:
        return ((self.file, self.old, self.new), *self.more)


@dataclass(frozen=True)
class Accepted:
    """The odd rows become events, with the values that ``Log.also`` lists; `check` looks at the rest."""

    check: Callable[[Events], None] | None = None
    words: str = "accepted"


@dataclass(frozen=True)
class Quarantined:
    """The rows of ``Log.odd`` are refused for one reason, kept as they are, and the others unchanged.

    `table` says whose rows they are: "events", "items" or "users".
    """

    reason: str
    table: str = "events"

    @property
    def words(self) -> str:
        return f"quarantined: {self.reason}"


@dataclass(frozen=True)
class Ignored:
    """The rows of ``Log.odd`` are counted under a reason ("duplicate" too) and leave no event."""

    reason: str

    @property
    def words(self) -> str:
        return f"ignored: {self.reason}"


@dataclass(frozen=True)
class Refused:
    """Nothing is read: an error of the class `error` whose message holds each of `texts`."""

    error: type[Item2VecError]
    texts: tuple[str, ...]
    words: str = "file refused"


Outcome = Accepted | Quarantined | Ignored | Refused


@dataclass(frozen=True)
class Log:
    """What a case wrote.

    Parameters
    ----------
    keys : dict
        Keywords of ``read_events``: at least ``path``.
    odd : list of (Path, int, str or dict)
        The refused rows: file, line (row number in Parquet) and raw text, or the values its JSON must hold.
    good : sequence of dict
        The rows that must become events, as ``event_row`` makes them.
    also : sequence of dict
        The accepted odd rows, with the values that the event table must hold.
    """

    keys: dict[str, Any]
    odd: Sequence[tuple[Path, int, str | dict[str, Any]]] = ()
    good: Sequence[dict[str, Any]] = GOOD
    also: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Parameters
    ----------
    name : str
        Unique among all cases; the test's id.
    outcome : Outcome
        What is declared.
    write : callable
        ``write(folder, kind)`` writes a log of the format `kind` into an empty folder and describes it.
    guard : Guard or dict of str to Guard
        The code that makes the outcome; by format where that is not the same code.
    formats : tuple of str
        The formats to which the case applies.
    settings : dict
        Further keywords of ``read_events``.
    row : str
        The words of its line in ``data/README.md`` (several cases may share one); by default the name.
    change, line : dict, or dict of str to bytes
        For a single bad row, what it changes in a good one, or its physical line by format: the property
        tests draw them.
    """

    name: str
    outcome: Outcome
    write: Callable[[Path, str], Log]
    guard: Guard | Mapping[str, Guard]
    formats: tuple[str, ...] = ALL
    settings: Mapping[str, Any] = field(default_factory=dict)
    row: str = ""
    change: Mapping[str, Any] | None = None
    line: Mapping[str, bytes] | None = None

    @property
    def label(self) -> str:
        return self.row or self.name

    def guard_of(self, kind: str) -> Guard:
        return self.guard if isinstance(self.guard, Guard) else self.guard[kind]


def row_case(
    name: str,
    change: Mapping[str, Any],
    outcome: Outcome,
    guard: Guard | Mapping[str, Guard],
    also: Mapping[str, Any] | None = None,
    native: bool = False,
    **keys: Any,
) -> Case:
    """A case of one row among good ones that differs from a good one by `change`.

    All cells but those of `change` are text, unless they are to be `native`. An accepted row has the values
    `also` in the event table, where they are not those of a good row.
    """

    def write(folder: Path, kind: str) -> Log:
        as_text = dict if native else texts
        odd = as_text(event_row(99)) | dict(change)
        rows = [*map(as_text, GOOD[:N_BEFORE]), odd, *map(as_text, GOOD[N_BEFORE:])]
        path = write_rows(folder / f"log.{kind}", rows)
        lines = [] if kind == "parquet" else path.read_text("utf-8", "surrogatepass").split("\n")
        at = N_BEFORE + (2 if kind == "csv" else 1)
        raw = lines[at - 1] if lines else odd
        kept = [event_row(99) | dict(change) | dict(also or {})] if isinstance(outcome, Accepted) else []
        return Log({"path": path}, [(path, at, raw)], also=kept)

    return Case(name, outcome, write, guard, change=None if native else change, **keys)


def line_case(
    name: str,
    line: bytes | Mapping[str, bytes],
    outcome: Outcome,
    guard: Guard | Mapping[str, Guard],
    raw: str | None = None,
    **keys: Any,
) -> Case:
    """A case of one physical line (by format) among good ones.

    `raw` is the text that the quarantine keeps; by default the line itself.
    """
    lines = dict.fromkeys(keys.get("formats", TEXT), line) if isinstance(line, bytes) else dict(line)

    def write(folder: Path, kind: str) -> Log:
        good = (csv_text(GOOD) if kind == "csv" else jsonl_text(GOOD)).encode().splitlines()
        at = N_BEFORE + (1 if kind == "csv" else 0)
        path = write_bytes(folder / f"log.{kind}", b"\n".join([*good[:at], lines[kind], *good[at:]]) + b"\n")
        text = raw if raw is not None else lines[kind].decode("utf-8", "backslashreplace")
        return Log({"path": path}, [(path, at + 1, text)])

    return Case(name, outcome, write, guard, line=lines, **{"formats": tuple(lines)} | keys)


def bytes_case(
    name: str,
    data: Callable[[bytes], bytes],
    outcome: Outcome,
    guard: Guard | Mapping[str, Guard],
    suffix: str = "",
    **keys: Any,
) -> Case:
    """A case of a whole file: `data` makes its bytes of those of a good log of the same format."""

    def write(folder: Path, kind: str) -> Log:
        path = write_rows(folder / f"log.{kind}", GOOD)
        damaged = folder / f"log.{kind}{suffix}"
        content = data(path.read_bytes())
        path.unlink()
        return Log({"path": write_bytes(damaged, content)})

    return Case(name, outcome, write, guard, **keys)


def branch(condition: str, reason: str) -> Guard:
    """The check of a field, taken out of the list of checks."""
    return Guard("events/mapping.py", f'("{condition}", "{reason}"),', "")


def texts(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with every value as text."""
    return {key: None if value is None else str(value) for key, value in row.items()}


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def write_rows(path: Path, rows: Sequence[dict[str, Any]], **types: pa.DataType) -> Path:
    """Write rows in the format that the name tells."""
    if path.suffix == ".parquet":
        return write_parquet(path, rows, **types)
    text = csv_text(rows) if path.suffix == ".csv" else jsonl_text(rows)
    return write_bytes(path, text.encode("utf-8", "surrogatepass"))


def event_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The event table of rows as ``event_row`` makes them (``ts`` in microseconds), without the reader."""
    schema = event_schema("string" if isinstance(rows[0]["item_id"], str) else "int64")
    typed = [{**row, "ts_us": row.get("ts_us", row["ts"])} for row in rows]
    ordered = sorted(typed, key=lambda r: (r["user_id"].encode(), r["ts_us"], r["seq"], r["event_id"]))
    return pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in ordered], schema)


def run(case: Case, kind: str, folder: Path) -> None:
    """Write the case, read it, and raise AssertionError unless its outcome is the declared one."""
    log = case.write(folder, kind)
    found = _read({"max_quarantined": 1.0, "quarantine": folder / "refused"} | log.keys | dict(case.settings))
    if isinstance(case.outcome, Refused):
        assert not isinstance(found, Events), f"{case.name} was read: {found.reconciliation}"
        assert type(found) is case.outcome.error, repr(found)
        missing = [text for text in case.outcome.texts if text not in str(found)]
        assert not missing, f"the message does not hold {missing}: {found}"
    else:
        assert isinstance(found, Events), f"{case.name}: {found!r}"
        _check(case.outcome, log, found)


def _read(keys: dict[str, Any]) -> Events | Exception:
    try:
        return read_events(**keys)
    except Exception as error:
        return error


def _check(outcome: Outcome, log: Log, events: Events) -> None:
    account, n = events.reconciliation, len(log.odd)
    account.check()
    expected = event_table([*log.good, *log.also])
    assert events.to_table().equals(expected), f"{events.to_table().to_pylist()} != {expected.to_pylist()}"
    if isinstance(outcome, Ignored):
        counted = {"duplicate": account.duplicate} | account.ignored
        assert (counted.pop("duplicate"), counted) == (
            (n, {}) if outcome.reason == "duplicate" else (0, {outcome.reason: n})
        ), f"ignored is {account}"
    refused = outcome if isinstance(outcome, Quarantined) else None
    quarantined = {refused.reason: n} if refused and refused.table == "events" else {}
    assert account.quarantined == quarantined, f"refused is {account.quarantined}, not {quarantined}"
    if refused:
        counted = account.n_quarantined + sum(one["quarantined"] for one in account.attributes.values())
        assert counted == n, f"{account} does not count {n} refused rows"
        found = [tuple(row.values()) for row in events.quarantine().to_pylist()]
        wanted = [(str(path), line, refused.reason) for path, line, _ in log.odd]
        assert [row[:3] for row in found] == wanted, f"{found} is not {wanted}"
        for row, (_, _, raw) in zip(found, log.odd, strict=True):
            held = json.loads(row[3]) if isinstance(raw, dict) else row[3]
            assert repr(held) == repr(raw), f"the raw text is {held!r}, not {raw!r}"
    if isinstance(outcome, Accepted) and outcome.check:
        outcome.check(events)
