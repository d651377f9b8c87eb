"""Arrow ↔ numpy for number columns without pandas, which ``pa.array`` and ``to_numpy`` would import."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import DataError

_NUMPY_NUMBERS: dict[pa.DataType, np.dtype[Any]] = {
    pa.int32(): np.dtype(np.int32),
    pa.int64(): np.dtype(np.int64),
    pa.float32(): np.dtype(np.float32),
}
_NUMBERS: dict[pa.DataType, np.dtype[Any]] = {
    **_NUMPY_NUMBERS,
    **{
        getattr(pa, name)(): np.dtype(name)
        for name in ("int8", "int16", "uint8", "uint16", "uint32", "uint64")
    },
    **{getattr(pa, name)(): np.dtype(name) for name in ("float16", "float64")},
}
T = TypeVar("T", bound=np.generic)
_ARROW_NUMBERS = {numpy: arrow for arrow, numpy in _NUMPY_NUMBERS.items()}


def arrow_numbers(values: npt.NDArray[Any]) -> pa.Array:
    """Wrap a number array as Arrow without copying (``pa.array`` would import pandas)."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(_ARROW_NUMBERS[values.dtype], len(values), [None, pa.py_buffer(values)])


def arrow_floats(values: npt.NDArray[np.float64]) -> pa.Array:
    """Return numbers as Arrow, null where NaN."""
    known = np.packbits(~np.isnan(values), bitorder="little")
    buffers = [pa.py_buffer(known), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.float64(), len(values), buffers)


def arrow_texts(values: Sequence[str]) -> pa.Array:
    """Return texts as Arrow."""
    encoded = [value.encode("utf-8", "replace") for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(one) for one in encoded], out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def arrow_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return Python values as Arrow, null where None (``pa.array`` and ``pa.scalar`` would import pandas).

    Raises
    ------
    TypeError, ValueError, OverflowError
        If a value does not fit the type.
    """
    known = np.array([value is not None for value in values], np.bool_)
    valid = pa.py_buffer(np.packbits(known, bitorder="little"))
    n = len(values)
    if not known.any():
        return pa.nulls(n, kind)
    if pa.types.is_string(kind):
        texts = [_text(value).encode() for value in values]
        offsets = np.zeros(n + 1, np.int32)
        np.cumsum([len(one) for one in texts], out=offsets[1:])
        return pa.Array.from_buffers(kind, n, [valid, pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))])
    if pa.types.is_boolean(kind):
        if not {type(value) for value in values} <= {bool, type(None)}:
            raise TypeError("a value is neither true nor false")
        bits = np.packbits([value is True for value in values], bitorder="little")
        return pa.Array.from_buffers(kind, n, [valid, pa.py_buffer(bits)])
    if kind in _NUMBERS:
        numbers = np.array([_number(value, kind) for value in values], _NUMBERS[kind])
        return pa.Array.from_buffers(kind, n, [valid, pa.py_buffer(numbers)])
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        moments = np.array([_moment(value) for value in values], np.int64)
        found = pa.Array.from_buffers(pa.timestamp("us"), n, [valid, pa.py_buffer(moments)])
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        return found.cast(pa.timestamp("us", zone)).cast(kind)
    return pa.array(values, kind)  # decimals, dictionaries, lists: at the price of pandas


def _text(value: Any) -> str:
    if not isinstance(value, str | None):
        raise TypeError(f"a text is expected, not {type(value).__name__}")
    return value or ""


def _number(value: Any, kind: pa.DataType) -> int | float:
    """Return a value that a number column takes; 0 where it is missing."""
    if value is None:
        return 0
    if pa.types.is_integer(kind) and not isinstance(value, int | np.integer):
        raise TypeError(f"a whole number is expected, not {type(value).__name__}")
    if not isinstance(value, int | float | np.number):
        raise TypeError(f"a number is expected, not {type(value).__name__}")
    return value  # type: ignore[return-value]


def _moment(value: Any) -> int:
    """Return a date or moment as microseconds since 1970 in UTC, one without a zone as if it were UTC."""
    if value is None:
        return 0
    if not isinstance(value, dt.date):
        raise TypeError(f"a date is expected, not {type(value).__name__}")
    moment = value if isinstance(value, dt.datetime) else dt.datetime(value.year, value.month, value.day)
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def numpy_numbers(column: pa.ChunkedArray | pa.Array, missing: int | None = None) -> npt.NDArray[Any]:
    """Return an Arrow number column as an array of the same width (``to_numpy`` would import pandas).

    A null becomes `missing`.

    Raises
    ------
    DataError
        If a value is null and there is no `missing`, or the column is none of int32, int64 and float32.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if values.type not in _NUMPY_NUMBERS:
        raise DataError(f"the values are {values.type}; they must be {', '.join(map(str, _NUMPY_NUMBERS))}")
    dtype: np.dtype[Any] = _NUMPY_NUMBERS[values.type]
    if not len(values):
        return np.zeros(0, dtype)
    numbers = arrow_values(values, dtype)
    if not values.null_count:
        return numbers
    if missing is None:
        raise DataError(f"{values.null_count} of {len(values)} values are missing")
    bits = np.unpackbits(np.frombuffer(values.buffers()[0], np.uint8), bitorder="little")
    valid = bits[values.offset : values.offset + len(values)]
    return np.where(valid, numbers, np.asarray(missing, dtype))


def arrow_values(array: pa.Array, dtype: type[T] | np.dtype[T]) -> npt.NDArray[T]:
    """View the values of a primitive Arrow array as `dtype`, undefined where it is null."""
    data = array.buffers()[1]
    if data is None or not len(array):
        return np.zeros(0, dtype)
    values: npt.NDArray[T] = np.frombuffer(data, dtype)
    return values[array.offset : array.offset + len(array)]
