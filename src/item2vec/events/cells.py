"""Slices of a block's bytes as Arrow text, copied by a compiled loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
compiled: Callable[[F], F] = njit(cache=True, nogil=True)
"""Compile a function; the machine code is kept beside its file. It sees changes of that file only."""
QUOTE = 34


@compiled
def _copy(data: Any, lefts: Any, rights: Any, doubled: Any, offsets: Any, out: Any) -> None:
    """Copy each slice behind the one before; of doubled quotes only one is kept."""
    at = 0
    for i in range(len(lefts)):
        offsets[i] = at
        if doubled[i]:
            p = lefts[i]
            while p < rights[i]:
                out[at] = data[p]
                at += 1
                p += 2 if data[p] == QUOTE else 1
        else:
            n = rights[i] - lefts[i]
            out[at : at + n] = data[lefts[i] : rights[i]]
            at += n
    offsets[len(lefts)] = at


def texts(
    data: npt.NDArray[np.uint8],
    lefts: npt.NDArray[Any],
    rights: npt.NDArray[Any],
    doubled: npt.NDArray[np.bool_] | None = None,
    valid: npt.NDArray[np.bool_] | None = None,
) -> pa.StringArray:
    """Return slices of valid UTF-8 bytes as an Arrow array.

    Parameters
    ----------
    data : ndarray of uint8
        The bytes, fewer than 2³¹.
    lefts, rights : ndarray of int, shape (n,)
        Where each slice begins and ends.
    doubled : ndarray of bool, shape (n,), optional
        Whether a slice holds quotes that are doubled and stand for one.
    valid : ndarray of bool, shape (n,), optional
        False where the cell is null.
    """
    if doubled is None:
        doubled = np.zeros(len(lefts), np.bool_)
    offsets = np.empty(len(lefts) + 1, np.int32)
    out = np.empty(int(np.sum(rights) - np.sum(lefts)), np.uint8)
    _copy(data, lefts, rights, doubled, offsets, out)
    nulls = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(pa.string(), len(lefts), [nulls, pa.py_buffer(offsets), pa.py_buffer(out)])
