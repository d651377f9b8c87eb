"""Arrow ↔ numpy for number columns without pandas, which ``pa.array`` and ``to_numpy`` would import."""

from __future__ import annotations

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
T = TypeVar("T", bound=np.generic)
_ARROW_NUMBERS = {numpy: arrow for arrow, numpy in _NUMPY_NUMBERS.items()}


def arrow_numbers(values: npt.NDArray[Any]) -> pa.Array:
    """Wrap a number array as Arrow without copying (``pa.array`` would import pandas)."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(_ARROW_NUMBERS[values.dtype], len(values), [None, pa.py_buffer(values)])


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
