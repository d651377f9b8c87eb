"""Histories in Redis: one sorted set per user, for several machines that share them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import islice
from types import TracebackType
from typing import Any, Self

from item2vec.errors import UsageError
from item2vec.recommendations.history_stores.redis_server import (
    client_of,
    plain_errors,
    shown_url,
    wrong_keys,
)
from item2vec.recommendations.history_stores.rules import (
    Added,
    HistoryRules,
    Row,
    Window,
    checked_user,
    checked_users,
    other_type,
)
from item2vec.recommendations.user_events import UserEvent
from item2vec.vocabulary import ItemId

LAYOUT_VERSION = "1"
USERS_PER_STEP = 1000
"""Of one request to the server, but for :meth:`RedisHistoryStore.add`, which is one."""
_UNKNOWN = b"\xff" * 8
"""A dwell that is not known: no number of seconds has these bytes."""


class RedisHistoryStore:
    """A :class:`HistoryStore` in one Redis (or Valkey) server, version 6 or later; no cluster.

    A batch is one Lua script: readers see all of it or nothing, and so does a server that was killed. Whether
    histories outlive a restart, and whether any are evicted when memory is short, is the server's own setting
    (``appendonly``, ``maxmemory-policy noeviction``). A user's key expires with its newest event. After a
    kill in the middle of a write, Redis 7.0 leaves half of an unconfirmed batch in its file and takes it for
    whole when it is killed once more; ``redis-check-aof --fix`` after the first kill prevents it.

    Parameters
    ----------
    url : str
        ``redis://user:password@host:6379/0``, ``rediss://…`` or ``unix:///redis.sock?db=0``; settings of the
        client may follow, such as ``?socket_timeout=2`` (seconds; 5 unless it is given).
    rules : HistoryRules or None
    prefix : str
        What the names of all keys begin with.

    Raises
    ------
    UsageError
        If the URL is wrong, or the keys are of another version.
    DataError
        If the item ids of the store are of another type than the rules'.
    CorruptArtifactError
        If the keys are another program's; they stay as they are.
    RunError
        If the server does not answer or refuses.
    """

    def __init__(
        self, url: str, rules: HistoryRules | None = None, prefix: str = "item2vec:history:"
    ) -> None:
        self.rules = HistoryRules() if rules is None else rules
        self.prefix = _checked_prefix(prefix)
        self._shown, self._closed = shown_url(url), False
        self._client: Any = client_of(url)
        script = files(__package__).joinpath("add.lua").read_text(encoding="utf-8")
        self._add = self._client.register_script(script)
        self._meta = f"{prefix}meta".encode()
        try:
            with plain_errors(self._shown, self.prefix):
                self._check_meta()
        except BaseException:
            self.close()
            raise

    def _check_meta(self) -> None:
        version, id_type = self._client.hmget(self._meta, "version", "id_type")
        if version is not None:
            self._refuse("version", version)
        if id_type is not None and self.rules.id_type not in (None, id_type.decode()):
            raise other_type(str(self.rules.id_type), id_type.decode())

    def _refuse(self, what: str, found: bytes, id_type: str = "") -> None:
        """Raise the error of what was found in the server and does not fit."""
        if what == "version" and found != LAYOUT_VERSION.encode():
            raise UsageError(
                f"{self._shown} has histories of version {found.decode(errors='replace')[:32]!r} under"
                f" {self.prefix!r}; this item2vec reads version {LAYOUT_VERSION}: use the item2vec that wrote"
                " them, or another prefix"
            )
        if what == "id_type":
            raise other_type(id_type, found.decode(errors="replace")[:32])
        if what == "foreign":
            raise wrong_keys(self._shown, self.prefix)

    def __repr__(self) -> str:
        return f"RedisHistoryStore({self._shown!r}, prefix={self.prefix!r})"

    def add(self, events_by_user: Mapping[str, Sequence[UserEvent]]) -> Added:
        """Add a batch of events, in one script (see :meth:`HistoryStore.add`).

        The server does nothing else meanwhile: ten thousand events take it some hundredths of a second.
        """
        script = self._opened(self._add)
        now = self.rules.now_us()
        batch = self.rules.batch(events_by_user, now)
        if not batch.rows_by_user:
            return Added(0, 0, batch.n_expired)
        keys = [self._meta, *map(self._key, batch.rows_by_user)]
        oldest = _time(self.rules.oldest_us(now))
        settings = [LAYOUT_VERSION, batch.id_type, oldest, self.rules.max_events, now, self.rules.ttl_us]
        events = [b"".join(map(_packed, rows)) for rows in batch.rows_by_user.values()]
        with plain_errors(self._shown, self.prefix):
            outcome, *found = script(keys, [*settings, *events])
        if outcome != b"added":
            self._refuse(outcome.decode(), found[0], batch.id_type)
        n_rows, (stored, displaced) = batch.n_events - batch.n_expired, map(int, found)
        return Added(stored, n_rows - stored, batch.n_expired, displaced)

    def history(
        self,
        user_id: str,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int | None = None,
    ) -> list[UserEvent]:
        """Return a user's events, the oldest first (see :meth:`HistoryStore.history`)."""
        user = checked_user(user_id)
        return self.histories([user], since_us=since_us, until_us=until_us, limit=limit)[user]

    def histories(
        self,
        user_ids: Iterable[str],
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int | None = None,
    ) -> dict[str, list[UserEvent]]:
        """Return many users' events, a thousand users at a time (see :meth:`HistoryStore.histories`)."""
        client = self._opened(self._client)
        users, window = checked_users(user_ids), self.rules.window(since_us, until_us, limit)
        found: dict[str, list[UserEvent]] = {}
        for some in _steps(users):
            with client.pipeline(transaction=True) as requests, plain_errors(self._shown, self.prefix):
                for user in some:
                    _ask(requests, self._key(user), window)
                answers = requests.execute()
            for user, members in zip(some, answers, strict=True):
                found[user] = [self._event(member) for member in reversed(members)]
        return found

    def forget(self, user_id: str) -> int:
        """Delete all that is known of a user and return the number of events.

        Nothing remains in the server's memory. Files that it writes (``appendonly``, snapshots) have the
        events until it writes these anew: ``BGREWRITEAOF`` and ``BGSAVE`` do it at once. Replicas follow.

        Raises
        ------
        DataError
            If the user id is none.
        RunError
            As in :meth:`HistoryStore.add`.
        """
        client, key = self._opened(self._client), self._key(checked_user(user_id))
        with plain_errors(self._shown, self.prefix):
            n_gone = client.zremrangebyrank(key, 0, -1)  # unlike DEL it spares another program's key
        return int(n_gone)

    def expire(self, now_us: int | None = None) -> int:
        """Delete what is older than the store keeps, user by user (see :meth:`HistoryStore.expire`).

        What the server removed by itself, with a user's newest event, is not in the number.
        """
        client, oldest, n_gone = self._opened(self._client), _time(self.rules.cutoff(now_us)), 0
        with plain_errors(self._shown, self.prefix):
            keys = client.scan_iter(match=_escaped(self._key("")) + b"*", count=USERS_PER_STEP)
            for some in _steps(keys):
                with client.pipeline(transaction=False) as requests:
                    for key in some:
                        requests.zremrangebylex(key, b"-", b"(" + oldest)
                    n_gone += sum(requests.execute())
        return n_gone

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self, what: Any) -> Any:
        if self._closed:
            raise UsageError(f"{self!r} is closed; open it again")
        return what

    def _key(self, user: str) -> bytes:
        return f"{self.prefix}user:{user}".encode()

    def _event(self, member: bytes) -> UserEvent:
        try:
            return _event(member)
        except (struct.error, ValueError, LookupError):
            raise wrong_keys(self._shown, self.prefix) from None


