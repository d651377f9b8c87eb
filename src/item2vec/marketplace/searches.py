"""Searches: what production shows, what the guest clicks, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from item2vec.marketplace.config import MarketplaceConfig
from item2vec.marketplace.listings import Listings
from item2vec.marketplace.travellers import Trips

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

HOUR_MS = 3_600_000
BOT_SEARCHES = 15
MORE_SEARCHES = 2.6  # mean number of searches in a session after the first
CLICK_BASE = -1.2  # log-odds of a click on a listing that is seen and neither liked nor disliked
STYLE_PULL = 2.2  # what the wanted style adds to them, halfway through a trip
EARLY_INTEREST = 0.5  # weight of what is personal at a trip's first search; it grows by 1 until the last
PERSONAL_RANKING = 0.35  # how much of the guest's taste production knows


@dataclass(frozen=True, eq=False)
class Searches:
    """The searches of a block in the order they happen within each trip; rows are searches.

    Attributes
    ----------
    trip, session : ndarray of int32, shape (n,)
        Positions of the trip and of the session in their block.
    start_ms, end_ms : ndarray of int64, shape (n,)
    shown : ndarray of int32, shape (n, impressions_per_search)
        Listings from the first position down; −1 where the page has no more.
    clicked : ndarray of bool, shape (n, impressions_per_search)
    appeal : ndarray of float32, shape (n, impressions_per_search)
        How much the guest likes what is shown.
    click_ms : ndarray of int64, shape (n, impressions_per_search)
        Time of the click, meaningless where there is none.
    dwell_s : ndarray of float32, shape (n, impressions_per_search)
        Seconds on the clicked page, 0 where there is no click.
    """

    trip: Ints
    session: Ints
    start_ms: npt.NDArray[np.int64]
    end_ms: npt.NDArray[np.int64]
    shown: Ints
    clicked: npt.NDArray[np.bool_]
    appeal: Floats
    click_ms: npt.NDArray[np.int64]
    dwell_s: Floats

    def __len__(self) -> int:
        return len(self.trip)


def search_and_click(
    config: MarketplaceConfig, trips: Trips, listings: Listings, rng: np.random.Generator
) -> Searches:
    """Run all searches of a block of trips.

    A guest explores first and narrows down later: what is personal in the appeal grows with the progress
    of the trip, so clicks drift towards what will be booked.
    """
    session_trip = np.repeat(np.arange(len(trips), dtype=np.int32), trips.n_sessions)
    n_searches = np.where(
        trips.is_bot[session_trip],
        BOT_SEARCHES,
        np.minimum(1 + rng.poisson(MORE_SEARCHES, len(session_trip)), 12),
    )
    session = np.repeat(np.arange(len(session_trip), dtype=np.int32), n_searches)
    trip = session_trip[session]
    shown, appeal = _result_pages(config, trip, trips, listings, rng)
    clicked = _clicks(trip, trips, shown, appeal, rng)
    dwell_s = np.where(clicked, _dwell(trips.is_bot[trip], appeal, rng), np.float32(0))
    scan_ms = np.where(trips.is_bot[trip], 500, rng.integers(2000, 5000, len(trip)))
    dwell_ms = (dwell_s * 1000).astype(np.int64)
    after = np.cumsum(dwell_ms, axis=1) + scan_ms[:, None] * np.arange(1, shown.shape[1] + 1)
    duration = after[:, -1] + rng.integers(5_000, 60_000, len(trip))
    start_ms = _start_times(trips, session_trip, session, duration, rng)
    click_ms = start_ms[:, None] + after - dwell_ms
    return Searches(trip, session, start_ms, start_ms + duration, shown, clicked, appeal, click_ms, dwell_s)


def trip_progress(trip: Ints) -> Floats:
    """Return for each search how far its trip has come, from 0 (first search) to 1 (last)."""
    first, count = _groups(trip)
    within = np.arange(len(trip)) - np.repeat(first, count)
    last = np.repeat(np.maximum(count - 1, 1), count)
    return np.asarray(within / last, np.float32)


def _groups(labels: Ints) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return start and length of each run of equal labels."""
    first = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]]) if len(labels) else np.zeros(0, np.int64)
    return first, np.diff(np.r_[first, len(labels)])


