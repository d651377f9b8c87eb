"""Text files cut into records and kept as Parquet, every cell still text, so that SQL can type them."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import SourceError
from item2vec.events.cells import texts
from item2vec.events.delimited import Records, split_records
from item2vec.events.engine import Engine
from item2vec.events.files import Source, TextStream
from item2vec.events.json_lines import Keys, Table, object_tables
from item2vec.events.lines import LineReader, Lines, raw_texts
from item2vec.events.publish import open_writer
from item2vec.events.reasons import BLANK_LINE
from item2vec.events.reconciliation import LINES
from item2vec.events.scan import Scan, check_names
from item2vec.events.staged import Staged, scan_of, text_view

META_FIELDS = [
    ("__file", pa.string()),
    ("__line", pa.int64()),
    ("__code", pa.uint16()),
    ("__raw", pa.string()),
]
DELIMITERS = ";\t,|"
META = [name for name, _ in META_FIELDS]


def scan_text(engine: Engine, source: Source, view: str, folder: Path, bar: Any) -> Scan:
    """Stage CSV or JSON Lines files in `folder` and create a view over them.

    Raises
    ------
    SourceError
        If a file is damaged, is not UTF-8 text as a whole, or a CSV file has no usable header.
    """
    staged = stage_text(source, folder, view, bar)
    scan = scan_of(staged, source)
    engine.run(f"CREATE VIEW {view} AS {text_view(staged)}")
    return scan


def stage_text(source: Source, folder: Path, view: str, bar: Any) -> Staged:
    """Cut CSV or JSON Lines files into records, as Parquet files in `folder`.

    Raises
    ------
    SourceError
        If a file is damaged, is not UTF-8 text as a whole, or a CSV file has no usable header.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, tuple[str, ...]] = {}
    keys, lines = Keys(), Counter(dict.fromkeys(LINES, 0))
    stage = Stage(folder, view, bar)
    for file in source.paths:
        with TextStream(file) as stream:
            reader = LineReader(stream, file)
            if source.format == "csv":
                names[file], tables = _csv_tables(reader, file, source.delimiter, lines)
            else:
                tables = _json_tables(reader, file, keys, lines)
            stage.write(file, tables)
            lines["physical"] += reader.physical
    return Staged(tuple(map(str, stage.files)), names, tuple(keys.names), stage.rows, dict(lines))


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
