"""Recall of an index, measured against exact search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from item2vec.index.item_index import ItemIndex

K = 10
SAMPLE = 500


def measure_recall(
    index: ItemIndex,
    input_vectors: npt.NDArray[np.float32],
    *,
    k: int = K,
    sample: int = SAMPLE,
    seed: int = 1,
) -> float:
    """Measure recall@k of an index on a sample of its own items.

    The queries are the items' input vectors, as they are in both readings. In the reading ``similar`` an
    item's own entry is left out on both sides: finding oneself is no achievement. An answer is right when its
    score reaches the k-th best exact score, so that ties may fall either way.

    Parameters
    ----------
    index : ItemIndex
    input_vectors : ndarray of float32, shape (n_items, d)
    k : int
        Length of the compared lists; shorter where the catalogue is.
    sample : int
        Number of items asked, without replacement.
    seed : int
        Seed of the sample.

    Returns
    -------
    float
        Share of right answers, in [0, 1]; 1 when there is nothing to find.
    """
    drop_self = index.mode == "similar"
    k = min(k, index.n_items - drop_self)
    if k < 1:
        return 1.0
    rng = np.random.default_rng(seed)
    nums = np.sort(rng.choice(index.n_items, min(sample, index.n_items), replace=False))
    queries = input_vectors[nums]
    nums = nums[queries.any(axis=1)]
    if not len(nums):
        return 1.0
    truth, found = (
        _scores_of_others(
            index.search(input_vectors[nums], k + drop_self, exact=exact), nums if drop_self else None
        )
        for exact in (True, False)
    )
    return float(np.mean(found[:, :k] >= truth[:, k - 1 : k]))


def _scores_of_others(neighbours: Any, own: npt.NDArray[np.int64] | None) -> npt.NDArray[np.float32]:
    """Return the scores, best first, without the query's own entry."""
    if own is None:
        scores: npt.NDArray[np.float32] = neighbours.scores
        return scores
    others = np.where(neighbours.item_nums == own[:, None], -np.inf, neighbours.scores)
    return -np.sort(-others, axis=1)
