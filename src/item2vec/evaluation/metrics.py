"""Ranking metrics of one relevant item, computed from its rank."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def recall_at(ranks: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """Return 1 where the target is among the first `k`, else 0, per case, shape (n_cases,).

    With one relevant item this is Recall@k, hit rate and success at once.
    """
    return (ranks <= k).astype(np.float64)


def reciprocal_rank_at(ranks: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """Return 1/rank where the rank is at most `k`, else 0, per case, shape (n_cases,); its mean is MRR@k."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


def recall_curve(ranks: npt.NDArray[np.float64], max_k: int = 100) -> npt.NDArray[np.float64]:
    """Return Recall@1, …, Recall@`max_k` in %, shape (max_k,): the cumulative distribution of the ranks.

    NaN everywhere when there is no case.
    """
    if not len(ranks):
        return np.full(max_k, np.nan)
    first_list = np.ceil(ranks[ranks <= max_k]).astype(np.int64)
    counts: npt.NDArray[np.int64] = np.bincount(first_list, minlength=max_k + 1)
    return 100.0 * np.cumsum(counts[1 : max_k + 1]) / len(ranks)


def coverage(times_recommended: npt.NDArray[np.int64], n_items: int) -> float:
    """Return the share of the catalogue, in %, that appears in at least one list.

    Parameters
    ----------
    times_recommended : ndarray of int64, shape (n,)
        How often each item stood in a list; items not named were never recommended.
    n_items : int
        Size of the catalogue.
    """
    return float("nan") if n_items == 0 else 100.0 * int(np.count_nonzero(times_recommended)) / n_items
