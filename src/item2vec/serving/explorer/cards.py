"""Listings as cards: what matters of each, ready to be shown, and still plain data."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from item2vec.errors import UnknownItemError
from item2vec.serving.explorer.columns import Columns, columns_of, words

if TYPE_CHECKING:
    from item2vec.serving.found import Found
    from item2vec.serving.lookups import Lookups
    from item2vec.vocabulary import ItemId

STEPS = 9
"""Colours of similarity, from 0 (the least of a list) to this."""
_LONGEST = 160
"""Characters of a value that a card shows; the rest is cut and said to be."""


class Card(NamedTuple):
    """A listing.

    Attributes
    ----------
    item_id : str
        As addresses carry it.
    title : str
        Its title, or its id where it has none.
    names : list of (str, str)
        Labels and values: market, type.
    numbers : list of (str, str)
        Price, capacity.
    others : list of (str, str)
        The remaining columns.
    n_clicks : int
    available, trained : bool
    place : (float, float) or None
        Latitude and longitude in degrees.
    score : float or None
        In the list that it stands in.
    share : float
        The length of its bar, 0 to 100.
    step : int
        Its colour, 0 to :data:`STEPS`.
    """

    item_id: str
    title: str
    names: list[tuple[str, str]]
    numbers: list[tuple[str, str]]
    others: list[tuple[str, str]]
    n_clicks: int
    available: bool
    trained: bool
    place: tuple[float, float] | None
    score: float | None = None
    share: float = 0.0
    step: int = STEPS


def card_of(lookups: Lookups, item_id: ItemId) -> Card:
    """Return the card of a listed item.

    Raises
    ------
    UnknownItemError
        If it is not listed.
    """
    found, columns = lookups.item(item_id), columns_of(lookups.conditions.kinds)
    values = found["attributes"]
    shown = {*columns.facts, columns.title, columns.latitude, columns.longitude}
    title = None if columns.title is None else values.get(columns.title)
    return Card(
        item_id=str(item_id),
        title=cut(title) if isinstance(title, str) and title.strip() else str(item_id),
        names=_told(values, (columns.market, columns.kind)),
        numbers=_told(values, (columns.price, columns.capacity)),
        others=_told(values, [name for name in values if name not in shown]),
        n_clicks=found["n_clicks"],
        available=found["available"],
        trained=found["trained"],
        place=_place(columns, values),
    )


def cards_of(lookups: Lookups, item_ids: Sequence[ItemId]) -> list[Card]:
    """Return the cards of several items; one that has gone meanwhile is left out."""
    cards = []
    for one in item_ids:
        try:
            cards.append(card_of(lookups, one))
        except UnknownItemError:
            continue
    return cards


def scored_cards(lookups: Lookups, found: Found, *, are_cosines: bool) -> list[Card]:
    """Return the cards of a list, with bars and colours.

    A cosine has a meaning of its own, so its bar is its value; other scores are shown against the best of
    their list. Colours run from the list's least to its best.
    """
    scores = found.scores
    low, high = (min(scores), max(scores)) if scores else (0.0, 0.0)
    cards = []
    for item_id, score in zip(found.ids, scores, strict=True):
        share = score if are_cosines else score / high if high > 0 else 0.0
        step = STEPS if high <= low else round(STEPS * (score - low) / (high - low))
        cards += [
            one._replace(score=score, share=round(100 * min(max(share, 0.0), 1.0), 1), step=step)
            for one in cards_of(lookups, [item_id])
        ]
    return cards


def has(value: Any) -> bool:
    """Whether there is anything to show."""
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def cut(text: str) -> str:
    """Return a text of a length that a card bears."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def text_of(value: Any) -> str:
    """Return a value as a reader reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}".rstrip("0").rstrip(".") if abs(value) < 1e12 else f"{value:.3g}"
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "minutes")
    return cut(str(value))


def _told(values: dict[str, Any], names: Iterable[str | None]) -> list[tuple[str, str]]:
    """Return labels and values of the columns that have any."""
    told = (name for name in names if name is not None and has(values.get(name)))
    return [(words(name), text_of(values[name])) for name in told]


def _place(columns: Columns, values: dict[str, Any]) -> tuple[float, float] | None:
    if columns.latitude is None or columns.longitude is None:
        return None
    latitude, longitude = values.get(columns.latitude), values.get(columns.longitude)
    if latitude is None or longitude is None or not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return None  # NaN is no place either
    return float(latitude), float(longitude)
