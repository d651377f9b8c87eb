"""JSON Lines as tables: every line checked, the values of all keys as text, and what JSON type each has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import SourceError
from item2vec.events.cells import texts
from item2vec.events.json_grammar import (
    BLANK,
    DEEP,
    ESCAPED,
    ESCAPED_KEY,
    FINE,
    LONE,
    NAN,
    NESTED,
    NEW_KEY,
    NOT_JSON,
    NULL,
    TWICE,
    read_objects,
)
from item2vec.events.json_keys import KEY
from item2vec.events.lines import Lines, raw_texts, text_faults
from item2vec.events.reasons import BLANK_LINE, CODES
from item2vec.events.scan import MAX_COLUMNS

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint16]
Cells = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Bytes]
Table = dict[str, pa.Array]
CELLS_AT_ONCE = 2_000_000
LINES_TO_LEARN = 1000
KIND_LETTERS = np.frombuffer(b"--ssinbo", np.uint8)
"""What ``__types`` says of a key: absent or null, string, integer, other number, boolean, nested."""
TYPE_NAMES = {"s": "VARCHAR", "i": "BIGINT", "n": "DOUBLE", "b": "BOOLEAN", "o": "OBJECT"}
REASON = np.zeros(ESCAPED_KEY + 1, np.uint16)
REASON[BLANK] = BLANK_LINE
for _what, _reason in {
    NOT_JSON: "not a JSON object",
    NAN: "NaN or Infinity",
    LONE: "lone surrogate",
    TWICE: "duplicate key",
    DEEP: "nested too deeply",
}.items():
    REASON[_what] = CODES[_reason]
STRINGS = re.compile(rb'("(?:[^"\\]|\\.)*")(\s*:)?')
LAYOUT = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\n\r]+')


class Keys:
    """The keys of a source's objects, numbered in the order in which they are met."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._known: dict[str, bytes] = {}

    @property
    def columns(self) -> list[str]:
        """The columns of the tables: keys that no column can be called as are held like any other."""
        return [f"{KEY}{n}" for n in range(len(self.names))]

    def table(self) -> tuple[Bytes, Ints]:
        """Return the keys as the grammar wants them: as they stand in JSON, end to end, and their offsets."""
        written = list(self._known.values())
        offsets = np.cumsum([0, *map(len, written)], dtype=np.int64)
        return np.frombuffer(b"".join(written), np.uint8), offsets

    def learn(self, objects: Iterable[bytes], file: str) -> None:
        """Take up the keys of valid objects.

        Raises
        ------
        SourceError
            If there are too many.
        """
        for text in objects:
            for name in json.loads(text, parse_int=str, parse_float=str):
                if name not in self._known:
                    self._known[name] = json.dumps(name, ensure_ascii=False)[1:-1].encode()
                    self.names.append(name)
        if len(self.names) > MAX_COLUMNS:
            raise SourceError(f"{file} has more than {MAX_COLUMNS:,} keys; leave out what is not needed")


