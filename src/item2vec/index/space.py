"""The two readings of similarity, each as a nearest-neighbour problem among unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from item2vec.errors import DataError, UsageError

Mode = Literal["similar", "next"]
MODES: tuple[str, ...] = get_args(Mode)
MAX_NORM = 1e18
"""Longest accepted vector: the product of two still fits float32."""
SCORE_CHUNK = 1 << 16
ALL_SCORES = 1 << 22
"""float64 scores held at once (32 MiB)."""
Names = Callable[[npt.NDArray[np.int64]], Sequence[object]]


@dataclass(frozen=True, eq=False)
class Space:
    """A vector table together with the unit vectors that stand for it in an index.

    ``similar`` ranks by the cosine to input vectors: a point is the vector over its norm. ``next`` ranks by
    the inner product with output vectors; with M the largest norm, the point (v', √(M² − ‖v'‖²)) / M has
    length 1 and its cosine to (q, 0) orders items as q·v' does (Bachrach et al., RecSys 2014). Where every
    item has an offset that is added to its product, it is a further number of v', met by a 1 behind q.

    Attributes
    ----------
    mode : {"similar", "next"}
    table : ndarray of float32, shape (n_items, d) or (n_items, d + 1)
        Input vectors (``similar``) or output vectors (``next``), offsets behind them: what scores are
        computed from.
    norms : ndarray of float64, shape (n_items,)
    points : ndarray of float32, as wide as the table or one wider
        Unit vectors in item-number order.
    has_offsets : bool
    """

    mode: Mode
    table: npt.NDArray[np.float32]
    norms: npt.NDArray[np.float64]
    points: npt.NDArray[np.float32]
    has_offsets: bool = False

    @classmethod
    def from_table(
        cls,
        mode: Mode,
        table: npt.NDArray[np.float32],
        names: Names = np.ndarray.tolist,
        has_offsets: bool = False,
    ) -> Space:
        """Check a table and derive its points; `names` turns item numbers into ids.

        Raises
        ------
        DataError
            If a value is not finite, a vector is too long, or a zero vector makes cosine undefined.
        """
        norms = checked_norms(table, "item", names)
        longest = norms.max()
        if longest == 0.0 or (has_offsets and not table[:, :-1].any()):
            raise DataError("every vector is zero: the model is untrained; fit it before indexing")
        if mode == "similar":
            zero = np.flatnonzero(norms == 0.0)
            if len(zero):
                raise DataError(
                    f"{len(zero)} items have a zero vector (item {_some(zero, names)}), where cosine is"
                    " undefined; drop these items or train them"
                )
            return cls(mode, table, norms, (table / norms[:, None]).astype(np.float32))
        points = np.empty((len(table), table.shape[1] + 1), np.float32)
        points[:, :-1] = table / longest
        points[:, -1] = np.sqrt(np.maximum(0.0, 1.0 - (norms / longest) ** 2))
        return cls(mode, table, norms, points, has_offsets)

    @property
    def vector_size(self) -> int:
        """Numbers per query vector, d."""
        return int(self.table.shape[1]) - self.has_offsets

    def checked_queries(self, queries: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return query vectors, shape (n_queries, d), as float64 and as wide as the table, or refuse them.

        Raises
        ------
        UsageError
            If the shape is wrong.
        DataError
            If a query is zero, not finite or too long.
        """
        array = np.asarray(queries)
        dimensions = self.vector_size
        if array.ndim != 2 or array.shape[1] != dimensions or array.dtype.kind not in "fiu":
            raise UsageError(
                f"query vectors have shape {array.shape} and dtype {array.dtype};"
                f" this index takes numbers of shape (n_queries, {dimensions})"
            )
        zero = np.flatnonzero(checked_norms(array, "query row", np.ndarray.tolist) == 0.0)
        if len(zero):
            rows = _some(zero, np.ndarray.tolist)
            raise DataError(f"zero query vectors (query row {rows}) have no neighbours; leave them out")
        checked = np.ones((len(array), self.table.shape[1]), np.float64)
        checked[:, :dimensions] = array
        return checked

    def query_points(self, queries: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return the unit vectors that stand for checked queries, float32 of the points' width."""
        points = np.zeros((len(queries), self.points.shape[1]), np.float32)
        points[:, : queries.shape[1]] = queries / row_norms(queries)[:, None]
        return points

    def scores(
        self, queries: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], nums: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]:
        """Score candidate pairs (query row, item number) exactly: computed in float64, rounded to float32.

        Each pair is summed on its own, so equal vectors get equal scores wherever they stand.
        """
        scores = np.empty(len(rows), np.float32)
        lengths = row_norms(queries) if self.mode == "similar" else None
        for start in range(0, len(rows), SCORE_CHUNK):
            row, num = rows[start : start + SCORE_CHUNK], nums[start : start + SCORE_CHUNK]
            product = np.einsum("ij,ij->i", self.table[num].astype(np.float64), queries[row])
            if lengths is not None:
                product /= self.norms[num] * lengths[row]
            scores[start : start + SCORE_CHUNK] = product
        return scores

    def all_scores(
        self, queries: npt.NDArray[np.float64], scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
    ) -> None:
        """Write the scores of all items into the given rows; in float64, so that equal vectors stay equal."""
        if self.mode == "similar":
            queries = queries / row_norms(queries)[:, None]
        step = max(1, ALL_SCORES // len(self.table))
        for start in range(0, len(queries), step):
            scores[rows[start : start + step]] = queries[start : start + step] @ self._wide_table.T

    @cached_property
    def _wide_table(self) -> npt.NDArray[np.float64]:
        """The table as :meth:`all_scores` multiplies it; made once, when first needed."""
        table = self.table.astype(np.float64)
        return table / self.norms[:, None] if self.mode == "similar" else table


def row_norms(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Euclidean lengths, shape (n,), float64."""
    norms: npt.NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return norms


def checked_norms(vectors: npt.NDArray[np.generic], noun: str, names: Names) -> npt.NDArray[np.float64]:
    """Return the rows' lengths after checking that all values are finite and of a sane size."""
    norms = np.empty(len(vectors), np.float64)
    for start in range(0, len(vectors), SCORE_CHUNK):
        norms[start : start + SCORE_CHUNK] = row_norms(
            vectors[start : start + SCORE_CHUNK].astype(np.float64)
        )
    bad = np.flatnonzero(~(norms <= MAX_NORM))
    if len(bad):
        raise DataError(
            f"{len(bad)} vectors hold NaN, infinite or huge values ({noun} {_some(bad, names)});"
            " a model with such vectors has diverged: lower alpha and train again"
        )
    return norms


def _some(numbers: npt.NDArray[np.int64], names: Names) -> str:
    """Name the first few."""
    return ", ".join(map(repr, names(numbers[:5]))) + (", …" if len(numbers) > 5 else "")
