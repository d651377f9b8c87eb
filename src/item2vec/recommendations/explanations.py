"""Why an item was recommended: which part of the score, which market, which clicks and bookings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from item2vec.index.space import Mode
    from item2vec.recommendations.centroids import Centroid
    from item2vec.recommendations.interest import Blend, UserInterest
    from item2vec.recommendations.user_history import UserHistory
    from item2vec.vocabulary import ItemId

SHOWN = 5


@dataclass(frozen=True)
class Reason:
    """An event behind a recommendation.

    Attributes
    ----------
    item_id : str or int
    event_type : str
    share : float
        Of its part's score. The shares of all events of a part sum to 1, or to −1 where the part speaks
        against the item; an event that does is negative.
    """

    item_id: ItemId
    event_type: str
    share: float


@dataclass(frozen=True)
class Explanation:
    """Where the score of one recommended item comes from.

    Attributes
    ----------
    item_id : str or int
    score : float
        The sum of the parts.
    parts : dict of str to float
        ``lately``, ``skipped``, ``booked``, ``type``, ``popular``: those that have an answer.
    market : str or None
        The market whose clicks lie nearest, where the item table knows markets.
    lately, booked : tuple of Reason
        The events that count most in the parts of that name, at most five each.
    user_type, listing_type : str or None
        The types that were compared.
    """

    item_id: ItemId
    score: float
    parts: dict[str, float]
    market: str | None
    lately: tuple[Reason, ...]
    booked: tuple[Reason, ...]
    user_type: str | None
    listing_type: str | None

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:+.3f}" for name, value in self.parts.items())
        speaking = [one for one in self.lately if one.share > 0] if self.parts.get("lately", 0) > 0 else []
        because = ", ".join(f"{one.event_type} {one.item_id} ({one.share:.0%})" for one in speaking)
        return f"{self.item_id}: {self.score:.3f} = {parts}" + (f"; because of {because}" if because else "")

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as JSON types."""
        return asdict(self)


def explain(
    interest: UserInterest,
    user: UserHistory,
    blend: Blend,
    item_num: int,
    score: float,
    parts: dict[str, float],
    market_names: list[str],
) -> Explanation:
    """Take a score apart.

    Parameters
    ----------
    interest, user, blend
        What :meth:`UserInterest.blend` was asked, and what it answered.
    item_num : int
    score : float
    parts : dict of str to float
        What the score is the sum of.
    market_names : list of str
        Names of the markets that the interest was given.
    """
    lately = interest.nearest(blend.lately, item_num, blend.mode)
    booked = interest.nearest(blend.booked, item_num, "similar")
    named = lately is not None and lately.market >= 0
    types = interest.types
    return Explanation(
        item_id=interest.vocabulary.item_ids(np.array([item_num]))[0],
        score=score,
        parts=parts,
        market=market_names[lately.market] if lately is not None and named else None,
        lately=_reasons(interest, user, lately, item_num, blend.mode),
        booked=_reasons(interest, user, booked, item_num, "similar"),
        user_type=blend.user_type,
        listing_type=None if types is None else types.listing_types[item_num],
    )


def _reasons(
    interest: UserInterest, user: UserHistory, centroid: Centroid | None, item_num: int, mode: Mode
) -> tuple[Reason, ...]:
    """Split the product of a centroid and the item among its events: it is a sum over them."""
    if centroid is None:
        return ()
    products = interest.shares(centroid, item_num, mode)
    total = float(products.sum())
    if abs(total) < 1e-12:
        return ()
    found = [
        Reason(user.events[place].item_id, user.events[place].event_type, float(share) / abs(total))
        for place, share in zip(centroid.events, products, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: -one.share)[:SHOWN])
