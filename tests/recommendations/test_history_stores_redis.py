"""What only a Redis server can do wrong: be away, hang, be full, hold other keys, be killed."""

from __future__ import annotations

import random
import signal
import threading
import time

import pytest
from history_places import NOW, Clock, Server

from item2vec.errors import CorruptArtifactError, RunError, UsageError
from item2vec.recommendations.history_stores import open_history_store
from item2vec.recommendations.user_events import DAY_US, UserEvent

pytestmark = pytest.mark.usefixtures("needs_redis")


def event(item="a", ts_us=NOW) -> UserEvent:
    return UserEvent(item, "click", ts_us)


@pytest.fixture
def client(redis_server):
    """A client of the shared server, which is empty at the start."""
    import redis

    with redis.Redis(port=redis_server.port) as opened:
        opened.flushall()
        yield opened


def opened(url, **settings):
    return open_history_store(url, **{"clock": Clock(), **settings})


def test_a_key_expires_with_its_newest_event(client, redis_server):
    with opened(redis_server.url, ttl_days=2) as store:
        store.add({"u": [event("a", NOW - 2 * DAY_US), event("b", NOW - DAY_US)], "v": [event("a", NOW)]})
        left = {key: client.pttl(f"item2vec:history:user:{key}") / 86_400_000 for key in "uv"}
        assert left == {"u": pytest.approx(1, abs=1e-3), "v": pytest.approx(2, abs=1e-3)}
        assert client.pttl("item2vec:history:meta") == -1
        store.add({"u": [event("c", NOW)]})
        assert client.pttl("item2vec:history:user:u") / 86_400_000 == pytest.approx(2, abs=1e-3)
        assert client.zcard("item2vec:history:user:u") == 3
    later = Clock()
    later.now += 3600 * 10**6
    with opened(redis_server.url, ttl_days=2, clock=later) as store:
        store.add({"u": [event("d", NOW)]})  # what has expired goes with the next event
        assert client.zcard("item2vec:history:user:u") == 3


def test_the_server_removes_a_history_that_has_expired(client, redis_server):
    now = time.time_ns() // 1000
    with open_history_store(redis_server.url, ttl_days=0.2 / 86_400) as store:
        store.add({"u": [event("a", now)]})
        assert client.exists("item2vec:history:user:u")
        for _ in range(100):
            if not client.exists("item2vec:history:user:u"):
                break
            time.sleep(0.05)
        assert not client.exists("item2vec:history:user:u")
        assert store.expire() == store.forget("u") == 0


def test_what_is_forgotten_has_no_key(client, redis_server):
    with opened(redis_server.url) as store:
        store.add({"u": [event()], "v": [event()]})
        store.forget("u")
        assert sorted(client.keys()) == [b"item2vec:history:meta", b"item2vec:history:user:v"]


def test_prefixes_and_databases_are_told_apart(client, redis_server):
    places = [(redis_server.url, "a*"), (redis_server.url, "ab"), (redis_server.url, "a[b]\\")]
    places += [(redis_server.url[:-1] + "1", "ab"), (redis_server.socket + "?db=2", "ab")]
    for number, (url, prefix) in enumerate(places):
        with opened(url, prefix=prefix) as store:
            assert store.history("u") == []
            store.add({"u": [event(f"{number}")]})
    later = Clock()
    later.now += 31 * DAY_US
    for url, prefix in places:  # each expires its own only
        with opened(url, prefix=prefix, clock=later) as store:
            assert store.expire() == 1
    for prefix in ("", "a" * 257, "a\0", "\ud800", None):
        with pytest.raises(UsageError, match="prefix"):
            opened(redis_server.url, prefix=prefix)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://me:secret@localhost:6379/first", "number of a database"),
        ("redis://me:secret@localhost:99999/0", "Port out of range"),
        ("redis://me:secret@localhost:port/0", "Port could not be cast"),
        ("redis://me:secret@localhost/0?colour=red", "colour"),
        ("redis://me:secret@localhost/0?socket_timeout=soon", "socket_timeout"),
        ("redis://me:secret@localhost/0?decode_responses=true", "decode_responses"),
    ],
)
def test_urls_that_are_none_are_refused_without_their_password(url, told):
    with pytest.raises(UsageError, match=told) as found:
        open_history_store(url)
    assert "secret" not in str(found.value)


def test_a_password_is_asked_for_and_never_shown(own_server):
    server = own_server("--requirepass", "secret")
    for login in ("", ":wrong-secret@", "me:wrong-secret@"):
        with pytest.raises(RunError) as found:
            open_history_store(server.url.replace("//", f"//{login}"))
        assert "secret" not in str(found.value)
        assert "password" in str(found.value) or "Authentication required" in str(found.value)
    with opened(server.url.replace("//", "//:secret@")) as store:
        assert store.add({"u": [event()]}).stored == 1
        assert "secret" not in repr(store)
        server.kill()
        with pytest.raises(RunError) as found:
            store.history("u")
        assert "secret" not in str(found.value)


