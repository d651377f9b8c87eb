"""Draw what chance decides about a block of sessions: passes, subsampling, window sizes and noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

REDRAWS = 3  # of a noise item that equals a positive; then it is dropped and counted


class Corpus(NamedTuple):
    """Sessions as the engines see them: flat arrays of item numbers."""

    items: npt.NDArray[np.int32]  # (n_clicks,)
    offsets: npt.NDArray[np.int64]  # (n_sessions + 1,)
    booked_items: npt.NDArray[np.int32]  # distinct within a session
    booked_offsets: npt.NDArray[np.int64]  # (n_sessions + 1,)
    weights: npt.NDArray[np.float32]  # (n_sessions,) expected passes per epoch
    keep: npt.NDArray[np.float32]  # (n_items,) probability that a click survives subsampling
    item_markets: npt.NDArray[np.int32]  # (n_items,) −1 unknown


class WindowSettings(NamedTuple):
    """The hyper-parameters that shape windows."""

    window: int  # clicks on either side
    shrink: bool  # draw the size of each window from 1..window
    forward_only: bool  # contexts only before the centre
    negative: int
    market_negative: int


class Cursor(NamedTuple):
    """Where a thread stands in its slice of the epoch; every member has one element."""

    session: npt.NDArray[np.int64]  # position in the order
    passes: npt.NDArray[np.int64]  # still to make over that session, −1 not drawn yet
    state: npt.NDArray[np.uint64]  # of the random numbers
    done: npt.NDArray[np.float64]  # expected clicks of the finished sessions
    dropped: npt.NDArray[np.int64]  # noise draws given up


@njit(inline="always")
def _random(state):  # type: ignore[no-untyped-def]
    """splitmix64: a counter and a mixer, so that successive draws do not wait for one another."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(inline="always")
def _uniform(state):  # type: ignore[no-untyped-def]
    return np.float64(_random(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(inline="always")
def _below(state, n):  # type: ignore[no-untyped-def]
    return np.int64(((_random(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(inline="always")
def _draw_alias(state, entries, first, n):  # type: ignore[no-untyped-def]
    """One exact draw from the alias table of entries[first : first + n]; returns a place in it."""
    z = _random(state)
    slot = ((z >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)
    entry = entries[np.uint64(first) + slot]
    own = (z & np.uint64(0xFFFFFFFF)) < (entry >> np.uint64(32))
    return np.int64(slot if own else entry & np.uint64(0xFFFFFFFF))


@njit(inline="always")
def _is_positive(item, centre, corpus, session):  # type: ignore[no-untyped-def]
    if item == centre:
        return True
    for b in range(corpus.booked_offsets[session], corpus.booked_offsets[session + 1]):
        if corpus.booked_items[b] == item:
            return True
    return False


@njit
def _draw_global(corpus, noise, session, centre, cursor):  # type: ignore[no-untyped-def]
    for _ in range(1 + REDRAWS):
        item = _draw_alias(cursor.state, noise.aliases, 0, len(noise.aliases))
        if not _is_positive(item, centre, corpus, session):
            return item
    cursor.dropped[0] += 1
    return np.int64(-1)


@njit
def _draw_in_market(corpus, noise, session, centre, market, cursor):  # type: ignore[no-untyped-def]
    first, last = noise.market_offsets[market], noise.market_offsets[market + 1]
    for _ in range(1 + REDRAWS):
        place = _draw_alias(cursor.state, noise.market_aliases, first, last - first)
        item = np.int64(noise.market_items[first + place])
        if not _is_positive(item, centre, corpus, session):
            return item
    cursor.dropped[0] += 1
    return np.int64(-1)


@njit
def _draw_noise(corpus, noise, session, settings, plan, i, cursor):  # type: ignore[no-untyped-def]
    centre = plan.items[i]
    for k in range(settings.negative):
        plan.noise[i, k] = _draw_global(corpus, noise, session, centre, cursor)
    if settings.market_negative == 0:
        return
    # From the market of one input, drawn: in a session over two markets each market gets its share.
    first, last = plan.contexts[i, 0], plan.contexts[i, 1]
    j = first + _below(cursor.state, last - first - (first <= i < last))
    if first <= i <= j:
        j += 1
    market = corpus.item_markets[plan.items[j]]
    plan.markets[i] = market
    for k in range(settings.negative, settings.negative + settings.market_negative):
        plan.noise[i, k] = -1
        if market >= 0:
            plan.noise[i, k] = _draw_in_market(corpus, noise, session, centre, market, cursor)


@njit
def _draw_pass(corpus, noise, session, settings, plan, start, cursor):  # type: ignore[no-untyped-def]
    """Lay out one pass over a session from position `start` on; return the position behind it."""
    stop = start
    for j in range(corpus.offsets[session], corpus.offsets[session + 1]):
        item = corpus.items[j]
        if corpus.keep[item] >= 1 or _uniform(cursor.state) < corpus.keep[item]:
            plan.items[stop] = item
            stop += 1
    for i in range(start, stop):
        reach = settings.window
        if settings.shrink:
            reach = 1 + _below(cursor.state, reach)
        plan.contexts[i, 0] = max(start, i - reach)
        plan.contexts[i, 1] = i if settings.forward_only else min(stop, i + 1 + reach)
        plan.booked[i, 0] = corpus.booked_offsets[session]
        plan.booked[i, 1] = corpus.booked_offsets[session + 1]
        plan.markets[i] = -1
        n_inputs = plan.contexts[i, 1] - plan.contexts[i, 0] - (plan.contexts[i, 1] > i)
        if n_inputs > 0:
            _draw_noise(corpus, noise, session, settings, plan, i, cursor)
    return stop


@njit(cache=True, nogil=True, error_model="numpy")
def draw_windows(corpus, noise, order, settings, plan, cursor):  # type: ignore[no-untyped-def]
    """Fill `plan` with sessions of `order` from the cursor on; return how many windows it has, 0 at the end.

    A session of weight w gets floor(w) passes and one more with probability frac(w), each with its own draws.
    The plan must hold the longest session.
    """
    n = 0
    while cursor.session[0] < len(order):
        session = order[cursor.session[0]]
        length = corpus.offsets[session + 1] - corpus.offsets[session]
        if cursor.passes[0] < 0:
            weight = np.float64(corpus.weights[session])
            whole = np.int64(np.floor(weight))
            cursor.passes[0] = whole + (weight > whole and _uniform(cursor.state) < weight - whole)
        while cursor.passes[0] > 0:
            if n + length > len(plan.items):
                return n
            n = _draw_pass(corpus, noise, session, settings, plan, n, cursor)
            cursor.passes[0] -= 1
        cursor.passes[0] = -1
        cursor.session[0] += 1
        cursor.done[0] += np.float64(corpus.weights[session]) * length
    return n
