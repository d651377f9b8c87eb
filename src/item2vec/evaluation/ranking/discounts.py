"""Discounted gains of an order, per search; the ideal order; both without a loop over searches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def expected_discounts(scores: npt.NDArray[np.floating], searches: Ints) -> Floats:
    """Return 1/log2(1 + rank) of each row in its search's order by score, highest first.

    Rows of equal score share the mean of their ranks' discounts: what a random order among them gives.

    Parameters
    ----------
    scores : ndarray of float, shape (n_rows,)
        No NaN.
    searches : ndarray of int64, shape (n_rows,)
        Number of the search, in any order.

    Returns
    -------
    ndarray of float64, shape (n_rows,)
    """
    if not len(scores):
        return np.zeros(0)
    order = np.lexsort((-scores, searches))
    owners, ordered = searches[order], scores[order]
    changes = np.ones(len(order), bool)
    changes[1:] = owners[1:] != owners[:-1]
    starts = np.flatnonzero(changes)
    sizes = np.diff(np.append(starts, len(order)))
    ranks = np.arange(len(order)) - np.repeat(starts, sizes) + 1
    changes[1:] |= ordered[1:] != ordered[:-1]
    ties = np.flatnonzero(changes)
    tied = np.diff(np.append(ties, len(order)))
    shared = np.add.reduceat(1.0 / np.log2(1.0 + ranks), ties) / tied
    discounts = np.empty(len(order))
    discounts[order] = np.repeat(shared, tied)
    return discounts


def discounted_sums(worth: Floats, discounts: Floats, searches: Ints, n_searches: int) -> Floats:
    """Return Σ worth · discount per search, shape (n_searches,)."""
    sums: Floats = np.bincount(searches, worth * discounts, n_searches).astype(np.float64)
    return sums


def normalised_sums(worth: Floats, discounts: Floats, searches: Ints, n_searches: int) -> Floats:
    """Divide by what the best order reaches: rows by worth, the largest first, the negative ones last.

    Returns
    -------
    ndarray of float64, shape (n_searches,)
        At most 1, negative where the order is worth less than nothing; NaN where the best order is worth
        nothing or less, so that there is nothing to divide by.
    """
    ideal = discounted_sums(worth, expected_discounts(worth, searches), searches, n_searches)
    reached = discounted_sums(worth, discounts, searches, n_searches)
    shares: Floats = np.divide(reached, ideal, out=np.full(n_searches, np.nan), where=ideal > 1e-12)
    return shares
