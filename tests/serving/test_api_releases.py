"""Releases that come while requests are answered: swapped whole, refused damaged, split between users."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from benchmarks.swaps import Counts, campaign, damage, lists_of, name_current
from serving_world import HEADERS, ServerProcess, publish_release, told

import item2vec as i2v
from item2vec.artifacts import Release, RunFolder, read_release
from item2vec.errors import CorruptArtifactError
from item2vec.serving.engine import user_place
from item2vec.serving.probe import probe


def campaign_on(
    server: ServerProcess, pair: tuple[Release, Release], bad: Release | None, **settings
) -> Counts:
    return campaign(
        server.url,
        pair,
        bad,
        lambda n: server.wait_for("release_swapped", n),
        lambda n: server.wait_for("release_refused", n),
        headers=HEADERS,
        **settings,
    )


def test_releases_are_swapped_under_load(start: Callable[..., ServerProcess], own_shop: Path) -> None:
    first = read_release(own_shop)
    second = publish_release(own_shop.parent, seed=2)
    name_current(first)
    assert lists_of(first) != lists_of(second)
    server = start(str(own_shop), "--poll-seconds", "0.05")
    found = campaign_on(server, (first, second), None, swaps=5, seconds=1)
    assert found.releases == {first.id, second.id}
    assert found.asked > 100
    assert (found.failed, found.mixed, found.stale) == (0, 0, 0)
    assert 'item2vec_release_swaps_total{outcome="swapped"} 5.0' in server.client.get("/metrics").text


@pytest.mark.parametrize("file", ["similar/vectors.npy", "items.parquet"])
def test_a_damaged_release_is_refused_and_the_old_one_answers(
    start: Callable[..., ServerProcess], own_shop: Path, file: str
) -> None:
    first = read_release(own_shop)
    second = damage(publish_release(own_shop.parent, seed=2), file)
    name_current(first)
    server = start(str(own_shop), "--poll-seconds", "0.05")
    name_current(second)
    (line,) = server.wait_for("release_refused")
    assert line["level"] == "error"
    assert file.split("/")[-1] in line["error"]
    ready = server.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["release"] == first.id
    assert ready.json()["refused"]["release"] == second.id
    assert ready.json()["refused"]["why"] == "CorruptArtifactError"
    assert server.client.get("/v1/items/L0000001/similar").headers["x-release"] == first.id
    assert 'item2vec_release_swaps_total{outcome="refused"} 1.0' in server.client.get("/metrics").text
    (own_shop / "CURRENT").write_text("nonsense\n")
    server.wait_for("release_refused", 2)
    name_current(first)
    for _ in range(100):
        if server.client.get("/readyz").json()["refused"] is None:
            break
        time.sleep(0.05)
    assert server.client.get("/readyz").json() == {"status": "ready", "release": first.id, "refused": None}


def test_an_index_that_finds_other_items_is_refused(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hashes are right, it was built wrong: only asking it shows that."""
    rec = i2v.load(shop)
    assert probe(rec)["similar"] > 0.9
    assert rec.neighbours is not None
    rec.neighbours.scores = rec.neighbours.scores[::-1]
    with pytest.raises(CorruptArtifactError, match="table of neighbours"):
        probe(rec)
    rec = i2v.load(shop)
    index = rec.index("next")
    search = index.search

    def wrong(queries, k=10, allowed=None, *, exact=False):
        return search(queries if exact else queries[::-1], k, allowed, exact=exact)

    monkeypatch.setattr(index, "search", wrong)
    with pytest.raises(CorruptArtifactError, match="the next index finds"):
        probe(rec)


