"""Searches that may find a history's own items again, at the place that coming back gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.index import ItemIndex, ItemSet, Neighbours
from item2vec.index.arguments import MAX_K
from item2vec.recommendations.history import drop

if TYPE_CHECKING:
    from item2vec.recommendations.scoring import Repeats

Nums = npt.NDArray[np.int32]
_ROWS = 1 << 24  # scores of all items held at once


def repeating_search(
    search: Callable[[int], Neighbours],
    index: ItemIndex,
    queries: npt.NDArray[np.float64],
    repeats: Repeats,
    histories: Sequence[Nums],
    allowed: ItemSet | None,
) -> Callable[[int], Neighbours]:
    """Return a search like the one given, in which each history's own items have their lifted scores.

    What an item's coming back is worth depends on all others, so their scores are computed once.
    """
    own = _own_scores(index, queries, repeats, histories, allowed)
    most = max((len(nums) for nums, _ in own), default=0)

    def lifted(k: int) -> Neighbours:
        wide = min(k + most, index.n_items, MAX_K)
        found = drop(search(wide), [nums for nums, _ in own], wide)
        return _merged(found, own, k, index.id_rank)

    return lifted


def _own_scores(
    index: ItemIndex,
    queries: npt.NDArray[np.float64],
    repeats: Repeats,
    histories: Sequence[Nums],
    allowed: ItemSet | None,
) -> list[tuple[Nums, npt.NDArray[np.float32]]]:
    """Return each history's own items that are allowed, and their lifted scores."""
    own = []
    step = max(1, _ROWS // index.n_items)
    for start in range(0, len(queries), step):
        scores = index.scores(queries[start : start + step])
        repeats.lift_rows(scores, histories[start : start + step])
        for row, history in zip(scores, histories[start : start + step], strict=True):
            nums = np.unique(history)
            nums = nums if allowed is None else nums[allowed.mask[nums]]
            own.append((nums, row[nums]))
    return own


def _merged(
    found: Neighbours,
    own: Sequence[tuple[Nums, npt.NDArray[np.float32]]],
    k: int,
    id_rank: npt.NDArray[np.int32],
) -> Neighbours:
    """Put each history's own items among its neighbours, equal scores by id."""
    n = len(found.item_nums)
    answer = Neighbours(np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32), found.exact)
    for row, (own_nums, own_scores) in enumerate(own):
        others = found.item_nums[row] >= 0
        nums = np.concatenate([found.item_nums[row][others], own_nums])
        scores = np.concatenate([found.scores[row][others], own_scores])
        order = np.lexsort((id_rank[nums], -scores))[:k]
        answer.item_nums[row, : len(order)] = nums[order]
        answer.scores[row, : len(order)] = scores[order]
    return answer
