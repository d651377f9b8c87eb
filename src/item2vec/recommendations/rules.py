"""Guard rails of a list: a least score, variety, caps per host, popularity, freshness, no duplicates."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.index.arguments import MAX_K
from item2vec.recommendations.attributes import TIME
from item2vec.recommendations.user_events import DAY_US

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors
    from item2vec.recommendations.attributes import Column, ItemAttributes

Caps = Sequence[tuple[npt.NDArray[np.object_], int]]
POOL_PER_RESULT, LEAST_POOL = 10, 100
"""Candidates that rules choose from, per wanted result and at least; more where rules strike out too many."""


@dataclass(frozen=True)
class ListRules:
    """What a list must be like beyond being near.

    The order follows the rules; the scores that come back stay what the reading says.

    Attributes
    ----------
    min_score : float, optional
        Leave out what scores less (a cosine; for ``mode="next"`` an inner product and popularity); lists may
        get short.
    diversity : float
        0 ranks by score alone. Above, each place goes to the item with the largest ``(1 − diversity) · score
        − diversity · (largest cosine to the items chosen before)``, maximal marginal relevance (Carbonell &
        Goldstein 1998), of the nearest ten per result, at least 100.
    at_most : mapping of column to int
        Most items per value of a column, as ``{"host_id": 2}``; items without a value are not counted.
    unique : str, optional
        Column that names one and the same listing under several ids: one of each comes back, and none that is
        the query's own.
    popularity : float
        Added to a score for the most clicked item, nothing for one without clicks, in between by
        log(1 + clicks in training); negative to help rare items.
    freshness : float
        Added to a score for an item of today, half of it after `half_life_days`, and so on.
    fresh_column : str
        Column with the date an item was listed; items without one get nothing.
    half_life_days : float
    today : datetime.date, optional
        Today by default.
    """

    min_score: float | None = None
    diversity: float = 0.0
    at_most: Mapping[str, int] = field(default_factory=dict)
    unique: str | None = None
    popularity: float = 0.0
    freshness: float = 0.0
    fresh_column: str = "listed"
    half_life_days: float = 30.0
    today: dt.date | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.at_most, Mapping):
            raise UsageError(f"at_most is a mapping of column to number, not {self.at_most!r}")
        caps = {column: _python(most) for column, most in self.at_most.items()}
        object.__setattr__(self, "at_most", caps)
        if self.today is not None and not isinstance(self.today, dt.date):
            raise UsageError(f"today is a date, not {self.today!r}")
        for name in ("diversity", "popularity", "freshness", "half_life_days", "min_score"):
            object.__setattr__(self, name, _python(getattr(self, name)))
        for name in ("diversity", "popularity", "freshness", "half_life_days", "min_score"):
            value = getattr(self, name)
            if name == "min_score" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise UsageError(f"{name} is a number, not {value!r}")
        if not 0.0 <= self.diversity < 1.0:
            raise UsageError(f"diversity is from 0 (none) to below 1, not {self.diversity!r}")
        if self.half_life_days <= 0:
            raise UsageError(f"half_life_days is above 0, not {self.half_life_days!r}")
        for column, most in self.at_most.items():
            if isinstance(most, bool) or not isinstance(most, int) or most < 1:
                raise UsageError(f"at_most[{column!r}] is a whole number from 1 on, not {most!r}")


class Features(NamedTuple):
    """What rules ask of candidates, one entry per candidate.

    Attributes
    ----------
    bonus : ndarray of float64, shape (n,)
        Added to the score.
    groups : tuple of ndarray of object, shape (n,)
        The value in each capped column, None where there is none.
    twins : ndarray of object, shape (n,)
        The value in the column that names one listing.
    units : ndarray of float64, shape (n, d)
        Vectors of length 1; without columns where there is no diversity.
    """

    bonus: npt.NDArray[np.float64]
    groups: tuple[npt.NDArray[np.object_], ...]
    twins: npt.NDArray[np.object_]
    units: npt.NDArray[np.float64]

    def joined(self, other: Features) -> Features:
        """These candidates and then the others."""
        groups = tuple(np.concatenate(pair) for pair in zip(self.groups, other.groups, strict=True))
        rest = (np.concatenate([self.twins, other.twins]), np.concatenate([self.units, other.units]))
        return Features(np.concatenate([self.bonus, other.bonus]), groups, *rest)

    def taken(self, order: npt.NDArray[np.int64]) -> Features:
        """Candidates in another order, or some of them."""
        return Features(
            self.bonus[order], tuple(one[order] for one in self.groups), self.twins[order], self.units[order]
        )


class CompiledRules:
    """Rules over the items of one model.

    Parameters
    ----------
    rules : ListRules
    vectors : ItemVectors
    attributes : ItemAttributes or None
    largest_count : int, optional
        Clicks of the most clicked item; by default of these.

    Raises
    ------
    UsageError
        If a rule needs a column that is not there.
    """

    def __init__(
        self,
        rules: ListRules,
        vectors: ItemVectors,
        attributes: ItemAttributes | None,
        *,
        largest_count: int | None = None,
    ) -> None:
        if not isinstance(rules, ListRules):
            raise UsageError(f"rules are ListRules(...), not {type(rules).__name__}")
        if attributes is None and (rules.at_most or rules.unique is not None or rules.freshness):
            raise UsageError("at_most, unique and freshness need the item table: Recommender(…, items=table)")
        self.rules = rules
        self._caps = [_column(attributes, name) for name in rules.at_most]
        self._twins = None if rules.unique is None else _column(attributes, rules.unique)
        self._vectors = np.asarray(vectors.vectors)
        self._counts = vectors.vocabulary.counts
        self._largest = largest_count
        self._fresh = None if not rules.freshness else _column(attributes, rules.fresh_column)
        if self._fresh is not None and self._fresh.kind != TIME:
            raise UsageError(f"freshness needs dates, and {rules.fresh_column} is {self._fresh.kind}")

    @property
    def most(self) -> int:
        """Items that the caps leave at most, however many are asked."""
        caps = zip(self._caps, self.rules.at_most.values(), strict=True)
        bounds = [one.n_values * most + one.n_unknown for one, most in caps]
        if self._twins is not None:
            bounds.append(self._twins.n_values + self._twins.n_unknown)
        return min(bounds, default=MAX_K)

    def features(self, nums: npt.NDArray[np.int32]) -> Features:
        """Look up what the rules ask of some items."""
        nothing = np.full(len(nums), None, object)
        units = np.zeros((len(nums), 0))
        if self.rules.diversity:
            units = self._vectors[nums].astype(np.float64)
            units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-30)
        groups = tuple(one.objects(nums) for one in self._caps)
        twins = nothing if self._twins is None else self._twins.objects(nums)
        return Features(self._bonus(nums), groups, twins, units)

    def _bonus(self, nums: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        rules = self.rules
        bonus = np.zeros(len(nums))
        if rules.popularity:
            largest = int(self._counts.max(initial=0)) if self._largest is None else self._largest
            bonus += rules.popularity * np.log1p(self._counts[nums]) / max(np.log1p(largest), 1e-12)
        if self._fresh is not None:
            today = rules.today or dt.datetime.now(dt.UTC).date()
            days = (today - dt.date(1970, 1, 1)).days - self._fresh.values[nums] / DAY_US
            fresh = rules.freshness * 0.5 ** (np.maximum(days, 0.0) / rules.half_life_days)
            bonus += np.where(self._fresh.known[nums], fresh, 0.0)
        return bonus


def first_pool(N: int) -> int:
    """How many candidates to ask for at first, for N results."""
    return min(max(POOL_PER_RESULT * N, LEAST_POOL), MAX_K)


def choose(
    rules: ListRules,
    features: Features,
    scores: npt.NDArray[np.float32],
    N: int,
    own: npt.NDArray[np.object_],
) -> npt.NDArray[np.int64]:
    """Choose up to N candidates of one query.

    Parameters
    ----------
    rules : ListRules
    features : Features
        Of the candidates, best first.
    scores : ndarray of float32, shape (n,)
    N : int
    own : ndarray of object, shape (m,)
        What names the listings of the query's own items.

    Returns
    -------
    ndarray of int64, shape (≤ N,)
        Their positions among the candidates, best first.
    """
    worth = scores.astype(np.float64) + features.bonus
    order = np.argsort(-worth, kind="stable")  # equal ones stay in the order of their ids
    caps = [(features.groups[k], most) for k, most in enumerate(rules.at_most.values())]
    left = np.ones(len(scores), np.bool_)
    if rules.min_score is not None:
        left &= scores >= np.float32(rules.min_score)
    if rules.unique is not None:
        caps.append((features.twins, 1))
        mine = {one for one in own.tolist() if one is not None}
        left &= np.array([one not in mine for one in features.twins.tolist()], np.bool_)
    order = order[left[order]]
    if rules.diversity:
        return _varied(features.units, worth, order, N, rules.diversity, caps)
    return _walked(order, N, caps)


def _walked(order: npt.NDArray[np.int64], N: int, caps: Caps) -> npt.NDArray[np.int64]:
    """Take candidates in order as long as no group has had enough."""
    if not caps:
        return order[:N]
    seen: list[Counter[Any]] = [Counter() for _ in caps]
    chosen: list[int] = []
    for position in order.tolist():
        values = [groups[position] for groups, _ in caps]
        full = zip(values, seen, caps, strict=True)
        if any(value is not None and counts[value] >= most for value, counts, (_, most) in full):
            continue
        chosen.append(position)
        for value, counts in zip(values, seen, strict=True):
            counts[value] += 1
        if len(chosen) == N:
            break
    return np.array(chosen, np.int64)


def _varied(
    units: npt.NDArray[np.float64],
    worth: npt.NDArray[np.float64],
    order: npt.NDArray[np.int64],
    N: int,
    share: float,
    caps: Caps,
) -> npt.NDArray[np.int64]:
    """Maximal marginal relevance, one place after the other."""
    units, worth = units[order], worth[order]
    groups = [(values[order], most, Counter[Any]()) for values, most in caps]
    nearest, left = np.full(len(order), -1.0), np.ones(len(order), np.bool_)  # −1: nothing is less alike
    chosen: list[int] = []
    while len(chosen) < N and left.any():
        gain = (1.0 - share) * worth - share * nearest * (len(chosen) > 0)
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, units @ units[best])
        for values, most, counts in groups:
            value = values[best]
            counts[value] += 1
            if value is not None and counts[value] >= most:
                left &= values != value
    return order[np.array(chosen, np.int64)]


def _column(attributes: ItemAttributes | None, name: str) -> Column:
    assert attributes is not None
    return attributes.column(name)


def _python(value: Any) -> Any:
    """Return one of numpy's numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value
