"""Text files cut into records, as an SQL view: a whole source or a share of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from item2vec.errors import SourceError
from item2vec.events.expressions import quote_name
from item2vec.events.files import Source
from item2vec.events.identity import row_identity
from item2vec.events.json_keys import JSON_TYPE, KEY, column_names
from item2vec.events.json_lines import TYPE_NAMES
from item2vec.events.reconciliation import LINES
from item2vec.events.scan import Scan, check_names, check_number, quote_files

EXAMPLE = '{"user_id": "u1", "ts": 1709287200, "event_type": "click", "item_id": "i1"}'
_NOTHING = "CAST(NULL AS VARCHAR)"


@dataclass(frozen=True)
class Staged:
    """Text files cut into records.

    Parameters
    ----------
    files : tuple of str
        Parquet files of text cells.
    names : dict of str to tuple of str
        For CSV, the columns of each source file.
    keys : tuple of str
        For JSON Lines, the keys of the objects in the order in which they were met.
    rows : int
        Records.
    lines : dict of str to int
        The physical lines and what they are (see ``Reconciliation``).
    """

    files: tuple[str, ...]
    names: dict[str, tuple[str, ...]]
    keys: tuple[str, ...]
    rows: int
    lines: dict[str, int]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of all CSV files."""
        return tuple(dict.fromkeys(name for names in self.names.values() for name in names))

    def to_record(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Staged:
        """Rebuild what :meth:`to_record` returned."""
        names = {file: tuple(columns) for file, columns in record["names"].items()}
        return cls(tuple(record["files"]), names, tuple(record["keys"]), record["rows"], record["lines"])


def merged(shares: Sequence[Staged]) -> Staged:
    """Return the whole of a source that was staged in shares, in their order."""
    names = {file: columns for share in shares for file, columns in share.names.items()}
    lines: Counter[str] = Counter(dict.fromkeys(LINES, 0))
    for share in shares:
        lines.update(share.lines)
    return Staged(
        tuple(file for share in shares for file in share.files),
        names,
        tuple(dict.fromkeys(key for share in shares for key in share.keys)),
        sum(share.rows for share in shares),
        dict(lines),
    )


def scan_of(staged: Staged, source: Source) -> Scan:
    """Say what is known of staged files.

    Raises
    ------
    SourceError
        If their columns cannot be told apart, or no line is an object.
    """
    lines, first = dict(staged.lines), source.paths[0]
    check_names(staged.columns, first)
    if source.format == "csv":
        schemas = {file: dict.fromkeys(names, "text") for file, names in staged.names.items()}
        return Scan(staged.columns, ("__identity",), staged.rows, schemas, lines)
    if not staged.keys:
        raise SourceError(f"no line of {first} is a JSON object; write one object a line, as in {EXAMPLE}")
    check_number(len(staged.keys), first)
    columns = tuple(name for name in column_names(staged.keys) if not name.startswith(KEY))
    return Scan(columns, ("__identity",), staged.rows, {}, lines)


def text_view(staged: Staged, whole: Staged | None = None) -> str:
    """Return the SELECT over staged files, which may be a part of the `whole` source."""
    whole = whole or staged
    files = quote_files(staged.files)
    relation = f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
    if whole.names:
        return _csv_view(staged.columns, whole.columns, relation)
    return _json_view(staged.keys, whole.keys, relation)


def _csv_view(names: Sequence[str], wanted: Sequence[str], relation: str) -> str:
    """Return the SELECT of the cells and of what identifies a row: its cells that are not empty."""
    identity = row_identity({name: f"nullif({quote_name(name)}, '')" for name in names})
    absent = "".join(f", {_NOTHING} AS {quote_name(name)}" for name in wanted if name not in names)
    return f"SELECT *{absent}, {identity} AS __identity FROM {relation}"


def _json_view(keys: Sequence[str], wanted: Sequence[str], relation: str) -> str:
    """Return the SELECT of the values of all keys, their JSON types and what identifies an object.

    The identity does not depend on the order of the keys, on white space, or on keys that are null or that
    only other objects have. `keys` are those of the relation, in its order.
    """
    kinds = " ".join(f"WHEN '{letter}' THEN '{kind}'" for letter, kind in TYPE_NAMES.items())
    held = {name: quote_name(f"{KEY}{at}") for at, name in enumerate(keys)}
    letters = {name: f"substr(__types, {at}, 1)" for at, name in enumerate(keys, 1)}
    columns = ", ".join(
        f"{held.get(name, _NOTHING)} AS {quote_name(named)},"
        f" CASE {letters.get(name, _NOTHING)} {kinds} END AS {quote_name(JSON_TYPE + named)}"
        for name, named in zip(wanted, column_names(wanted), strict=True)
    )
    return (
        f"SELECT {columns}, __file, __line, __code, __raw,"
        f" CASE WHEN __code = 0 THEN {row_identity(held, letters)} END AS __identity FROM {relation}"
    )
