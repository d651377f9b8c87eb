"""What a user did lately, event by event: what interest, ranking features and the history stores agree on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from item2vec.errors import DataError
from item2vec.vocabulary import ItemId

EVENT_TYPES = ("click", "skip", "wishlist", "inquiry", "booking", "rejection")
"""A skip is an item that was shown above one that was clicked in the same search; the log's other types
(impressions) say nothing about interest."""
LONG_CLICK_SECONDS = 60.0
"""A click with a longer stay is a long click (Grbovic & Cheng 2018, section 4.4)."""
HISTORY_DAYS = 14
"""How far back short-term interest looks (ibid.)."""
DAY_US = 86_400_000_000
LONGEST_ID = 256
LONGEST_STAY = 2**63
"""Seconds, of a whole number: a longer one is none that a store could keep."""


class UserEvent(NamedTuple):
    """One event of one user.

    Attributes
    ----------
    item_id : str or int
    event_type : str
        One of :data:`EVENT_TYPES`.
    ts_us : int
        Microseconds since 1970 (UTC).
    dwell_seconds : float or None
        Stay of a click; None where it is unknown.
    """

    item_id: ItemId
    event_type: str
    ts_us: int
    dwell_seconds: float | None = None

    @property
    def is_long_click(self) -> bool:
        """Whether it is a click with a stay of more than a minute."""
        return (
            self.event_type == "click"
            and self.dwell_seconds is not None
            and self.dwell_seconds > LONG_CLICK_SECONDS
        )


def checked_events(events: Iterable[UserEvent]) -> list[UserEvent]:
    """Return events as they are, in their order, or refuse them.

    Raises
    ------
    DataError
        If an id, type, time or stay is none; the message names the first event.
    """
    checked = []
    for number, event in enumerate(events):
        if _is_plain(event):
            checked.append(event)
            continue
        problem = _problem(event)
        if problem:
            raise DataError(f"event {number}: {problem}")
        checked.append(_plain(event))
    return checked


def _is_plain(event: UserEvent) -> bool:
    """Whether nothing of an event has to change or be refused, seen at once: nearly all are such."""
    if type(event) is not UserEvent:
        return False
    item, kind, ts_us, dwell = event
    return (
        type(item) is str
        and 0 < len(item) <= LONGEST_ID
        and type(kind) is str
        and kind in EVENT_TYPES
        and type(ts_us) is int
        and 0 <= ts_us < 2**62
        and (dwell is None or (type(dwell) is float and dwell >= 0))
    )


def _plain(event: UserEvent) -> UserEvent:
    """Return an event with Python's own numbers; a stay that is NaN, as pandas writes it, is unknown."""
    item, kind, ts_us, dwell = event
    plain = item if isinstance(item, str) else int(item)
    return UserEvent(plain, kind, int(ts_us), None if dwell is None or dwell != dwell else float(dwell))


def _problem(event: object) -> str | None:
    if not isinstance(event, UserEvent):
        return f"{type(event).__name__} is no UserEvent(item_id, event_type, ts_us, dwell_seconds)"
    item, kind, ts_us, dwell = event
    if isinstance(item, bool) or not isinstance(item, str | int | np.integer):
        return f"the item id is {type(item).__name__}; ids are strings or integers"
    if isinstance(item, str) and not 0 < len(item) <= LONGEST_ID:
        return f"the item id has {len(item)} characters; it has 1 to {LONGEST_ID}"
    if kind not in EVENT_TYPES:
        return f"unknown event type {str(kind)[:64]!r}; known are {', '.join(EVENT_TYPES)}"
    if isinstance(ts_us, bool) or not isinstance(ts_us, int | np.integer) or not 0 <= ts_us < 2**62:
        return "ts_us is no time in microseconds since 1970"
    if dwell is None:
        return None
    if isinstance(dwell, bool) or not isinstance(dwell, int | float | np.integer | np.floating) or dwell < 0:
        return "dwell_seconds is neither None nor a number of seconds"
    if isinstance(dwell, int) and dwell > LONGEST_STAY:
        return "dwell_seconds is too large"
    return None
