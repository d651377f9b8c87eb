"""Real places to keep histories in: a SQLite file and a Redis server of our own."""

from __future__ import annotations

import socket
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from item2vec.recommendations.history_stores import HistoryStore, open_history_store

NOW = 1_760_000_000_000_000


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class Place(NamedTuple):
    """Where a store is; the same place opened again has the same histories."""

    url: str
    prefix: str
    clock: Clock

    def open(self, **settings) -> HistoryStore:
        return open_history_store(self.url, **{"prefix": self.prefix, "clock": self.clock, **settings})


class Server:
    """A Redis server on a free port, which can be killed and started again with its files."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder, self.settings = folder, settings
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket = f"unix://{folder}/s"
        try:
            self.start()
        except BaseException:
            self.kill()
            raise

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--unixsocket", f"{self.folder}/s", "--save", "", *self.settings),
            ],
            stdout=subprocess.DEVNULL,
        )
        import redis

        password = dict(pairwise(self.settings)).get("--requirepass")
        client = redis.Redis(port=self.port, password=password, socket_timeout=5)
        for _ in range(500):
            assert self.process.poll() is None, "redis-server ended while it started"
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
        assert client.info("server")["process_id"] == self.process.pid, "another server has the port"
        client.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
