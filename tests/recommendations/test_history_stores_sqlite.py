"""What only a SQLite file can do wrong: damage, another program's data, locks, a full disk, forks."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from history_places import NOW, Clock

from item2vec.errors import CorruptArtifactError, LockedRunError, RunError, UsageError
from item2vec.recommendations.history_stores import open_history_store, sqlite_file
from item2vec.recommendations.user_events import UserEvent

HOUR_US = 3_600_000_000


def event(item="a", ts_us=NOW) -> UserEvent:
    return UserEvent(item, "click", ts_us)


def opened(path, **settings):
    return open_history_store(f"sqlite:///{path}", clock=Clock(), **settings)


def files_of(path: Path) -> bytes:
    return b"".join(found.read_bytes() for found in sorted(path.parent.glob(f"{path.name}*")))


def test_urls_name_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("history.db", "a b?c=d#e%41.db", "ü/日本.db", ":odd:", "file:x.db"):
        Path(name).parent.mkdir(exist_ok=True)
        for url in (f"sqlite:///{name}", f"sqlite:///{tmp_path}/{name}"):
            with open_history_store(url, clock=Clock()) as store:
                store.add({"u": [event()]})
                assert store.history("u") == [event()]
        assert (tmp_path / name).is_file()
    for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        with open_history_store(url, clock=Clock()) as store:
            assert store.history("u") == []
    assert sorted(found.name for found in tmp_path.iterdir()) == [
        ":odd:",
        "a b?c=d#e%41.db",
        "file:x.db",
        "history.db",
        "ü",
    ]


def test_a_new_file_is_made_once_by_all_who_open_it_at_once(tmp_path):
    start = threading.Barrier(8)

    def add(name: str, number: int) -> int:
        start.wait(10)
        with opened(tmp_path / f"{name}.db") as store:
            return store.add({"u": [event(f"item-{number}")]}).stored

    with ThreadPoolExecutor(8) as pool:
        for name in range(15):
            assert sum(pool.map(add, [name] * 8, range(8))) == 8
            with opened(tmp_path / f"{name}.db") as store:
                assert len(store.history("u")) == 8


@pytest.mark.parametrize("rest", ["history.db", "host/history.db", "/a\0b"])
def test_urls_that_name_no_file_are_refused(rest):
    with pytest.raises(UsageError, match="three slashes"):
        open_history_store(f"sqlite://{rest}")


def test_a_folder_or_a_missing_one_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "history.db"):
        with pytest.raises(UsageError, match="folder") as told:
            opened(path)
        assert str(path) in str(told.value)
    assert list(tmp_path.iterdir()) == []


def foreign_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE events (user_id TEXT)")


def foreign_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 7")


def newer_version(path: Path) -> None:
    opened(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")


def text(path: Path) -> None:
    path.write_text("no database " * 1_000)


def cut_off(path: Path) -> None:
    filled(path)
    path.write_bytes(path.read_bytes()[:50_000])


def other_header(path: Path) -> None:
    filled(path)
    path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:])


def filled(path: Path, n_users: int = 2_000) -> None:
    with opened(path) as store:
        store.add({f"user-{number}": [event(f"{number}")] for number in range(n_users)})


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (foreign_table, UsageError, "another program's database"),
        (foreign_program, UsageError, "another program's database"),
        (newer_version, UsageError, "of version 2; this item2vec reads version 1"),
        (text, CorruptArtifactError, "damaged or no history store"),
        (cut_off, CorruptArtifactError, "damaged or no history store"),
        (other_header, CorruptArtifactError, "damaged or no history store"),
    ],
)
def test_what_is_no_history_store_is_refused_and_stays_as_it_is(tmp_path, make, error, told):
    path = tmp_path / "history.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(error, match=told) as found, opened(path) as store:
        store.expire(NOW)
    assert type(found.value) is error
    assert str(path) in str(found.value)
    assert path.read_bytes() == before


def test_a_damaged_page_is_told_when_it_is_read(tmp_path):
    path = tmp_path / "history.db"
    filled(path)
    body = bytearray(path.read_bytes())
    body[3 * 4096 :] = os.urandom(len(body) - 3 * 4096)
    path.write_bytes(body)
    with opened(path) as store:
        with pytest.raises(CorruptArtifactError, match=r"history.db is damaged"):
            store.histories(f"user-{number}" for number in range(2_000))
        with pytest.raises(CorruptArtifactError, match=r"history.db is damaged"):
            store.add({f"user-{number}": [event("b")] for number in range(2_000)})
    assert path.read_bytes() == body


def test_a_file_that_is_gone_is_told_and_not_made_anew(tmp_path):
    path = tmp_path / "history.db"
    store = opened(path)
    path.unlink()
    with pytest.raises(RunError, match=r"history.db cannot be read"):
        store.history("u")
    assert not path.exists()
    store.close()


def test_a_lock_that_is_held_too_long_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.2)
    path = tmp_path / "history.db"
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.add({"u": [event("a")]})
        other.execute("BEGIN IMMEDIATE")
        for write in (lambda: store.add({"u": [event("b")]}), lambda: store.forget("u"), store.expire):
            with pytest.raises(LockedRunError, match=r"another process has been writing .*history.db"):
                write()
        assert store.history("u") == [event("a")]  # readers do not wait
        other.execute("ROLLBACK")
        assert store.add({"u": [event("b")]}).stored == 1


def test_a_full_disk_stores_nothing_of_a_batch(tmp_path):
    with opened(tmp_path / "history.db") as store:
        store.add({"u": [event("a")]})
        store._writer.execute("PRAGMA max_page_count = 12").fetchall()
        with pytest.raises(RunError, match=r"history.db cannot be .*full.*disk's room"):
            store.add({f"u{number}": [event("b")] for number in range(5_000)})
        assert store.history("u") == [event("a")]
        assert not any(store.histories(f"u{number}" for number in range(5_000)).values())
        assert store.add({"u": [event("b")]}).stored == 1


def test_a_batch_that_is_interrupted_stores_nothing(tmp_path, monkeypatch):
    with opened(tmp_path / "history.db") as store:
        real = store._insert

        def interrupted(db, batch):
            real(db, batch)
            raise KeyboardInterrupt

        monkeypatch.setattr(store, "_insert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.add({"u": [event("a")]})
        monkeypatch.undo()
        assert store.history("u") == []
        assert store.add({"u": [event("a")]}).stored == 1


def test_what_is_forgotten_is_in_no_file(tmp_path):
    path, rng = tmp_path / "history.db", random.Random(1)
    users = [f"user-{rng.getrandbits(64):x}" for _ in range(300)]
    with opened(path) as store:
        for _ in range(40):
            store.add(
                {rng.choice(users): [event(f"item-{rng.getrandbits(64):x}", NOW - rng.randrange(10**9))]}
            )
        for user in users:
            items = [found.item_id for found in store.history(user)]
            assert all(text.encode() in files_of(path) for text in [user, *items] if items)
            assert store.forget(user) == len(items)
            assert not any(text.encode() in files_of(path) for text in [user, *items])


def test_a_compact_file_has_no_copies_of_what_is_gone_and_is_small(tmp_path):
    path, rng, clock = tmp_path / "history.db", random.Random(1), Clock()
    users = [f"user-{rng.getrandbits(64):x}" for _ in range(3_000)]
    gone = users[:2_800]
    with open_history_store(f"sqlite:///{path}", clock=clock, ttl_days=1) as store:
        for _ in range(20):
            old = {user: [event(ts_us=NOW - rng.randrange(10**9))] for user in rng.sample(gone, 1_000)}
            store.add(old | {user: [event(ts_us=NOW + HOUR_US)] for user in users[2_800:]})
        size = path.stat().st_size
        clock.now += 24 * HOUR_US
        for user in gone[:20]:
            store.forget(user)
        assert store.expire() > 10_000
        store.compact()
        left = files_of(path)
        assert not any(user.encode() in left for user in gone)
        assert path.stat().st_size < size / 5
        assert all(store.histories(users[2_800:]).values())


def test_the_log_is_gone_when_a_store_is_closed_with_readers_of_other_threads(tmp_path):
    path = tmp_path / "history.db"
    with opened(path) as store:
        store.add({"u": [event()]})
        for _ in range(20):
            thread = threading.Thread(target=store.history, args=("u",))
            thread.start()
            thread.join()
        assert len(os.listdir("/proc/self/fd")) < 200
    assert [found.name for found in tmp_path.iterdir()] == ["history.db"]


def test_a_child_has_connections_of_its_own(tmp_path):
    """A lock that another thread held at the fork does not stop the child, nor does it touch the parent's."""
    program = f"""
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from item2vec.recommendations.history_stores import open_history_store
from item2vec.recommendations.user_events import UserEvent
store = open_history_store("sqlite:///{tmp_path}/history.db", clock=lambda: {NOW})
store.add({{"u": [UserEvent("a", "click", {NOW})]}})
store.history("u")
def hold():
    with store._lock, store._pool_lock:
        held.set(); release.wait()
held, release = threading.Event(), threading.Event()
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if not child:
    try:
        parents = {{id(store._writer), *map(id, store._idle)}}
        assert store.add({{"u": [UserEvent("b", "click", {NOW})]}}).stored == 1
        assert len(store.history("u")) == 2
        assert not parents & {{id(store._writer), *map(id, store._idle)}}
        store.close()
        os._exit(0)
    finally:
        os._exit(1)
release.set()
assert os.waitpid(child, 0)[1] == 0
assert store.add({{"u": [UserEvent("c", "click", {NOW})]}}).stored == 1
assert [event.item_id for event in store.history("u")] == ["a", "b", "c"]
store.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
