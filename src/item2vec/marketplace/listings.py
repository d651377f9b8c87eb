"""The listings: what everyone can see of them, and what only the simulation knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.marketplace.config import LISTINGS_PER_MARKET, MarketplaceConfig
from item2vec.marketplace.geography import KM_PER_DEGREE, Markets, lay_out_markets

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

LISTING_TYPES = ("Entire home", "Private room", "Shared room")
TYPE_SHARES = (0.6, 0.33, 0.07)
AREAS_PER_MARKET = 5
DRAWS_PER_LISTING = 16


@dataclass(frozen=True, eq=False)
class Listings:
    """All listings, ordered by market; every array has one entry per listing unless stated.

    Attributes
    ----------
    ids : pyarrow.Array of string
    market, listing_type, style, capacity : ndarray of int32
        ``style`` is hidden: no stage sees it.
    x_km, y_km : ndarray of float32
        Place relative to the market's centre.
    log_price : ndarray of float32
        Logarithm of the nightly price per guest, relative to the market's level.
    quality, log_popularity, accept : ndarray of float32
        Hidden: what convinces a guest (z-score), what makes production show it, the host's readiness.
    is_new : ndarray of bool
        Never shown to anyone.
    market_offsets : ndarray of int64, shape (n_markets + 1,)
    area_km : ndarray of float32, shape (n_markets, AREAS_PER_MARKET, 2)
        Centres of the neighbourhoods.
    draws, draw_offsets : ndarray of int32, ndarray of int64, shape (n_markets + 1,)
        Listings repeated in proportion to popularity: one uniform draw per market is one shown listing.
    table : pyarrow.Table
        The public attributes, written to ``items.parquet``.
    """

    ids: pa.Array
    market: Ints
    listing_type: Ints
    style: Ints
    capacity: Ints
    x_km: Floats
    y_km: Floats
    log_price: Floats
    quality: Floats
    log_popularity: Floats
    accept: Floats
    is_new: npt.NDArray[np.bool_]
    market_offsets: npt.NDArray[np.int64]
    area_km: Floats
    draws: Ints
    draw_offsets: npt.NDArray[np.int64]
    table: pa.Table

    def __len__(self) -> int:
        return len(self.ids)


def make_listings(config: MarketplaceConfig, rng: np.random.Generator) -> tuple[Markets, Listings]:
    """Draw the markets and their listings."""
    n = config.n_listings
    markets = lay_out_markets(config.n_markets, rng)
    market = np.repeat(np.arange(len(markets), dtype=np.int32), _market_sizes(n, len(markets)))
    area_km, area, x_km, y_km = _places(market, len(markets), rng)
    style = _styles(config, market, area, rng)
    listing_type = rng.choice(3, size=n, p=TYPE_SHARES).astype(np.int32)
    capacity = np.where(listing_type == 0, 2 + rng.poisson(1.6, n), 1 + rng.poisson(0.8, n)).clip(1, 16)
    type_level = np.array([0.3, 0.0, -0.4])[listing_type]
    log_price = (type_level + rng.normal(0, 0.4, n)).astype(np.float32)
    quality = rng.standard_normal(n).astype(np.float32)
    log_popularity = (config.popularity_skew * rng.standard_normal(n)).astype(np.float32)
    is_new = _choose_new(config.new_listing_share, market, rng)
    accept = rng.beta(*_beta(1 - config.rejection_rate), n).astype(np.float32)
    ids = pa.array([f"L{i:07d}" for i in range(n)], pa.string())
    market_offsets = np.searchsorted(market, np.arange(len(markets) + 1)).astype(np.int64)
    draws, draw_offsets = _draw_table(market, len(markets), log_popularity, is_new)
    public = {
        "market": pa.array(np.array(markets.names, object)[market], pa.string()),
        "country": pa.array(np.array(markets.countries, object)[market], pa.string()),
        "latitude": np.round(markets.latitude[market] + y_km / KM_PER_DEGREE, 6),
        "longitude": _longitude(markets, market, x_km),
        "listing_type": pa.array(np.array(LISTING_TYPES, object)[listing_type], pa.string()),
        "price": _nightly_price(log_price, market, len(markets), capacity, rng),
        "capacity": capacity.astype(np.int32),
    } | _rooms_and_reviews(capacity, quality, log_popularity, accept, is_new, rng)
    return markets, Listings(
        ids, market, listing_type, style, capacity.astype(np.int32), x_km, y_km, log_price, quality,
        log_popularity, accept, is_new, market_offsets, area_km, draws, draw_offsets,
        pa.table({"item_id": ids} | public),
    )  # fmt: skip


def _market_sizes(n_listings: int, n_markets: int) -> npt.NDArray[np.int64]:
    """Split the listings over the markets as 1/√rank, none below the minimum."""
    weights = 1 / np.sqrt(np.arange(1, n_markets + 1))
    spare = n_listings - LISTINGS_PER_MARKET * n_markets
    edges = np.floor(np.cumsum(weights) / weights.sum() * spare + 1e-9).astype(np.int64)
    edges[-1] = spare
    return np.asarray(np.diff(edges, prepend=0) + LISTINGS_PER_MARKET)


def _places(market: Ints, n_markets: int, rng: np.random.Generator) -> tuple[Floats, Ints, Floats, Floats]:
    """Scatter the neighbourhoods of a market over some kilometres and its listings around them."""
    area_km = rng.normal(0, 4, (n_markets, AREAS_PER_MARKET, 2)).astype(np.float32)
    area = rng.integers(AREAS_PER_MARKET, size=len(market)).astype(np.int32)
    place = area_km[market, area] + rng.normal(0, 0.9, (len(market), 2))
    return area_km, area, place[:, 0].astype(np.float32), place[:, 1].astype(np.float32)


def _styles(config: MarketplaceConfig, market: Ints, area: Ints, rng: np.random.Generator) -> Ints:
    """Give each listing its neighbourhood's style with the configured probability, else any style."""
    n_styles = config.n_styles
    slots = np.tile(np.arange(max(AREAS_PER_MARKET, n_styles)) % n_styles, (config.n_markets, 1))
    area_style = rng.permuted(slots, axis=1)
    any_style = rng.integers(n_styles, size=len(market))
    local = rng.random(len(market)) < config.style_geography_correlation
    return np.where(local, area_style[market, area], any_style).astype(np.int32)


