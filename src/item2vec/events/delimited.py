"""CSV records (RFC 4180) out of physical lines; nothing is guessed, nothing is lost.

Quotes may enclose delimiters, doubled quotes and line breaks. A quote inside an unquoted field, or text after
a closing quote, refuses the record. An opened quote that is never properly closed refuses its line only:
reading goes on with the next line, so no good row is swallowed. So it does where lines join to a record with
too few or too many fields: that may be one record, or good rows between two stray quotes, not to be lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.events.cells import compiled, texts
from item2vec.events.lines import MAX_LINE_BYTES, Lines, text_faults
from item2vec.events.reasons import BLANK_LINE, CODES

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint16]
NEWLINE, RETURN, QUOTE = 10, 13, 34
FINE, BLANK, OPEN, STRAY, TOO_FEW, TOO_MANY = range(6)
"""What a record is, as an index into ``REASON`` (numba's cache sees one file only, so not its codes)."""
REASON = np.array(
    [0, BLANK_LINE]
    + [CODES[text] for text in ("open quote", "stray quote", "too few fields", "too many fields")],
    np.uint16,
)
PLAIN, DOUBLED, BROKEN = 0, 1, 2  # what a field is


@dataclass(frozen=True)
class Records:
    """The records of a block.

    Parameters
    ----------
    lines : ndarray of int64, shape (n,)
        Line number in the file at which each record starts, from 1.
    starts, ends : ndarray of int64, shape (n,)
        Where each record lies in the block's bytes.
    codes : ndarray of uint16, shape (n,)
        0 for a well-formed record, else the reason (see ``reasons``).
    columns : list of pyarrow.StringArray
        The fields of the well-formed records.
    n_lines : int
        Physical lines used up; the rest belongs to a record that goes on in the next block.
    """

    lines: Ints
    starts: Ints
    ends: Ints
    codes: Codes
    columns: list[pa.StringArray]
    n_lines: int


def split_records(lines: Lines, n_fields: int, delimiter: int) -> Records:
    """Cut a block of lines into records of `n_fields` fields."""
    found = tuple(np.empty(len(lines), np.int64) for _ in range(3))
    # A record of n fields takes n bytes at least, its line ending included
    shape = (len(lines.data) // n_fields + 2, n_fields)
    cells = (np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.bool_))
    limits = (delimiter, MAX_LINE_BYTES, lines.last)
    n, n_whole, n_lines = _cut(lines.data, lines.starts, lines.ends, limits, found, cells)
    first, final, codes = found[0][:n], found[1][:n], REASON[found[2][:n]]
    starts, ends = lines.starts[first], lines.ends[final]
    whole = np.flatnonzero(codes == 0)
    if n:
        text_faults(lines.data[: ends[-1]], starts, ends, codes)
    good = codes[whole] == 0
    kept = (table[:n_whole] if good.all() else table[:n_whole][good] for table in cells)
    columns = [texts(lines.data, *column) for column in zip(*(table.T for table in kept), strict=True)]
    return Records(lines.first + first, starts, ends, codes, columns, n_lines)


@compiled
def _cut(data: Any, starts: Any, ends: Any, limits: Any, found: Any, cells: Any) -> tuple[int, int, int]:
    """Fill in each record's first and final line and code, and the fields of the well-formed ones.

    A record that breaks inside quotes starts and ends with a line with an odd number of quotes. Returns the
    numbers of records, of well-formed ones, and of lines used.
    """
    delimiter, longest, last = limits
    first, final, codes = found
    n, n_whole, a = 0, 0, 0
    while a < len(starts):
        b, code, joined = a, OPEN, _odd(data, starts[a], ends[a])
        if joined:
            b += 1
            while b < len(starts) and not _odd(data, starts[b], ends[b]):
                b += 1
            if b == len(starts) and not last and ends[-1] - starts[a] <= longest:
                break  # the block ends inside quotes
        if starts[a] == ends[a]:
            code = BLANK
        elif b < len(starts) and (not joined or ends[b] - starts[a] <= longest):
            row = cells[0][n_whole], cells[1][n_whole], cells[2][n_whole]
            code = _read_record(data, starts[a], ends[b], delimiter, joined, row)
        if joined and code != FINE:
            b, code = a, OPEN
        first[n], final[n], codes[n] = a, b, code
        n, n_whole, a = n + 1, n_whole + (code == FINE), b + 1
    return n, n_whole, a


@compiled
def _odd(data: Any, start: int, end: int) -> bool:
    """Tell whether a line has an odd number of quotes."""
    quotes = 0
    for p in range(start, end):
        quotes += data[p] == QUOTE
    return quotes % 2 == 1


@compiled
def _read_record(data: Any, at: int, end: int, delimiter: int, joined: bool, row: Any) -> int:
    """Fill in the fields of one record and return its code."""
    lefts, rights, doubled = row
    count = 0
    while True:
        left, right, after, kind = _read_field(data, at, end, delimiter, joined)
        if kind == BROKEN:
            return STRAY
        if count < len(lefts):
            lefts[count], rights[count], doubled[count] = left, right, kind == DOUBLED
        count += 1
        if after >= end:
            break
        at = after + 1
    if count == len(lefts):
        return FINE
    return TOO_FEW if count < len(lefts) else TOO_MANY


@compiled
def _read_field(data: Any, at: int, end: int, delimiter: int, joined: bool) -> tuple[int, int, int, int]:
    """Return where a field's text begins and ends, where the field ends, and what it is."""
    p = at
    if p < end and data[p] == QUOTE:
        kind = PLAIN
        p += 1
        while p < end and (data[p] != QUOTE or (p + 1 < end and data[p + 1] == QUOTE)):
            if data[p] == QUOTE:
                kind = DOUBLED
                p += 1
            p += 1
        if p >= end or (p + 1 < end and data[p + 1] != delimiter):
            kind = BROKEN
        return at + 1, p, p + 1, kind
    while p < end and data[p] != delimiter:
        if data[p] == QUOTE or (joined and (data[p] == NEWLINE or data[p] == RETURN)):
            return at, p, p, BROKEN
        p += 1
    return at, p, p, PLAIN
