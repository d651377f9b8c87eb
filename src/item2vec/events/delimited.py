"""CSV records (RFC 4180) out of physical lines, all at once with numpy; nothing is guessed, nothing is lost.

Quotes may enclose delimiters, doubled quotes and line breaks. A quote inside an unquoted field, or text after
a closing quote, refuses the record. An opened quote that is never properly closed refuses its line only:
reading goes on with the next line, so no good row is swallowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.events.lines import MAX_LINE_BYTES, QUOTE, Lines, text_faults, texts
from item2vec.events.reasons import BLANK_LINE, CODES

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint16]


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
    quotes = np.flatnonzero(lines.data == QUOTE)
    in_line = np.searchsorted(quotes, lines.ends) - np.searchsorted(quotes, lines.starts)
    first, final, codes, n_lines = _join_lines(lines, np.flatnonzero(in_line & 1), n_fields, delimiter)
    starts, ends = lines.starts[first], lines.ends[final]
    codes[(starts == ends) & (codes == 0)] = BLANK_LINE
    if len(starts):
        text_faults(lines.data[: ends[-1]], starts, ends, codes)
    quotes = _check_quotes(lines.data, quotes, starts, ends, codes, delimiter)
    separators = _separators(lines.data, quotes, starts, ends, codes, delimiter, n_fields)
    good = codes == 0
    columns = _columns(lines.data, starts[good], ends[good], separators, n_fields, bool(len(quotes)))
    return Records(lines.first + first, starts, ends, codes, columns, n_lines)


def _join_lines(lines: Lines, odd: Ints, n_fields: int, delimiter: int) -> tuple[Ints, Ints, Codes, int]:
    """Join the lines of records that break inside quotes: they start and end with an odd number of quotes.

    Returns the first and the final line of each record, its code, and how many lines were used.
    """
    field = rb'(?:"(?:[^"]++|"")*+"|[^"\r\n%b]*+)' % re.escape(bytes([delimiter]))
    record = re.compile(rb"%b(?:%b%b){%d}" % (field, re.escape(bytes([delimiter])), field, n_fields - 1))
    starting = np.ones(len(lines), np.bool_)
    open_quote, at, used = [], 0, len(lines)
    while at < len(odd):
        a = int(odd[at])
        if at + 1 == len(odd) and not lines.last and lines.ends[-1] - lines.starts[a] <= MAX_LINE_BYTES:
            used = a
            break
        b = int(odd[at + 1]) if at + 1 < len(odd) else a
        start, end = int(lines.starts[a]), int(lines.ends[b])
        if b > a and end - start <= MAX_LINE_BYTES and record.fullmatch(lines.text(start, end)):
            starting[a + 1 : b + 1] = False
            at += 2
        else:
            open_quote.append(a)
            at += 1
    first = np.flatnonzero(starting[:used]).astype(np.int64)
    final = np.append(first[1:], used) - 1
    codes = np.zeros(len(first), np.uint16)
    codes[np.searchsorted(first, open_quote)] = CODES["open quote"]
    return first, final[: len(first)], codes, used


def _check_quotes(
    data: npt.NDArray[np.uint8],
    quotes: Ints,
    starts: Ints,
    ends: Ints,
    codes: Codes,
    delimiter: int,
) -> Ints:
    """Refuse records with a quote out of place; return the quotes of the records that are still good.

    Every record has an even number of quotes here, so the even ones open and the odd ones close. An opening
    quote follows a delimiter, the start of the record or, inside a field, its twin; a closing one mirrors
    that.
    """
    if not len(quotes) or not len(starts):
        return quotes[:0]
    record = np.searchsorted(starts, quotes, "right") - 1
    sound = (codes[record] == 0) & (quotes < ends[record])
    quotes, record = quotes[sound], record[sound]
    opening = np.arange(len(quotes)) % 2 == 0
    beside = np.where(opening, quotes - 1, quotes + 1)
    edge = np.where(opening, quotes == starts[record], quotes + 1 == ends[record])
    near = data[np.clip(beside, 0, len(data) - 1)]
    codes[record[~(edge | (near == delimiter) | (near == QUOTE))]] = CODES["stray quote"]
    good: Ints = quotes[codes[record] == 0]
    return good


def _separators(
    data: npt.NDArray[np.uint8],
    quotes: Ints,
    starts: Ints,
    ends: Ints,
    codes: Codes,
    delimiter: int,
    n_fields: int,
) -> Ints:
    """Find the delimiters outside quotes, refuse records with too few or too many, return the good ones'."""
    found = np.flatnonzero(data == delimiter)
    if not len(starts):
        return found[:0]
    record = np.searchsorted(starts, found, "right") - 1
    valid = (record >= 0) & (codes[record] == 0) & (found < ends[record])
    if len(quotes):
        valid &= np.searchsorted(quotes, found) % 2 == 0
    found, record = found[valid], record[valid]
    counted = np.bincount(record, minlength=len(starts)) + 1
    codes[(codes == 0) & (counted < n_fields)] = CODES["too few fields"]
    codes[(codes == 0) & (counted > n_fields)] = CODES["too many fields"]
    good: Ints = found[codes[record] == 0]
    return good


def _columns(
    data: npt.NDArray[np.uint8], starts: Ints, ends: Ints, separators: Ints, n_fields: int, quoted: bool
) -> list[pa.StringArray]:
    """Return the fields of well-formed records, column by column, unquoted."""
    inner = separators.reshape(len(starts), n_fields - 1)
    left = np.concatenate([starts[:, None], inner + 1], axis=1).ravel()
    right = np.concatenate([inner, ends[:, None]], axis=1).ravel()
    cells = texts(data, left, right)
    columns = [cells.take(pa.array(np.arange(j, len(cells), n_fields))) for j in range(n_fields)]
    return [_unquote(column) for column in columns] if quoted else columns


def _unquote(column: pa.StringArray) -> pa.StringArray:
    """Take the enclosing quotes off and undouble the inner ones."""
    enclosed = pc.starts_with(column, '"')
    if not pc.any(enclosed).as_py():
        return column
    inner = pc.replace_substring(pc.utf8_slice_codeunits(column, 1, -1), '""', '"')
    return pc.if_else(enclosed, inner, column)
