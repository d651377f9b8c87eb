"""The tables of item and user attributes: one row per id, numbers parsed, every other column kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from item2vec.errors import QuarantineError, SourceError
from item2vec.events import expressions as sql
from item2vec.events.config import AttributesConfig
from item2vec.events.engine import Engine
from item2vec.events.expressions import quote_name
from item2vec.events.files import find_source
from item2vec.events.publish import open_writer, write_quarantine
from item2vec.events.reasons import BLANK_LINE
from item2vec.events.reconciliation import check_lines
from item2vec.events.scan import check_drift, check_pages
from item2vec.events.sources import scan_source

NUMBERS = (
    "latitude",
    "longitude",
    "price",
    "capacity",
    "bedrooms",
    "beds",
    "bathrooms",
    "rating",
    "n_reviews",
    "five_star_share",
    "new_guest_accept_share",
)
"""Columns (ours) that are numbers even where the source is text; a config adds its own with ``numbers``."""


def write_attributes(
    engine: Engine,
    config: AttributesConfig,
    key: str,
    id_type: str,
    table: Path,
    max_quarantined: float,
    quarantine: Path | None,
    bar: Any,
) -> dict[str, int]:
    """Read an attribute table into ``items.parquet`` (``users.parquet``), ordered by id.

    Parameters
    ----------
    engine : Engine
        Where the SQL runs.
    config : AttributesConfig
        The table's files and columns.
    key : {"item_id", "user_id"}
        Its id column.
    id_type : {"string", "int64"}
        The id's type.
    table : Path
        Folder of the event table.
    max_quarantined : float
        Largest share of refused rows.
    quarantine : Path or None
        A folder that receives the refused rows too.
    bar : tqdm
        Counts rows while text files are cut.

    Returns
    -------
    dict of str to int
        Rows in, ok, duplicate (the whole row again), ignored (blank lines), quarantined, and how many numbers
        could not be read, by column.

    Raises
    ------
    SourceError
        If a column is missing, or one id has rows that differ.
    QuarantineError
        If more than `max_quarantined` of the rows were refused.
    """
    name = key.removesuffix("_id") + "s"
    source = find_source(config.path or (), config.format, config.delimiter)
    scan = scan_source(engine, source, f"{name}_source", table.parent / "staged", bar)
    check_lines(scan.lines)
    check_pages(scan, scan.columns)
    check_drift(scan, {key} - config.columns.keys() | set(config.columns.values()))
    fields = _fields(engine.types(f"{name}_source"), scan.columns, config, key, id_type, source.paths[0])
    columns = ", ".join(f"{expression} AS {quote_name(ours)}" for ours, (expression, _) in fields.items())
    text_id = key != "item_id" or id_type == "string"
    unfit = sql.first_code([(f"{key} IS NULL", f"no {key}"), *(sql.unfit_id(key) if text_id else ())])
    engine.run(
        f"CREATE VIEW {name}_typed AS SELECT * EXCLUDE (__code),"
        f" CASE WHEN __code > 0 THEN __code {unfit} ELSE 0 END AS __outcome"
        f" FROM (SELECT {columns}, __file, __line, __raw, __code FROM {name}_source)"
    )
    counts = _count(engine, name, fields, scan.rows_in)
    _write_refused(engine, name, counts, max_quarantined, table, quarantine)
    _write_distinct(engine, name, key, fields, table)
    source.check_unchanged()
    return counts


def _write_refused(
    engine: Engine, name: str, counts: dict[str, int], limit: float, table: Path, quarantine: Path | None
) -> None:
    """Write the quarantine and stop where it is too large."""
    refused = (
        f"SELECT __file, __line, __outcome, __raw FROM {name}_typed WHERE __outcome NOT IN (0, {BLANK_LINE})"
    )
    file = table / "quarantine" / f"{name}.parquet"
    examples = write_quarantine(engine.stream(refused + " ORDER BY __file, __line"), file)
    kept = ""
    if quarantine is not None:
        shutil.copyfile(file, quarantine / file.name)
        kept = f"; the refused rows are in {quarantine / file.name}"
    if counts["quarantined"] > limit * counts["rows_in"]:
        raise QuarantineError(
            f"{counts['quarantined']:,} of the {counts['rows_in']:,} rows of the {name} table were refused,"
            f" more than max_quarantined = {limit:g}: {examples[0]}; fix them or raise the limit{kept}"
        )


def _fields(
    types: dict[str, str],
    columns: tuple[str, ...],
    config: AttributesConfig,
    key: str,
    id_type: str,
    where: str,
) -> dict[str, tuple[str, str | None]]:
    """Return each of the table's columns, ours first, with its SQL and, for numbers, the raw column."""
    named = {key: key} | config.columns
    for ours, theirs in named.items():
        if theirs not in columns:
            raise SourceError(
                f"{where} has no column {theirs!r} (mapped to {ours}); it has {', '.join(columns)}"
            )
    if unknown := set(config.numbers) - set(named) - set(columns):
        raise SourceError(
            f"{where} has no column {min(unknown)!r} (named in numbers); it has {', '.join(columns)}"
        )
    taken = {name.casefold() for name in (*named, *named.values())}  # SQL does not tell case apart
    kept = {name: name for name in columns if name.casefold() not in taken}
    fields: dict[str, tuple[str, str | None]] = {}
    for ours, theirs in (named | kept).items():
        kind = types[theirs]
        if ours == key:
            read = sql.integer if id_type == "int64" and key == "item_id" else sql.text
            fields[ours] = (read(theirs, kind, ours), None)
        elif ours in NUMBERS or ours in config.numbers:
            fields[ours] = (sql.amount(theirs, kind, ours), theirs)
        elif ours == "market":
            fields[ours] = (sql.text(theirs, kind, ours), None)
        elif kind == "VARCHAR":
            fields[ours] = (sql.as_it_stands(theirs), None)
        else:
            fields[ours] = (quote_name(theirs), None)
    return fields


