"""A source as one SQL view: its own columns plus file, line, outcome so far and raw text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from item2vec.errors import SourceError
from item2vec.events.engine import Engine
from item2vec.events.expressions import quote_name, quote_text
from item2vec.events.files import Source


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
    """

    columns: tuple[str, ...]
    hashed: tuple[str, ...]
    rows_in: int
    schemas: dict[str, dict[str, str]]


def scan_parquet(engine: Engine, source: Source, view: str) -> Scan:
    """Create a view over Parquet files.

    Raises
    ------
    SourceError
        If a file's footer cannot be read.
    """
    schemas, rows = {}, 0
    for file in source.paths:
        try:
            with pq.ParquetFile(file) as parquet:
                schemas[file] = {field.name: _family(field.type) for field in parquet.schema_arrow}
                rows += parquet.metadata.num_rows
        except (OSError, pa.ArrowException) as error:
            raise SourceError(
                f"{file} is not a readable Parquet file ({error}); copy or export it again"
            ) from None
    columns = tuple(dict.fromkeys(name for schema in schemas.values() for name in schema))
    if len({name.casefold() for name in columns}) < len(columns):
        raise SourceError(f"{source.paths[0]} has columns that differ only by case; rename them")
    differ = "true" if len({tuple(schema.items()) for schema in schemas.values()}) > 1 else "false"
    raw = ", ".join(f"{quote_text(name)}: {quote_name(name)}" for name in columns)
    engine.run(
        f"CREATE VIEW {view} AS SELECT {_names(columns)}, __file, file_row_number + 1 AS __line,"
        f" CAST(0 AS USMALLINT) AS __code, CAST(to_json({{{raw}}}) AS VARCHAR) AS __raw"
        f" FROM read_parquet([{quote_files(source.paths)}], filename = '__file', file_row_number = true,"
        f" hive_partitioning = false, union_by_name = {differ})"
    )
    return Scan(columns, columns, rows, schemas)


def check_drift(scan: Scan, columns: Iterable[str]) -> None:
    """Make sure that the mapped columns are in every CSV or Parquet file, and of one kind.

    Raises
    ------
    SourceError
        If a file lacks one or has it in another type; the message names both files.
    """
    if not scan.schemas:
        return
    first, wanted = next(iter(scan.schemas.items()))
    for file, schema in scan.schemas.items():
        for name in columns:
            if name not in schema and name in scan.columns:
                other = next(one for one, its in scan.schemas.items() if name in its)
                raise SourceError(
                    f"{file} has no column {name!r}, {other} has; it has {', '.join(schema)}; export them"
                    " alike or read them apart"
                )
            if schema.get(name) != wanted.get(name):
                raise SourceError(
                    f"{file} has {name!r} as {schema.get(name)}, {first} as {wanted.get(name)};"
                    " export them alike"
                )


def _family(kind: pa.DataType) -> str:
    """Reduce an Arrow type to what must agree between files."""
    if pa.types.is_dictionary(kind):
        return _family(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp"
    return "number" if pa.types.is_floating(kind) else str(kind)


def _names(columns: Iterable[str]) -> str:
    return ", ".join(quote_name(name) for name in columns)


def quote_files(paths: Iterable[str | Path]) -> str:
    """Quote paths as DuckDB reads them: it would take ``[``, ``*`` and ``?`` in a name for a pattern."""
    escaped = (str(p).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]") for p in paths)
    return ", ".join(quote_text(path) for path in escaped)
