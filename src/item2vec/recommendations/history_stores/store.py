"""The one interface to the history stores, and the call that opens one by its URL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from item2vec.errors import MissingDependencyError, UsageError
from item2vec.recommendations.history_stores.rules import (
    MAX_EVENTS_PER_USER,
    TTL_DAYS,
    Added,
    HistoryRules,
)
from item2vec.recommendations.user_events import UserEvent

KEY_PREFIX = "item2vec:history:"
_SCHEMES = (
    "sqlite:///history.db (a file), sqlite:////data/history.db (by its full path), sqlite:// (memory),"
    " redis://host:6379/0, rediss:// (TLS), unix:///redis.sock"
)


class HistoryStore(Protocol):
    """What users did lately, by user; threads may share one.

    A history is in order of time, and events of the same microsecond are in order of arrival. Item ids are
    strings or int64, one type per store, and come back as they went in. Events older than `ttl_days` are
    never returned, removed or not.
    """

    def add(self, events_by_user: Mapping[str, Sequence[UserEvent]]) -> Added:
        """Add a batch of events, all of it or, on any error, nothing.

        Calls may be repeated: an event of the same user, item, type and time is stored once, with the stay of
        the first.

        Parameters
        ----------
        events_by_user : mapping of str to sequence of UserEvent
            User ids are strings of 1 to 256 characters; times may be up to a day ahead of the clock.

        Returns
        -------
        Added
            How many were stored, were there already, were too old, and displaced older ones.

        Raises
        ------
        DataError
            If a user or an event is none; the message names the first.
        RunError
            If the database refuses, or does not answer in time.
        """
        ...

    def history(
        self,
        user_id: str,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int | None = None,
    ) -> list[UserEvent]:
        """Return a user's events, the oldest first; none for a user who is not known.

        Parameters
        ----------
        user_id : str
        since_us, until_us : int or None
            Microseconds since 1970: events from `since_us` on, and before `until_us`.
        limit : int or None
            Only the newest of them.

        Raises
        ------
        DataError, UsageError
            If the user id, or an argument, is none.
        RunError
            As in :meth:`add`.
        """
        ...

    def histories(
        self,
        user_ids: Iterable[str],
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int | None = None,
    ) -> dict[str, list[UserEvent]]:
        """Return the :meth:`history` of many users, by user id, each id once and in the order given."""
        ...

    def forget(self, user_id: str) -> int:
        """Delete all that is known of a user and return the number of events."""
        ...

    def expire(self, now_us: int | None = None) -> int:
        """Delete what is older than `ttl_days` and return the number of events; a job for every night.

        Parameters
        ----------
        now_us : int or None
            Microseconds since 1970, at most a day ahead of the clock (DataError); None is the clock's.
        """
        ...

    def close(self) -> None:
        """Close the connections; a second time does nothing. Other calls then raise UsageError."""
        ...

    def __enter__(self) -> Self:
        """Return itself; it is closed behind the block."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_history_store(
    url: str,
    *,
    id_type: str | None = None,
    ttl_days: float = TTL_DAYS,
    max_events_per_user: int = MAX_EVENTS_PER_USER,
    clock: Callable[[], int] | None = None,
    prefix: str = KEY_PREFIX,
) -> HistoryStore:
    """Open the history store that a URL names; a file that is not there is made.

    Parameters
    ----------
    url : str
        ``sqlite:///history.db``, ``sqlite:////data/history.db`` (full path), ``sqlite://`` (memory, for
        tests), ``redis://host:6379/0``, ``rediss://…`` (TLS) or ``unix:///redis.sock``.
    id_type : {"string", "int64"} or None
        Of the item ids; None takes the one that the store has, or that of its first event.
    ttl_days : float
        Days after which an event is dropped.
    max_events_per_user : int
        The newest that are kept of a user.
    clock : callable or None
        Returns now in microseconds since 1970; None is the machine's clock.
    prefix : str
        What the names of all keys in Redis begin with.

    Raises
    ------
    UsageError
        If the URL or a setting is wrong, or the file is another program's or of another version.
    MissingDependencyError
        If the library of the database is not installed.
    CorruptArtifactError
        If the file is damaged.
    RunError
        If the file cannot be opened, or the server does not answer.
    """
    rules = HistoryRules(id_type, ttl_days, max_events_per_user, clock)
    scheme, found, rest = url.partition("://") if isinstance(url, str) else ("", "", "")
    if scheme == "sqlite" and found:
        from item2vec.recommendations.history_stores.sqlite import SqliteHistoryStore

        return SqliteHistoryStore(_sqlite_path(rest), rules)
    if scheme in ("redis", "rediss", "unix") and found:
        try:
            from item2vec.recommendations.history_stores.redis import RedisHistoryStore
        except ImportError as error:
            raise MissingDependencyError(
                f"a history store in Redis needs its client ({error}); run: pip install 'item2vec[redis]'"
            ) from error
        return RedisHistoryStore(url, rules, prefix)
    # The rest may hold a password.
    what = (
        f"no history store has the scheme {scheme[:32]!r}" if found else "a history store's URL has a scheme"
    )
    raise UsageError(f"{what}; known are {_SCHEMES}")


def _sqlite_path(rest: str) -> str | None:
    """Return the path behind ``sqlite://``, as SQLAlchemy reads it; None is memory."""
    if rest in ("", "/", "/:memory:"):
        return None
    if not rest.startswith("/") or "\0" in rest:
        raise UsageError(
            f"'sqlite://{rest[:64]}' names no file: it is sqlite:///history.db, with three slashes,"
            " or four before a full path"
        )
    return rest[1:]
