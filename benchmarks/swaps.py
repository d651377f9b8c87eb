"""Releases that take turns under load, damaged ones among them: what failed, what was mixed, what it cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx

import item2vec as i2v
from item2vec.artifacts import Release, make_current

K = 12
Lists = Mapping[str, Mapping[str, list[str]]]


class Counts(NamedTuple):
    """What a campaign found: a mixed reply lists items of another release, a stale one names the old one."""

    asked: int
    failed: int
    mixed: int
    stale: int
    releases: set[str]
    memory_mb: list[int]


def lists_of(release: Release, n_items: int = 40) -> dict[str, list[str]]:
    """The similar items that a release has for some items."""
    rec = i2v.load(release.folder.path, release.id)
    return {one: rec.similar_items(one, K)[0].tolist() for one in rec.vectors.index_to_key[:n_items]}


def name_current(release: Release) -> None:
    """Publish a release that is there."""
    with release.folder.lock():
        make_current(release)


def damage(release: Release, file: str) -> Release:
    """Flip a bit of a release's index, as a bad disk does."""
    path = release.object_path("index") / file
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 4
    path.unlink()  # it may be linked from elsewhere
    path.write_bytes(body)
    return release


class Load(threading.Thread):
    """Asks at a rate, or without a pause, and holds every reply against the release that it names."""

    def __init__(
        self, url: str, lists: Lists, rate: float | None = None, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__()
        self._url, self._lists, self._rate, self._headers = url, lists, rate, headers
        self.asked = self.failed = self.mixed = 0
        self.releases: set[str] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=10, trust_env=False) as client:
            ids = list(next(iter(self._lists.values())))
            due = time.monotonic()
            while not self._ended.is_set():
                self._ask(client, ids[self.asked % len(ids)])
                if self._rate is not None:  # by the clock: a slow answer does not lower the rate
                    due += 1 / self._rate
                    time.sleep(max(0.0, due - time.monotonic()))

    def _ask(self, client: httpx.Client, one: str) -> None:
        self.asked += 1
        try:
            reply = client.get(f"/v1/items/{one}/similar?k={K}")
        except httpx.HTTPError:
            self.failed += 1
            return
        if reply.status_code != 200:
            self.failed += 1
            return
        release = reply.headers["x-release"]
        self.releases.add(release)
        found = [item["item_id"] for item in reply.json()["items"]]
        self.mixed += release not in self._lists or found != self._lists[release][one]

    def stop(self) -> None:
        """End after the answer that is on its way."""
        self._ended.set()
        self.join(20)


def campaign(
    url: str,
    releases: tuple[Release, Release],
    bad: Release | None,
    swapped: Callable[[int], object],
    refused: Callable[[int], object],
    *,
    swaps: int,
    seconds: float,
    rate: float | None = None,
    headers: Mapping[str, str] = {},
    pid: int | None = None,
) -> Counts:
    """Let two releases take turns while four clients ask; every fourth time a damaged one comes between.

    Parameters
    ----------
    url : str
    releases : pair of Release
        The first is served.
    bad : Release or None
    swapped, refused : callable (n)
        Wait until the server has swapped, or refused, so many times.
    swaps : int
    seconds : float
        Of the whole.
    rate : float or None
        Requests per second; None asks without a pause.
    headers : mapping
    pid : int or None
        The process whose memory is read.
    """
    lists = {one.id: lists_of(one) for one in releases}
    loads = [Load(url, lists, None if rate is None else rate / 4, headers) for _ in range(4 if rate else 1)]
    for load in loads:
        load.start()
    memory, stale = [], 0
    pause = seconds / (swaps + swaps // 4 * (bad is not None))
    for number in range(1, swaps + 1):
        name_current(releases[number % 2])
        swapped(number)
        stale += served_by(url, next(iter(lists[releases[0].id])), headers) != releases[number % 2].id
        time.sleep(pause)
        if bad is not None and number % 4 == 0:
            name_current(bad)
            refused(number // 4)
            name_current(releases[number % 2])
            time.sleep(pause)
        memory += [] if pid is None else [resident_mb(pid)]
    for load in loads:
        load.stop()
    sums = (sum(getattr(one, name) for one in loads) for name in ("asked", "failed", "mixed"))
    return Counts(*sums, stale, set().union(*(one.releases for one in loads)), memory)


def served_by(url: str, item_id: str, headers: Mapping[str, str]) -> str:
    """Return the release that a reply names."""
    path = f"{url}/v1/items/{item_id}/similar?k={K}"
    return httpx.get(path, headers=dict(headers), timeout=10, trust_env=False).headers["x-release"]


def children(pid: int) -> list[int]:
    """Return the processes that a process has begun."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(one) for path in tasks for one in path.read_text().split()]


def resident_mb(pid: int) -> int:
    """Resident memory of a process in MB (10⁶ bytes)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(one for one in lines if one.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 // 10**6
