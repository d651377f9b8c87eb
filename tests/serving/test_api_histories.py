"""Histories behind one writer: committed when answered, in SQLite and in a real Redis."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving_world import ServerProcess

from item2vec.errors import DataError, RunError
from item2vec.recommendations import UserEvent
from item2vec.serving import history
from item2vec.serving.history import HistoryDesk
from item2vec.serving.problems import Problem

sys.path.insert(0, str(Path(__file__).parents[1] / "recommendations"))
from history_places import Server

NOW = time.time_ns() // 1000


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not (shutil.which("redis-server") and importlib.util.find_spec("redis")):
        told = "histories in Redis are not tested: redis-server or its client is missing"
        (pytest.fail if os.environ.get("ITEM2VEC_REQUIRE_REDIS") else pytest.skip)(told)
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.kill()


def event(item: str, ago: int = 0) -> UserEvent:
    return UserEvent(item, "click", NOW - ago)


def test_redis_keeps_what_is_sent_and_another_server_reads_it(
    start: Callable[..., ServerProcess], shop: Path, redis_url: str
) -> None:
    first = start(str(shop), "--redis", redis_url)
    body = {"user_id": "u1", "events": [{"item_id": "L0000001"}, {"item_id": "L0000002"}]}
    assert first.client.post("/v1/events", json=body).json() == {"accepted": 2}
    answer = first.client.get("/v1/users/u1/recommend?k=4").json()
    assert answer["fallback"] is None
    second = start(str(shop), "--redis", redis_url)
    again = second.client.get("/v1/users/u1/recommend?k=4").json()
    assert [one["item_id"] for one in again["items"]] == [one["item_id"] for one in answer["items"]]
    assert second.client.delete("/v1/users/u1").json() == {"events": 2}
    assert first.client.get("/v1/users/u1/recommend").json()["fallback"] == "popularity"


def test_a_redis_that_is_gone_is_503_and_comes_back(
    start: Callable[..., ServerProcess], shop: Path, tmp_path: Path, redis_url: str
) -> None:
    del redis_url  # skips, or fails, where there is none
    place = tmp_path / "own"
    place.mkdir()
    server = Server(place)
    try:
        api = start(str(shop), "--redis", server.url + "?socket_timeout=1&socket_connect_timeout=1")
        body = {"user_id": "u", "events": [{"item_id": "L0000001"}]}
        assert api.client.post("/v1/events", json=body).status_code == 200
        server.kill()
        for reply in (api.client.post("/v1/events", json=body), api.client.get("/v1/users/u/recommend")):
            assert reply.status_code == 503
            assert reply.headers["retry-after"]
            assert str(server.port) not in reply.text
        assert api.client.get("/v1/items/L0000001/similar").status_code == 200
        server.start()
        assert api.client.post("/v1/events", json=body).status_code == 200
    finally:
        server.kill()


def test_what_was_answered_outlives_a_kill(
    start: Callable[..., ServerProcess], shop: Path, tmp_path: Path
) -> None:
    server = start(str(shop), "--history", str(tmp_path / "kept.db"))
    for number in range(20):
        body = {"user_id": f"u{number % 3}", "events": [{"item_id": "L0000001", "ts_us": NOW - number}]}
        assert server.client.post("/v1/events", json=body).status_code == 200
    for pid in [*server.workers(), server.process.pid]:
        os.kill(pid, 9)
    server.process.wait(10)
    with sqlite3.connect(tmp_path / "kept.db") as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (20,)


def test_many_requests_share_a_commit_and_one_bad_one_harms_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = HistoryDesk(f"sqlite:///{tmp_path}/h.db", "string")
    batches: list[int] = []
    held, add = threading.Event(), desk._store.add

    def counted(events_by_user):
        held.wait(5)
        batches.append(sum(map(len, events_by_user.values())))
        return add(events_by_user)

    monkeypatch.setattr(desk._store, "add", counted)

    async def ask() -> list[object]:
        several = [desk.add(f"u{n}", [event("a", n)]) for n in range(50)]
        bad = desk.add("late", [UserEvent("a", "click", NOW + 10 * 86_400_000_000)])
        asyncio.get_running_loop().call_later(0.1, held.set)
        return await asyncio.gather(*several, bad, return_exceptions=True)

    outcomes = asyncio.run(ask())
    assert outcomes[:-1] == [None] * 50
    assert isinstance(outcomes[-1], DataError)
    assert max(batches) > 10
    assert len(asyncio.run(desk.history("u7"))) == 1
    desk.close()


def test_a_user_is_forgotten_with_what_waits_to_be_written(tmp_path: Path) -> None:
    desk = HistoryDesk(f"sqlite:///{tmp_path}/h.db", "string")

    async def ask() -> tuple[int, list[UserEvent]]:
        adding = [asyncio.ensure_future(desk.add("u", [event("a", n)])) for n in range(5)]
        await asyncio.sleep(0)
        gone = await desk.forget("u")
        await asyncio.gather(*adding)
        return gone, await desk.history("u")

    gone, left = asyncio.run(ask())
    assert (gone, left) == (5, [])
    desk.close()
    desk = HistoryDesk(f"sqlite:///{tmp_path}/h.db", "string")
    assert asyncio.run(desk.forget("u")) == 0
    desk.close()


def test_a_full_queue_is_told_and_what_waits_is_written_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "CAPACITY", 3)
    desk = HistoryDesk(f"sqlite:///{tmp_path}/h.db", "string")
    held, add = threading.Event(), desk._store.add

    def slow(events_by_user):
        held.wait(5)
        return add(events_by_user)

    monkeypatch.setattr(desk._store, "add", slow)

    async def ask() -> list[object]:
        several = [asyncio.ensure_future(desk.add("u", [event("a", n)])) for n in range(20)]
        await asyncio.sleep(0.1)
        held.set()
        return await asyncio.gather(*several, return_exceptions=True)

    outcomes = asyncio.run(ask())
    full = [one for one in outcomes if isinstance(one, Problem)]
    assert full
    assert {(one.status, one.headers["Retry-After"]) for one in full} == {(503, "1")}
    desk.close()
    with sqlite3.connect(tmp_path / "h.db") as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (20 - len(full),)


def test_a_store_that_breaks_tells_everyone_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = HistoryDesk(f"sqlite:///{tmp_path}/h.db", "string")

    def broken(events_by_user):
        raise RunError("the disk is full")

    monkeypatch.setattr(desk._store, "add", broken)

    async def ask() -> list[object]:
        return await asyncio.gather(*(desk.add("u", [event("a")]) for _ in range(3)), return_exceptions=True)

    assert [type(one) for one in asyncio.run(ask())] == [RunError] * 3
    desk.close()


def test_a_store_that_hangs_is_waited_for_once_and_by_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = HistoryDesk(f"sqlite:///{tmp_path}/h.db", "string")
    held, calls = threading.Event(), []

    def hanging(events_by_user):
        held.wait(5)
        calls.append(len(events_by_user))
        raise RunError("it did not answer in time")

    monkeypatch.setattr(desk._store, "add", hanging)
    monkeypatch.setattr(desk._store, "history", lambda user: held.wait(5) and [])

    async def ask() -> tuple[list[object], list[object]]:
        adding = [asyncio.ensure_future(desk.add(f"u{n}", [event("a")])) for n in range(50)]
        reading = [asyncio.ensure_future(desk.history("u")) for _ in range(history.READS + 5)]
        asyncio.get_running_loop().call_later(0.1, held.set)
        return (
            await asyncio.gather(*adding, return_exceptions=True),
            await asyncio.gather(*reading, return_exceptions=True),
        )

    adding, reading = asyncio.run(ask())
    assert [type(one) for one in adding] == [RunError] * 50
    assert len(calls) <= 3
    assert [one.status for one in reading if isinstance(one, Problem)] == [503] * 5
    assert asyncio.run(desk.history("u")) == []  # and again once it answers
    desk.close()
