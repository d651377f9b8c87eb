"""What of a user's history counts how much, and where the user's items of one market lie."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.recommendations.user_events import DAY_US, HISTORY_DAYS, UserEvent

Floats = npt.NDArray[np.float32]
Nums = npt.NDArray[np.int32]
_LIKING = frozenset({"click", "wishlist", "inquiry", "booking"})


@dataclass(frozen=True)
class InterestWeights:
    """What counts how much.

    The first group weighs events inside a centroid (Grbovic & Cheng 2018, eq. 10, where each kind has a
    feature of its own and a ranker learns the weights); the second blends the parts of a score, each of which
    lies in [−1, 1]. The defaults were chosen on the validation days of the simulated marketplace, where
    popularity is much of what decides a first click (notebooks/LOG.md): tune them on your own log.
    """

    click: float = 1.0
    long_click: float = 2.0
    wishlist: float = 3.0
    inquiry: float = 4.0
    booking: float = 4.0
    half_life_days: float = 3.0
    """After so many days an event counts half."""
    days: float = HISTORY_DAYS
    """Short-term interest, skips included, looks back so far."""

    lately: float = 1.0
    """Nearness to what was clicked, wished for, asked about or booked lately, in the nearest market."""
    skipped: float = 0.2
    """Taken off for nearness to what was passed over."""
    booked: float = 0.1
    """Nearness to everything the user ever booked."""
    type: float = 0.05
    """How well the listing's type suits the user's (needs type embeddings)."""
    popular: float = 0.6
    """Logarithm of an item's count, against the largest: what is left for a user of whom nothing is known."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
                raise UsageError(f"{one.name}={value!r}; weights are numbers from 0 up")
        if not self.half_life_days > 0 or not self.days > 0:
            raise UsageError("half_life_days and days are above 0")

    def of_event(self, event: UserEvent) -> float:
        """Weight of an event inside a centroid before it fades; 0 for those that are no sign of liking."""
        if event.event_type not in _LIKING:
            return 0.0
        return float(getattr(self, "long_click" if event.is_long_click else event.event_type))

    def half_lives(self, age_us: int) -> float:
        """How often an event of this age has faded to half; bounded, so that two of them can be compared."""
        return float(min(age_us / max(self.half_life_days * DAY_US, 1e-300), 1e300))


@dataclass(frozen=True, eq=False)
class Centroid:
    """Where a user's items of one market lie.

    Attributes
    ----------
    market : int
    items : ndarray of int32, shape (n,)
        The item of each event.
    weights : ndarray of float64, shape (n,)
    events : list of int
        The events' places in the history.
    vector : ndarray of float32, shape (d,)
        The weighted sum of the items' unit vectors, at length one.
    """

    market: int
    items: Nums
    weights: npt.NDArray[np.float64]
    events: list[int]
    vector: Floats

    @classmethod
    def of(
        cls,
        market: int,
        events: list[int],
        items: Nums,
        log2_weights: npt.NDArray[np.float64],
        units: npt.NDArray[np.float64],
    ) -> Centroid | None:
        """Sum up the events of a market, `units` their items' rows; None where the vectors cancel out."""
        shares = np.exp2(log2_weights - log2_weights.max())  # however faded, they point somewhere
        total = shares @ units
        length = math.sqrt(total @ total)
        if length < 1e-12:
            return None
        return cls(market, items, shares, events, (total / length).astype(np.float32))
