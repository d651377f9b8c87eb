"""What workers learned since the last exchange, merged: only rows that one of them touched travel.

Row = base + (sum of the workers' changes) / divisor, which is how many times one worker's learning rate they
learn with (:class:`SharedEngine`): with n workers n, so it is their mean. A rare row, which one of them alone
met, moves about as far as with one worker; the mean of what n workers learned with one worker's rate would
keep 1/n of it, and of a frequent row's n steps one.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numba import njit

from item2vec.embeddings.distributed.communicator import Communicator

MESSAGE_BYTES = 1 << 25  # bounds the memory that a large table's exchange needs


@njit(cache=True, nogil=True)
def _mark_touched(table, base, touched):  # type: ignore[no-untyped-def]
    for i in range(len(table)):
        for k in range(table.shape[1]):
            if table[i, k] != base[i, k]:
                touched[i] = 1
                break


@njit(cache=True, nogil=True)
def _take_changes(table, base, rows, changes):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):  # by rows of one dimension: numba makes vectors of those loops only
        trained, start, change = table[rows[i]], base[rows[i]], changes[i]
        for k in range(len(change)):
            change[k] = trained[k] - start[k]


@njit(cache=True, nogil=True)
def _put_rows(table, base, rows, changes, divisor):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        trained, start, change = table[rows[i]], base[rows[i]], changes[i]
        for k in range(len(change)):
            start[k] += change[k] / divisor
        for k in range(len(change)):
            trained[k] = start[k]


def rows_at_once(vector_size: int) -> int:
    """Return how many rows travel in one message."""
    return max(1, MESSAGE_BYTES // (4 * vector_size))


class Rows(Protocol):
    """One table of this worker and its base, on the host or on a device.

    The base is the table after the last exchange, equal on every worker.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The table's, (n_items, vector_size)."""

    def touched(self) -> Any:
        """Return 1 for each row that differs from its base, else 0; uint8, shape (n_items,)."""

    def numbers(self, touched: Any) -> Any:
        """Return the numbers of the rows whose flag is 1."""

    def changes(self, numbers: Any) -> Any:
        """Return the difference of some rows from their base, float32, shape (len(numbers), vector_size)."""

    def put(self, numbers: Any, changes: Any, divisor: float) -> None:
        """Make base + changes / divisor of some rows, and of their base."""


class HostRows:
    """Of the numba engine.

    Parameters
    ----------
    table : ndarray of float32, shape (n_items, vector_size)
        As it is trained. It becomes the base now.
    """

    def __init__(self, table: npt.NDArray[np.float32]) -> None:
        self.table, self.base = table, table.copy()
        n_items, vector_size = self.shape = table.shape
        self._room = np.empty((min(n_items, rows_at_once(vector_size)), vector_size), np.float32)

    def touched(self) -> npt.NDArray[np.uint8]:
        """Return the flags; see :class:`Rows`."""
        touched = np.zeros(len(self.table), np.uint8)
        _mark_touched(self.table, self.base, touched)
        return touched

    def numbers(self, touched: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Return the numbers of the rows whose flag is 1."""
        return np.flatnonzero(touched)

    def changes(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the changes of some rows, in memory that the next call uses again."""
        changes = self._room[: len(numbers)]
        _take_changes(self.table, self.base, numbers, changes)
        return changes

    def put(self, numbers: npt.NDArray[np.int64], changes: npt.NDArray[np.float32], divisor: float) -> None:
        """Merge some rows; see :class:`Rows`."""
        _put_rows(self.table, self.base, numbers, changes, np.float32(divisor))


def exchange(rows: Rows, communicator: Communicator, divisor: float) -> int:
    """Merge one table with the other workers' in place; all of them must call this together.

    Parameters
    ----------
    rows : Rows
        This worker's; afterwards the same numbers on every worker.
    communicator : Communicator
    divisor : float
        What the sum of the changes is divided by.

    Returns
    -------
    int
        Rows that travelled: those that any worker touched.
    """
    flags = rows.touched()
    communicator.any(flags)
    touched = rows.numbers(flags)
    at_once = rows_at_once(rows.shape[1])
    for first in range(0, len(touched), at_once):
        numbers = touched[first : first + at_once]
        changes = rows.changes(numbers)
        communicator.sum(changes)
        rows.put(numbers, changes, divisor)
    return len(touched)