def _result_pages(
    config: MarketplaceConfig, trip: Ints, trips: Trips, listings: Listings, rng: np.random.Generator
) -> tuple[Ints, Floats]:
    """Draw candidates by popularity, rank them as production would, and cut the page."""
    n_shown = config.impressions_per_search
    market = trips.market[trip]
    first = listings.draw_offsets[market]
    size = listings.draw_offsets[market + 1] - first
    uniform = rng.random((len(trip), 2 * n_shown + 4), np.float32)
    drawn = np.minimum((uniform * size[:, None]).astype(np.int64), size[:, None] - 1)
    pool = np.sort(listings.draws[first[:, None] + drawn], axis=1)
    appeal = _appeal(config, pool, trip, trips, listings)
    noise = -np.log(rng.standard_exponential(pool.shape, np.float32) + np.float32(1e-9))
    score = noise + 0.3 * listings.log_popularity[pool] + 0.3 * listings.quality[pool]
    if config.taste:
        score += np.float32(PERSONAL_RANKING) * appeal
    score[listings.capacity[pool] < trips.group_size[trip][:, None]] = -np.inf
    score[:, 1:][pool[:, 1:] == pool[:, :-1]] = -np.inf
    best = np.argsort(-score, axis=1, kind="stable")[:, :n_shown]
    shown = np.take_along_axis(pool, best, axis=1)
    shown[np.isneginf(np.take_along_axis(score, best, axis=1))] = -1
    return shown, np.take_along_axis(appeal, best, axis=1)


def _appeal(config: MarketplaceConfig, pool: Ints, trip: Ints, trips: Trips, listings: Listings) -> Floats:
    """Return how much each guest likes each candidate; without taste all guests like the same."""
    quality = np.float32(0.3) * listings.quality[pool]
    x_km, y_km, log_price = listings.x_km[pool], listings.y_km[pool], listings.log_price[pool]
    if not config.taste:
        far = (x_km**2 + y_km**2) / np.float32(50)
        return np.asarray(quality - np.minimum(far, 3) - np.float32(0.8) * log_price)
    area_km = trips.area_km[trip]
    far = ((x_km - area_km[:, :1]) ** 2 + (y_km - area_km[:, 1:]) ** 2) / np.float32(40)
    off = ((log_price - trips.budget[trip][:, None]) / np.float32(0.5)) ** 2 / 2
    liked = np.float32(STYLE_PULL) * (listings.style[pool] == trips.style[trip][:, None])
    liked += np.float32(0.7) * (listings.listing_type[pool] == trips.listing_type[trip][:, None])
    liked -= np.minimum(far, 2) + np.minimum(off, 2)
    return np.asarray(quality + liked * (np.float32(EARLY_INTEREST) + trip_progress(trip)[:, None]))


def _clicks(
    trip: Ints, trips: Trips, shown: Ints, appeal: Floats, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Click what is seen and liked; lower positions are seen less often. Robots click nearly everything."""
    seen = (1 / (1 + np.arange(shown.shape[1])) ** 0.4).astype(np.float32)
    liked = 1 / (1 + np.exp(-(np.float32(CLICK_BASE) + appeal)))
    chance = np.where(trips.is_bot[trip][:, None], np.float32(0.9), seen * liked)
    clicked: npt.NDArray[np.bool_] = (rng.random(shown.shape, np.float32) < chance) & (shown >= 0)
    return clicked


def _dwell(is_bot: npt.NDArray[np.bool_], appeal: Floats, rng: np.random.Generator) -> Floats:
    """Draw seconds on a page, to a tenth: longer on what is liked, at most 15 minutes."""
    normal = rng.standard_normal(appeal.shape, np.float32)
    seconds = np.exp(np.float32(3.6) + np.float32(0.3) * appeal + np.float32(0.8) * normal)
    seconds = np.where(is_bot[:, None], 1 + np.abs(normal), np.clip(seconds, 2, 900))
    rounded: Floats = np.round(seconds, 1).astype(np.float32)
    return rounded


def _start_times(
    trips: Trips, session_trip: Ints, session: Ints, duration: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Put searches end to end, sessions hours apart, trips at their start."""
    pause = np.exp(rng.normal(np.log(8), 0.6, len(session_trip))).clip(1, 20) * HOUR_MS
    before = np.where(np.r_[True, session[1:] != session[:-1]], pause[session].astype(np.int64), 0)
    trip = session_trip[session]
    first, count = _groups(trip)
    before[first] = 0
    begin = np.cumsum(before + duration) - duration
    return begin - np.repeat(begin[first], count) + trips.start_ms[trip]
