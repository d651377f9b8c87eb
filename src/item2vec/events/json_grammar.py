"""Strict JSON (RFC 8259), one object a line, in one compiled pass.

Everything outside the grammar is refused: ``NaN`` and ``Infinity``, trailing commas, comments, single quotes,
control characters in strings, halves of surrogate pairs, and, beyond it, a key that comes twice in one
object of the line's top level and nesting deeper than ``MAX_DEPTH``.
"""

from __future__ import annotations

from typing import Any

from item2vec.events.cells import compiled

MAX_DEPTH = 64
ABSENT, NULL, STRING, ESCAPED, INTEGER, NUMBER, BOOLEAN, NESTED = range(8)
"""What a value is; ``ESCAPED`` is a string with a backslash."""
FINE, BLANK, NOT_JSON, NAN, LONE, TWICE, DEEP, NEW_KEY, ESCAPED_KEY = range(9)
"""What a line is; the last two need another look. (No codes of ``reasons``: numba's cache sees one file.)"""
BRACE, END_BRACE, BRACKET, END_BRACKET, QUOTE, COMMA, COLON, BACKSLASH = b'{}[]",:\\'
MINUS, PLUS, POINT, ZERO, NINE, A, E, F, N, T, U, CAPITAL_E, CAPITAL_I, CAPITAL_N = b"-+.09aefntuEIN"
# States inside a nested value
VALUE, FIRST_VALUE, KEY, FIRST_KEY, AFTER = range(5)


@compiled
def read_objects(
    data: Any, starts: Any, ends: Any, keys: Any, escaped_keys: bool, codes: Any, cells: Any
) -> None:
    """Check lines and find the values of the known keys.

    Parameters
    ----------
    data : ndarray of uint8
        The bytes, valid UTF-8 in the lines looked at.
    starts, ends : ndarray of int64, shape (n,)
        The lines.
    keys : tuple of (ndarray of uint8, ndarray of int64 (k + 1,))
        The known keys, as they stand between their quotes, one behind the other, and where each begins.
    escaped_keys : bool
        Whether keys with a backslash are taken as they stand; else their lines get ``ESCAPED_KEY``.
    codes : ndarray of uint8, shape (n,)
        What each line is (in place); those that are not ``FINE`` before are left alone.
    cells : tuple of (ndarray of int32, ndarray of int32, ndarray of uint8), each of shape (k, n)
        Where each key's value begins and ends (strings without their quotes) and what it is, ``ABSENT`` in
        the beginning (in place).
    """
    for i in range(len(starts)):
        if codes[i] == FINE:
            codes[i] = _read_line(data, starts[i], ends[i], keys, escaped_keys, cells, i)


@compiled
def _read_line(data: Any, p: int, end: int, keys: Any, escaped_keys: bool, cells: Any, i: int) -> int:
    """Read one line and return its code."""
    (lefts, rights, kinds), code, expected = cells, FINE, 0
    p = _skip(data, p, end)
    if p == end:
        return BLANK
    if data[p] != BRACE:
        return NOT_JSON
    p = _skip(data, p + 1, end)
    first = True
    while not (first and p < end and data[p] == END_BRACE):
        first = False
        left = p + 1
        p, kind = _key(data, p, end)
        if kind < 0:
            return -kind
        right = p - 1
        while data[right] != QUOTE:  # behind the key lie white space and the colon
            right -= 1
        if kind == ESCAPED and not escaped_keys:
            code = max(code, ESCAPED_KEY)
        at = _skip(data, p, end)
        p, kind = _value(data, at, end)
        if kind < 0:
            return -kind
        column = _find(data, left, right, keys, expected)
        if column < 0:
            code = max(code, NEW_KEY)
        elif kinds[column, i] != ABSENT:
            code = max(code, TWICE)
        else:
            quoted = kind in (STRING, ESCAPED)
            lefts[column, i], rights[column, i], kinds[column, i] = at + quoted, p - quoted, kind
            expected = column + 1
        p = _skip(data, p, end)
        if p < end and data[p] == COMMA:
            p = _skip(data, p + 1, end)
        elif p >= end or data[p] != END_BRACE:
            return NOT_JSON
        else:
            break
    return code if p < end and _skip(data, p + 1, end) == end else NOT_JSON


@compiled
def _find(data: Any, left: int, right: int, keys: Any, expected: int) -> int:
    """Return a key's number, -1 if it is not known; keys mostly come in the same order."""
    names, offsets = keys
    n = len(offsets) - 1
    for step in range(n):
        number = (expected + step) % n
        start = offsets[number]
        if offsets[number + 1] - start == right - left:
            p = left
            while p < right and names[start + p - left] == data[p]:
                p += 1
            if p == right:
                return number
    return -1


@compiled
def _skip(data: Any, p: int, end: int) -> int:
    """Return where the white space ends."""
    while p < end and (data[p] == 32 or data[p] == 9 or data[p] == 10 or data[p] == 13):
        p += 1
    return p


@compiled
def _key(data: Any, p: int, end: int) -> tuple[int, int]:
    """Read a key and its colon; return what lies behind, and STRING, ESCAPED or the fault."""
    if p >= end or data[p] != QUOTE:
        return p, -NOT_JSON
    p, kind = _string(data, p, end)
    p = _skip(data, p, end)
    if kind > 0 and (p >= end or data[p] != COLON):
        return p, -NOT_JSON
    return p + 1, kind


