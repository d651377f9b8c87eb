"""The first tier: nearest places of the same market, type and price bucket, all cells in one tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.cold_start.features import Codes, Features
from item2vec.embeddings.places import chord, miles, sphere_points

AT_ONCE = 65_536
CELL_STEP = 4.0  # along the fourth axis; two places of one cell are at most 2 apart, those of two cells 4
DECIMALS = 6  # of a mile: what rounds to the same millionth is the same distance, and ids decide


class NearestPlaces:
    """Donors by place.

    A fourth coordinate keeps the cells apart, so that one tree answers for all of them and no listing is
    looked at twice; the distances that decide are great circles, computed for the few candidates.

    Parameters
    ----------
    donors : Features
        In the order of their ids: equal distances are decided by it.
    n_nearest : int
    max_miles : float
    """

    def __init__(self, donors: Features, n_nearest: int, max_miles: float) -> None:
        from scipy.spatial import cKDTree

        self._k, self._max_miles = n_nearest, max_miles
        rows = np.flatnonzero(_placed(donors))
        # Of the donors at one place only the first few by id can be among the nearest.
        keys = np.column_stack([donors.cells[rows].astype(np.float64), donors.places[rows]])
        order = np.lexsort((rows, *keys.T[::-1]))
        starts = np.flatnonzero(np.r_[True, (np.diff(keys[order], axis=0) != 0).any(axis=1)])[: len(order)]
        within = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        self._donors = rows[order[within < n_nearest]]
        self._places = donors.places[self._donors]
        points = _points(donors.cells[self._donors], self._places)
        self._tree: Any = cKDTree(points) if len(points) else None

    def find(self, cold: Features) -> tuple[Codes, npt.NDArray[np.float64]]:
        """Return the nearest donors, int64 (n, k) padded with −1, and their distance in miles, inf."""
        n = len(cold.cells)
        nums, distances = np.full((n, self._k), -1, np.int64), np.full((n, self._k), np.inf)
        rows = np.flatnonzero(_placed(cold))
        if self._tree is None:
            return nums, distances
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            nums[part], distances[part] = self._search(cold.cells[part], cold.places[part])
        return nums, distances

    def _search(self, cells: Codes, places: npt.NDArray[np.float64]) -> tuple[Codes, npt.NDArray[np.float64]]:
        points, k = _points(cells, places), self._k
        width = 2 * k + 2
        bound = chord(self._max_miles) * (1 + 1e-9) + 1e-12
        _, found = self._tree.query(points, k=width, distance_upper_bound=bound)
        nums, distances = self._ordered(places, found)
        # Where candidates run out within a tie, all those as near are fetched: one may come first by id.
        last, full = distances[:, -1], found[:, -1] < len(self._donors)
        tied = np.flatnonzero(full & (last == distances[:, k - 1]) & (last < np.inf))
        for row in tied:
            radius = chord(distances[row, k - 1] + 2 * 10.0**-DECIMALS) * (1 + 1e-9) + 1e-12
            ball = np.array([self._tree.query_ball_point(points[row], radius)], np.int64)
            near, at = self._ordered(np.broadcast_to(places[row], (1, 2)), ball)
            nums[row, :k], distances[row, :k] = near[0, :k], at[0, :k]
        return nums[:, :k], distances[:, :k]

    def _ordered(
        self, places: npt.NDArray[np.float64], found: npt.NDArray[np.int64]
    ) -> tuple[Codes, npt.NDArray[np.float64]]:
        """Order candidates by great-circle distance, then by id."""
        known = found < len(self._donors)
        safe = np.where(known, found, 0)
        here = np.repeat(places, found.shape[1], axis=0)
        exact = miles(here, self._places[safe.ravel()]).reshape(found.shape).round(DECIMALS)
        known &= exact <= self._max_miles
        distances = np.where(known, exact, np.inf)
        nums = np.where(known, self._donors[safe], -1)
        order = np.lexsort((nums, distances), axis=1)
        return np.take_along_axis(nums, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _placed(items: Features) -> npt.NDArray[np.bool_]:
    placed: npt.NDArray[np.bool_] = (items.cells >= 0) & ~np.isnan(items.places).any(axis=1)
    return placed


def _points(cells: Codes, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack([sphere_points(places), cells * CELL_STEP])
