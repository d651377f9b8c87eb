"""A user's interest in every item: lately, by what was booked, by type, by what everyone likes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.index.space import Mode
from item2vec.recommendations.answers import id_list
from item2vec.recommendations.centroids import Centroid, Floats, InterestWeights, Nums
from item2vec.recommendations.interest_search import InterestSearch
from item2vec.recommendations.interest_tables import InterestTables
from item2vec.recommendations.user_events import DAY_US
from item2vec.recommendations.user_history import UserHistory

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors
    from item2vec.index import ItemSet
    from item2vec.recommendations.type_interest import TypeInterest

ELSEWHERE = -1
"""The market of items without one."""
_LIKED, _PASSED, _BOOKED = range(3)


@dataclass(frozen=True)
class Blend:
    """A user's interests, ready to score any item.

    Attributes
    ----------
    lately, passed, booked : list of Centroid
        Where what was liked lately, passed over lately and ever booked lies, market by market.
    typed : ndarray of float32, shape (n_listing_types,), or None
        The weighted part of each listing type, 0 where it has no answer; None where none has one.
    weights : InterestWeights
    mode : {"similar", "next"}
        How `lately` is read.
    user_type : str or None
    nums : dict of int to int
        The item number of each event before the question, by its place in the history; −1: unknown.
    n_future : int
        Events after the moment of the question.
    """

    lately: list[Centroid]
    passed: list[Centroid]
    booked: list[Centroid]
    typed: Floats | None
    weights: InterestWeights
    mode: Mode
    user_type: str | None
    nums: dict[int, int]
    n_future: int

    @property
    def n_unknown(self) -> int:
        """Events of unknown items."""
        return sum(num < 0 for num in self.nums.values())


class UserInterest:
    """Blends short-term and long-term interest over the items of one model.

    Parameters
    ----------
    vectors : ItemVectors
    markets : ndarray of int64, shape (n_items,)
        Market of each item, :data:`ELSEWHERE` without one.
    types : TypeInterest, optional
    """

    def __init__(
        self, vectors: ItemVectors, markets: npt.NDArray[np.int64], types: TypeInterest | None = None
    ) -> None:
        self.vocabulary, self.types = vectors.vocabulary, types
        self.tables = InterestTables(vectors, types)
        self._markets = markets

    def blend(self, user: UserHistory, now: int, mode: Mode, weights: InterestWeights) -> Blend:
        """Sum up what is known of a user at a moment (microseconds since 1970).

        Raises
        ------
        UsageError
            If the mode is unknown, or ``next`` and the model has no output vectors.
        """
        self.tables.targets(mode)
        nums, n_future = self._known(user, now)
        liked, passed, booked = self._centroids(user, nums, now, weights)
        user_type, typed = self._typed(user, nums, weights)
        return Blend(liked, passed, booked, typed, weights, mode, user_type, nums, n_future)

    def contenders(self, blend: Blend, k: int, allowed: ItemSet | None) -> Nums:
        """Return items of those allowed that the k of most interest are among, in no order."""
        return InterestSearch(self.tables, blend).contenders(k, allowed)

    def parts(self, blend: Blend, nums: Nums) -> dict[str, Floats]:
        """Return what the scores of some items are the sum of, float32 (n,) each.

        Returns
        -------
        dict
            Weighted: ``lately``, ``skipped`` (not above 0), ``booked``, ``type``, ``popular``; those that
            have an answer. They do not depend on which items are asked together: alike items are equal.
        """
        tables, weights, parts = self.tables, blend.weights, dict[str, Floats]()
        places = tables.places[nums]
        units = tables.units[places] if blend.passed or blend.booked else tables.units[:0]
        if blend.lately:
            rows = tables.targets(blend.mode)[places]
            parts["lately"] = np.float32(weights.lately) * _nearness(blend.lately, rows)
        if blend.passed:
            away = np.maximum(_nearness(blend.passed, units), np.float32(0))
            parts["skipped"] = -np.float32(weights.skipped) * away
        if blend.booked:
            parts["booked"] = np.float32(weights.booked) * _nearness(blend.booked, units)
        if blend.typed is not None and tables.type_codes is not None:
            parts["type"] = blend.typed[tables.type_codes[places]]
        parts["popular"] = np.float32(weights.popular) * tables.popularity[places]
        return parts

    def scores(self, blend: Blend, nums: Nums) -> Floats:
        """Return the scores of some items: the sum of their parts, float32 (n,)."""
        scores = np.zeros(len(nums), np.float32)
        for part in self.parts(blend, nums).values():
            scores += part
        return scores

    def _typed(
        self, user: UserHistory, nums: dict[int, int], weights: InterestWeights
    ) -> tuple[str | None, Floats | None]:
        if self.types is None:
            return None, None
        stays = [
            (event.ts_us, nums[place])
            for place, event in enumerate(user.events)
            if event.event_type == "booking" and nums.get(place, -1) >= 0
        ]
        history = np.array([num for _, num in sorted(stays)], np.int32)
        user_type = self.types.user_type(history, user.attributes)
        found = self.types.of_listing_types(user_type)
        if np.isnan(found).all():
            return user_type, None
        return user_type, np.float32(weights.type) * np.nan_to_num(found)

    def _known(self, user: UserHistory, now: int) -> tuple[dict[int, int], int]:
        """Return the item number of each event before the question (−1: unknown), and how many come after.

        Raises
        ------
        UsageError
            If ids are of another type than the model's.
        """
        before = [place for place, event in enumerate(user.events) if event.ts_us < now]
        ids = id_list([user.events[place].item_id for place in before], self.vocabulary, "the history")
        numbers = self.vocabulary.nums(ids).tolist() if ids else []
        return dict(zip(before, numbers, strict=True)), len(user.events) - len(before)

    def _centroids(
        self, user: UserHistory, nums: dict[int, int], now: int, weights: InterestWeights
    ) -> tuple[list[Centroid], list[Centroid], list[Centroid]]:
        """Group what was liked lately, what was passed over lately and what was ever booked by market."""
        since = now - weights.days * DAY_US
        entries: list[tuple[int, int, int, float]] = []
        for place, num in nums.items():
            event = user.events[place]
            if num < 0:
                continue
            if event.event_type == "booking":
                entries.append((_BOOKED, place, num, 0.0))
            if event.ts_us < since:
                continue
            half_lives = weights.half_lives(now - event.ts_us)
            if event.event_type == "skip":
                entries.append((_PASSED, place, num, -half_lives))
            elif (weight := weights.of_event(event)) > 0:
                entries.append((_LIKED, place, num, math.log2(weight) - half_lives))
        return self._by_market(entries)

    def _by_market(
        self, entries: list[tuple[int, int, int, float]]
    ) -> tuple[list[Centroid], list[Centroid], list[Centroid]]:
        """Return the centroids of liked, passed and booked items; an entry ends with its weight's log2."""
        found: tuple[list[Centroid], list[Centroid], list[Centroid]] = ([], [], [])
        if not entries:
            return found
        kinds, events, items, logs = zip(*entries, strict=True)
        nums, log2_weights = np.array(items, np.int32), np.array(logs, np.float64)
        units = self._units_of(nums).astype(np.float64)
        groups: dict[tuple[int, int], list[int]] = {}
        for row, group in enumerate(zip(kinds, self._markets[nums].tolist(), strict=True)):
            groups.setdefault(group, []).append(row)
        for (kind, market), rows in sorted(groups.items()):
            places = [events[row] for row in rows]
            one = Centroid.of(market, places, nums[rows], log2_weights[rows], units[rows])
            if one is not None:
                found[kind].append(one)
        return found

    def _units_of(self, nums: Nums) -> Floats:
        rows: Floats = self.tables.units[self.tables.places[nums]]
        return rows

    def nearest(self, centroids: list[Centroid], item_num: int, mode: Mode) -> Centroid | None:
        """Return the centroid that is nearest to an item; None without any."""
        row = self.tables.targets(mode)[self.tables.places[item_num]]
        return max(centroids, key=lambda one: float(one.vector @ row), default=None)

    def shares(self, centroid: Centroid, item_num: int, mode: Mode) -> npt.NDArray[np.float64]:
        """Return what each event of a centroid adds to its product with an item, shape (n_events,)."""
        row = self.tables.targets(mode)[self.tables.places[item_num]]
        products = self._units_of(centroid.items).astype(np.float64) @ row
        found: npt.NDArray[np.float64] = centroid.weights * products
        return found


def _nearness(centroids: list[Centroid], rows: Floats) -> Floats:
    """Return each row's product with the nearest centroid, (n,).

    Sums row by row: those of a matrix product depend on which rows are multiplied together.
    """
    exact = rows.astype(np.float64)
    nearest = (exact * centroids[0].vector).sum(axis=1)
    for one in centroids[1:]:
        np.maximum(nearest, (exact * one.vector).sum(axis=1), out=nearest)
    scores: Floats = nearest.astype(np.float32)
    return scores
