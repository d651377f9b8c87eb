"""Text files cut into records and kept as Parquet, every cell still text, so that SQL can type them."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import SourceError
from item2vec.events.cells import texts
from item2vec.events.delimited import Records, split_records
from item2vec.events.engine import Engine
from item2vec.events.expressions import quote_name
from item2vec.events.files import Source, TextStream
from item2vec.events.identity import row_identity
from item2vec.events.json_keys import JSON_TYPE, KEY, column_names
from item2vec.events.json_lines import TYPE_NAMES, Keys, Table, object_tables
from item2vec.events.lines import LineReader, Lines, raw_texts
from item2vec.events.publish import open_writer
from item2vec.events.reasons import BLANK_LINE
from item2vec.events.reconciliation import LINES
from item2vec.events.scan import Scan, check_names, quote_files

META_FIELDS = [
    ("__file", pa.string()),
    ("__line", pa.int64()),
    ("__code", pa.uint16()),
    ("__raw", pa.string()),
]
DELIMITERS = ";\t,|"
META = [name for name, _ in META_FIELDS]
EXAMPLE = '{"user_id": "u1", "ts": 1709287200, "event_type": "click", "item_id": "i1"}'


def scan_text(engine: Engine, source: Source, view: str, folder: Path, bar: Any) -> Scan:
    """Stage CSV or JSON Lines files in `folder` and create a view over them.

    Raises
    ------
    SourceError
        If a file is damaged, is not UTF-8 text as a whole, or a CSV file has no usable header.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, dict[str, str]] = {}
    keys, lines = Keys(), Counter(dict.fromkeys(LINES, 0))
    stage = Stage(folder, view, bar)
    for file in source.paths:
        with TextStream(file) as stream:
            reader = LineReader(stream, file)
            if source.format == "csv":
                columns, tables = _csv_tables(reader, file, source.delimiter, lines)
                names[file] = dict.fromkeys(columns, "text")
            else:
                tables = _json_tables(reader, file, keys, lines)
            stage.write(file, tables)
            lines["physical"] += reader.physical
    columns = tuple(dict.fromkeys(name for schema in names.values() for name in schema))
    check_names(columns, source.paths[0])
    relation = f"read_parquet([{quote_files(stage.files)}], union_by_name = true, hive_partitioning = false)"
    if source.format == "csv":
        engine.run(f"CREATE VIEW {view} AS {_csv_view(columns, relation)}")
        return Scan(columns, ("__identity",), stage.rows, names, dict(lines))
    if not keys.names:
        raise SourceError(
            f"no line of {source.paths[0]} is a JSON object; write one object a line, as in {EXAMPLE}"
        )
    engine.run(f"CREATE VIEW {view} AS {_json_view(keys, relation)}")
    columns = tuple(name for name in column_names(keys.names) if not name.startswith(KEY))
    return Scan(columns, ("__identity",), stage.rows, {}, dict(lines))


class Stage:
    """Parquet files of text cells; another one is begun where the file or its columns change."""

    def __init__(self, folder: Path, view: str, bar: Any) -> None:
        self.files: list[Path] = []
        self.rows = 0
        self._folder, self._view, self._bar = folder, view, bar

    def write(self, file: str, tables: Iterator[Table]) -> None:
        """Write the records of one file."""
        writer, columns = None, None
        try:
            for cells in tables:
                if writer is None or cells.keys() != columns:
                    if writer is not None:
                        writer.close()
                    self.files.append(self._folder / f"{self._view}-{len(self.files):05d}.parquet")
                    columns = cells.keys()
                    schema = pa.schema(
                        [(name, pa.string()) for name in columns if name not in META] + META_FIELDS
                    )
                    writer = open_writer(self.files[-1], schema)
                table = pa.table(cells | {"__file": pa.repeat(pa.scalar(file), len(cells["__line"]))})
                writer.write_table(table.select(schema.names))
                self.rows += len(table)
                self._bar.update(len(table))
        finally:
            if writer is not None:
                writer.close()


