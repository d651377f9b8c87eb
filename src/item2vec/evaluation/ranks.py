"""Ranks of the targets and the first k items of each row of scores, in one pass over the row."""

from __future__ import annotations

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
def _rank(row: Any, target: int) -> float:
    """Rank one target: 1 + the greater scores + half of the other equal ones; inf where it has no score."""
    score = row[target]
    if not np.isfinite(score):
        return np.inf
    greater = 0
    equal = 0
    for column in range(len(row)):
        greater += row[column] > score
        equal += row[column] == score
    return 1.0 + greater + 0.5 * (equal - 1)


@njit(cache=True, nogil=True)
def _keep_top(row: Any, items: Any, scores: Any) -> None:
    """Fill `items` with the best columns of `row`, best first, equal scores by column, −1 for none."""
    k = len(items)
    items[:] = -1
    scores[:] = -np.inf
    n = len(row)
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        worst = scores[k - 1]
        beaten = 0
        for column in range(start, stop):  # a plain count, which the compiler turns into vector instructions
            beaten += row[column] > worst
        if beaten == 0:
            continue
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


@njit(cache=True, parallel=True, nogil=True)
def _rank_rows(scores: Any, targets: Any, ranks: Any) -> None:
    for row in nb.prange(len(scores)):
        ranks[row] = _rank(scores[row], targets[row]) if targets[row] >= 0 else np.inf


@njit(cache=True, parallel=True, nogil=True)
def _top_rows(scores: Any, items: Any, kept: Any) -> None:
    for row in nb.prange(len(scores)):
        _keep_top(scores[row], items[row], kept[row])


def target_ranks(scores: npt.NDArray[np.float32], targets: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Rank one target per row among all columns.

    Parameters
    ----------
    scores : ndarray of float32, shape (batch, n_items)
        Higher is better; ``-inf`` and NaN are outside the answer.
    targets : ndarray of int32, shape (batch,)
        Column of the target, −1 where it is not among the items.

    Returns
    -------
    ndarray of float64, shape (batch,)
        ``1 + #greater + ½ #equal others``, so a score shared by many items earns no luck; ``inf`` where the
        target is unknown or outside the answer.
    """
    ranks = np.empty(len(scores), np.float64)
    _rank_rows(np.ascontiguousarray(scores, np.float32), np.ascontiguousarray(targets, np.int32), ranks)
    return ranks


def top_items(
    scores: npt.NDArray[np.float32], k: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Find the `k` best columns of each row.

    Parameters
    ----------
    scores : ndarray of float32, shape (batch, n_items)
        Higher is better; ``-inf`` and NaN are outside the answer.
    k : int
        Length of a list; lists with fewer items are padded.

    Returns
    -------
    items : ndarray of int32, shape (batch, k)
        Best first, equal scores by column, padded with −1.
    scores : ndarray of float32, shape (batch, k)
        Their scores, padded with ``-inf``.
    """
    items = np.empty((len(scores), k), np.int32)
    kept = np.empty((len(scores), k), np.float32)
    _top_rows(np.ascontiguousarray(scores, np.float32), items, kept)
    return items, kept