def _count(
    engine: Engine, name: str, fields: dict[str, tuple[str, str | None]], rows_in: int
) -> dict[str, int]:
    """Count the rows by outcome and the numbers that could not be read."""
    good = ", ".join(quote_name(ours) for ours in fields)
    counted = dict(engine.run(f"SELECT __outcome, count(*) FROM {name}_typed GROUP BY 1"))
    [(distinct,)] = engine.run(
        f"SELECT count(*) FROM (SELECT DISTINCT {good} FROM {name}_typed WHERE __outcome = 0)"
    )
    ok, ignored = counted.pop(0, 0), counted.pop(BLANK_LINE, 0)
    counts = {"rows_in": rows_in, "ok": distinct, "duplicate": ok - distinct, "ignored": ignored}
    counts["quarantined"] = sum(counted.values())
    for ours, (expression, theirs) in fields.items():
        if theirs is not None:
            cell = f"CAST({quote_name(theirs)} AS VARCHAR)"
            [(bad,)] = engine.run(
                f"SELECT count(*) FROM {name}_source WHERE __code = 0 AND ({expression}) IS NULL"
                f" AND NOT regexp_matches({cell}, '{sql.BLANK}')"
            )
            counts |= {f"unreadable {ours}": bad} if bad else {}
    return counts


def _write_distinct(
    engine: Engine, name: str, key: str, fields: dict[str, tuple[str, str | None]], table: Path
) -> None:
    """Write one row per id; refuse a table that says two things about one id."""
    good = ", ".join(quote_name(ours) for ours in fields)
    distinct = f"SELECT DISTINCT {good} FROM {name}_typed WHERE __outcome = 0"
    twice = engine.run(f"SELECT {key} FROM ({distinct}) GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 1")
    if twice:
        value = sql.quote_text(str(twice[0][0]))
        places = engine.run(
            f"SELECT __file, __line FROM (SELECT DISTINCT ON ({good}) {good}, __file, __line"
            f" FROM {name}_typed WHERE __outcome = 0 AND CAST({key} AS VARCHAR) = {value}"
            " ORDER BY __file, __line) ORDER BY __file, __line LIMIT 2"
        )
        where = " and ".join(f"{file}:{line}" for file, line in places)
        raise SourceError(
            f"the {name} table has rows that differ for {key} {twice[0][0]!r} ({where}); keep one row per id"
        )
    write_table(engine, f"{distinct} ORDER BY {quote_name(key)}", table / f"{name}.parquet")


def write_table(engine: Engine, query: str, file: Path) -> None:
    """Write the result of a query to a Parquet file."""
    schema = engine.schema(query)
    with open_writer(file, schema) as writer:
        for batch in engine.stream(query):
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