def _ask(requests: Any, key: bytes, window: Window) -> None:
    """Ask for a history, the newest first."""
    first, behind = b"[" + _time(window.since_us), b"(" + _time(window.until_us)
    if window.limit is None:
        requests.zrevrangebylex(key, behind, first)
    else:
        requests.zrevrangebylex(key, behind, first, start=0, num=window.limit)


def _packed(row: Row) -> bytes:
    """Return an event as ``add.lua`` reads it; big-endian times are ordered like their bytes."""
    item = f"s{row.item_id}" if isinstance(row.item_id, str) else f"i{row.item_id}"
    what = f"{row.event_type}\0{item}".encode()
    dwell = _UNKNOWN if row.dwell_seconds is None else struct.pack(">d", row.dwell_seconds)
    return struct.pack(">Q8sI", row.ts_us, dwell, len(what)) + what


def _event(member: bytes) -> UserEvent:
    (ts_us,) = struct.unpack_from(">Q", member)
    kind, item = member[16:-8].decode().split("\0", 1)
    item_id: ItemId = {"s": str, "i": int}[item[:1]](item[1:])
    dwell = None if member[-8:] == _UNKNOWN else struct.unpack(">d", member[-8:])[0]
    return UserEvent(item_id, kind, ts_us, dwell)


def _time(ts_us: int) -> bytes:
    return struct.pack(">Q", ts_us)


def _steps(values: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(values)
    while some := list(islice(rest, USERS_PER_STEP)):
        yield some


def _escaped(text: bytes) -> bytes:
    """Return a text that SCAN takes letter by letter."""
    return b"".join(b"\\" + byte if byte in b"*?[]\\^-" else byte for byte in (bytes([b]) for b in text))


def _checked_prefix(prefix: str) -> str:
    if not isinstance(prefix, str) or not 0 < len(prefix) <= 256 or not prefix.isprintable():
        raise UsageError(f"prefix is {str(prefix)[:64]!r}; it is a text of 1 to 256 printable characters")
    return prefix
