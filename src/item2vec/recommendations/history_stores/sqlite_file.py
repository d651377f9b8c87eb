"""The file of a SQLite history store: is it one, how is it opened, and its failures in plain words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from item2vec.errors import CorruptArtifactError, LockedRunError, RunError, UsageError
from item2vec.recommendations.history_stores.rules import other_type

APPLICATION_ID = 0x69327648
"""i2vH: tells our file from another program's."""
SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0

# The key finds a repeat; arrival, counted over the whole file, orders events of one microsecond.
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    user_id TEXT NOT NULL, ts_us INTEGER NOT NULL, event_type TEXT NOT NULL, item_id NOT NULL,
    arrival INTEGER NOT NULL, dwell_seconds REAL, PRIMARY KEY (user_id, ts_us, event_type, item_id)
) WITHOUT ROWID;
"""
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_WAITED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def connected(path: str | None, make: bool) -> sqlite3.Connection:
    """Open a connection that any thread may use, one at a time; nothing is written yet.

    With `make` a file that is not there is made, empty.

    Raises
    ------
    UsageError
        If the path is a folder or lies in none.
    RunError
        If the file cannot be opened.
    """
    if path is not None and (os.path.isdir(path) or not os.path.isdir(os.path.dirname(path))):
        raise UsageError(f"{path} is no file of a history store: it is a folder, or its folder is not there")
    with plain_errors(path):
        name = f"file:{quote(os.fsencode(path))}?mode={'rwc' if make else 'rw'}" if path else ":memory:"
        # Transactions are begun by hand: the module would not begin one before a read.
        db = sqlite3.connect(
            name, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            db.close()
            raise
        return db


def prepare(db: sqlite3.Connection, path: str | None, id_type: str | None) -> None:
    """Check that the file is a history store, or make an empty one that.

    Raises
    ------
    UsageError
        If the file is another program's or of another version; nothing is written into it.
    DataError
        If its item ids are of another type than `id_type`.
    """
    with transaction(db, "BEGIN"):  # while another process makes it, it is seen before or after
        empty = _is_empty(db, path)
    _use_log(db)
    if empty:
        with transaction(db, "BEGIN IMMEDIATE"):
            if _is_empty(db, path):  # and no other process was faster
                _make_tables(db, id_type)
    known = db.execute("SELECT value FROM meta WHERE name = 'id_type'").fetchone()
    if id_type is not None and known is not None and known[0] != id_type:
        raise other_type(id_type, known[0])


def _make_tables(db: sqlite3.Connection, id_type: str | None) -> None:
    for statement in _TABLES.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    if id_type is not None:
        db.execute("INSERT INTO meta VALUES ('id_type', ?)", (id_type,))


def _is_empty(db: sqlite3.Connection, path: str | None) -> bool:
    """Tell a new file from a history store, and refuse all others."""
    ((application,),) = db.execute("PRAGMA application_id")
    ((version,),) = db.execute("PRAGMA user_version")
    ((n_tables,),) = db.execute("SELECT count(*) FROM sqlite_master")
    if application == version == n_tables == 0:
        return True
    if application != APPLICATION_ID:
        raise UsageError(f"{path} is another program's database and stays as it is; name another file")
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{path} is a history store of version {version}; this item2vec reads version {SCHEMA_VERSION}:"
            " use the item2vec that wrote it, or name another file"
        )
    return False


def _use_log(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; SQLite does not wait here for others who do the same."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if _code(error) not in _WAITED or time.monotonic() > until:
                raise
            time.sleep(0.01)


@contextmanager
def transaction(db: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Do everything in the block, or nothing."""
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has ended it already
            db.execute("ROLLBACK")
        raise


@contextmanager
def plain_errors(path: str | None) -> Iterator[None]:
    """Say in plain words what SQLite refuses, and with which file.

    Raises
    ------
    CorruptArtifactError
        If the file is damaged or no database.
    LockedRunError
        If another process writes for too long.
    RunError
        If anything else fails.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = path or "the history store in memory"
        code = _code(error)
        if code in _DAMAGE:
            raise CorruptArtifactError(
                f"{name} is damaged or no history store ({error}); it stays as it is: restore a backup,"
                " or name another file"
            ) from error
        if code in _WAITED:
            raise LockedRunError(
                f"another process has been writing {name} for {BUSY_SECONDS:.0f} s; try again"
            ) from error
        raise RunError(
            f"{name} cannot be read or written ({error}); look at the disk's room and the file's rights"
        ) from error


def _code(error: sqlite3.Error) -> int:
    """Return the primary code: the low byte of the extended one."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
