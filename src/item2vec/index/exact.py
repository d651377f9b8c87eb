"""Exact search: blocked matrix products, the referee of every other backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from item2vec.index.backends import Candidates
from item2vec.index.item_set import ItemSet

BLOCK_SCORES = 1 << 22
"""Scores held at once (float32: 16 MiB), so that a block stays near the cache whatever the catalogue's
size."""


class ExactIndex:
    """Scans every item. Its candidates always contain the true top k, ties included."""

    exact = True

    def __init__(self, points: npt.NDArray[np.float32]) -> None:
        self._points = points

    @classmethod
    def build(
        cls, points: npt.NDArray[np.float32], *, n_trees: int, n_links: int, search_k: int | None, seed: int
    ) -> Self:
        """Keep the points; trees and seeds belong to approximate backends."""
        return cls(points)

    def query(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        allowed: ItemSet | None = None,
    ) -> Candidates:
        """Return every item that can be among the `k` best allowed ones of each query.

        Parameters
        ----------
        queries : ndarray of float32, shape (n_queries, d)
            Unit vectors.
        k : int
            Results wanted, at least 1.
        allowed : ItemSet, optional
            The items to search; at least one.

        Returns
        -------
        Candidates
            Slightly more than `k` per query: all items whose float32 product lies within the rounding error
            of the k-th best, so that a re-score in float64 finds the true order.
        """
        points, penalty, nums = self._searched(allowed)
        n_items, dimensions = points.shape
        k = min(k, n_items if allowed is None else len(allowed))
        # |error| of a float32 product of unit vectors, twice (item and threshold), and the final rounding.
        margin = np.float32((dimensions + 16) * 2.0**-22)
        group = max(1, n_items // (8 * k))
        width = -(-n_items // group)
        step = max(1, BLOCK_SCORES // n_items)
        block = np.full((min(step, len(queries)), group * width), -np.inf, np.float32)
        rows, columns = [], []
        for start in range(0, len(queries), step):
            batch = queries[start : start + step]
            scores = block[: len(batch)]
            scores[:, :n_items] = batch @ points.T
            if penalty is not None:
                scores[:, :n_items] += penalty
            floor = _kth_best_floor(scores, group, width, k) - margin
            row, column = np.divmod(np.flatnonzero(scores >= floor[:, None]), group * width)
            rows.append(row + start)
            columns.append(column)
        found = np.concatenate([np.empty(0, np.int64), *columns])
        found_nums = found.astype(np.int32) if nums is None else nums[found]
        return Candidates(np.concatenate([np.empty(0, np.int64), *rows]), found_nums)

    @property
    def search_range(self) -> tuple[int, int]:
        """Everything, always."""
        return len(self._points), len(self._points)

    def with_search_k(self, search_k: int) -> Self:
        """Nothing is wider than everything."""
        return self

    def _searched(
        self, allowed: ItemSet | None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None, npt.NDArray[np.int32] | None]:
        """Gather the allowed points when they are few; else scan all and push the others to −inf."""
        if allowed is None:
            return self._points, None, None
        if 4 * len(allowed) < len(self._points):
            return allowed.rows_of(self._points), None, allowed.nums
        return self._points, np.where(allowed.mask, np.float32(0), np.float32(-np.inf)), None

    def save(self, folder: Path) -> None:
        """Write nothing: the vectors lie in the index folder already."""

    @classmethod
    def load(cls, folder: Path, points: npt.NDArray[np.float32], settings: dict[str, Any]) -> Self:
        """Keep the points."""
        return cls(points)

    @property
    def settings(self) -> dict[str, Any]:
        """No settings."""
        return {}


def _kth_best_floor(
    scores: npt.NDArray[np.float32], group: int, width: int, k: int
) -> npt.NDArray[np.float32]:
    """Bound each row's k-th best score from below: the k-th best maximum of `width` interleaved groups.

    k groups reach that maximum, so at least k items do; partitioning the maxima is `group` times cheaper than
    partitioning the row. With a penalty at least a quarter of the items is finite, hence at least 2k groups.
    """
    best = scores.reshape(len(scores), group, width).max(axis=1) if group > 1 else scores
    floor: npt.NDArray[np.float32] = np.partition(best, width - k, axis=1)[:, width - k]
    return floor