def test_a_server_that_is_away_is_told_and_found_again(own_server):
    server = own_server()
    store = opened(server.url)
    store.add({"u": [event()]})
    server.kill()
    asked = (
        lambda: store.add({"u": [event()]}),
        lambda: store.history("u"),
        lambda: store.forget("u"),
        store.expire,
        lambda: opened(server.url),
    )
    for ask in asked:
        with pytest.raises(RunError, match=f"{server.url} cannot be reached .*start the server"):
            ask()
    server.start()  # it has forgotten everything, the script too
    assert store.add({"u": [event("b")]}).stored == 1
    assert store.history("u") == [event("b")]
    server.kill()
    server.start()
    assert store.history("u") == []  # a connection that broke meanwhile is made again
    store.close()


def test_a_server_that_hangs_is_not_waited_for(own_server):
    server = own_server()
    with opened(f"{server.url}?socket_timeout=0.3") as store:
        store.add({"u": [event()]})
        server.process.send_signal(signal.SIGSTOP)
        try:
            for ask in (lambda: store.add({"u": [event("b")]}), lambda: store.history("u")):
                start = time.monotonic()
                with pytest.raises(RunError, match="did not answer in time"):
                    ask()
                assert time.monotonic() - start < 3
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert store.history("u")[0] == event()


def test_the_timeouts_are_set_unless_the_url_sets_them(redis_server):
    for url, expected in ((redis_server.url, 5), (f"{redis_server.url}?socket_timeout=2", 2)):
        with opened(url) as store:
            settings = store._client.connection_pool.connection_kwargs
            assert (settings["socket_timeout"], settings["socket_connect_timeout"]) == (expected, 2)


def test_a_full_server_stores_nothing_of_a_batch(own_server):
    import redis

    server = own_server()
    with opened(server.url) as store, redis.Redis(port=server.port) as client:
        store.add({"u": [event()]})
        client.config_set("maxmemory", 1)
        with pytest.raises(RunError, match=r"refused the request.*maxmemory"):
            store.add({"u": [event("b")], "v": [event("b")]})
        client.config_set("maxmemory", 0)
        assert store.histories(["u", "v"]) == {"u": [event()], "v": []}


def test_a_server_that_knows_the_script_no_more_gets_it_again(client, redis_server):
    with opened(redis_server.url) as store:
        store.add({"u": [event("a")]})
        client.script_flush()
        client.flushall()
        assert store.add({"u": [event("b")]}).stored == 1
        assert client.hgetall("item2vec:history:meta") == {b"version": b"1", b"id_type": b"string"}


def test_another_program_s_keys_are_told_and_stay(client, redis_server):
    with opened(redis_server.url) as store:
        client.set("item2vec:history:user:v", "text")
        for ask in (
            lambda: store.add({"u": [event()], "v": [event()]}),
            lambda: store.history("v"),
            lambda: store.forget("v"),
            store.expire,
        ):
            with pytest.raises(CorruptArtifactError, match=r"no histories, or are damaged.*prefix"):
                ask()
        assert client.get("item2vec:history:user:v") == b"text"
        assert store.history("u") == []  # nothing of the batch was written
        at, behind = NOW.to_bytes(8, "big"), b"\0" * 8
        ends = (b"", b"text", b"click", b"click\0x1", b"click\0", b"click\0ione", b"\xff\0s1")
        for member in (at, at + b"text", *(at + behind + end + behind for end in ends)):
            client.delete("item2vec:history:user:w")
            client.zadd("item2vec:history:user:w", {member: 0})
            with pytest.raises(CorruptArtifactError, match="damaged"):
                store.history("w")
        client.set("item2vec:history:meta", "text")
        with pytest.raises(CorruptArtifactError, match="no histories"):
            store.add({"u": [event()]})
    with pytest.raises(CorruptArtifactError, match="no histories"):
        opened(redis_server.url)


def test_histories_of_another_version_are_refused(client, redis_server):
    with opened(redis_server.url) as store:
        client.hset("item2vec:history:meta", "version", "2")
        for ask in (lambda: store.add({"u": [event()]}), lambda: opened(redis_server.url)):
            with pytest.raises(UsageError, match=r"version '2' under .*; this item2vec reads version 1"):
                ask()
        assert client.keys() == [b"item2vec:history:meta"]


def test_a_killed_server_has_whole_batches(own_server):
    """With a file of commands that is written through, those that it confirmed too."""
    rng, users = random.Random(3), [f"u{number}" for number in range(500)]

    def write(server: Server, confirmed: list[str]) -> None:
        with opened(server.url) as store:
            for number in range(1_000):
                store.add({user: [event(f"item {number}", NOW - number)] for user in users})
                confirmed.append(f"item {number}")

    def write_until_it_fails(server: Server, confirmed: list[str]) -> None:
        with pytest.raises(RunError, match="cannot be reached"):
            write(server, confirmed)

    def items_after_a_kill(server: Server) -> list[set[str]]:
        server.kill()
        server.start()
        with opened(server.url) as store:
            return [{e.item_id for e in events} for events in store.histories(users).values()]

    for _ in range(3):
        server, confirmed = own_server("--appendonly", "yes", "--appendfsync", "always"), []
        thread = threading.Thread(target=write_until_it_fails, args=(server, confirmed))
        thread.start()
        time.sleep(rng.uniform(0.2, 0.4))
        server.kill()
        thread.join(30)
        several = items_after_a_kill(server)
        assert all(items == several[0] for items in several)
        assert several[0] >= set(confirmed)
        assert confirmed
        # What was being written may come back in part now (see RedisHistoryStore), what was confirmed stays.
        assert all(items >= set(confirmed) for items in items_after_a_kill(server))
