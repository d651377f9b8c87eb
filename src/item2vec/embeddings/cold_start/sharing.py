"""The second tier: the donors that share the most attributes, pair by pair, a shard at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.cold_start.features import Codes, Features

NEAR = 0.1
"""Two numbers agree when they differ by at most this share of the cold listing's."""
PAIRS_AT_ONCE = 4_000_000


class Alike(NamedTuple):
    """Cold listings of one shard, and the donors that share most with each.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Cold listings, only those that share anything.
    offsets, donors : ndarray of int64
        Ragged: listing i has ``donors[offsets[i]:offsets[i + 1]]``, ascending.
    n_shared : ndarray of int64, shape (n,)
        Attributes that each of its donors shares with it; the market is not counted.
    shared : ndarray of bool, shape (n, n_attributes)
        Attributes that all of its donors share with it.
    """

    rows: Codes
    offsets: Codes
    donors: Codes
    n_shared: Codes
    shared: npt.NDArray[np.bool_]


def share_most(cold: Features, donors: Features, rows: Codes) -> Iterator[Alike]:
    """Find for each of some cold listings the donors that share the most attributes with it.

    Donors are those of its market; where that is unknown or has none, all of them.
    """
    if not cold.attributes or not len(donors.markets):
        return
    order = np.argsort(donors.markets, kind="stable")
    ordered = donors.markets[order]
    for market in np.unique(cold.markets[rows]):
        asked = rows[cold.markets[rows] == market]
        low, high = np.searchsorted(ordered, (market, market + 1))
        # np.sort: all donors in the order of their ids
        shard = np.sort(order[low:high]) if market >= 0 and high > low else np.arange(len(order))
        step = max(1, PAIRS_AT_ONCE // len(shard))
        for start in range(0, len(asked), step):
            yield _alike(cold, donors, asked[start : start + step], shard)


def _alike(cold: Features, donors: Features, rows: Codes, shard: Codes) -> Alike:
    counts = np.zeros((len(rows), len(shard)), np.int16)
    for name, values in cold.attributes.items():
        counts += _agree(values[rows], donors.attributes[name][shard])
    most = counts.max(axis=1).astype(np.int64)
    chosen = (counts == most[:, None]) & (most > 0)[:, None]
    sizes = chosen.sum(axis=1)
    shared = [
        (_agree(values[rows], donors.attributes[name][shard]) & chosen).sum(axis=1) == sizes
        for name, values in cold.attributes.items()
    ]
    kept = most > 0
    offsets = np.r_[0, np.cumsum(sizes[kept])].astype(np.int64)
    return Alike(
        rows[kept], offsets, shard[np.nonzero(chosen)[1]], most[kept], np.stack(shared, axis=1)[kept]
    )


def _agree(cold: npt.NDArray[Any], donors: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Compare every cold listing with every donor in one attribute, bool (n_cold, n_donors)."""
    if cold.dtype == np.float64:
        with np.errstate(invalid="ignore"):  # infinite less infinite
            near = np.abs(donors[None, :] - cold[:, None]) <= NEAR * np.abs(cold)[:, None]
        return np.asarray(near & np.isfinite(cold)[:, None])
    return np.asarray((donors[None, :] == cold[:, None]) & (cold >= 0)[:, None])
