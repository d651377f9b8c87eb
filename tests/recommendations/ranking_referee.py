"""Ranking features once more, as plain loops over events: the referee for the SQL and the arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from item2vec.embeddings import ItemVectors
from item2vec.events.schema import event_schema
from item2vec.recommendations import UserEvent
from item2vec.vocabulary import Vocabulary

S = 1_000_000
DAY = 86_400 * S
SETS = ("click", "skip", "long click", "wishlist", "inquiry", "booking")


def event(user: str, ts: int, kind: str, item: str, **more: Any) -> dict[str, Any]:
    blank = {"seq": 0, "dwell_seconds": None, "market": None, "search_id": None, "position": None}
    return {**blank, "user_id": user, "ts_us": ts, "event_type": kind, "item_id": item, **more}


def shown(user: str, ts: int, search: str, items: Any) -> list[dict[str, Any]]:
    return [
        event(user, ts, "impression", item, search_id=search, position=place)
        for place, item in enumerate(items, 1)
    ]


def event_table(rows: list[dict[str, Any]]) -> pa.Table:
    numbered = [{**row, "event_id": f"e{number:06d}"} for number, row in enumerate(rows)]
    return pa.Table.from_pylist(numbered, schema=event_schema("string"))


def make_vectors(ids: list[str], d: int = 6, seed: int = 0) -> ItemVectors:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((len(ids), d)).astype(np.float32)
    return ItemVectors(Vocabulary(pa.array(ids), np.ones(len(ids), np.int64)), vectors)


def searches_of(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The rows of every search that showed something, by user and search."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["search_id"] is not None:
            found.setdefault((row["user_id"], row["search_id"]), []).append(row)
    return {key: of for key, of in found.items() if any(row["event_type"] == "impression" for row in of)}


def user_events(rows: list[dict[str, Any]], user: str) -> list[UserEvent]:
    """What a live history would hold at the log's end: the user's events, and skips when they happened."""
    events = [
        UserEvent(row["item_id"], row["event_type"], row["ts_us"], row["dwell_seconds"])
        for row in rows
        if row["user_id"] == user and row["event_type"] != "impression"
    ]
    for (owner, _), of in searches_of(rows).items():
        if owner == user:
            events += _skips(of)
    return events


def _skips(of_search: list[dict[str, Any]]) -> list[UserEvent]:
    place: dict[str, int] = {}
    for row in of_search:
        if row["event_type"] == "impression":
            place[row["item_id"]] = min(row["position"], place.get(row["item_id"], 10**9))
    clicks = [row for row in of_search if row["event_type"] == "click"]
    skips = []
    for item, above in place.items():
        below = [row["ts_us"] for row in clicks if place.get(row["item_id"], row["position"]) > above]
        own = [row["ts_us"] for row in clicks if row["item_id"] == item]
        if below and (not own or min(own) > min(below)):
            skips.append(UserEvent(item, "skip", min(below)))
    return skips


def features_of(
    item: str, events: list[UserEvent], as_of: int, vectors: ItemVectors, markets: dict[str, str]
) -> list[float]:
    """The seven features of one candidate; events in the log's order."""
    seen = [
        one
        for one in sorted(events, key=lambda one: one.ts_us)
        if as_of - 14 * DAY < one.ts_us < as_of and one.item_id in vectors
    ]
    if item not in vectors:
        return [np.nan] * 7
    long = [one for one in seen if one.is_long_click and one.ts_us + one.dwell_seconds * S < as_of]
    sets: dict[str, set[str]] = {name: set() for name in SETS}
    for one in seen:
        if one.event_type == "skip":
            if any(
                two.event_type == "click" and two.item_id == one.item_id and two.ts_us >= one.ts_us
                for two in seen
            ):
                continue
            sets["skip"].add(one.item_id)
        elif one.event_type != "rejection":
            sets[one.event_type].add(one.item_id)
    sets["long click"] = {one.item_id for one in long}
    sets["inquiry"] -= sets["booking"]
    own = vectors.get_vector(item)
    found = []
    for name in SETS:
        by_market: dict[Any, list[str]] = {}
        for one in sets[name]:
            by_market.setdefault(markets.get(one), []).append(one)
        cosines = [cosine(own, sum(vectors.get_vector(one) for one in of)) for of in by_market.values()]
        found.append(max(cosines, default=np.nan))
    return [*found, cosine(own, vectors.get_vector(long[-1].item_id)) if long else np.nan]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), np.asarray(b, np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def random_log(seed: int, n_users: int = 12, n_searches: int = 8, n_items: int = 40) -> list[dict[str, Any]]:
    """Searches over five weeks in whole seconds, so that times collide; clicks in any order, some late."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for user in range(n_users):
        name = f"u{user}"
        for search in range(n_searches):
            start = int(rng.integers(0, 35 * 24)) * 3600 * S
            page = [f"i{item}" for item in rng.choice(n_items, 6, replace=False)]
            rows += shown(name, start, f"s{search}", page)
            for place in rng.choice(6, rng.integers(0, 4), replace=False):
                ts = start + int(rng.integers(0, 300)) * S
                more = {"search_id": f"s{search}", "position": int(place) + 1, "seq": int(rng.integers(3))}
                dwell = [None, 5.0, 70.0, 90_000.0][rng.integers(4)]
                rows.append(event(name, ts, "click", page[place], dwell_seconds=dwell, **more))
                for kind in ("wishlist", "inquiry", "booking", "rejection"):
                    if rng.random() < 0.3:
                        later = ts + int(rng.integers(-1000, 200_000)) * S
                        rows.append(event(name, max(later, 0), kind, page[place]))
    return sorted(rows, key=lambda row: (row["user_id"], row["ts_us"], row["seq"]))
