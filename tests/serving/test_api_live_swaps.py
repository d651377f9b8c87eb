"""Items that come and go while releases are swapped: every reply is of one release and one moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from benchmarks.swaps import name_current
from serving_world import HEADERS, ServerProcess, publish_release, told

import item2vec as i2v
from item2vec.artifacts import Release, read_release

ASKED = 6
"""Items that are asked about: nobody removes them, and what is put is like two of them."""
Lists = dict[str, dict[str, float]]


class Change(NamedTuple):
    """An item that is put, like two others, or removed."""

    item_id: str
    like: tuple[str, str] | None


def changes_of(ids: list[str], n: int) -> list[Change]:
    """Put two, remove one of them or a trained item, and so on."""
    rng = np.random.default_rng(5)
    asked, others = ids[:ASKED], list(ids[ASKED:])
    found: list[Change] = []
    for number in range(n):
        pair = tuple(rng.choice(asked, 2, replace=False).tolist())
        found.append(Change(f"put-{number}", pair))
        if number % 3 == 1:
            found.append(Change(f"put-{number - 1}", None))
        if number % 3 == 2 and len(others) > 40:
            found.append(Change(others.pop(), None))
    return found


class Referee:
    """What each release has to answer after so many changes, from its vectors alone.

    Parameters
    ----------
    releases : sequence of Release
    changes : list of Change
    """

    def __init__(self, releases: tuple[Release, ...], changes: list[Change]) -> None:
        self.listed: list[set[str]] = []
        self.scores: dict[str, Lists] = {}
        for release in releases:
            vectors = i2v.load(release.folder.path, release.id).vectors
            unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
            rows = dict(zip(vectors.index_to_key, unit.astype(np.float64), strict=True))
            if not self.listed:  # both releases are of one catalogue
                self.listed.append(set(rows))
            assert set(rows) == self.listed[0]
            for one in changes:
                if one.like is not None:
                    mean = rows[one.like[0]] + rows[one.like[1]]
                    rows[one.item_id] = mean / np.linalg.norm(mean)
            self.scores[release.id] = {
                item: {one: float(row @ rows[item]) for one, row in rows.items()}
                for item in sorted(self.listed[0])[:ASKED]
            }
        for one in changes:
            before = self.listed[-1]
            self.listed.append(before - {one.item_id} if one.like is None else before | {one.item_id})

    def agrees(self, release: str, item: str, items: list[dict[str, Any]], least: int, most: int) -> bool:
        """Whether a list of everything is that of a release, after some number of changes."""
        shown = {one["item_id"]: one["score"] for one in items}
        states = self.listed[least : most + 1]
        if len(shown) != len(items) or not any(shown.keys() == state - {item} for state in states):
            return False
        expected = self.scores[release][item]
        in_order = [one["score"] for one in items]
        return in_order == sorted(in_order, reverse=True) and all(
            abs(score - expected[one]) < 1e-5 for one, score in shown.items()
        )


class Shop:
    """Makes the changes, one after the other, and asks meanwhile."""

    def __init__(
        self, server: ServerProcess, referee: Referee, changes: list[Change], ids: list[str]
    ) -> None:
        self.server, self.referee, self.changes, self.ids = server, referee, changes, ids
        self.begun = self.made = self.asked = 0
        self.wrong: list[str] = []
        self.seen: set[str] = set()
        self.over = threading.Event()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.server.url, headers=HEADERS, timeout=20, trust_env=False)

    def change(self, seconds: float) -> None:
        with self.client() as client:
            for one in self.changes:
                self.begun += 1
                path = f"/v1/items/{one.item_id}"
                if one.like is None:
                    reply = client.delete(path)
                else:
                    reply = client.put(path, json={"like": list(one.like)})
                if reply.status_code not in (200, 204):
                    self.wrong.append(f"{one}: {reply.status_code}")
                self.made += 1
                time.sleep(seconds / len(self.changes))

    def ask(self, several: bool) -> None:
        with self.client() as client:
            while not self.over.is_set():
                asked = self.ids if several else [self.ids[self.asked % len(self.ids)]]
                least = self.made
                if several:
                    reply = client.post("/v1/similar", json={"item_ids": asked, "k": 200})
                    lists = [one["items"] for one in reply.json().get("results", [])]
                else:
                    reply = client.get(f"/v1/items/{asked[0]}/similar?k=200")
                    lists = [reply.json().get("items", [])]
                most, release = self.begun, reply.headers["x-release"]
                self.asked += 1
                self.seen.add(release)
                for item, items in zip(asked, lists, strict=True):
                    if not self.referee.agrees(release, item, items, least, most):
                        self.wrong.append(f"{item} of {release} after {least} to {most}: {items[:3]}")


def campaign(server: ServerProcess, pair: tuple[Release, Release], swaps: int, seconds: float) -> Shop:
    """Let releases take turns while items come and go and four clients ask."""
    ids = sorted(set.intersection(*(set(i2v.load(one.folder.path, one.id).vectors.ids) for one in pair)))
    changes = changes_of(ids, 60)
    shop = Shop(server, Referee(pair, changes), changes, ids[:ASKED])
    threads = [threading.Thread(target=shop.ask, args=(number % 2 == 0,)) for number in range(4)]
    writer = threading.Thread(target=shop.change, args=(seconds,))
    for thread in (*threads, writer):
        thread.start()
    for number in range(1, swaps + 1):
        name_current(pair[number % 2])
        server.wait_for("release_swapped", number)
        time.sleep(seconds / swaps)
    writer.join()
    shop.over.set()
    for thread in threads:
        thread.join(20)
    return shop


def check(start: Callable[..., ServerProcess], own_shop: Path, swaps: int, seconds: float) -> None:
    first = read_release(own_shop)
    second = publish_release(own_shop.parent, seed=2)
    name_current(first)
    server = start(str(own_shop), "--poll-seconds", "0.05")
    found = campaign(server, (first, second), swaps, seconds)
    told(f"{found.asked:,} requests, {swaps} swaps, {found.made} live changes: {len(found.wrong)} wrong")
    assert found.wrong == []
    assert found.seen == {first.id, second.id}
    assert found.made == len(found.changes)
    assert found.asked > 50
    assert all(line["lost_items"] == 0 for line in server.lines("release_swapped"))


def test_every_reply_is_of_one_release_and_one_moment(
    start: Callable[..., ServerProcess], own_shop: Path
) -> None:
    check(start, own_shop, swaps=4, seconds=2)


@pytest.mark.long
def test_every_reply_is_of_one_release_and_one_moment_for_long(
    start: Callable[..., ServerProcess], own_shop: Path
) -> None:
    check(start, own_shop, swaps=40, seconds=60)


def test_an_item_put_without_anything_is_told_what_it_needs(
    start: Callable[..., ServerProcess], shop: Path
) -> None:
    reply = start(str(shop)).client.put("/v1/items/fresh", json={})
    assert reply.status_code == 422
    assert reply.json()["detail"] == "body: give attributes, like or vector"
