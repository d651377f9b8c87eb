"""Fixtures of the history stores."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from history_places import Clock, Place, Server

from item2vec.recommendations.history_stores import HistoryStore

_PREFIXES = (f"test-{number}:" for number in count())


@pytest.fixture(scope="session")
def needs_redis() -> None:
    """Skip, or fail where changes are tested, without Redis."""
    missing = [] if shutil.which("redis-server") else ["redis-server"]
    missing += [] if importlib.util.find_spec("redis") else ["its client (pip install 'item2vec[redis]')"]
    if missing:
        told = f"histories in Redis are not tested: {' and '.join(missing)} missing"
        (pytest.fail if os.environ.get("ITEM2VEC_REQUIRE_REDIS") else pytest.skip)(told)


@pytest.fixture(scope="session")
def redis_server(needs_redis, tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def own_server(needs_redis, tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """Start a server that a test may stop."""
    servers = []

    def start(*settings: str) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("redis"), *settings))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(params=["sqlite", "redis"])
def new_place(request, tmp_path) -> Callable[[], Place]:
    """Make places of one kind, each empty."""
    if request.param == "sqlite":
        paths = (tmp_path / f"{number}.db" for number in count())
        return lambda: Place(f"sqlite:///{next(paths)}", "unused", Clock())
    server = request.getfixturevalue("redis_server")
    return lambda: Place(server.url, next(_PREFIXES), Clock())


@pytest.fixture
def place(new_place) -> Place:
    return new_place()


@pytest.fixture
def store(place) -> Iterator[HistoryStore]:
    with place.open() as opened:
        yield opened
