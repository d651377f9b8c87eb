"""What the columns of an item table mean to a reader: which is the title, the price, the place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "title": ("text", ("title", "name", "listing_title", "item_name", "headline")),
    "market": ("text", ("market", "city", "destination", "neighbourhood", "region", "country")),
    "kind": ("text", ("listing_type", "room_type", "property_type", "item_type", "type", "category")),
    "price": ("number", ("price", "nightly_price", "price_per_night", "amount")),
    "capacity": ("number", ("capacity", "accommodates", "guests", "sleeps")),
    "latitude": ("number", ("latitude", "lat")),
    "longitude": ("number", ("longitude", "lon", "lng")),
}


class Columns(NamedTuple):
    """Names of the columns that mean something to a reader; None where the table has none.

    Attributes
    ----------
    title, market, kind, price, capacity, latitude, longitude : str or None
    kinds : mapping of str to str
        All columns: text, number, date or boolean.
    """

    title: str | None
    market: str | None
    kind: str | None
    price: str | None
    capacity: str | None
    latitude: str | None
    longitude: str | None
    kinds: Mapping[str, str]

    @property
    def facts(self) -> list[str]:
        """The columns that a card shows beside the title, the most telling first."""
        return [one for one in (self.market, self.kind, self.price, self.capacity) if one is not None]

    @property
    def filters(self) -> list[str]:
        """The columns to filter by, those of the cards first; places and titles are no filters."""
        hidden = {self.title, self.latitude, self.longitude}
        others = [name for name in self.kinds if name not in hidden and name not in self.facts]
        return [*self.facts, *others]


def columns_of(kinds: Mapping[str, str]) -> Columns:
    """Return the meaning of a table's columns, by their names and kinds.

    Parameters
    ----------
    kinds : mapping of str to str
        Name to text, number, date or boolean; empty where there is no item table.
    """
    found: dict[str, str | None] = {}
    for role, (kind, names) in _NAMES.items():
        found[role] = next((name for name in names if kinds.get(name) == kind), None)
    return Columns(**found, kinds=kinds)


def words(name: str) -> str:
    """Return a column's name as a reader says it."""
    return name.replace("_", " ").strip()
