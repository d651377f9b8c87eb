"""From neighbours to lists: the query's own items left out, rules obeyed, as many as there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.index import ItemSet, Neighbours
from item2vec.index.arguments import MAX_K
from item2vec.recommendations.history import drop
from item2vec.recommendations.rules import choose, first_pool

if TYPE_CHECKING:
    from item2vec.recommendations.rules import CompiledRules

BLOCK = 128
_MANY = 1024
"""More items than that are not sorted for the few best of them."""
Nums = npt.NDArray[np.int32]


def plain_lists(
    search: Callable[[int], Neighbours], hidden: Sequence[Nums] | Nums, N: int, n_items: int
) -> Neighbours:
    """Return the N nearest items of each query less the hidden ones.

    Parameters
    ----------
    search : callable (k) -> Neighbours
        The k nearest items of all queries.
    hidden : sequence of ndarray of int32, or ndarray of shape (n_queries, m)
        Items that do not come back, per query.
    N : int
    n_items : int
        Size of the catalogue.
    """
    surplus = max(map(len, hidden), default=0)
    return drop(search(min(N + surplus, n_items, MAX_K)), hidden, N)


def ruled_lists(
    search: Callable[[int], Neighbours],
    hidden: Sequence[Nums] | Nums,
    N: int,
    n_items: int,
    rules: CompiledRules,
) -> Neighbours:
    """Return up to N items of each query that obey the rules; asks for more candidates where these fail."""
    size, all_there_are = min(first_pool(N), n_items), min(n_items, MAX_K)
    while True:
        found = plain_lists(search, hidden, size, n_items)
        answer = _chosen(found, hidden, N, rules)
        short = (answer.item_nums >= 0).sum(axis=1) < min(N, rules.most)
        if size >= all_there_are or not (short & _goes_on(found, rules.rules.min_score)).any():
            return answer
        size = min(2 * size, all_there_are)


def _goes_on(found: Neighbours, min_score: float | None) -> npt.NDArray[np.bool_]:
    """Whether there may be further candidates of use: all places are taken, the last by one good enough."""
    taken: npt.NDArray[np.bool_] = found.item_nums[:, -1] >= 0
    return taken if min_score is None else taken & (found.scores[:, -1] >= np.float32(min_score))


def _chosen(found: Neighbours, hidden: Sequence[Nums] | Nums, N: int, rules: CompiledRules) -> Neighbours:
    n = len(found.item_nums)
    answer = Neighbours(np.full((n, N), -1, np.int32), np.full((n, N), -np.inf, np.float32), found.exact)
    for row, own in enumerate(hidden):
        length = int(np.count_nonzero(found.item_nums[row] >= 0))
        nums, scores = found.item_nums[row, :length], found.scores[row, :length]
        places = choose(rules.rules, rules.features(nums), scores, N, rules.features(own).twins)
        answer.item_nums[row, : len(places)] = nums[places]
        answer.scores[row, : len(places)] = scores[places]
    return answer


def best_items(
    scores: npt.NDArray[np.float32],
    k: int,
    allowed: ItemSet | None,
    id_rank: npt.NDArray[np.int32],
    hidden: Nums | None = None,
) -> Neighbours:
    """Return the k best allowed items, in one row, by score and then by id.

    Parameters
    ----------
    scores : ndarray of float32, shape (n_items,)
        Of all items; −inf is none.
    k : int
    allowed : ItemSet, optional
    id_rank : ndarray of int32, shape (n_items,)
        Each item's place among the ids in ascending order.
    hidden : ndarray of int32, optional
        Items that do not come back.
    """
    if hidden is not None and len(hidden):
        scores = scores.copy()
        scores[hidden] = -np.inf
    nums = np.arange(len(scores), dtype=np.int32) if allowed is None else allowed.nums
    found = scores[nums]
    if k < len(nums):
        kept = _contenders(found, k)
        nums, found = nums[kept], found[kept]
        kept = found >= np.partition(found, len(found) - k)[len(found) - k]
        nums, found = nums[kept], found[kept]
    return ranked(nums, found, k, id_rank)


def ranked(nums: Nums, scores: npt.NDArray[np.float32], k: int, id_rank: Nums) -> Neighbours:
    """Return the k best of some items, in one row, by score and then by id; a score of −inf is none."""
    if len(nums) > max(_MANY, k):
        kept = _best_places(scores, id_rank[nums], k)
        nums, scores = nums[kept], scores[kept]
    order = np.lexsort((id_rank[nums], -scores))[:k]
    order = order[scores[order] > -np.inf]
    answer = Neighbours(
        np.full((1, k), -1, np.int32), np.full((1, k), -np.inf, np.float32), np.ones(1, np.bool_)
    )
    answer.item_nums[0, : len(order)] = nums[order]
    answer.scores[0, : len(order)] = scores[order]
    return answer


def _best_places(scores: npt.NDArray[np.float32], ranks: Nums, k: int) -> npt.NDArray[np.int64]:
    """Return the places of the k best in no order: where nothing is known of a user, thousands are equal."""
    last = np.partition(scores, -k)[-k]
    better, equal = np.flatnonzero(scores > last), np.flatnonzero(scores == last)
    n_equal = k - len(better)
    return np.concatenate([better, equal[np.argpartition(ranks[equal], n_equal - 1)[:n_equal]]])


def _contenders(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64] | slice:
    """Return places among which the k best are: the k-th best of the blocks' maxima is no better than they.

    Selecting among all scores would take longer than computing them.
    """
    n_blocks = len(scores) // BLOCK
    if n_blocks < 2 * k:
        return slice(None)
    highest = scores[: n_blocks * BLOCK].reshape(n_blocks, BLOCK).max(axis=1)
    return np.flatnonzero(scores >= np.partition(highest, n_blocks - k)[n_blocks - k])


def spread(found: Neighbours, known: npt.NDArray[np.bool_], N: int) -> tuple[Nums, npt.NDArray[np.float32]]:
    """Put the answers of known queries back among the unknown ones."""
    nums = np.full((len(known), N), -1, np.int32)
    scores = np.full((len(known), N), -np.inf, np.float32)
    nums[known], scores[known] = found.item_nums, found.scores
    return nums, scores