def test_live_changes_pass_to_the_next_release_or_are_told_lost(
    start: Callable[..., ServerProcess], own_shop: Path
) -> None:
    first = read_release(own_shop)
    second = publish_release(own_shop.parent, seed=2)
    name_current(first)
    server = start(str(own_shop), "--poll-seconds", "0.05")
    client = server.client
    vector = i2v.load(own_shop).vectors.vectors[0].tolist()
    ids = [one["item_id"] for one in client.get("/v1/items?k=10").json()["items"]]
    assert client.put("/v1/items/by-attributes", json={"attributes": {"price": 80}}).json()["new"] is True
    assert client.put("/v1/items/by-likeness", json={"like": ids[:2]}).json()["new"] is True
    assert client.put("/v1/items/by-vector", json={"vector": vector}).json()["new"] is True
    assert client.delete(f"/v1/items/{ids[3]}").status_code == 204
    assert client.put(f"/v1/items/{ids[4]}/availability", json={"available": False}).status_code == 200
    known = client.get(f"/v1/items/{ids[5]}").json()["attributes"]
    assert client.put(f"/v1/items/{ids[5]}", json={}).status_code == 422
    assert client.put(f"/v1/items/{ids[5]}", json={"attributes": {"price": 1234}}).json()["new"] is False
    assert client.get(f"/v1/items/{ids[5]}").json()["attributes"] == {**known, "price": 1234}
    dear = {"history": [ids[0]], "k": 9, "where": {"price": {"min": 1200, "max": 1240}}}
    assert ids[5] in {one["item_id"] for one in client.post("/v1/recommend", json=dear).json()["items"]}
    check_changes(client, ids, lost=False)
    name_current(second)
    (line,) = server.wait_for("release_swapped")
    assert line["lost_items"] == 1
    check_changes(client, ids, lost=True)
    assert client.get(f"/v1/items/{ids[5]}").json()["attributes"]["price"] != 1234  # the release's own again
    assert client.get("/v1/model").json()["live"]["put"] == 2
    assert client.put(f"/v1/items/{ids[4]}/availability", json={"available": True}).status_code == 200
    assert client.put(f"/v1/items/{ids[3]}", json={"like": [ids[0]]}).json()["new"] is True
    shown = client.get(f"/v1/items/{ids[0]}/similar?k=200").json()["items"]
    assert {ids[3], ids[4]} <= {one["item_id"] for one in shown}


def check_changes(client: httpx.Client, ids: list[str], lost: bool) -> None:
    shown = {one["item_id"] for one in client.get(f"/v1/items/{ids[0]}/similar?k=200").json()["items"]}
    assert {"by-attributes", "by-likeness"} <= shown
    assert ("by-vector" in shown) is not lost
    assert not {ids[3], ids[4]} & shown
    assert client.get(f"/v1/items/{ids[3]}/similar").status_code == 404
    assert client.get(f"/v1/items/{ids[3]}").status_code == 404
    assert client.get(f"/v1/items/{ids[4]}/similar").status_code == 200
    assert client.get(f"/v1/items/{ids[4]}").json()["available"] is False
    everything = client.post("/v1/recommend", json={"history": [ids[0]], "k": 200}).json()["items"]
    assert not {ids[3], ids[4], ids[0]} & {one["item_id"] for one in everything}
    found = {one["item_id"] for one in client.get("/v1/items?q=by-&k=9").json()["items"]}
    assert found == {"by-attributes", "by-likeness"} | (set() if lost else {"by-vector"})
    searched = {one["item_id"] for one in client.get("/v1/items?k=200").json()["items"]}
    assert ids[3] not in searched


