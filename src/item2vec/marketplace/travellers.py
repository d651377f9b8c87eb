"""The users, their lasting tastes, and the trips they plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.marketplace.config import MarketplaceConfig
from item2vec.marketplace.geography import Markets
from item2vec.marketplace.listings import AREAS_PER_MARKET, LISTING_TYPES, TYPE_SHARES, Listings

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

DAY_MS = 86_400_000
LONGEST_TRIP_DAYS = 5.5
DEVICES = ("iphone", "android", "mac", "windows", "tablet")
PRICE_BANDS = ("low", "middle", "high")


@dataclass(frozen=True, eq=False)
class Users:
    """One block of users; arrays have one entry per user.

    Attributes
    ----------
    ids : pyarrow.Array of string
    home, style, listing_type : ndarray of int32
        Home market, favourite style and favourite listing type; the last two are hidden.
    budget : ndarray of float32
        Hidden: liked logarithm of the price per guest, relative to a market's level.
    is_bot : ndarray of bool
    """

    ids: pa.Array
    home: Ints
    style: Ints
    listing_type: Ints
    budget: Floats
    is_bot: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Trips:
    """The trips of one block of users, ordered by user and time; arrays have one entry per trip.

    Attributes
    ----------
    user : ndarray of int32
        Position of the user in its block.
    market, style, listing_type, group_size, n_sessions : ndarray of int32
    budget : ndarray of float32
    area_km : ndarray of float32, shape (n_trips, 2)
        The neighbourhood the guest wants to stay in.
    start_ms : ndarray of int64
        First search, milliseconds from the log's start.
    asks : ndarray of bool
        Whether the guest asks for a booking in the end.
    is_bot : ndarray of bool
    """

    user: Ints
    market: Ints
    style: Ints
    listing_type: Ints
    group_size: Ints
    n_sessions: Ints
    budget: Floats
    area_km: Floats
    start_ms: npt.NDArray[np.int64]
    asks: npt.NDArray[np.bool_]
    is_bot: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.user)


def make_users(
    config: MarketplaceConfig, markets: Markets, first: int, n: int, rng: np.random.Generator
) -> tuple[Users, pa.Table, pa.Table]:
    """Draw users number `first` to ``first + n − 1``.

    Returns
    -------
    users : Users
    attributes : pyarrow.Table
        What the marketplace knows: ``users.parquet``.
    tastes : pyarrow.Table
        What it does not: ``truth/tastes.parquet``.
    """
    ids = pa.array([f"U{i:08d}" for i in range(first, first + n)], pa.string())
    users = Users(
        ids,
        rng.integers(len(markets), size=n).astype(np.int32),
        rng.integers(config.n_styles, size=n).astype(np.int32),
        rng.choice(3, size=n, p=TYPE_SHARES).astype(np.int32),
        rng.normal(0, 0.45, n).astype(np.float32),
        rng.random(n) < config.bot_share,
    )
    attributes = {
        "user_id": ids,
        "market": _words(markets.names, users.home),
        "language": _words(markets.languages, users.home),
        "device": _words(DEVICES, rng.integers(len(DEVICES), size=n)),
        "full_profile": rng.random(n) < 0.5,
        "profile_photo": rng.random(n) < 0.7,
    }
    tastes = {
        "user_id": ids,
        "style": users.style,
        "listing_type": _words(LISTING_TYPES, users.listing_type),
        "price_band": _words(PRICE_BANDS, np.digitize(users.budget, [-0.2, 0.2])),
        "is_bot": users.is_bot,
    }
    return users, pa.table(attributes), pa.table(tastes)


def plan_trips(
    config: MarketplaceConfig, users: Users, listings: Listings, rng: np.random.Generator
) -> Trips:
    """Draw the trips of a block of users: each trip has its own slot of the span, so trips never overlap."""
    wanted = 1 + rng.poisson(config.trips_per_user - 1, len(users))
    n_trips = np.clip(wanted, 1, max(1, config.days // 7))
    user = np.repeat(np.arange(len(users), dtype=np.int32), n_trips)
    n = len(user)
    within = np.arange(n) - np.repeat(np.cumsum(n_trips) - n_trips, n_trips)
    slot = config.days / n_trips[user]
    is_last = within == n_trips[user] - 1  # what reaches beyond the span is cut, so the log's end stays busy
    room = np.where(is_last, 1.0, 1 - LONGEST_TRIP_DAYS / slot)
    start = (within + rng.random(n) * room) * slot
    is_bot = users.is_bot[user]
    market_share = np.diff(listings.market_offsets) / len(listings)
    market = np.searchsorted(np.cumsum(market_share)[:-1], rng.random(n), side="right").astype(np.int32)
    area = rng.integers(AREAS_PER_MARKET, size=n)
    loyal = rng.random(n) < 0.85
    return Trips(
        user,
        market,
        np.where(loyal, users.style[user], rng.integers(config.n_styles, size=n)).astype(np.int32),
        users.listing_type[user],
        np.clip(1 + rng.poisson(0.9 * config.taste, n), 1, 6).astype(np.int32),
        np.where(is_bot, 3, np.minimum(1 + rng.poisson(1.0, n), 5)).astype(np.int32),
        users.budget[user] + rng.normal(0, 0.15, n).astype(np.float32),
        listings.area_km[market, area],
        (start * DAY_MS).astype(np.int64),
        (rng.random(n) < config.book_share) & ~is_bot,
        is_bot,
    )


def _words(words: tuple[str, ...], which: npt.NDArray[np.integer]) -> pa.Array:
    """Look up one word per entry."""
    return pa.array(words, pa.string()).take(pa.array(which))
