"""A small run to serve, its releases, and servers of our own on free ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from benchmarks.swaps import children

from item2vec.artifacts import Release, RunFolder, publish
from item2vec.config import RunConfig
from item2vec.run import run_pipeline

TOKEN = "a-token-for-tests-0123456789"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
SECTIONS: dict[str, dict[str, Any]] = {
    "run": {"name": "shop"},
    "simulate": {"n_users": 400, "n_listings": 120, "n_markets": 3, "days": 40, "trips_per_user": 4},
    "train": {"vector_size": 8, "epochs": 2, "workers": 1},
    "types": {"enabled": True, "min_support": 5, "vector_size": 8, "epochs": 2},
    "index": {"n_trees": 5, "neighbours": 30},
}


def publish_release(runs: Path, seed: int = 1, **changes: dict[str, Any]) -> Release:
    """Train with a seed, index, and make that the current release; nothing is measured."""
    sections = {name: dict(values) for name, values in SECTIONS.items()}
    sections["train"]["seed"] = seed
    for name, values in changes.items():
        sections[name].update(values)
    result = run_pipeline(RunConfig.from_sections(sections), runs, until="index")
    folder = RunFolder(result.folder)
    with folder.lock():
        return publish(folder, result.objects, {"follows": None})


class ServerProcess:
    """`item2vec serve` on a free port of this machine.

    Parameters
    ----------
    folder : Path
        For its log and its history.
    arguments : str
        Of the command.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        token: str | None = TOKEN,
        wait: bool = True,
        port: int | None = None,
    ) -> None:
        self.port, self.folder = free_port() if port is None else port, folder
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"log-{self.port}.jsonl"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ITEM2VEC_")}
        if token is not None:
            environment["ITEM2VEC_TOKEN"] = token
        command = [sys.executable, "-m", "item2vec.cli", "serve", *arguments, "--port", str(self.port)]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        self.client = httpx.Client(
            base_url=self.url, headers=HEADERS if token else {}, timeout=10, trust_env=False
        )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        for _ in range(600):
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def workers(self) -> list[int]:
        """Process ids of what answers."""
        return children(self.process.pid) or [self.process.pid]

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of one kind."""
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last line may be half written
        rows = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [row for row in rows if row["event"] == event]

    def wait_for(self, event: str, n: int = 1) -> list[dict[str, Any]]:
        for _ in range(400):
            found = self.lines(event)
            if len(found) >= n:
                return found
            time.sleep(0.05)
        raise AssertionError(f"no {event}: {self.log.read_text()[-2000:]}")

    def raw(self, request: bytes, seconds: float = 5.0) -> bytes:
        """Send bytes as they are and return the whole answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            try:
                connection.sendall(request)
            except (ConnectionResetError, BrokenPipeError):
                pass  # it has seen enough; what it said is still to be read
            parts = []
            try:
                while part := connection.recv(65536):
                    parts.append(part)
            except (TimeoutError, ConnectionResetError):
                pass
        return b"".join(parts)

    def stop(self) -> int:
        """End it as an orchestrator does and return its exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def told(text: str) -> None:
    """Print a campaign's counts (seen with ``pytest -s`` and where a test fails)."""
    sys.stdout.write(f"\n{text}\n")
