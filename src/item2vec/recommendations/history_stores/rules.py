"""What every history store keeps, refuses and drops: the door that all of them share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from item2vec.errors import DataError, UsageError
from item2vec.recommendations.user_events import DAY_US, LONGEST_ID, UserEvent, checked_events
from item2vec.vocabulary import ID_TYPES, ItemId

TTL_DAYS = 30.0
MAX_EVENTS_PER_USER = 1000
LONGEST_TTL_DAYS = 36_500.0
END_OF_TIME = 2**62
"""Behind every time that an event can have."""


class Added(NamedTuple):
    """What became of the events of one call; the first three sum up to what was given.

    Attributes
    ----------
    stored : int
        New events.
    repeated : int
        Events whose item, type and time the user's history has already; the first one stands.
    expired : int
        Events older than the store keeps.
    displaced : int
        The oldest events of these users, earlier or new ones, that went because a user has too many.
    """

    stored: int
    repeated: int
    expired: int
    displaced: int = 0


class Row(NamedTuple):
    """An event in the plain types that databases take."""

    item_id: ItemId
    event_type: str
    ts_us: int
    dwell_seconds: float | None


class Batch(NamedTuple):
    """Checked events, without the expired ones; users without any are left out."""

    rows_by_user: dict[str, list[Row]]
    id_type: str
    n_events: int
    n_expired: int


class Window(NamedTuple):
    """Which events of a history are asked for: since_us ≤ ts_us < until_us, the newest `limit` of them."""

    since_us: int
    until_us: int
    limit: int | None


def wall_clock() -> int:
    """Return the time in microseconds since 1970 (UTC)."""
    return time.time_ns() // 1000


class HistoryRules:
    """The rules of one store, checked once.

    Parameters
    ----------
    id_type : {"string", "int64"} or None
        Of the item ids; None takes the one that the store has, or that of its first event.
    ttl_days : float
        Days after which an event is dropped.
    max_events_per_user : int
        The newest that are kept of a user, so that a robot cannot grow without bound.
    clock : callable or None
        Returns now in microseconds since 1970; None is the machine's clock. Old
        logs are replayed with theirs.

    Raises
    ------
    UsageError
        If a setting is out of range.
    """

    def __init__(
        self,
        id_type: str | None = None,
        ttl_days: float = TTL_DAYS,
        max_events_per_user: int = MAX_EVENTS_PER_USER,
        clock: Callable[[], int] | None = None,
    ) -> None:
        if id_type is not None and id_type not in ID_TYPES:
            raise UsageError(f"id_type is {id_type!r}; it is one of {', '.join(ID_TYPES)}, or None")
        if not _is_number(ttl_days) or not 1 / DAY_US <= ttl_days <= LONGEST_TTL_DAYS:
            raise UsageError(
                f"ttl_days is {ttl_days!r}; it is a number above 0, up to {LONGEST_TTL_DAYS:,.0f}"
            )
        if not _is_integer(max_events_per_user) or not 1 <= max_events_per_user < 2**31:
            raise UsageError(f"max_events_per_user is {max_events_per_user!r}; it is an integer from 1 on")
        self.id_type = id_type
        self.ttl_us = max(1, round(float(ttl_days) * DAY_US))
        self.max_events = int(max_events_per_user)
        self._clock = wall_clock if clock is None else clock

    def now_us(self) -> int:
        """Return the clock's time."""
        return int(self._clock())

    def oldest_us(self, now_us: int) -> int:
        """Return the earliest time that an event may have to be kept."""
        return max(0, now_us - self.ttl_us)

    def batch(self, events_by_user: Mapping[str, Sequence[UserEvent]], now_us: int) -> Batch:
        """Check all events before one is written, and leave out the expired ones.

        Raises
        ------
        DataError
            If a user, an event or its time is none, an event is more than a day ahead of the clock, or item
            ids are of two types.
        """
        if not isinstance(events_by_user, Mapping):
            raise DataError(f"events come by user, {{user id: [events]}}, and not as {_kind(events_by_user)}")
        oldest, latest = self.oldest_us(now_us), now_us + DAY_US
        rows_by_user: dict[str, list[Row]] = {}
        kinds: set[str] = set()
        n_events = n_kept = 0
        for user_id, events in events_by_user.items():
            user = checked_user(user_id)
            rows = _rows(user, events, latest)
            kinds.update("string" if isinstance(row.item_id, str) else "int64" for row in rows)
            kept = [row for row in rows if row.ts_us >= oldest]
            n_events, n_kept = n_events + len(rows), n_kept + len(kept)
            if kept:
                rows_by_user.setdefault(user, []).extend(kept)
        if len(kinds) > 1:
            raise DataError("item ids are both strings and integers; a store has one type of id")
        id_type = kinds.pop() if kinds else self.id_type or ""
        if self.id_type not in (None, id_type):
            raise other_type(id_type, str(self.id_type))
        return Batch(rows_by_user, id_type, n_events, n_events - n_kept)

    def window(self, since_us: int | None, until_us: int | None, limit: int | None) -> Window:
        """Check what is asked for, and leave out what has expired and waits to be removed.

        Raises
        ------
        UsageError
            If a time is no integer or the limit no number of events.
        """
        for name, value in (("since_us", since_us), ("until_us", until_us)):
            if value is not None and not _is_integer(value):
                raise UsageError(f"{name} is {value!r}; it is None or an integer, microseconds since 1970")
        if limit is not None and (not _is_integer(limit) or limit < 0):
            raise UsageError(f"limit is {limit!r}; it is None or a number of events")
        oldest = self.oldest_us(self.now_us())
        since = oldest if since_us is None else max(oldest, int(since_us))
        until = END_OF_TIME if until_us is None else int(until_us)
        newest = None if limit is None else min(int(limit), END_OF_TIME)
        return Window(min(since, END_OF_TIME), min(max(until, 0), END_OF_TIME), newest)

    def cutoff(self, now_us: int | None) -> int:
        """Return the time before which events expire, as of a time that the clock may have.

        Raises
        ------
        DataError
            If it is more than a day ahead of the clock: nanoseconds, say, would remove everything.
        """
        now = self.now_us()
        if now_us is None:
            return self.oldest_us(now)
        if not _is_integer(now_us) or not 0 <= now_us <= now + DAY_US:
            raise DataError(
                f"now_us is {str(now_us)[:40]}, the clock says {now}: give microseconds since 1970,"
                " at most a day ahead"
            )
        return self.oldest_us(int(now_us))