def object_tables(lines: Lines, keys: Keys, file: str) -> Iterator[Table]:
    """Yield the lines that are objects with their values, then the others with their reason.

    Each table has ``__line``, ``__code``, ``__raw``, ``__types`` and a text column for each known key.
    """
    codes = np.zeros(len(lines), np.uint16)
    text_faults(lines.data, lines.starts, lines.ends, codes)
    at = 0
    while at < len(lines):
        step = max(1, CELLS_AT_ONCE // max(1, len(keys.names)))
        rows = np.arange(at, min(at + step, len(lines)))
        tables = _tables(lines, rows, codes[rows], keys, file)
        if tables is not None:  # else keys were learnt: fewer lines fit
            yield from tables
            at += len(rows)


def _tables(lines: Lines, rows: Ints, codes: Codes, keys: Keys, file: str) -> list[Table] | None:
    """Return the tables of some lines of a block, None where their keys had to be learnt."""
    starts, ends = lines.starts[rows], lines.ends[rows]
    read = _read(lines.data, starts, ends, codes > 0, keys, file)
    if read is None:
        return None
    (found, cells), tables = read, []
    again = np.flatnonzero(found == ESCAPED_KEY)
    if len(again):
        plain = [_with_plain_keys(lines.text(int(starts[i]), int(ends[i]))) for i in again]
        data = np.frombuffer(b"".join(plain), np.uint8)
        cuts = np.cumsum([0, *map(len, plain)])
        read = _read(data, cuts[:-1], cuts[1:], np.zeros(len(again), np.bool_), keys, file, True)
        if read is None:
            return None
        fixed, fixed_cells = read
        found[again] = np.where(fixed == FINE, ESCAPED_KEY, fixed)
        good = np.flatnonzero(fixed == FINE)
        raw = texts(lines.data, starts[again[good]], ends[again[good]])
        tables.append(_objects(data, fixed_cells, good, keys, raw, lines.first + rows[again[good]]))
    good = np.flatnonzero((codes == 0) & (found == FINE))
    raw = texts(lines.data, starts[good], ends[good])
    tables.append(_objects(lines.data, cells, good, keys, raw, lines.first + rows[good]))
    codes = np.where(codes == 0, REASON[found], codes)
    for bad in (np.flatnonzero(codes == BLANK_LINE), np.flatnonzero((codes > 0) & (codes != BLANK_LINE))):
        if len(bad):
            nothing = {name: pa.nulls(len(bad), pa.string()) for name in (*keys.columns, "__types")}
            raw = raw_texts(lines, starts[bad], ends[bad])
            tables.append(nothing | _meta(lines.first + rows[bad], codes[bad], raw))
    return tables


def _read(
    data: Bytes, starts: Ints, ends: Ints, skipped: Any, keys: Keys, file: str, escaped_keys: bool = False
) -> tuple[Bytes, Cells] | None:
    """Check lines and find the values of their keys; where some are new, learn them and return None."""
    found = np.where(skipped, NOT_JSON, FINE).astype(np.uint8)
    shape = (len(keys.names), len(starts))
    cells = (np.empty(shape, np.int32), np.empty(shape, np.int32), np.zeros(shape, np.uint8))
    read_objects(data, starts, ends, keys.table(), escaped_keys, found, cells)
    new = np.flatnonzero(found == NEW_KEY)[:LINES_TO_LEARN]
    if not len(new):
        return found, cells
    keys.learn((data[starts[i] : ends[i]].tobytes() for i in new), file)
    return None


def _with_plain_keys(line: bytes) -> bytes:
    """Write the keys of a valid object without needless escapes, so that equal keys are equal bytes."""

    def plain(match: re.Match[bytes]) -> bytes:
        if match[2] is None or b"\\" not in match[1]:
            return match[0]
        return json.dumps(json.loads(match[1]), ensure_ascii=False).encode() + match[2]

    return STRINGS.sub(plain, line)


def _objects(data: Bytes, cells: Cells, good: Ints, keys: Keys, raw: pa.Array, numbers: Ints) -> Table:
    """Return the values of valid objects, their types, and what stands beside them."""
    columns: Table = {}
    for name, lefts, rights, kinds in zip(keys.columns, *(table[:, good] for table in cells), strict=True):
        there = kinds > NULL
        if not there.any():
            columns[name] = pa.nulls(len(good), pa.string())
            continue
        column = texts(data, np.where(there, lefts, 0), np.where(there, rights, 0), valid=there)
        column = _changed(column, kinds == ESCAPED, _unescape)
        columns[name] = _changed(column, kinds == NESTED, _minify)
    letters = KIND_LETTERS[cells[2][:, good].T].ravel()
    ends = np.arange(len(good) + 1, dtype=np.int32) * len(keys.names)
    types = pa.Array.from_buffers(pa.string(), len(good), [None, pa.py_buffer(ends), pa.py_buffer(letters)])
    return columns | {"__types": types} | _meta(numbers, np.zeros(len(good), np.uint16), raw)


def _meta(numbers: Ints, codes: Codes, raw: pa.Array) -> Table:
    return {"__line": pa.array(numbers), "__code": pa.array(codes), "__raw": raw}


def _changed(column: pa.Array, where: npt.NDArray[np.bool_], change: Callable[[str], str]) -> pa.Array:
    """Change some of the cells, equal ones once."""
    if not where.any():
        return column
    mask = pa.array(where)
    old = pc.filter(column, mask).dictionary_encode()
    new = pa.array([change(text) for text in old.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(column, mask, new.take(old.indices))


def _unescape(text: str) -> str:
    """Return what a JSON string with backslashes stands for."""
    return str(json.loads(f'"{text}"'))


def _minify(text: str) -> str:
    """Take white space and needless escapes out of a nested value, so that equal values are equal texts."""

    def plain(match: re.Match[str]) -> str:
        string = match[1] or ""
        return json.dumps(json.loads(string), ensure_ascii=False) if "\\" in string else string

    return LAYOUT.sub(plain, text)
