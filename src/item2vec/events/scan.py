"""A source as one SQL view: its own columns plus file, line, outcome so far and raw text."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from item2vec.errors import SourceError
from item2vec.events.engine import BATCH_ROWS, Engine, first_line
from item2vec.events.expressions import quote_name, quote_text
from item2vec.events.files import Source, check_expansion

MAX_COLUMNS = 4096
CONTROLS = re.compile("[\0-\x1f]")
EMPTY = "null"  # the Arrow type of a column without a single value, which pandas writes
RESERVED = ("__file", "__line", "__code", "__raw", "__types", "__type:", "__kind_", "__identity", "__body",
            "__ignored", "__has_", "__plain_", "__outcome", "file_row_number")  # fmt: skip
"""How the columns begin that the reader's own SQL adds."""


@dataclass(frozen=True)
class Scan:
    """What is known of a source before its rows are looked at.

    Parameters
    ----------
    columns : tuple of str
        The source's own columns.
    hashed : tuple of str
        The view's columns that identify a row where there is no ``event_id``.
    rows_in : int
        Rows (records) in the files.
    schemas : dict of str to dict
        For CSV and Parquet, each file's columns and their families (``text``, ``integer``, …).
    lines : dict of str to int
        For text, the physical lines and what they are (see ``Reconciliation``).
    row_counts : dict of str to int
        For Parquet, each file's rows as its footer says.
    alike : bool
        For Parquet, whether all files have the same columns and types.
    """

    columns: tuple[str, ...]
    hashed: tuple[str, ...]
    rows_in: int
    schemas: dict[str, dict[str, str]]
    lines: dict[str, int] = field(default_factory=dict)
    row_counts: dict[str, int] = field(default_factory=dict)
    alike: bool = True


def scan_parquet(engine: Engine, source: Source, view: str) -> Scan:
    """Create a view over Parquet files.

    Raises
    ------
    SourceError
        If a file's footer cannot be read.
    """
    schemas, rows, kinds = {}, {}, set()
    for file in source.paths:
        try:
            with pq.ParquetFile(file) as parquet:
                check_names(parquet.schema_arrow.names, file)
                schemas[file] = {column.name: _family(column.type) for column in parquet.schema_arrow}
                kinds.add(tuple((column.name, str(column.type)) for column in parquet.schema_arrow))
                rows[file] = parquet.metadata.num_rows
                check_expansion(file, _unpacked_bytes(parquet.metadata))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise SourceError(
                f"{file} is not a readable Parquet file ({first_line(error)}); copy or export it again"
            ) from None
    columns = tuple(dict.fromkeys(name for schema in schemas.values() for name in schema))
    check_names(columns, source.paths[0])
    scan = Scan(columns, columns, sum(rows.values()), schemas, row_counts=rows, alike=len(kinds) == 1)
    engine.run(f"CREATE VIEW {view} AS {parquet_view(scan, source.paths)}")
    return scan


def parquet_view(scan: Scan, files: Iterable[str | Path]) -> str:
    """Return the SELECT over Parquet files: their cells, file, line, outcome so far and raw text."""
    schemas = scan.schemas.values()
    # By name DuckDB widens the types; else the first file's width would rule
    differ = "false" if scan.alike else "true"
    raw = ", ".join(f"{quote_text(name)}: {quote_name(name)}" for name in scan.columns)
    empty = {name for name in scan.columns if {schema.get(name, EMPTY) for schema in schemas} == {EMPTY}}
    cells = ", ".join(
        f"CAST({quote_name(name)} AS VARCHAR) AS {quote_name(name)}" if name in empty else quote_name(name)
        for name in scan.columns
    )
    return (
        f"SELECT {cells}, __file, file_row_number + 1 AS __line,"
        f" CAST(0 AS USMALLINT) AS __code, CAST(to_json({{{raw}}}) AS VARCHAR) AS __raw"
        f" FROM read_parquet([{quote_files(files)}], filename = '__file', file_row_number = true,"
        f" hive_partitioning = false, union_by_name = {differ})"
    )


def _unpacked_bytes(metadata: Any) -> int:
    """Return how large a Parquet file says it becomes; a row takes a byte at least."""
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    pages = sum(
        group.column(j).total_uncompressed_size for group in groups for j in range(metadata.num_columns)
    )
    return max(int(pages), int(metadata.num_rows))