def test_two_releases_share_the_users_and_the_log_says_who_saw_what(
    start: Callable[..., ServerProcess], own_shop: Path, tmp_path: Path
) -> None:
    first = read_release(own_shop)
    second = publish_release(own_shop.parent, seed=2)
    name_current(first)
    log = tmp_path / "served"
    server = start(str(own_shop), "--split", f"{second.id[:8]}:0.3", "--served-log", str(log))
    one = server.client.get("/v1/items?k=1").json()["items"][0]["item_id"]
    lists = {release.id: lists_of(release)[one][:5] for release in (first, second)}
    seen: dict[str, str] = {}
    for number in range(60):
        user = f"user-{number}"
        reply = server.client.get(f"/v1/items/{one}/similar?k=5&user={user}")
        seen[user] = reply.headers["x-release"]
        assert seen[user] == (second.id if user_place(user) < 0.3 else first.id)
        assert reply.headers["x-variant"] == ("b" if user_place(user) < 0.3 else "a")
        assert [item["item_id"] for item in reply.json()["items"]] == lists[seen[user]]
    assert 8 <= sum(release == second.id for release in seen.values()) <= 28
    asked = server.client.post("/v1/recommend", json={"user_id": "user-1", "history": [one], "k": 4})
    assert asked.headers["x-release"] == seen["user-1"]
    assert asked.headers["cache-control"] == "no-store"
    anonymous = server.client.get(f"/v1/items/{one}/similar?k=5")
    assert anonymous.headers["x-release"] == first.id
    assert anonymous.headers["cache-control"] == "private, no-cache"
    assert server.stop() == 0
    rows = [row for path in sorted(log.glob("served-*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert not list(log.glob(".*"))
    assert len(rows) == 60 * 5 + 4 + 5
    by_user = {row["user_id"]: row for row in rows if row["query"] == one and row["position"] == 1}
    assert {user: by_user[user]["release"] for user in seen} == seen
    mine = [row for row in rows if row["request_id"] == asked.headers["x-request-id"]]
    assert [row["item_id"] for row in mine] == [item["item_id"] for item in asked.json()["items"]]
    assert [row["position"] for row in mine] == [1, 2, 3, 4]
    assert [round(row["score"], 4) for row in mine] == [round(i["score"], 4) for i in asked.json()["items"]]
    assert {row["user_id"] for row in mine} == {"user-1"}
    assert [row for row in rows if row["user_id"] is None]


def test_the_share_of_the_users_is_even_and_lasting() -> None:
    places = [user_place(f"u{number}") for number in range(20_000)]
    for share in (0.01, 0.1, 0.5):
        found = sum(place < share for place in places) / len(places)
        assert abs(found - share) < 4 * (share * (1 - share) / len(places)) ** 0.5
    assert round(user_place("anna"), 6) == round(user_place("anna"), 6)
    assert user_place("anna") != user_place("Anna")


@pytest.mark.long
def test_swaps_and_damage_fail_no_request_for_long(
    start: Callable[..., ServerProcess], own_shop: Path
) -> None:
    """`python -m benchmarks.serving --swaps 600` takes the ten minutes."""
    first = read_release(own_shop)
    second = publish_release(own_shop.parent, seed=2)
    bad = damage(publish_release(own_shop.parent, seed=9), "next/vectors.npy")
    name_current(first)
    server = start(str(own_shop), "--poll-seconds", "0.05")
    settings = {"swaps": 20, "seconds": 60, "rate": 200, "pid": server.workers()[0]}
    found = campaign_on(server, (first, second), bad, **settings)
    counts = f"{found.failed} failed, {found.mixed} mixed, {found.stale} stale"
    told(f"{found.asked:,} requests, 20 swaps, 5 damaged releases: {counts}")
    assert (found.failed, found.mixed, found.stale) == (0, 0, 0)
    assert found.asked > 0.9 * 200 * 60
    assert found.memory_mb[-1] <= 1.05 * found.memory_mb[9]


def test_a_folder_that_is_locked_or_gone_harms_nothing(
    start: Callable[..., ServerProcess], own_shop: Path
) -> None:
    server = start(str(own_shop), "--poll-seconds", "0.05")
    first = server.client.get("/readyz").json()["release"]
    (own_shop / "CURRENT").unlink()
    server.wait_for("release_refused")
    with RunFolder(own_shop).lock():
        assert server.client.get("/v1/items/L0000001/similar").headers["x-release"] == first
