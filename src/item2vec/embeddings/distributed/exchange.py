"""What workers learned since the last exchange, merged: only rows that one of them touched travel.

Row = base + (sum of the workers' changes) / divisor, which is how many times one worker's learning rate they
learn with (:class:`SharedEngine`): with n workers n, so it is their mean. A rare row, which one of them alone
met, moves about as far as with one worker; the mean of what n workers learned with one worker's rate would
keep 1/n of it, and of a frequent row's n steps one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from item2vec.embeddings.distributed.communicator import Communicator

ROWS_AT_ONCE = 1 << 16  # in one message: bounds the memory that a large table's exchange needs


@njit(cache=True, nogil=True)
def _mark_touched(table, base, touched):  # type: ignore[no-untyped-def]
    for i in range(len(table)):
        for k in range(table.shape[1]):
            if table[i, k] != base[i, k]:
                touched[i] = 1
                break


def touched_rows(table: npt.NDArray[np.float32], base: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Return 1 for each row of `table` that differs from `base`, else 0; int32, shape (n_items,)."""
    touched = np.zeros(len(table), np.int32)
    _mark_touched(table, base, touched)
    return touched


def exchange(
    table: npt.NDArray[np.float32],
    base: npt.NDArray[np.float32],
    communicator: Communicator,
    divisor: float,
) -> int:
    """Merge one table with the other workers' in place; all of them must call this together.

    Parameters
    ----------
    table : ndarray of float32, shape (n_items, vector_size)
        This worker's; afterwards the same numbers on every worker.
    base : ndarray of float32, shape (n_items, vector_size)
        The table after the last exchange, equal on every worker; afterwards equal to `table`.
    communicator : Communicator
    divisor : float
        What the sum of the changes is divided by.

    Returns
    -------
    int
        Rows that travelled: those that any worker touched.
    """
    touched_by = touched_rows(table, base)
    communicator.sum(touched_by)
    touched = np.flatnonzero(touched_by)
    for first in range(0, len(touched), ROWS_AT_ONCE):
        rows = touched[first : first + ROWS_AT_ONCE]
        start = base[rows]
        change = table[rows] - start
        communicator.sum(change)
        change /= np.float32(divisor)
        change += start
        table[rows] = base[rows] = change
    return len(touched)
