"""Histories in a SQLite file: any number of threads and processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from item2vec.errors import UsageError
from item2vec.recommendations.history_stores.rules import (
    Added,
    Batch,
    HistoryRules,
    Row,
    Window,
    checked_user,
    checked_users,
    other_type,
)
from item2vec.recommendations.history_stores.sqlite_file import connected, plain_errors, prepare, transaction
from item2vec.recommendations.user_events import UserEvent

IDLE_READERS = 8
USERS_PER_STEP = 1000
"""Of :meth:`SqliteHistoryStore.expire`; others write between two steps."""

_INSERT = (
    "INSERT INTO events (user_id, ts_us, event_type, item_id, arrival, dwell_seconds)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_DISPLACE = """
DELETE FROM events WHERE user_id = ?1 AND (ts_us, arrival) <= (
    SELECT ts_us, arrival FROM events WHERE user_id = ?1 ORDER BY ts_us DESC, arrival DESC LIMIT 1 OFFSET ?2)
"""
_HISTORY = """
SELECT item_id, event_type, ts_us, dwell_seconds FROM events
WHERE user_id = ? AND ts_us >= ? AND ts_us < ? ORDER BY ts_us DESC, arrival DESC LIMIT ?
"""
_STEP = """
SELECT max(user_id) FROM (
    SELECT DISTINCT user_id FROM events WHERE user_id > ? ORDER BY user_id LIMIT ?)
