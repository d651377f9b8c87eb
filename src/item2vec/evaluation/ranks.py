"""Ranks of the relevant items and the first k items of each row of scores, in one pass over the row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

    def njit(**options: Any) -> Callable[[Any], Any]:
        """Stand in for numba's decorator, which has no types."""

else:
    njit = nb.njit

CHUNK = 128  # columns looked at with vector instructions before any of them is looked at one by one


@njit(cache=True, nogil=True)
def _count_above(row: Any, start: int, stop: int, score: float) -> float:
    """Count the greater scores of a part of the row, and half of the equal ones."""
    greater = 0
    equal = 0
    for column in range(start, stop):
        greater += row[column] > score
        equal += row[column] == score
    return greater + 0.5 * equal


@njit(cache=True, nogil=True)
def _keep_best(row: Any, start: int, stop: int, items: Any, scores: Any) -> None:
    """Put the columns of a part of the row that belong among the best so far in their places."""
    k = len(items)
    worst = scores[k - 1]
    beaten = 0
    for column in range(start, stop):  # a plain count, which the compiler turns into vector instructions
        beaten += row[column] > worst
    if beaten == 0:
        return
    for column in range(start, stop):
        score = row[column]
        if score > scores[k - 1]:
            place = k - 1
            while place > 0 and score > scores[place - 1]:
                scores[place] = scores[place - 1]
                items[place] = items[place - 1]
                place -= 1
            scores[place] = score
            items[place] = column


@njit(cache=True, nogil=True)
def _rank_row(row: Any, targets: Any, ranks: Any, items: Any, scores: Any) -> None:
    """Rank the targets, and fill `items` with the best columns, while the row passes once."""
    items[:] = -1
    scores[:] = -np.inf
    for i in range(len(targets)):
        known = targets[i] >= 0 and row[targets[i]] > -np.inf
        ranks[i] = 0.5 if known else np.inf  # 1, less the half that the target counts for itself
    for start in range(0, len(row), CHUNK):
        stop = min(start + CHUNK, len(row))
        for i in range(len(targets)):
            if ranks[i] < np.inf:
                ranks[i] += _count_above(row, start, stop, row[targets[i]])
        if len(items):
            _keep_best(row, start, stop, items, scores)


@njit(cache=True, nogil=True)
def _rank_rows(rows: Any, targets: Any, offsets: Any, ranks: Any, items: Any, scores: Any) -> None:
    for row in range(len(rows)):
        start, stop = offsets[row], offsets[row + 1]
        _rank_row(rows[row], targets[start:stop], ranks[start:stop], items[row], scores[row])


def in_threads(work: Callable[[int, int], None], n: int) -> None:
    """Call ``work(start, stop)`` for parts of ``range(n)`` at once, each in a thread of its own.

    Plain threads: those of numba's ``prange`` keep their cores busy for a while after their work, and the
    next product of matrices then waits for them (measured: twice the time on two cores).
    """
    n_threads = max(1, min(nb.get_num_threads(), n))
    cuts = np.linspace(0, n, n_threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, cuts[:-1], cuts[1:]))


def ranks_and_lists(
    scores: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    k: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Rank the relevant items of each row among all columns, and find the row's `k` best columns.

    Parameters
    ----------
    scores : ndarray of float32, shape (batch, n_items)
        Higher is better, ``+inf`` best of all; ``-inf`` and NaN are outside the answer.
    targets : ndarray of int32, shape (n_relevant,)
        Columns of the relevant items, −1 where one is not among the items.
    offsets : ndarray of int64, shape (batch + 1,)
        Row ``r`` has the targets ``targets[offsets[r]:offsets[r + 1]]``.
    k : int
        Length of a list; lists with fewer items are padded.

    Returns
    -------
    ranks : ndarray of float64, shape (n_relevant,)
        ``1 + #greater + ½ #equal others``, so a score shared by many items earns no luck; ``inf`` where the
        target is unknown or outside the answer.
    items : ndarray of int32, shape (batch, k)
        Best first, equal scores by column, padded with −1.
    scores : ndarray of float32, shape (batch, k)
        Their scores, padded with ``-inf``.
    """
    ranks = np.empty(len(targets), np.float64)
    items = np.empty((len(scores), k), np.int32)
    kept = np.empty((len(scores), k), np.float32)
    rows = np.ascontiguousarray(scores, np.float32)
    columns, bounds = np.ascontiguousarray(targets, np.int32), np.ascontiguousarray(offsets, np.int64)

    def rank_part(start: int, stop: int) -> None:
        _rank_rows(
            rows[start:stop], columns, bounds[start : stop + 1], ranks, items[start:stop], kept[start:stop]
        )

    in_threads(rank_part, len(rows))
    return ranks, items, kept


def target_ranks(scores: npt.NDArray[np.float32], targets: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Rank one target per row, shape (batch,); see :func:`ranks_and_lists`."""
    return ranks_and_lists(scores, targets, np.arange(len(targets) + 1), 0)[0]


def top_items(
    scores: npt.NDArray[np.float32], k: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Find the `k` best columns of each row, and their scores; see :func:`ranks_and_lists`."""
    nobody = np.zeros(len(scores) + 1, np.int64)
    _, items, kept = ranks_and_lists(scores, np.zeros(0, np.int32), nobody, k)
    return items, kept
