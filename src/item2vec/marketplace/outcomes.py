"""What follows the clicks: wishlists, inquiries, booking requests, the hosts' answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from item2vec.marketplace.listings import Listings
from item2vec.marketplace.searches import Searches
from item2vec.marketplace.travellers import Trips

IMPRESSION, CLICK, WISHLIST, INQUIRY, BOOKING, REJECTION = range(6)
BOOKS_ELSEWHERE = 0.6  # share of declined guests
QUALITY_AT_BOOKING = 0.5  # weight of quality when it comes to booking, beyond what it weighs in a click


@dataclass(frozen=True, eq=False)
class Rows:
    """Events of one kind, or of all; arrays have one entry per event.

    Attributes
    ----------
    trip : ndarray of int32
    ms : ndarray of int64
        Milliseconds from the log's start.
    event_type : ndarray of int8
        Position in :data:`item2vec.marketplace.files.EVENT_TYPES`.
    listing : ndarray of int32
    dwell_s : ndarray of float32, NaN where the event has none
    search : ndarray of int64, −1 where the event belongs to no search
    position : ndarray of int32, from 1; 0 where the event has none
    """

    trip: npt.NDArray[np.int32]
    ms: npt.NDArray[np.int64]
    event_type: npt.NDArray[np.int8]
    listing: npt.NDArray[np.int32]
    dwell_s: npt.NDArray[np.float32]
    search: npt.NDArray[np.int64]
    position: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.trip)


def all_events(searches: Searches, trips: Trips, listings: Listings, rng: np.random.Generator) -> Rows:
    """Return every event of a block, not yet in order."""
    shown_row, shown_place = np.nonzero(searches.shown >= 0)
    row, place = np.nonzero(searches.clicked)
    likes = rng.random(searches.shown.shape, np.float32)[row, place]
    hesitates = rng.random(searches.shown.shape, np.float32)[row, place]
    warm = 1 / (1 + np.exp(-searches.appeal[row, place])) * ~trips.is_bot[searches.trip[row]]
    click = _at(searches, row, place, CLICK, 0.0)
    parts = [
        _at(searches, shown_row, shown_place, IMPRESSION, None),
        click,
        _take(_at(searches, row, place, WISHLIST, 0.5), likes < 0.10 * warm),
        _take(_at(searches, row, place, INQUIRY, 0.8), hesitates < 0.04 * warm),
        *_requests(searches, click, searches.appeal[row, place], trips, listings, rng),
    ]
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__annotations__))


def _at(searches: Searches, row: npt.NDArray[np.int64], place: npt.NDArray[np.int64], event_type: int,
        share_of_dwell: float | None) -> Rows:  # fmt: skip
    """Turn cells of the result pages into events, at the search's start or some way into the visit."""
    n = len(row)
    if share_of_dwell is None:
        ms = searches.start_ms[row]
    else:
        later_ms = searches.dwell_s[row, place] * np.float32(1000 * share_of_dwell)
        ms = searches.click_ms[row, place] + later_ms.astype(np.int64)
    listed = event_type in (IMPRESSION, CLICK)
    return Rows(
        searches.trip[row],
        ms,
        np.full(n, event_type, np.int8),
        searches.shown[row, place],
        searches.dwell_s[row, place] if event_type == CLICK else np.full(n, np.nan, np.float32),
        row if listed else np.full(n, -1),
        (place + 1).astype(np.int32) if listed else np.zeros(n, np.int32),
    )


def _take(rows: Rows, which: npt.NDArray[np.generic]) -> Rows:
    """Select events by mask or by position."""
    return Rows(*(getattr(rows, name)[which] for name in Rows.__annotations__))


def _requests(
    searches: Searches,
    click: Rows,
    appeal: npt.NDArray[np.float32],
    trips: Trips,
    listings: Listings,
    rng: np.random.Generator,
) -> list[Rows]:
    """Ask the host of the best clicked listing; where the host declines, perhaps book the second best."""
    n = len(trips)
    wish = appeal + np.float32(QUALITY_AT_BOOKING) * listings.quality[click.listing]
    wish = wish + rng.gumbel(0, 0.3, (n, 1)).astype(np.float32)[click.trip, 0]
    first, second = _two_best(click, wish, n)
    end_ms = np.zeros(n, np.int64)
    np.maximum.at(end_ms, searches.trip, searches.end_ms)
    uniform = rng.random((n, 4))
    wait_ms = rng.integers(60_000, 300_000, (n, 2))
    answer_ms = rng.integers(3_600_000, 6 * 3_600_000, n)
    asks = trips.asks & (first >= 0)
    accepted = np.zeros(n, bool)
    accepted[asks] = uniform[asks, 0] < listings.accept[click.listing[first[asks]]]
    elsewhere = asks & ~accepted & (second >= 0) & (uniform[:, 1] < BOOKS_ELSEWHERE)
    again = asks & (uniform[:, 2] < 0.6)
    inquires = asks & (uniform[:, 3] < 0.3)
    asked_ms = end_ms + 20_000 + wait_ms[:, 0]
    declined_ms = asked_ms + answer_ms
    return [
        _follow(click, first, again, CLICK, end_ms + 20_000, wait_ms[:, 0]),
        _follow(click, first, inquires, INQUIRY, end_ms + 20_000 + wait_ms[:, 0] // 2),
        _follow(click, first, asks & accepted, BOOKING, asked_ms),
        _follow(click, first, asks & ~accepted, REJECTION, declined_ms),
        _follow(click, second, elsewhere, CLICK, declined_ms + 600_000, wait_ms[:, 1]),
        _follow(click, second, elsewhere, BOOKING, declined_ms + 600_000 + wait_ms[:, 1]),
    ]


def _follow(click: Rows, source: npt.NDArray[np.int64], which: npt.NDArray[np.bool_], event_type: int,
            ms: npt.NDArray[np.int64], dwell_ms: npt.NDArray[np.int64] | None = None) -> Rows:  # fmt: skip
    """Make one event per chosen trip about the listing it clicked at `source`; a click keeps its search."""
    rows = _take(click, source[which])
    n = len(rows)
    dwell_s = np.full(n, np.nan) if dwell_ms is None else np.round(dwell_ms[which] / 1000, 1)
    is_click = event_type == CLICK
    return Rows(
        rows.trip, ms[which], np.full(n, event_type, np.int8), rows.listing, dwell_s.astype(np.float32),
        rows.search if is_click else np.full(n, -1), rows.position if is_click else np.zeros(n, np.int32),
    )  # fmt: skip


def _two_best(
    click: Rows, wish: npt.NDArray[np.float32], n_trips: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return per trip the click on its most wanted listing and on the next one, −1 where there is none."""
    first, second = np.full(n_trips, -1), np.full(n_trips, -1)
    order = np.lexsort((-wish, click.trip))
    trip = click.trip[order]
    leads = np.r_[True, trip[1:] != trip[:-1]] if len(trip) else np.zeros(0, bool)
    first[trip[leads]] = order[leads]
    others = order[click.listing[order] != click.listing[first[trip]]]
    trip = click.trip[others]
    leads = np.r_[True, trip[1:] != trip[:-1]] if len(trip) else np.zeros(0, bool)
    second[trip[leads]] = others[leads]
    return first, second
