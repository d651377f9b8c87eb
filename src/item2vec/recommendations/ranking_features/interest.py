"""A user's six sets of listings, their centroids per market, and how close candidates lie to them.

Everything here is about many searches at once; one request is a batch of one search.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from item2vec.recommendations.user_events import LONG_CLICK_SECONDS
from item2vec.sessions.columns import gather, offsets_of

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

CLICK, SKIP, LONG_CLICK, WISHLIST, INQUIRY, BOOKING = range(6)
N_SETS = 6
KINDS = {"click": CLICK, "skip": SKIP, "wishlist": WISHLIST, "inquiry": INQUIRY, "booking": BOOKING}
"""Event type to set; a long click is in two sets, a rejection in none."""
LAST_LONG_CLICK = 6  # column of eq. 11, behind the six of eq. 10
_PRODUCTS = 65_536  # candidate × centroid at once: what two gathered blocks of them leave of the cache


class ItemSpace(NamedTuple):
    """Vectors of the known items.

    Attributes
    ----------
    vectors, unit : ndarray of float32, shape (n_items, d)
        As trained, and scaled to length 1 (a zero vector stays zero).
    markets : ndarray of int64, shape (n_items,)
        Market code, from 0; items without a market share one.
    n_markets : int
    """

    vectors: Floats
    unit: Floats
    markets: Ints
    n_markets: int


class Entries(NamedTuple):
    """Listings that entered a set: by user, then by time, in the log's order where times are equal.

    Attributes
    ----------
    users : ndarray of int64, shape (n,), ascending
    items : ndarray of int64, shape (n,)
        Item numbers, all known.
    sets : ndarray of int64, shape (n,)
    ts_us : ndarray of int64, shape (n,)
        Time of the event, which says how old the entry is.
    known_us : ndarray of int64, shape (n,)
        When it was known: at once, but for a long click at the end of the stay.
    """

    users: Ints
    items: Ints
    sets: Ints
    ts_us: Ints
    known_us: Ints


class Candidates(NamedTuple):
    """What searches list: item numbers (−1: unknown), one search after the other, and where each starts."""

    items: Ints
    offsets: Ints


def entries_of(
    users: Ints, items: Ints, sets: Ints, ts_us: Ints, dwell_seconds: npt.NDArray[np.float64]
) -> Entries:
    """Return the entries that events make: one each, two for a long click, none for an unknown item."""
    known = items >= 0
    long = np.flatnonzero(known & (sets == CLICK) & (dwell_seconds > LONG_CLICK_SECONDS))  # NaN is not
    rows = np.concatenate([np.flatnonzero(known), long])
    is_long = np.arange(len(rows)) >= len(rows) - len(long)
    order = np.argsort(rows, kind="stable")
    rows, is_long = rows[order], is_long[order]
    stay_us = np.where(is_long, dwell_seconds[rows] * 1e6, 0.0).astype(np.int64)
    return Entries(
        users[rows],
        items[rows].astype(np.int64),
        np.where(is_long, LONG_CLICK, sets[rows]).astype(np.int64),
        ts_us[rows],
        ts_us[rows] + stay_us,
    )


def interest_similarities(
    entries: Entries, pairs: tuple[Ints, Ints], candidates: Candidates, space: ItemSpace
) -> Floats:
    """Return eq. 10 for the six sets and eq. 11, per candidate.

    A listing is in a set once, however often it entered it. A skip is taken back by a click on the listing
    at its time or later; an inquiry about what is booked as well does not count (the paper's set is
    *contacted but not booked*).

    Parameters
    ----------
    entries : Entries
    pairs : (ndarray of int64, ndarray of int64), shape (n_pairs,)
        Number of a search, ascending, and an entry that is known to it, in the order of time.
    candidates : Candidates
    space : ItemSpace

    Returns
    -------
    ndarray of float32, shape (n_candidates, 7)
        NaN where a set is empty, its centroid is zero, or the candidate is unknown or zero.
    """
    searches, rows = pairs
    found = np.full((len(candidates.items), 7), -np.inf, np.float32)
    units = space.unit[candidates.items]  # −1 takes the last row, which is taken out again below
    members = _members(searches, rows, entries, len(space.unit))
    groups, centroids = _centroids(searches[members], entries, rows[members], space)
    _best_of_markets(found, units, candidates.offsets, groups, centroids)
    _last_long_click(found, units, candidates.offsets, searches, entries, rows, space)
    found[(candidates.items < 0) | ~units.any(axis=1)] = -np.inf
    return np.where(np.isneginf(found), np.float32(np.nan), np.clip(found, -1.0, 1.0))


def _members(searches: Ints, rows: Ints, entries: Entries, n_items: int) -> Ints:
    """Return one pair per search, set and listing: the latest, without what was taken back."""
    sets, ts_us = entries.sets[rows], entries.ts_us[rows]
    keys = (searches * n_items + entries.items[rows]) * N_SETS + sets
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    latest = np.ones(len(keys), bool)
    latest[:-1] = keys[1:] != keys[:-1]
    keys, order = keys[latest], order[latest]
    sets, ts_us = sets[order], ts_us[order]
    clicked = _partner(keys, sets, SKIP, CLICK)
    taken_back = clicked >= 0
    taken_back[taken_back] = ts_us[clicked[taken_back]] >= ts_us[taken_back]
    return order[~(taken_back | (_partner(keys, sets, INQUIRY, BOOKING) >= 0))]


def _partner(keys: Ints, sets: Ints, one: int, other: int) -> Ints:
    """Return where the same listing stands in another set of the same search, −1 if it does not."""
    partner = np.full(len(keys), -1)
    mine = np.flatnonzero(sets == one)
    wanted = keys[mine] - one + other
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    partner[mine] = np.where(keys[place] == wanted, place, -1) if len(mine) else -1
    return partner


def _centroids(searches: Ints, entries: Entries, rows: Ints, space: ItemSpace) -> tuple[Ints, Floats]:
    """Sum the vectors per search, set and market; return ``search · 6 + set`` per sum, and its direction."""
    items = entries.items[rows]
    groups = searches * N_SETS + entries.sets[rows]
    keys = groups * space.n_markets + space.markets[items]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
    if not len(starts):
        return starts, np.zeros((0, space.vectors.shape[1]), np.float32)
    sums = np.add.reduceat(space.vectors[items[order]], starts, axis=0)
    directed = sums.any(axis=1)
    sums = sums[directed]
    return groups[order[starts]][directed], sums / np.linalg.norm(sums, axis=1, keepdims=True)


def _best_of_markets(found: Floats, units: Floats, offsets: Ints, groups: Ints, centroids: Floats) -> None:
    """Keep for each candidate and set the largest cosine to a market's centroid (eq. 10)."""
    searches, sets = groups // N_SETS, groups % N_SETS
    products = offsets_of(np.diff(offsets)[searches])
    first = 0
    while first < len(groups):
        last = max(first + 1, int(np.searchsorted(products, products[first] + _PRODUCTS, "right")) - 1)
        rows, ends = gather(offsets, searches[first:last])
        lengths = np.diff(ends)
        cosines = np.einsum("ij,ij->i", units[rows], np.repeat(centroids[first:last], lengths, axis=0))
        np.maximum.at(found, (rows, np.repeat(sets[first:last], lengths)), cosines)
        first = last


def _last_long_click(
    found: Floats,
    units: Floats,
    offsets: Ints,
    searches: Ints,
    entries: Entries,
    rows: Ints,
    space: ItemSpace,
) -> None:
    """Write the cosine to the latest long click (eq. 11)."""
    long = np.flatnonzero(entries.sets[rows] == LONG_CLICK)
    searches, items = searches[long], entries.items[rows[long]]
    latest = np.ones(len(long), bool)
    latest[:-1] = searches[1:] != searches[:-1]
    latest &= space.unit[items].any(axis=1) if len(items) else latest
    searches, items = searches[latest], items[latest]
    listed, ends = gather(offsets, searches)
    of_search = np.repeat(space.unit[items], np.diff(ends), axis=0)
    found[listed, LAST_LONG_CLICK] = np.einsum("ij,ij->i", units[listed], of_search)
