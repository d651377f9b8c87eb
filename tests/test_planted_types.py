"""Hidden taste in a simulated marketplace: types of users and listings find it, and find none without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

import item2vec as i2v
from item2vec.embeddings.types import TypeEmbeddings, TypeMap, rejections_of
from item2vec.embeddings.types.stays import Stays

PER_GUEST = ("price", "capacity")
RULES = TypeMap.from_document(
    {
        "listing_type": [
            {
                "code": "lt",
                "column": "listing_type",
                "values": ["Entire home", "Private room", "Shared room"],
            },
            {
                "code": "pg",
                "column": "price_per_guest",
                "ratio": PER_GUEST,
                "quantiles": 4,
                "by": "market",
            },
            {"code": "c", "column": "capacity", "edges": [2, 3, 4, 6]},
        ],
        "user_type": [
            {"code": "nb", "count_of": "bookings", "edges": [1, 3]},
            {
                "code": "ppg",
                "mean_of": "price_per_guest",
                "ratio": PER_GUEST,
                "edges": [15, 20, 25, 30, 35, 42, 50],
            },
            {"code": "c", "mean_of": "capacity", "edges": [2, 2.7, 3.1, 4.1, 6.1]},
        ],
    }
)


class World(NamedTuple):
    """A simulated log, cut into bookings, with its hidden tastes."""

    events: Any
    bookings: i2v.Sessions
    tastes: dict[str, dict[str, Any]]

    def fitted(self, rejections: bool = False) -> TypeEmbeddings:
        types = TypeEmbeddings(type_map=RULES, min_support=20, epochs=15, workers=1)
        refused = rejections_of(self.events) if rejections else None
        return types.fit(self.bookings, self.events.users, refused, show_progress=False)


def world(folder: Path, taste: bool) -> World:
    i2v.simulate(
        folder / "world",
        n_users=2500,
        n_listings=400,
        n_markets=3,
        days=120,
        trips_per_user=8,
        book_share=0.8,
        rejection_rate=0.25,
        taste=taste,
        seed=3,
    )
    events = i2v.read_events(
        folder / "world" / "events",
        items=folder / "world" / "items.parquet",
        users=folder / "world" / "users.parquet",
        out=folder / "events",
    )
    tastes = pq.read_table(folder / "world" / "truth" / "tastes.parquet").to_pylist()
    bookings = i2v.sessionize(events, kind="booking", min_length=1)
    return World(events, bookings, {row["user_id"]: row for row in tastes})


@pytest.fixture(scope="module")
def with_taste(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("taste"), taste=True)


def share_above(better: np.ndarray, worse: np.ndarray) -> float:
    """Chance that one of the better scores above one of the worse; half where they are equal."""
    return float((better[:, None] > worse).mean() + 0.5 * (better[:, None] == worse).mean())


def price_bands(items: Any) -> np.ndarray:
    """Third of its market's prices per guest that each listing is in: 0, 1, 2."""
    price, capacity, market = (np.array(items[name].to_pylist()) for name in (*PER_GUEST, "market"))
    bands = np.zeros(len(price), int)
    for one in np.unique(market):
        rows = market == one
        per_guest = price[rows] / capacity[rows]
        bands[rows] = np.digitize(per_guest, np.quantile(per_guest, [1 / 3, 2 / 3]))
    return bands


def recovered(found: World, types: TypeEmbeddings) -> tuple[np.ndarray, np.ndarray]:
    """How often a listing of a guest's hidden type, and of the price band, beats another; per guest."""
    stays = Stays(found.bookings, found.events.users)
    n = len(stays.user_ids)
    user_types = stays.user_types(types.type_map_, np.arange(n), np.full(n, 2**60)).to_list()
    items = found.bookings.items
    listing_types = types.type_map_.listing_types(items)
    kinds, bands = np.array(items["listing_type"].to_pylist()), price_bands(items)
    by_kind, by_band = [], []
    for user, name in zip(stays.user_ids.to_pylist(), user_types, strict=True):
        taste = found.tastes[user]
        if "_ppg0" in name:  # nothing booked
            continue
        scores = types.similarity(name, listing_types)
        own = kinds == taste["listing_type"]
        by_kind.append(share_above(scores[own], scores[~own]))
        band = {"low": 0, "middle": 1, "high": 2}[taste["price_band"]]
        if band != 1:
            by_band.append(share_above(scores[bands == band], scores[bands != band]))
    return np.array(by_kind), np.array(by_band)


def test_hidden_taste_is_recovered_and_none_is_found_without(with_taste: World, tmp_path: Path) -> None:
    """Chance is one half; a standard error over guests is below .01."""
    by_kind, by_band = recovered(with_taste, with_taste.fitted())
    assert len(by_kind) > 2000
    assert by_band.mean() > 0.65
    assert by_kind.mean() > 0.54
    without = world(tmp_path, taste=False)
    by_kind, by_band = recovered(without, without.fitted())
    assert abs(by_band.mean() - 0.5) < 0.04
    assert abs(by_kind.mean() - 0.5) < 0.04


def test_guests_and_hosts_who_declined_them_move_apart(with_taste: World) -> None:
    """Every pair of a refusal, with and without the refusals as negatives."""
    refused = rejections_of(with_taste.events)
    stays = Stays(with_taste.bookings, with_taste.events.users)
    owners = stays.user_rows(refused["user_id"])
    ids = with_taste.bookings.item_ids.to_pylist()
    numbers = {one: number for number, one in enumerate(ids)}
    known = [row for row, one in enumerate(refused["item_id"].to_pylist()) if one in numbers]
    tokens = np.array([numbers[one] for one in refused["item_id"].to_pylist() if one in numbers])
    times = np.array(refused["ts_us"].to_pylist())[known]
    similarity = {}
    for rejections in (False, True):
        types = with_taste.fitted(rejections)
        guests = stays.user_types(types.type_map_, owners[known], times).to_list()
        listings = stays.listing_types(types.type_map_, tokens, times).to_list()
        pairs = zip(guests, listings, strict=True)
        similarity[rejections] = np.array([types.similarity(guest, [home])[0] for guest, home in pairs])
    fell = similarity[False] - similarity[True]
    assert len(fell) > 1000
    assert fell.mean() > 4 * fell.std() / len(fell) ** 0.5 > 0
