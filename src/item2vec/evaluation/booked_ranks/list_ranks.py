"""Ranks within short lists of candidates, read from rows of scores over all items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from item2vec.evaluation.ranks import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    def njit(**options: Any) -> Callable[[Any], Any]:
        """Stand in for numba's decorator, which has no types."""

else:
    njit = nb.njit

NEVER = -np.inf

Lists = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]


@njit(cache=True, nogil=True)
def _score(row: Any, num: int) -> float:
    """Return an item's score; what is unknown or outside the answer is below everything else."""
    if num < 0 or not row[num] > NEVER:
        return NEVER
    return float(row[num])


@njit(cache=True, nogil=True)
def _rank_cases(
    scores: Any,
    rows: Any,
    nums: Any,
    items: Any,
    offsets: Any,
    list_nums: Any,
    targets: Any,
    skipped: Any,
    ranks: Any,
    unknown: Any,
    empty: Any,
) -> None:
    for case in range(len(rows)):
        row = scores[rows[case]]
        target = targets[case]
        own = _score(row, nums[target])
        greater = 0
        equal = 0
        n_unknown = int(nums[target] < 0)
        for at in range(offsets[list_nums[case]], offsets[list_nums[case] + 1]):
            item = items[at]
            if item != target and item != skipped[case]:
                score = _score(row, nums[item])
                greater += score > own
                equal += score == own
                n_unknown += nums[item] < 0
        # With nothing above a target that is outside the answer, nobody is in it.
        empty[case] = own == NEVER and greater == 0
        ranks[case] = 1 + greater + (equal if empty[case] else 0.5 * equal)
        unknown[case] = n_unknown


def ranks_in_lists(
    scores: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    nums: npt.NDArray[np.int32],
    lists: Lists,
    targets: npt.NDArray[np.int32],
    skipped: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Rank one target per case among the other items of its list.

    Parameters
    ----------
    scores : ndarray of float32, shape (n_rows, n_scored)
        Higher is better; ``-inf`` and NaN are outside the answer and share the end of the list.
    rows : ndarray of int64, shape (n_cases,)
        Which row of scores a case reads.
    nums : ndarray of int32, shape (n_items,)
        Column of each item, −1 where it is not scored.
    lists : (items int32, offsets int64, list_nums int64)
        List ``l`` is ``items[offsets[l]:offsets[l + 1]]``; `list_nums`, shape (n_cases,), names each case's.
    targets, skipped : ndarray of int32, shape (n_cases,)
        The item to rank, in the list or not, and one that is passed over (−1: none).

    Returns
    -------
    ranks : ndarray of float64, shape (n_cases,)
        ``1 + #greater + ½ #equal others``; the last place where no candidate is in the answer.
    unknown : ndarray of int64, shape (n_cases,)
        Candidates that are not scored, the target included.
    empty : ndarray of bool, shape (n_cases,)
        Whether no candidate is in the answer.
    """
    ranks, unknown = np.empty(len(rows)), np.empty(len(rows), np.int64)
    empty = np.empty(len(rows), np.bool_)
    rows_of_scores = np.ascontiguousarray(scores, np.float32)
    items, offsets, list_nums = lists

    def rank_part(start: int, stop: int) -> None:
        of_cases = (one[start:stop] for one in (list_nums, targets, skipped, ranks, unknown, empty))
        _rank_cases(rows_of_scores, rows[start:stop], nums, items, offsets, *of_cases)

    in_threads(rank_part, len(rows))
    return ranks, unknown, empty