def _choose_new(share: float, market: Ints, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Mark new listings, leaving every market one listing at least that can be shown."""
    is_new = rng.random(len(market)) < share
    is_new[np.unique(market, return_index=True)[1]] = False
    return is_new


def _beta(mean: float) -> tuple[float, float]:
    """Parameters of a beta distribution of this mean, wide enough that hosts differ."""
    mean = min(max(mean, 1e-6), 1 - 1e-6)
    return 6 * mean, 6 * (1 - mean)


def _draw_table(
    market: Ints, n_markets: int, log_popularity: Floats, is_new: npt.NDArray[np.bool_]
) -> tuple[Ints, npt.NDArray[np.int64]]:
    """Repeat each listing by its popularity (once at least), market by market."""
    weight = np.exp(log_popularity)
    mean = np.bincount(market, weight, n_markets) / np.bincount(market, minlength=n_markets)
    repeats = np.maximum(1, np.round(DRAWS_PER_LISTING * weight / mean[market])).astype(np.int64)
    repeats[is_new] = 0
    sizes = np.bincount(market, repeats, n_markets).astype(np.int64)
    return np.repeat(np.arange(len(market), dtype=np.int32), repeats), np.r_[0, np.cumsum(sizes)]


def _longitude(markets: Markets, market: Ints, x_km: Floats) -> npt.NDArray[np.float64]:
    """Turn kilometres east of the centre into degrees, in −180 … 180."""
    degrees = markets.longitude + 0.0
    shrink = np.cos(np.radians(markets.latitude))
    east = degrees[market] + x_km / (KM_PER_DEGREE * shrink[market])
    return np.round((east + 180) % 360 - 180, 6)


def _nightly_price(
    log_price: Floats, market: Ints, n_markets: int, capacity: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return whole units of currency per night: the market's level times the guests it sleeps."""
    level = rng.normal(np.log(32), 0.25, n_markets)[market]
    return np.asarray(np.maximum(5, np.round(np.exp(level + log_price) * capacity**0.8)), np.float64)


def _rooms_and_reviews(
    capacity: npt.NDArray[np.int64], quality: Floats, log_popularity: Floats, accept: Floats,
    is_new: npt.NDArray[np.bool_], rng: np.random.Generator,
) -> dict[str, object]:  # fmt: skip
    """Draw the attributes nobody's choice depends on, in keeping with those it does."""
    n = len(capacity)
    bedrooms = np.maximum(0, np.round(capacity / 2 + rng.normal(0, 0.5, n)).astype(np.int32) - (capacity < 2))
    reviews = np.where(is_new, 0, rng.poisson(8 * np.exp(np.minimum(log_popularity, 3)))).astype(np.int32)
    five_star = np.clip(0.75 + 0.12 * quality + rng.normal(0, 0.05, n), 0, 1)
    return {
        "bedrooms": bedrooms,
        "beds": np.maximum(1, bedrooms + rng.integers(0, 2, n)).astype(np.int32),
        "bathrooms": np.maximum(1, np.round(bedrooms * 0.6)).astype(np.int32),
        "n_reviews": reviews,
        "five_star_share": pa.array(np.round(five_star, 2), pa.float64(), mask=reviews == 0),
        "new_guest_accept_share": np.round(accept.astype(np.float64), 2),
    }
