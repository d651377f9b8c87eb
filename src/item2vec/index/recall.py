"""Recall of an index, measured against exact search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from item2vec.index.item_index import ItemIndex

K = 10
SAMPLE = 2000
"""Items asked: what is chosen on them holds for others within a quarter of a percent."""


class RecallProbe:
    """Questions to an index whose exact answers are known: a sample of its own items.

    The queries are the items' input vectors, as they are in both readings. In the reading ``similar`` an
    item's own entry is left out on both sides: finding oneself is no achievement. An answer is right when its
    score reaches the k-th best exact score, so that ties may fall either way.

    Parameters
    ----------
    index : ItemIndex
        Answers exactly, whatever its backend, when it is asked to.
    input_vectors : ndarray of float32, shape (n_items, d)
    k : int
        Length of the compared lists; shorter where the catalogue is.
    sample : int
        Number of items asked, without replacement.
    seed : int
        Seed of the sample.
    """

    def __init__(
        self,
        index: ItemIndex,
        input_vectors: npt.NDArray[np.float32],
        *,
        k: int = K,
        sample: int = SAMPLE,
        seed: int = 1,
    ) -> None:
        self._drop_self = index.mode == "similar"
        self.k = min(k, index.n_items - self._drop_self)
        nums = np.sort(
            np.random.default_rng(seed).choice(index.n_items, min(sample, index.n_items), replace=False)
        )
        self._nums = nums[input_vectors[nums].any(axis=1)]
        self._queries = input_vectors[self._nums]
        if self.n_queries:
            self._truth = self._scores(index, exact=True)

    @property
    def n_queries(self) -> int:
        """Items asked; none where there is nothing to find."""
        return len(self._nums) if self.k >= 1 else 0

    def recall(self, index: ItemIndex) -> float:
        """Share of right answers, in [0, 1]; 1 when there is nothing to find."""
        if not self.n_queries:
            return 1.0
        found = self._scores(index, exact=False)
        return float(np.mean(found[:, : self.k] >= self._truth[:, self.k - 1 : self.k]))

    def _scores(self, index: ItemIndex, exact: bool) -> npt.NDArray[np.float32]:
        """Return the scores, best first, without the query's own entry."""
        neighbours = index.search(self._queries, self.k + self._drop_self, exact=exact)
        if not self._drop_self:
            return neighbours.scores
        others = np.where(neighbours.item_nums == self._nums[:, None], -np.inf, neighbours.scores)
        return -np.sort(-others, axis=1)