def checked_user(user_id: object) -> str:
    """Return a user id as it is.

    Raises
    ------
    DataError
        If it is no text of 1 to 256 characters.
    """
    if not isinstance(user_id, str):
        raise DataError(f"the user id is {_kind(user_id)}; user ids are strings")
    if not 0 < len(user_id) <= LONGEST_ID:
        raise DataError(f"the user id has {len(user_id)} characters; it has 1 to {LONGEST_ID}")
    return _plain_text(user_id, "the user id")


def checked_users(user_ids: Iterable[str]) -> list[str]:
    """Return distinct user ids in their order.

    Raises
    ------
    DataError
        If one is none, or they are no list of ids.
    """
    if isinstance(user_ids, str | bytes) or not isinstance(user_ids, Iterable):
        raise DataError(f"user ids come as a list, and not as {_kind(user_ids)}")
    return list(dict.fromkeys(map(checked_user, user_ids)))


def other_type(given: str, known: str) -> DataError:
    """Return the error of item ids that are not of the store's type."""
    return DataError(f"the item ids are {given}, those of this history store {known}; convert them")


def _rows(user: str, events: object, latest_us: int) -> list[Row]:
    if isinstance(events, str | bytes | UserEvent | Mapping) or not isinstance(events, Iterable):
        raise DataError(f"user {user[:64]!r}: events come as a list, and not as {_kind(events)}")
    try:
        checked = checked_events(events)
        rows = [_row(number, event) for number, event in enumerate(checked)]
    except DataError as error:
        raise DataError(f"user {user[:64]!r}: {error}") from None
    for number, row in enumerate(rows):
        if row.ts_us > latest_us:
            raise DataError(
                f"user {user[:64]!r}: event {number}: ts_us {row.ts_us} is more than a day ahead of the"
                " clock, and it would never expire; are these microseconds, and is the clock right?"
            )
    return rows


def _row(number: int, event: UserEvent) -> Row:
    item, kind, ts_us, dwell = event
    if isinstance(item, str):
        item = _plain_text(item, f"event {number}: the item id")
    else:
        item = int(item)
        if not -(2**63) <= item < 2**63:
            raise DataError(f"event {number}: the item id {str(item)[:40]} is no int64")
    try:
        stay = None if dwell is None else float(dwell)
    except OverflowError:
        raise DataError(f"event {number}: dwell_seconds is too large a number") from None
    return Row(item, str.__str__(kind), int(ts_us), stay)


def _plain_text(text: str, what: str) -> str:
    """Return text without a subclass's ways; half a surrogate pair is no text that can be stored."""
    text = str.__str__(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{what} {text[:64]!r} is not valid Unicode text") from None
    return text


def _kind(value: object) -> str:
    return type(value).__name__


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