def _csv_tables(
    reader: LineReader, file: str, delimiter: str, counted: Counter[str]
) -> tuple[tuple[str, ...], Iterator[Table]]:
    """Read the header; return the column names and the records, block by block, counting their lines."""
    blocks = iter(reader)
    block = next(blocks, None)
    if block is None or not (block.ends > block.starts).any():
        raise SourceError(f"{file} has no line with column names; export it again with a header")
    header = int(np.argmax(block.ends > block.starts))
    columns = _header(block.text(int(block.starts[header]), int(block.ends[header])), file, delimiter)
    counted["header"] += 1

    def tables() -> Iterator[Table]:
        if header:
            counted["blank"] += header
            yield _refused(columns, np.arange(1, header + 1), np.full(header, BLANK_LINE), [""] * header)
        for lines in itertools.chain([block.after(header)], blocks):
            records = split_records(lines, len(columns), ord(delimiter))
            if records.n_lines < len(lines):
                reader.keep(lines, records.n_lines)
            spans = np.diff(records.lines, append=lines.first + records.n_lines)
            counted["blank"] += int(spans[records.codes == BLANK_LINE].sum())
            counted["records"] += int(spans[records.codes != BLANK_LINE].sum())
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
    check_names(names, file)
    return names


def _record_tables(lines: Lines, records: Records, columns: tuple[str, ...]) -> Iterator[Table]:
    """Yield the good records with their fields, then the blank lines, then the others with their reason."""
    codes = records.codes
    good = codes == 0
    raw = texts(lines.data, records.starts[good], records.ends[good])
    cells = dict(zip(columns, records.columns, strict=True))
    yield cells | {"__line": pa.array(records.lines[good]), "__code": pa.array(codes[good]), "__raw": raw}
    for bad in (codes == BLANK_LINE, (codes > 0) & (codes != BLANK_LINE)):
        if bad.any():
            raw = raw_texts(lines, records.starts[bad], records.ends[bad])
            yield _refused(columns, records.lines[bad], codes[bad], raw)


def _refused(columns: Iterable[str], lines: Any, codes: Any, raw: Any) -> Table:
    """Return records without cells."""
    nothing = {name: pa.nulls(len(raw), pa.string()) for name in columns}
    return nothing | {
        "__line": pa.array(lines, pa.int64()),
        "__code": pa.array(codes, pa.uint16()),
        "__raw": pa.array(raw, pa.string()),
    }


def _json_tables(reader: LineReader, file: str, keys: Keys, counted: Counter[str]) -> Iterator[Table]:
    """Yield the records of a JSON Lines file, block by block, counting their lines."""
    for lines in reader:
        for table in object_tables(lines, keys, file):
            blank = pc.sum(pc.equal(table["__code"], BLANK_LINE)).as_py() or 0
            counted["blank"] += blank
            counted["records"] += len(table["__code"]) - blank
            yield table


def _csv_view(names: Sequence[str], relation: str) -> str:
    """Return the SELECT of the cells and of what identifies a row: its cells that are not empty."""
    identity = row_identity({name: f"nullif({quote_name(name)}, '')" for name in names})
    return f"SELECT *, {identity} AS __identity FROM {relation}"


def _json_view(keys: Keys, relation: str) -> str:
    """Return the SELECT of the values of all keys, their JSON types and what identifies an object.

    The identity does not depend on the order of the keys, on white space, or on keys that are null or that
    only other objects have.
    """
    kinds = " ".join(f"WHEN '{letter}' THEN '{kind}'" for letter, kind in TYPE_NAMES.items())
    held = dict(zip(keys.names, map(quote_name, keys.columns), strict=True))
    letters = {name: f"substr(__types, {at}, 1)" for at, name in enumerate(keys.names, 1)}
    columns = ", ".join(
        f"{held[name]} AS {quote_name(named)},"
        f" CASE {letters[name]} {kinds} END AS {quote_name(JSON_TYPE + named)}"
        for name, named in zip(keys.names, column_names(keys.names), strict=True)
    )
    return (
        f"SELECT {columns}, __file, __line, __code, __raw,"
        f" CASE WHEN __code = 0 THEN {row_identity(held, letters)} END AS __identity FROM {relation}"
    )
