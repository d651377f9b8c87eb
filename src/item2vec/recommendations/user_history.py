"""A user as the blend of interests sees them: what they did, what is known of them, as of when."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import UsageError
from item2vec.recommendations.user_events import EVENT_TYPES, UserEvent, checked_events


@dataclass(frozen=True)
class UserHistory:
    """What is known of a user; an unknown or logged-out one has no events, and maybe attributes.

    Parameters
    ----------
    events : sequence of UserEvent
        In any order. Those after `as_of_us`, as a clock in the future makes them, are left out and counted;
        so are events of items that the model does not know.
    attributes : mapping of column to value, optional
        Of the user table, for the user's type. Where one contradicts the events, as a number of bookings
        would, the events stand.
    as_of_us : int, optional
        The moment of the question, microseconds since 1970; now by default. An event of that very moment is
        the question's own and does not count.

    Raises
    ------
    DataError
        If an event is none; the message names it.
    UsageError
        If the attributes are no mapping or the moment no number.
    """

    events: Sequence[UserEvent] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    as_of_us: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.attributes, Mapping):
            raise UsageError("a user's attributes are a mapping of column to value")
        moment = self.as_of_us
        if moment is not None and (isinstance(moment, bool) or not isinstance(moment, int | np.integer)):
            raise UsageError(f"as_of_us={moment!r} is no time in microseconds since 1970")
        object.__setattr__(self, "as_of_us", None if moment is None else int(moment))
        object.__setattr__(self, "events", tuple(checked_events(self.events)))

    @property
    def moment_us(self) -> int:
        """The moment of the question."""
        return time.time_ns() // 1000 if self.as_of_us is None else self.as_of_us

    @classmethod
    def of_clicks(cls, item_ids: Sequence[Any], as_of_us: int | None = None) -> UserHistory:
        """Return the history of someone who clicked these items just now, oldest first."""
        now = cls(as_of_us=as_of_us).moment_us
        first = now - len(item_ids)
        events = [UserEvent(item, "click", first + place) for place, item in enumerate(item_ids)]
        return cls(events, as_of_us=now)

    @classmethod
    def from_events(
        cls,
        events: pa.Table,
        user_id: str,
        attributes: Mapping[str, Any] | None = None,
        as_of_us: int | None = None,
    ) -> UserHistory:
        """Return one user's history out of an event table; impressions tell what was passed over.

        Events from the moment of the question on are left out. An item that was shown and not clicked in a
        search is a skip from the moment on at which one below it was clicked there (Grbovic & Cheng 2018,
        section 4.4).

        Parameters
        ----------
        events : pyarrow.Table
            With the columns of an event table, of this user or of many.
        user_id : str
        attributes, as_of_us
            As in the constructor.

        Raises
        ------
        UsageError
            If the table lacks a column.
        """
        if not isinstance(events, pa.Table):
            raise UsageError("a history is read from an event table: events.to_table(), or rows of it")
        missing = {"user_id", "item_id", "event_type", "ts_us"} - set(events.column_names)
        if missing:
            raise UsageError(f"the event table has no column {', '.join(sorted(missing))}")
        now = cls(as_of_us=as_of_us).moment_us
        theirs = pc.equal(events["user_id"].cast(pa.string()), str(user_id))
        rows = [row for row in events.filter(theirs).to_pylist() if row["ts_us"] < now]
        found = [
            UserEvent(row["item_id"], row["event_type"], row["ts_us"], row.get("dwell_seconds"))
            for row in rows
            if row["event_type"] in EVENT_TYPES
        ]
        return cls([*found, *_skips(rows)], attributes or {}, as_of_us)


def _skips(rows: Sequence[Mapping[str, Any]]) -> list[UserEvent]:
    """Return what was passed over for a click further down the same page."""
    pages: dict[str, tuple[dict[Any, int], list[tuple[int, int]], set[Any]]] = {}
    for row in rows:
        search, place = row.get("search_id"), row.get("position")
        if search is None or place is None or row["event_type"] not in ("impression", "click"):
            continue
        shown, clicks, clicked = pages.setdefault(search, ({}, [], set()))
        if row["event_type"] == "click":
            clicks.append((place, row["ts_us"]))
            clicked.add(row["item_id"])
        else:
            shown[row["item_id"]] = min(place, shown.get(row["item_id"], place))
    return [
        UserEvent(item, "skip", min(below))
        for shown, clicks, clicked in pages.values()
        for item, place in shown.items()
        if item not in clicked and (below := [ts_us for lower, ts_us in clicks if lower > place])
    ]
