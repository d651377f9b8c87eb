"""Text files cut into records and kept as Parquet, every cell still text, so that SQL can type them."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from item2vec.errors import SourceError
from item2vec.events.cells import texts
from item2vec.events.delimited import Records, split_records
from item2vec.events.engine import Engine
from item2vec.events.expressions import quote_name, quote_text
from item2vec.events.files import Source, TextStream
from item2vec.events.lines import LineReader, Lines, raw_texts, text_faults
from item2vec.events.publish import open_writer
from item2vec.events.reasons import BLANK_LINE, CODES
from item2vec.events.scan import Scan, quote_files

META_FIELDS = [
    ("__file", pa.string()),
    ("__line", pa.int64()),
    ("__code", pa.uint16()),
    ("__raw", pa.string()),
]
SAMPLE_LINES = 1000
DELIMITERS = ";\t,|"


def scan_text(engine: Engine, source: Source, view: str, folder: Path, bar: Any) -> Scan:
    """Stage CSV or JSON Lines files in `folder` and create a view over them.

    Raises
    ------
    SourceError
        If a file is damaged, is not UTF-8 text as a whole, or a CSV file has no usable header.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staged, names, rows = [], {}, 0
    for number, file in enumerate(source.paths):
        staged.append(folder / f"{view}-{number:05d}.parquet")
        with TextStream(file) as stream:
            reader = LineReader(stream, file)
            if source.format == "csv":
                columns, tables = _csv_tables(reader, file, source.delimiter)
            else:
                columns, tables = _jsonl_tables(reader, file)
            names[file] = dict.fromkeys(columns, "text")
            rows += _stage(tables, columns if source.format == "csv" else (), file, staged[-1], bar)
    columns = tuple(dict.fromkeys(name for schema in names.values() for name in schema))
    relation = f"read_parquet([{quote_files(staged)}], union_by_name = true, hive_partitioning = false)"
    if source.format == "csv":
        engine.run(f"CREATE VIEW {view} AS SELECT * FROM {relation}")
        return Scan(columns, columns, rows, names)
    engine.run(f"CREATE VIEW {view} AS {_json_view(columns, relation)}")
    return Scan(columns, ("__json",), rows, {})


def _stage(tables: Iterator[pa.Table], columns: tuple[str, ...], file: str, target: Path, bar: Any) -> int:
    """Write one file's records and return how many there are."""
    rows = 0
    schema = pa.schema([(name, pa.string()) for name in columns] + META_FIELDS)
    with open_writer(target, schema) as writer:
        for table in tables:
            named = table.append_column("__file", pa.repeat(pa.scalar(file, pa.string()), len(table)))
            writer.write_table(named.select(schema.names).cast(schema))
            rows += len(table)
            bar.update(len(table))
    return rows


def _csv_tables(reader: LineReader, file: str, delimiter: str) -> tuple[tuple[str, ...], Iterator[pa.Table]]:
    """Read the header; return the column names and the records, block by block."""
    blocks = iter(reader)
    block = next(blocks, None)
    if block is None or not (block.ends > block.starts).any():
        raise SourceError(f"{file} has no line with column names; export it again with a header")
    header = int(np.argmax(block.ends > block.starts))
    columns = _header(block.text(int(block.starts[header]), int(block.ends[header])), file, delimiter)
    blank = block.first + np.arange(header)

    def tables() -> Iterator[pa.Table]:
        if len(blank):
            empty = {name: pa.nulls(len(blank), pa.string()) for name in columns}
            yield _with_meta(
                empty, blank, np.full(len(blank), BLANK_LINE, np.uint16), pa.array([""] * len(blank))
            )
        for lines in itertools.chain([block.after(header)], blocks):
            records = split_records(lines, len(columns), ord(delimiter))
            if records.n_lines < len(lines):
                reader.keep(lines, records.n_lines)
            yield from _record_tables(lines, records, columns)

    return columns, tables()


