"""What a reader looks at, as an address says it: the listing, the reading, the filters, the way there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from item2vec.serving.ids import plain_text
from item2vec.serving.limits import MAX_TARGET

if TYPE_CHECKING:
    from item2vec.serving.conditions import Pairs

HOME = "/explore"
LISTING, JOURNEY, MAP = HOME + "/listing", HOME + "/journey", HOME + "/map"
FILTER = "f."
"""Before the names of columns, which may be any."""
LONGEST_TRAIL = 12
LONGEST_JOURNEY = 20
_ROOM = MAX_TARGET - 400
"""Bytes of an address; what a reader types into a filter comes on top."""


class Look(NamedTuple):
    """A listing page.

    Attributes
    ----------
    item_id : str
    mode : str
    filters : list of (str, str)
        Columns, with ``min_`` or ``max_`` before those that are ends of ranges, and values.
    trail : tuple of str
        The listings before this one, the first first.
    """

    item_id: str
    mode: str
    filters: Pairs
    trail: tuple[str, ...] = ()

    @classmethod
    def of_query(cls, pairs: Pairs, modes: list[str]) -> Look:
        """Read an address; unknown names are passed over, as a reader's bookmark may be old.

        Raises
        ------
        Problem
            If it names no listing, or something that cannot be one.
        """
        given = _single(pairs)
        mode = given.get("mode", modes[0])
        trail = [plain_text(value, "from") for name, value in pairs if name == "from"]
        return cls(
            plain_text(given.get("id", ""), "id"),
            mode if mode in modes else modes[0],
            filters_of(pairs),
            tuple(trail[-LONGEST_TRAIL:]),
        )

    @property
    def address(self) -> str:
        """Where this page is; of a trail that is too long, the end."""
        start = [("id", self.item_id), ("mode", self.mode)]
        start += [(FILTER + name, value) for name, value in self.filters]
        trail = list(self.trail[-LONGEST_TRAIL:])
        while True:
            address = f"{LISTING}?{urlencode([*start, *(('from', one) for one in trail)])}"
            if len(address) <= _ROOM or not trail:
                return address
            trail.pop(0)

    def to(self, item_id: str) -> str:
        """Where a neighbour is, one step on."""
        return self._replace(item_id=item_id, trail=(*self.trail, self.item_id)).address

    def back(self, place: int) -> str:
        """Where the listing at a place of the trail is."""
        return self._replace(item_id=self.trail[place], trail=self.trail[:place]).address

    def read_as(self, mode: str) -> str:
        """Where the other reading is."""
        return self._replace(mode=mode).address

    def filtered(self, name: str | None, value: str = "") -> str:
        """Where the page with one more condition is, or without any."""
        others = [] if name is None else [pair for pair in self.filters if pair[0] != name]
        return self._replace(filters=others if name is None else [*others, (name, value)]).address


class Journey(NamedTuple):
    """What a user clicked, in order.

    Attributes
    ----------
    clicks : tuple of str
    mode : str
    text : str
        What is searched, to be clicked next.
    """

    clicks: tuple[str, ...]
    mode: str
    text: str = ""

    @classmethod
    def of_query(cls, pairs: Pairs, modes: list[str], default: str) -> Journey:
        """Read an address.

        Raises
        ------
        Problem
            If a click names what cannot be a listing.
        """
        given = _single(pairs)
        mode = given.get("mode", default)
        clicks = [plain_text(value, "click") for name, value in pairs if name == "click"]
        text = given.get("q", "")
        if text:
            plain_text(text, "q")
        return cls(tuple(clicks[-LONGEST_JOURNEY:]), mode if mode in modes else default, text)

    @property
    def address(self) -> str:
        """Where this page is; of a journey that is too long, the end."""
        start, clicks = [("mode", self.mode)], list(self.clicks[-LONGEST_JOURNEY:])
        start += [("q", self.text)] if self.text else []
        while True:
            address = f"{JOURNEY}?{urlencode([*start, *(('click', one) for one in clicks)])}"
            if len(address) <= _ROOM or not clicks:
                return address
            clicks.pop(0)

    def to(self, item_id: str) -> str:
        """Where the journey with one click more is."""
        return self._replace(clicks=(*self.clicks, item_id), text="").address

    def without(self, place: int) -> str:
        """Where the journey without one of its clicks is."""
        return self._replace(clicks=self.clicks[:place] + self.clicks[place + 1 :]).address

    def read_as(self, mode: str) -> str:
        """Where the other reading is."""
        return self._replace(mode=mode).address


def listing_address(item_id: str) -> str:
    """Where a listing is, to those who come from nowhere."""
    return f"{LISTING}?{urlencode([('id', item_id)])}"


def journey_address(item_id: str) -> str:
    """Where a journey that begins with a listing is."""
    return f"{JOURNEY}?{urlencode([('click', item_id)])}"


def filters_of(pairs: Pairs) -> Pairs:
    """Return the conditions of an address; a form sends empty fields, which ask nothing."""
    return [(name.removeprefix(FILTER), value) for name, value in pairs if name.startswith(FILTER) and value]


def _single(pairs: Pairs) -> dict[str, str]:
    return dict(reversed([(name, value) for name, value in pairs if not name.startswith(FILTER)]))