@compiled
def _value(data: Any, p: int, end: int) -> tuple[int, int]:
    """Read a value of any depth; return what lies behind, and its kind or fault."""
    depth, objects, state = 0, 0, VALUE
    while True:
        p = _skip(data, p, end)
        if p >= end:
            return p, -NOT_JSON
        c, inside = data[p], objects & 1
        if state in (VALUE, FIRST_VALUE) and c in (BRACE, BRACKET):
            depth, p = depth + 1, p + 1
            if depth >= MAX_DEPTH:  # the line's own object counts too
                return p, -DEEP
            objects = objects << 1 | (c == BRACE)
            state = FIRST_KEY if c == BRACE else FIRST_VALUE
        elif (
            c == (END_BRACE if inside else END_BRACKET)
            and depth > 0
            and state in (FIRST_KEY, FIRST_VALUE, AFTER)
        ):
            depth, objects, p, state = depth - 1, objects >> 1, p + 1, AFTER
            if depth == 0:
                return p, NESTED
        elif state == AFTER:
            if c != COMMA:
                return p, -NOT_JSON
            p, state = p + 1, KEY if inside else VALUE
        else:
            at_key = state in (KEY, FIRST_KEY)
            p, kind = _key(data, p, end) if at_key else _scalar(data, p, end)
            if kind < 0 or depth == 0:
                return p, kind
            state = VALUE if at_key else AFTER


@compiled
def _scalar(data: Any, p: int, end: int) -> tuple[int, int]:
    """Read a string, number or word; return what lies behind, and its kind or fault."""
    c = data[p]
    if c == QUOTE:
        return _string(data, p, end)
    if c == T:
        return _word(data, p, end, b"true", BOOLEAN)
    if c == F:
        return _word(data, p, end, b"false", BOOLEAN)
    if c == N:
        return _word(data, p, end, b"null", NULL)
    if c == CAPITAL_N:
        return _word(data, p, end, b"NaN", -NAN)
    sign = c == MINUS
    if p + sign < end and data[p + sign] == CAPITAL_I:
        return _word(data, p + sign, end, b"Infinity", -NAN)
    return _number(data, p + sign, end)


@compiled
def _word(data: Any, p: int, end: int, word: Any, kind: int) -> tuple[int, int]:
    """Read a literal."""
    if p + len(word) > end:
        return p, -NOT_JSON
    for k in range(len(word)):
        if data[p + k] != word[k]:
            return p, -NOT_JSON
    return p + len(word), kind


@compiled
def _digits(data: Any, p: int, end: int) -> int:
    """Return where the digits end."""
    while p < end and ZERO <= data[p] <= NINE:
        p += 1
    return p


@compiled
def _number(data: Any, p: int, end: int) -> tuple[int, int]:
    """Read a number behind its sign."""
    kind = INTEGER
    whole = _digits(data, p, end)
    if whole == p or (data[p] == ZERO and whole > p + 1):
        return p, -NOT_JSON
    p = whole
    if p < end and data[p] == POINT:
        kind, p = NUMBER, _digits(data, p + 1, end)
        if p == whole + 1:
            return p, -NOT_JSON
    if p < end and (data[p] == E or data[p] == CAPITAL_E):
        kind, p = NUMBER, p + 1
        p += p < end and (data[p] == PLUS or data[p] == MINUS)
        exponent = _digits(data, p, end)
        if exponent == p:
            return p, -NOT_JSON
        p = exponent
    return p, kind


@compiled
def _string(data: Any, p: int, end: int) -> tuple[int, int]:
    """Read a string; return what lies behind it, and STRING, ESCAPED or the fault."""
    kind, high, p = STRING, False, p + 1  # high: the first half of a surrogate pair lies before
    while p < end and data[p] >= 32:
        c = data[p]
        if c != BACKSLASH:
            if high:
                return p, -LONE
            if c == QUOTE:
                return p + 1, kind
            p += 1
            continue
        kind, p = ESCAPED, p + 1
        if p < end and data[p] == U:
            unit = _unit(data, p + 1, end)
            if unit < 0:
                return p, -NOT_JSON
            low = 0xDC00 <= unit < 0xE000
            if high != low:
                return p, -LONE
            high, p = 0xD800 <= unit < 0xDC00, p + 5
        elif high or p >= end or not _is_escape(data[p]):
            return p, -LONE if high else -NOT_JSON
        else:
            p += 1
    return p, -NOT_JSON


@compiled
def _is_escape(c: int) -> bool:
    """Tell whether a character may stand behind a backslash."""
    for escape in b'"\\/bfnrt':  # noqa: SIM110 (a generator does not compile)
        if c == escape:
            return True
    return False


@compiled
def _unit(data: Any, p: int, end: int) -> int:
    """Return the number that four hexadecimal digits write, -1 where they are not."""
    if p + 4 > end:
        return -1
    unit = 0
    for k in range(p, p + 4):
        c = data[k] | 32  # lower case
        if ZERO <= data[k] <= NINE:
            unit = unit * 16 + data[k] - ZERO
        elif A <= c <= F:
            unit = unit * 16 + c - A + 10
        else:
            return -1
    return unit
