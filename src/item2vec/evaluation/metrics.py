"""Ranking metrics, computed from the ranks of the relevant items of each case.

Ranks are ragged: case ``c`` has the ranks ``ranks[offsets[c]:offsets[c + 1]]``, ``inf`` for an item outside
the answer; without offsets each case has one relevant item. Tied items share a rank, which may be half-way,
and there may be more of them than a list of k holds: only the first k relevant items of a case count, so that
no metric exceeds 1.
All values are those of trec_eval and ir-measures where no scores are tied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Relevant:
    """The relevant items of all cases, best first within their case."""

    ranks: Ranks
    cases: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]  # 1 for the best of its case
    sizes: npt.NDArray[np.int64]  # relevant items per case

    def total(self, gains: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
        """Add up what the relevant items within the first k earn, per case; NaN for a case without any."""
        hits = (self.ranks <= k) & (self.places <= k)
        totals = np.bincount(self.cases[hits], gains[hits], len(self.sizes))
        return np.where(self.sizes > 0, totals, np.nan)


def _relevant(ranks: Ranks, offsets: Offsets | None) -> _Relevant:
    if offsets is None:
        ones = np.ones(len(ranks), np.int64)
        return _Relevant(ranks, np.arange(len(ranks)), ones, ones)
    sizes = np.diff(offsets)
    cases = np.repeat(np.arange(len(sizes)), sizes)
    places = np.arange(len(ranks)) - np.repeat(offsets[:-1], sizes) + 1
    return _Relevant(ranks[np.lexsort((ranks, cases))], cases, places, sizes)


def recall_at(ranks: Ranks, k: int, offsets: Offsets | None = None) -> npt.NDArray[np.float64]:
    """Return the share of the relevant items among the first `k`, per case, shape (n_cases,).

    Parameters
    ----------
    ranks : ndarray of float64, shape (n_relevant,)
        Ranks of the relevant items, ``inf`` outside the answer.
    k : int
        Length of the list.
    offsets : ndarray of int64, shape (n_cases + 1,), optional
        Where each case's ranks lie; one per case by default.
    """
    found = _relevant(ranks, offsets)
    return found.total(1.0 / found.sizes[found.cases], k)


def hit_at(ranks: Ranks, k: int, offsets: Offsets | None = None) -> npt.NDArray[np.float64]:
    """Return 1 where any relevant item is among the first `k`, else 0 (hit rate, Success@k), per case."""
    found = _relevant(ranks, offsets)
    return found.total((found.places == 1).astype(np.float64), k)


def reciprocal_rank_at(ranks: Ranks, k: int, offsets: Offsets | None = None) -> npt.NDArray[np.float64]:
    """Return 1/rank of the best relevant item, 0 if it is beyond `k`, per case; the mean is MRR@k."""
    found = _relevant(ranks, offsets)
    return found.total((found.places == 1) / found.ranks, k)


def ndcg_at(ranks: Ranks, k: int, offsets: Offsets | None = None) -> npt.NDArray[np.float64]:
    """Return the discounted gain ``Σ 1/log2(rank + 1)`` over that of the ideal order, per case.

    All relevant items gain the same (Järvelin & Kekäläinen 2002, with trec_eval's discount).
    """
    found = _relevant(ranks, offsets)
    ideal = np.concatenate([[np.nan], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    gains = found.total(1.0 / np.log2(found.ranks + 1.0), k)
    shares: npt.NDArray[np.float64] = gains / ideal[np.minimum(found.sizes, k)]
    return shares


def average_precision_at(ranks: Ranks, k: int, offsets: Offsets | None = None) -> npt.NDArray[np.float64]:
    """Return the precisions at the relevant items within the first `k`, over all relevant ones, per case.

    The mean is MAP@k as trec_eval has it (``map_cut``): relevant items beyond `k` count as missed.
    """
    found = _relevant(ranks, offsets)
    return found.total(found.places / found.ranks / found.sizes[found.cases], k)


def recall_curve(ranks: Ranks, max_k: int = 100, offsets: Offsets | None = None) -> npt.NDArray[np.float64]:
    """Return the mean Recall@1, …, Recall@`max_k` in %, shape (max_k,).

    NaN everywhere when there is no case.
    """
    found = _relevant(ranks, offsets)
    n_cases = np.count_nonzero(found.sizes)
    if not n_cases:
        return np.full(max_k, np.nan)
    near = found.ranks <= max_k
    first_list = np.maximum(np.ceil(found.ranks[near]).astype(np.int64), found.places[near])
    shares = np.bincount(first_list, 1.0 / found.sizes[found.cases[near]], max_k + 1)
    return 100.0 * np.cumsum(shares[1 : max_k + 1]) / n_cases