def _header(line: bytes, file: str, delimiter: str) -> tuple[str, ...]:
    """Return the column names of a header line."""
    try:
        names = tuple(next(csv.reader([line.decode("utf-8")], delimiter=delimiter, strict=True)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{file}: line 1 is not a CSV header ({error}); export it as UTF-8 CSV") from None
    if len(names) == 1 and (other := next((mark for mark in DELIMITERS if mark in names[0]), None)):
        raise SourceError(
            f"{file} has a single column, {names[0][:80]!r}: its fields are not separated by {delimiter!r};"
            f" set delimiter = {json.dumps(other)}"
        )
    folded = [name.casefold() for name in names]
    twice = next((name for name in names if folded.count(name.casefold()) > 1), None)
    if twice is not None:
        raise SourceError(
            f"{file} has the column {twice!r} twice (case is not told apart); rename one of them"
        )
    if "" in names or any(name.startswith("__") for name in names):
        raise SourceError(f"{file} has a column without a name, or one that starts with '__'; rename it")
    return names


def _record_tables(lines: Lines, records: Records, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Yield the good records with their fields, then the others with their reason."""
    good = records.codes == 0
    raw = texts(lines.data, records.starts[good], records.ends[good])
    yield _with_meta(
        dict(zip(columns, records.columns, strict=True)), records.lines[good], records.codes[good], raw
    )
    if not good.all():
        raw = raw_texts(lines, records.starts[~good], records.ends[~good])
        empty = {name: pa.nulls(len(raw), pa.string()) for name in columns}
        yield _with_meta(empty, records.lines[~good], records.codes[~good], raw)


def _with_meta(cells: dict[str, pa.Array], lines: Any, codes: Any, raw: pa.Array) -> pa.Table:
    return pa.table(cells | {"__line": pa.array(lines), "__code": pa.array(codes), "__raw": raw})


def _jsonl_tables(reader: LineReader, file: str) -> tuple[tuple[str, ...], Iterator[pa.Table]]:
    """Return the keys that the first lines use, and the lines, block by block."""
    blocks = iter(reader)
    block = next(blocks, None)
    if block is None:
        raise SourceError(f"{file} holds no line; export it again")
    keys: dict[str, None] = {}
    for start, end in zip(
        block.starts[:SAMPLE_LINES].tolist(), block.ends[:SAMPLE_LINES].tolist(), strict=True
    ):
        try:
            record = json.loads(block.text(start, end))
        except ValueError:
            continue
        keys |= dict.fromkeys(record) if isinstance(record, dict) else {}
    return tuple(keys), (table for lines in itertools.chain([block], blocks) for table in _line_tables(lines))


def _line_tables(lines: Lines) -> Iterator[pa.Table]:
    """Yield the lines that are text, then the others with their reason; JSON is read by SQL."""
    codes = np.zeros(len(lines), np.uint16)
    codes[lines.starts == lines.ends] = BLANK_LINE
    text_faults(lines.data, lines.starts, lines.ends, codes)
    good, numbers = codes == 0, lines.first + np.arange(len(lines))
    raw = texts(lines.data, lines.starts[good], lines.ends[good])
    yield _with_meta({}, numbers[good], codes[good], raw)
    if not good.all():
        raw = raw_texts(lines, lines.starts[~good], lines.ends[~good])
        yield _with_meta({}, numbers[~good], codes[~good], raw)


def _json_view(columns: tuple[str, ...], relation: str) -> str:
    """Return the SELECT that takes the values of the known keys out of each line, as text."""
    pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in columns]
    found = ", ".join(f"cells[{i + 1}] AS {quote_name(name)}" for i, name in enumerate(columns))
    return (
        f"SELECT {found}, __file, __line, __raw, __json, CASE WHEN __code = 0 AND __json IS NULL"
        f" THEN {CODES['not a JSON object']} ELSE __code END AS __code FROM (SELECT *,"
        f" json_extract_string(__json, [{', '.join(map(quote_text, pointers))}]) AS cells FROM (SELECT *,"
        " CASE WHEN json_type(__text) = 'OBJECT' THEN CAST(json(__text) AS VARCHAR) END AS __json"
        " FROM (SELECT *,"
        f" CASE WHEN __code = 0 AND json_valid(__raw) THEN __raw END AS __text FROM {relation})))"
    )
