"""From neighbours to lists: the query's own items left out, rules obeyed, as many as there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.index import Neighbours
from item2vec.recommendations.history import drop
from item2vec.recommendations.rules import choose, first_pool

if TYPE_CHECKING:
    from item2vec.recommendations.rules import CompiledRules

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
    return drop(search(min(N + surplus, n_items)), hidden, N)


def ruled_lists(
    search: Callable[[int], Neighbours],
    hidden: Sequence[Nums] | Nums,
    N: int,
    n_items: int,
    rules: CompiledRules,
) -> Neighbours:
    """Return up to N items of each query that obey the rules; asks for more candidates where these fail."""
    size = min(first_pool(N), n_items)
    while True:
        found = plain_lists(search, hidden, size, n_items)
        answer = _chosen(found, hidden, N, rules)
        short = answer.item_nums[:, -1] < 0
        if size >= n_items or not (short & _goes_on(found, rules.rules.min_score)).any():
            return answer
        size = min(2 * size, n_items)


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


def spread(found: Neighbours, known: npt.NDArray[np.bool_], N: int) -> tuple[Nums, npt.NDArray[np.float32]]:
    """Put the answers of known queries back among the unknown ones."""
    nums = np.full((len(known), N), -1, np.int32)
    scores = np.full((len(known), N), -np.inf, np.float32)
    nums[known], scores[known] = found.item_nums, found.scores
    return nums, scores