def check_pages(scan: Scan, columns: Iterable[str]) -> None:
    """Decode the columns of Parquet files once, checksums included, which SQL leaves out.

    Raises
    ------
    SourceError
        If a page is damaged; the message names the file.
    """
    wanted = set(columns)
    for file, n_rows in scan.row_counts.items():
        rows = check_rows(file, wanted)
        if rows != n_rows:
            raise SourceError(
                f"{file} is damaged (it says {n_rows:,} rows, it has {rows:,}); export it again"
            )


def check_rows(file: str, columns: set[str], rows: tuple[int, int] | None = None) -> int:
    """Decode columns of a Parquet file once, checksums included, and return how many rows there are.

    `rows` are the first and the last row, counted from 1, by default all: of the row groups, those that begin
    there are decoded.

    Raises
    ------
    SourceError
        If a page is damaged.
    """
    first, last = rows or (1, sys.maxsize)
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            names = [name for name in parquet.schema_arrow.names if name in columns]
            n_rows = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
            starts = itertools.accumulate(n_rows, initial=1)
            groups = [
                i for i, start in enumerate(itertools.islice(starts, len(n_rows))) if first <= start <= last
            ]
            return sum(map(len, parquet.iter_batches(BATCH_ROWS, row_groups=groups, columns=names)))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(
            f"{file} cannot be read: it is damaged ({first_line(error)}); copy or export it again"
        ) from None


def check_names(names: Sequence[str], file: str) -> None:
    """Make sure that a file's columns can be told apart and named in SQL.

    Raises
    ------
    SourceError
        If two names differ by case at most, one is empty, reserved or has a control character, or there are
        too many.
    """
    check_number(len(names), file)
    met: dict[str, str] = {}
    for at, name in enumerate(names):
        twice = met.setdefault(name.casefold(), name)
        if len(met) <= at:
            raise SourceError(
                f"{file} has the column {twice!r} twice (case is not told apart); rename one of them"
            )
        if not name or CONTROLS.search(name) or name.casefold().startswith(RESERVED):
            raise SourceError(
                f"{file} has a column without a name that can be used ({name!r}): it is empty, has control"
                " characters or is one that the reader uses itself; rename it"
            )


def check_number(n_columns: int, file: str) -> None:
    """Make sure that a source does not have more columns (keys) than a table can hold.

    Raises
    ------
    SourceError
        If it does.
    """
    if n_columns > MAX_COLUMNS:
        raise SourceError(
            f"{file} has more than {MAX_COLUMNS:,} columns (keys); leave out what is not needed"
        )


def check_drift(scan: Scan, columns: Iterable[str]) -> None:
    """Make sure that the mapped columns are in every CSV or Parquet file, and of one kind.

    Raises
    ------
    SourceError
        If a file lacks one or has it in another type; the message names both files.
    """
    if not scan.schemas:
        return
    for name in columns:
        typed = {file: schema for file, schema in scan.schemas.items() if schema.get(name, EMPTY) != EMPTY}
        first, wanted = next(iter((typed or scan.schemas).items()))
        for file, schema in scan.schemas.items():
            if name not in schema and name in scan.columns:
                other = next(one for one, its in scan.schemas.items() if name in its)
                raise SourceError(
                    f"{file} has no column {name!r}, {other} has; it has {', '.join(schema)}; export them"
                    " alike or read them apart"
                )
            if schema.get(name) not in (wanted.get(name), EMPTY):
                raise SourceError(
                    f"{file} has {name!r} as {schema.get(name)}, {first} as {wanted.get(name)};"
                    " export them alike"
                )


def _family(kind: pa.DataType) -> str:
    """Reduce an Arrow type to what must agree between files."""
    if pa.types.is_dictionary(kind):
        return _family(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp"
    return "number" if pa.types.is_floating(kind) else str(kind)


def quote_files(paths: Iterable[str | Path]) -> str:
    """Quote paths as DuckDB reads them: it would take ``[``, ``*`` and ``?`` in a name for a pattern."""
    escaped = (str(p).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]") for p in paths)
    return ", ".join(quote_text(path) for path in escaped)
