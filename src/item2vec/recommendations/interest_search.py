"""The items of most interest, exactly, from a look at few: bounds first, then the scores of what is left.

The score of an item is a sum of parts. Those that are quickly had make a hope that the score cannot exceed:
nearness to what was liked lately, the type, what everyone likes, and as much as nearness to what was booked
can add; what was passed over only takes off. Blocks, and then items, whose hope is below what enough others
reach are left out (Fagin, Lotem & Naor 2003, the threshold algorithm).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from item2vec.recommendations.blocks import BLOCK, Floats, Places, nearest_products, places_of

if TYPE_CHECKING:
    from item2vec.index import ItemSet
    from item2vec.recommendations.centroids import Centroid
    from item2vec.recommendations.interest import Blend
    from item2vec.recommendations.interest_tables import InterestTables

Nums = npt.NDArray[np.int32]
_FIRST_BLOCKS = 80
"""So many blocks are looked at before others are left out, and more where many items are wanted."""
_MANY = 2048
"""Among more hopeful items than that the best are looked for first."""
_FEW_ALLOWED = 8
"""Where less than one item in so many is allowed, just these are looked at."""


class Hopeful(NamedTuple):
    """Items by place, and what their scores are at most."""

    places: Places
    hopes: Floats


class InterestSearch:
    """Searches the items of one model for those that one blend scores highest.

    Parameters
    ----------
    tables : InterestTables
    blend : Blend
    """

    def __init__(self, tables: InterestTables, blend: Blend) -> None:
        weights, typed = blend.weights, blend.typed
        self._tables, self._blend = tables, blend
        self._popular = np.float32(weights.popular)
        self._liked = _weighted(blend.lately, weights.lately)
        self._passed = _weighted(blend.passed, weights.skipped)
        self._booked = _weighted(blend.booked, weights.booked)
        self._most_booked = np.float32(weights.booked if blend.booked else 0.0)
        most_typed = 0.0 if typed is None else float(np.abs(typed).max())
        heaviest = weights.lately + weights.skipped + weights.booked + weights.popular + most_typed
        # More than sums of so many float32 are off: what is left out is worse however they are rounded.
        self._slack: float = 4 * float(np.finfo(np.float32).eps) * (tables.units.shape[1] + 16) * heaviest

    def contenders(self, k: int, allowed: ItemSet | None) -> Nums:
        """Return items of those allowed that the k best are among, in no order."""
        tables = self._tables
        if allowed is not None and len(allowed) * _FEW_ALLOWED <= len(tables):
            places = tables.places[allowed.nums]
            found = Hopeful(places, self._hopes(places))
        else:
            bounds = self._bounds()
            floor = self._first_floor(bounds, k, allowed)
            found = self._hopeful(np.flatnonzero(bounds >= floor), floor, allowed)
        if len(found.places) > max(_MANY, 4 * k):
            found = self._above(found, self._floor(found, k))
        scores = self._scores(found)
        places = found.places
        if k < len(scores):
            places = places[scores >= _at_place(scores, k) - self._slack]
        nums: Nums = tables.nums[places]
        return nums

    def _first_floor(self, bounds: Floats, k: int, allowed: ItemSet | None) -> float:
        """Return what the k-th best score is at least, going by the blocks of the highest bounds."""
        n_first = max(_FIRST_BLOCKS, 2 * k // BLOCK)
        if n_first >= len(bounds):
            return -np.inf
        first = np.flatnonzero(bounds >= _at_place(bounds, n_first))
        return self._floor(self._hopeful(first, -np.inf, allowed), k)

    def _bounds(self) -> Floats:
        """Return what the hopes of the items of each block are at most."""
        tables, blend = self._tables, self._blend
        bounds: Floats = self._popular * tables.most_popular
        if blend.lately:
            balls = tables.balls(blend.mode)
            bounds += nearest_products(balls.centres, self._liked)
            bounds += np.float32(blend.weights.lately) * balls.radii
        if blend.typed is not None:
            bounds += blend.typed.max()
        return bounds + np.float32(self._most_booked + self._slack)

    def _hopeful(self, blocks: Places, floor: float, allowed: ItemSet | None) -> Hopeful:
        """Return the allowed items of some blocks whose hope is not below the floor."""
        tables = self._tables
        if 2 * BLOCK * len(blocks) > len(tables):  # a scan is faster than to gather so many
            hopes = self._hopes(None)
            places = np.flatnonzero(hopes >= floor)
            hopes = hopes[places]
        else:
            places = places_of(blocks, len(tables))
            places, hopes = self._above(Hopeful(places, self._hopes(places)), floor)
        if allowed is not None:
            kept = allowed.mask[tables.nums[places]]
            places, hopes = places[kept], hopes[kept]
        return Hopeful(places, hopes)

    def _hopes(self, places: Places | None) -> Floats:
        """Return what the scores of some items, or of all, are at most."""
        tables, blend = self._tables, self._blend
        hopes: Floats = self._popular * _taken(tables.popularity, places) + self._most_booked
        if blend.lately:
            rows = _taken(tables.targets(blend.mode), places)
            hopes += nearest_products(rows, self._liked)
        if blend.typed is not None and tables.type_codes is not None:
            hopes += blend.typed[_taken(tables.type_codes, places)]
        return hopes

    def _scores(self, found: Hopeful) -> Floats:
        """Return the scores of hopeful items, as products of whole tables round them."""
        blend, scores = self._blend, found.hopes - self._most_booked
        if not (blend.booked or blend.passed):
            return scores
        rows = self._tables.units.take(found.places, axis=0)
        if blend.booked:
            scores += nearest_products(rows, self._booked)
        if blend.passed:
            scores -= np.maximum(nearest_products(rows, self._passed), np.float32(0))
        return scores

    def _floor(self, found: Hopeful, k: int) -> float:
        """Return what the k-th best score is at least, going by the scores of the most hopeful."""
        if len(found.hopes) <= k:
            return -np.inf
        best = self._above(found, _at_place(found.hopes, min(2 * k, len(found.hopes))))
        scores = self._scores(best)
        return _at_place(scores, k) - self._slack

    @staticmethod
    def _above(found: Hopeful, floor: float) -> Hopeful:
        if floor == -np.inf:
            return found
        kept = np.flatnonzero(found.hopes >= floor)  # sooner than to index by a mask
        return Hopeful(found.places.take(kept), found.hopes.take(kept))


def _at_place(values: Floats, k: int) -> float:
    """Return the k-th highest value."""
    return float(np.partition(values, -k)[-k])


def _weighted(centroids: list[Centroid], weight: float) -> Floats:
    """Return centroids as rows that are as long as they weigh: that of their products need not be told."""
    rows: Floats = np.array([one.vector for one in centroids], np.float32) * np.float32(weight)
    return rows


def _taken(table: npt.NDArray[Any], places: Places | None) -> npt.NDArray[Any]:
    """Return rows of a table; all of them are not copied."""
    return table if places is None else table.take(places, axis=0)