"""


_OPENED: weakref.WeakSet[SqliteHistoryStore] = weakref.WeakSet()


class SqliteHistoryStore:
    """A :class:`HistoryStore` in one SQLite file (WAL mode, no network drive).

    A killed process leaves whole batches, a power cut too, but it may take the last ones. One thread
    writes at a time; readers never wait. After a fork the child has connections of its own.

    Parameters
    ----------
    path : str or None
        Made if it is missing; None keeps everything in memory, of this process only.
    rules : HistoryRules or None

    Raises
    ------
    UsageError
        If the path is no file's, or the file is another program's or of another version; it stays as it is.
    CorruptArtifactError
        If the file is no database or is damaged; it stays as it is.
    LockedRunError
        If another process has been writing for longer than ten seconds.
    RunError
        If the file system refuses.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, rules: HistoryRules | None = None) -> None:
        self.path = None if path is None else os.path.abspath(path)
        self.rules = HistoryRules() if rules is None else rules
        self._closed = self._inherited = False
        self._abandoned: list[object] = []
        self._new_locks()
        self._connect()
        _OPENED.add(self)

    def _new_locks(self) -> None:
        self._lock, self._pool_lock = threading.RLock(), threading.Lock()

    def _connect(self) -> None:
        self._idle: list[sqlite3.Connection] = []
        self._writer = connected(self.path, make=not self._inherited)
        try:
            with plain_errors(self.path):
                prepare(self._writer, self.path, self.rules.id_type)
        except BaseException:
            self._writer.close()
            raise

    def __repr__(self) -> str:
        return f"SqliteHistoryStore({self.path or 'in memory'!r})"

    def add(self, events_by_user: Mapping[str, Sequence[UserEvent]]) -> Added:
        """Add a batch of events, in one transaction (see :meth:`HistoryStore.add`)."""
        now = self.rules.now_us()
        batch = self.rules.batch(events_by_user, now)
        n_rows = batch.n_events - batch.n_expired
        if not batch.rows_by_user:
            return Added(0, 0, batch.n_expired)
        with self._writing() as db:
            stored = self._insert(db, batch)
            users = list(batch.rows_by_user)
            oldest, n_kept = self.rules.oldest_us(now), self.rules.max_events
            db.executemany(
                "DELETE FROM events WHERE user_id = ? AND ts_us < ?", ((user, oldest) for user in users)
            )
            n_displaced = db.executemany(_DISPLACE, ((user, n_kept) for user in users)).rowcount
        return Added(stored, n_rows - stored, batch.n_expired, n_displaced)

    @staticmethod
    def _insert(db: sqlite3.Connection, batch: Batch) -> int:
        known = dict(db.execute("SELECT name, value FROM meta"))
        if known.setdefault("id_type", batch.id_type) != batch.id_type:
            raise other_type(batch.id_type, known["id_type"])
        # One writer at a time: no two events of the file have the same number.
        first = int(known.get("arrivals", 0))
        arrivals = iter(range(first, 2**62))
        rows = (
            (user, row.ts_us, row.event_type, row.item_id, next(arrivals), row.dwell_seconds)
            for user, several in batch.rows_by_user.items()
            for row in several
        )
        n_stored = db.executemany(_INSERT, rows).rowcount
        meta = {"id_type": batch.id_type, "arrivals": str(next(arrivals))}
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
        return n_stored

    def history(
        self,
        user_id: str,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int | None = None,
    ) -> list[UserEvent]:
        """Return a user's events, the oldest first (see :meth:`HistoryStore.history`)."""
        user, window = checked_user(user_id), self.rules.window(since_us, until_us, limit)
        with self._reading() as db:
            return _events(db, user, window)

    def histories(
        self,
        user_ids: Iterable[str],
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int | None = None,
    ) -> dict[str, list[UserEvent]]:
        """Return many users' events, all as of one moment (see :meth:`HistoryStore.histories`)."""
        users, window = checked_users(user_ids), self.rules.window(since_us, until_us, limit)
        with self._reading() as db, transaction(db, "BEGIN"):
            return {user: _events(db, user, window) for user in users}

    def forget(self, user_id: str) -> int:
        """Delete all that is known of a user and return the number of events.

        What is deleted is overwritten with zeros (``secure_delete``), and the write-ahead log is emptied into
        the file. Two limits: a reader at work for longer than ten seconds keeps the log until the next
        :meth:`forget`, :meth:`expire` or :meth:`close`; and SQLite moves rows between pages, where copies may
        stay in unused parts until these are written again (in a trial, of 3 in 1,800 users).
        :meth:`compact` removes those too. Backups and the file system's own copies are out of reach.

        Raises
        ------
        DataError
            If the user id is none.
        RunError
            As in :meth:`HistoryStore.add`.
        """
        user = checked_user(user_id)
        with self._writing() as db:
            n_gone = db.execute("DELETE FROM events WHERE user_id = ?", (user,)).rowcount
        self._empty_log()
        return n_gone

    def expire(self, now_us: int | None = None) -> int:
        """Delete what is older than the store keeps, user by user (see :meth:`HistoryStore.expire`)."""
        oldest, after, n_gone = self.rules.cutoff(now_us), "", 0
        while True:
            with self._writing() as db:
                ((last,),) = db.execute(_STEP, (after, USERS_PER_STEP))
                if last is None:
                    break
                n_gone += db.execute(
                    "DELETE FROM events WHERE user_id > ? AND user_id <= ? AND ts_us < ?",
                    (after, last, oldest),
                ).rowcount
            after = last
        self._empty_log()
        return n_gone

    def compact(self) -> None:
        """Write the file anew, without unused space and what :meth:`forget` left in it; takes its time.

        Raises
        ------
        LockedRunError
            If another process reads or writes for longer than ten seconds.
        RunError
            If the disk has no room for a second copy.
        """
        with self._alone() as db:
            db.execute("VACUUM")
        self._empty_log()

    def close(self) -> None:
        """Close the connections; one that another thread is reading with is closed when it is done."""
        with self._lock, self._pool_lock:
            if not self._closed and not self._inherited:
                for connection in (*self._idle, self._writer):
                    connection.close()
                self._idle.clear()
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"{self!r} is closed; open it again")
        if self._inherited and self.path is not None:
            # SQLite's rule: a child neither uses nor closes what its parent had open.
            self._abandoned += [self._writer, self._idle]
            self._connect()
        self._inherited = False

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        with self._lock, plain_errors(self.path):
            self._check_open()
            yield self._writer

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._alone() as db, transaction(db, "BEGIN IMMEDIATE"):
            yield db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if self.path is None:  # a second connection would be a second, empty memory
            with self._alone() as db:
                yield db
            return
        if self._closed or self._inherited:
            with self._lock:
                self._check_open()
        with plain_errors(self.path):
            with self._pool_lock:
                idle = self._idle.pop() if self._idle else None
            db = connected(self.path, make=False) if idle is None else idle
            try:
                yield db
            finally:
                with self._pool_lock:
                    if self._closed or len(self._idle) >= IDLE_READERS:
                        db.close()
                    else:
                        self._idle.append(db)

    def _empty_log(self) -> None:
        with self._alone() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _after_fork() -> None:
    """Give a child locks that no thread of its parent holds, and have it open connections of its own."""
    for store in list(_OPENED):
        store._new_locks()
        store._inherited = True


os.register_at_fork(after_in_child=_after_fork)


def _events(db: sqlite3.Connection, user: str, window: Window) -> list[UserEvent]:
    limit = -1 if window.limit is None else window.limit
    rows = db.execute(_HISTORY, (user, window.since_us, window.until_us, limit)).fetchall()
    return [UserEvent(*Row(*row)) for row in reversed(rows)]
