"""Noise: exact alias tables, one over all items and one per market, each draw one load and one comparison."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit


class Noise(NamedTuple):
    """Where negatives come from; an alias entry is ``threshold << 32 | alias``."""

    aliases: npt.NDArray[np.uint64]  # (n_items,)
    market_items: npt.NDArray[np.int32]  # items with a market, market after market
    market_aliases: npt.NDArray[np.uint64]  # the same length; aliases count from the market's start
    market_offsets: npt.NDArray[np.int64]  # (n_markets + 1,)


@njit(cache=True)
def _fill_aliases(scaled, small, large, entries):  # type: ignore[no-untyped-def]
    """Vose's method over one distribution scaled to mean 1; `small` and `large` are stacks."""
    n_small, n_large = 0, 0
    for i in range(len(scaled)):
        if scaled[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
        entries[i] = (np.uint64(0xFFFFFFFF) << np.uint64(32)) | np.uint64(i)
    while n_small and n_large:
        n_small -= 1
        low, high = small[n_small], large[n_large - 1]
        threshold = np.uint64(min(scaled[low] * 4294967296.0, 4294967295.0))
        entries[low] = (threshold << np.uint64(32)) | np.uint64(high)
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            n_large -= 1
            small[n_small] = high
            n_small += 1


@njit(cache=True)
def _fill_segments(weights, offsets, entries):  # type: ignore[no-untyped-def]
    small = np.empty(len(weights), np.int64)
    large = np.empty(len(weights), np.int64)
    for s in range(len(offsets) - 1):
        first, last = offsets[s], offsets[s + 1]
        total = weights[first:last].sum()
        if total > 0.0:
            scaled = weights[first:last] * ((last - first) / total)
            _fill_aliases(scaled, small, large, entries[first:last])


def alias_tables(weights: npt.NDArray[np.float64], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Build one exact alias table per segment of `weights` (probabilities are kept to 2⁻³²).

    Parameters
    ----------
    weights : ndarray of float64, shape (n,)
        Non-negative and finite.
    offsets : ndarray of int64, shape (n_segments + 1,)

    Returns
    -------
    ndarray of uint64, shape (n,)
        ``threshold << 32 | alias``, the alias counted from its segment's start.
    """
    entries = np.zeros(len(weights), np.uint64)
    _fill_segments(np.array(weights, np.float64), np.array(offsets, np.int64), entries)
    return entries


def build_noise(weights: npt.NDArray[np.float64], item_markets: npt.NDArray[np.int32]) -> Noise:
    """Build the alias tables of the global noise (eq. 3) and of every market's (eq. 5).

    Parameters
    ----------
    weights : ndarray of float64, shape (n_items,)
        Unnormalised noise distribution, count^ns_exponent.
    item_markets : ndarray of int32, shape (n_items,)
        Market number of each item, −1 where it has none.
    """
    everything = np.array([0, len(weights)], np.int64)
    order = np.argsort(item_markets, kind="stable")
    order = order[item_markets[order] >= 0]
    n_markets = int(item_markets.max(initial=-1)) + 1
    sizes = np.bincount(item_markets[order], minlength=n_markets)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Noise(
        aliases=alias_tables(weights, everything),
        market_items=order.astype(np.int32),
        market_aliases=alias_tables(weights[order], offsets),
        market_offsets=offsets,
    )
