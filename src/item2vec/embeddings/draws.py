"""Draw what chance decides about a block of sessions: passes, subsampling, window sizes and noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from item2vec.embeddings.simd import prefetch

AHEAD = 8  # sessions
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
REDRAWS = 3  # of a noise item that equals a positive; then it is dropped and counted
NO_REJECTIONS = np.zeros((0, 2), np.int32)


class Corpus(NamedTuple):
    """Sessions as the engines see them: flat arrays of item numbers."""

    items: npt.NDArray[np.int32]  # (n_clicks,)
    offsets: npt.NDArray[np.int64]  # (n_sessions + 1,)
    booked_items: npt.NDArray[np.int32]  # distinct within a session
    booked_offsets: npt.NDArray[np.int64]  # (n_sessions + 1,)
    weights: npt.NDArray[np.float32]  # (n_sessions,) expected passes per epoch
    keep: npt.NDArray[np.float32]  # (n_items,) probability that a click survives subsampling; () without
    item_markets: npt.NDArray[np.int32]  # (n_items,) −1 unknown
    rejections: npt.NDArray[np.int32] = NO_REJECTIONS  # (n, 2) items to push apart, once per epoch


class WindowSettings(NamedTuple):
    """The hyper-parameters that shape windows."""

    window: int  # clicks on either side
    shrink: bool  # draw the size of each window from 1..window
    forward_only: bool  # contexts only before the centre
    negative: int
    market_negative: int
    cbow: bool = False  # a window is one example, the mean of its inputs


class Cursor(NamedTuple):
    """Where a thread stands in its slice of the epoch; every member has one element."""

    session: npt.NDArray[np.int64]  # position in the order
    passes: npt.NDArray[np.int64]  # still to make over that session, −1 not drawn yet
    state: npt.NDArray[np.uint64]  # of the random numbers
    done: npt.NDArray[np.float64]  # expected clicks of the finished sessions
    dropped: npt.NDArray[np.int64]  # noise draws given up


@njit(inline="always")
def _mix(z):  # type: ignore[no-untyped-def]
    """splitmix64's finaliser; over a counter it is a generator whose draws do not wait for one another."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(inline="always")
def _uniform(z):  # type: ignore[no-untyped-def]
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(inline="always")
def _below(z, n):  # type: ignore[no-untyped-def]
    return np.int64(((z >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(inline="always")
def _pick(z, entries, first, n):  # type: ignore[no-untyped-def]
    """One exact draw from the alias table of entries[first : first + n]: the place in it that z falls on."""
    slot = ((z >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)
    entry = entries[np.uint64(first) + slot]
    own = (z & np.uint64(0xFFFFFFFF)) < (entry >> np.uint64(32))
    return slot if own else entry & np.uint64(0xFFFFFFFF)


@njit(inline="always")
def _is_positive(item, plan, i):  # type: ignore[no-untyped-def]
    """Whether a noise item is the window's centre or booked in its session."""
    if item == plan.items[i]:
        return True
    for b in range(plan.booked[i, 0], plan.booked[i, 1]):  # noqa: SIM110 (numba knows no any)
        if plan.booked_items[b] == item:
            return True
    return False


@njit(inline="always")
def _draw_global_noise(noise, settings, plan, n, state, cursor):  # type: ignore[no-untyped-def]
    """Eq. 3: `negative` items of the whole vocabulary for each of the first n windows."""
    n_items = len(noise.aliases)
    for i in range(n):
        for k in range(settings.negative):
            state += GOLDEN
            z = _mix(state)
            item = np.int64(_pick(z, noise.aliases, 0, n_items))
            redraws = 0
            while _is_positive(item, plan, i) and redraws <= REDRAWS:
                redraws += 1
                z = _mix(z + GOLDEN)
                item = np.int64(_pick(z, noise.aliases, 0, n_items))
            if redraws > REDRAWS:
                item = np.int64(-1)
                cursor.dropped[0] += 1
            plan.noise[i, k] = item
    return state


@njit(inline="always")
def _draw_market_noise(noise, settings, plan, n, state, cursor):  # type: ignore[no-untyped-def]
    """Eq. 5: `market_negative` items of one market per window, the market of an input that is drawn.

    Were it always the nearest input's, say, a session over two markets would train one of them less.
    """
    for i in range(n):
        first, last = plan.contexts[i, 0], plan.contexts[i, 1]
        n_inputs = last - first - (last > i)
        plan.markets[i] = -1
        if n_inputs > 0:
            state += GOLDEN
            j = first + _below(_mix(state), n_inputs)
            plan.markets[i] = plan.item_markets[plan.items[j + (j >= i)]]
        market = plan.markets[i]
        for k in range(settings.negative, settings.negative + settings.market_negative):
            plan.noise[i, k] = -1
            if market < 0:
                continue
            start, size = noise.market_offsets[market], noise.market_offsets[market + 1]
            size -= start
            state += GOLDEN
            z = _mix(state)
            item = noise.market_items[start + np.int64(_pick(z, noise.market_aliases, start, size))]
            redraws = 0
            while _is_positive(item, plan, i) and redraws <= REDRAWS:
                redraws += 1
                z = _mix(z + GOLDEN)
                item = noise.market_items[start + np.int64(_pick(z, noise.market_aliases, start, size))]
            if redraws > REDRAWS:
                item = -1
                cursor.dropped[0] += 1
            plan.noise[i, k] = item
    return state


@njit(inline="always")
def _lay_out_pass(corpus, session, settings, plan, start, state):  # type: ignore[no-untyped-def]
    """Write one pass over a session from position `start` on; return the position behind it and the state."""
    stop = start
    for j in range(corpus.offsets[session], corpus.offsets[session + 1]):
        item = corpus.items[j]
        if len(corpus.keep):
            state += GOLDEN
            if _uniform(_mix(state)) >= corpus.keep[item]:
                continue
        plan.items[stop] = item
        stop += 1
    for i in range(start, stop):
        reach = settings.window
        if settings.shrink:
            state += GOLDEN
            reach = 1 + _below(_mix(state), settings.window)
        plan.contexts[i, 0] = max(start, i - reach)
        plan.contexts[i, 1] = i if settings.forward_only else min(stop, i + 1 + reach)
        plan.booked[i, 0] = corpus.booked_offsets[session]
        plan.booked[i, 1] = corpus.booked_offsets[session + 1]
    return stop, state


@njit(inline="always")
def _prefetch_sessions(corpus, order, position):  # type: ignore[no-untyped-def]
    """A shuffled session is four cache misses: ask for its bounds first, then for its clicks."""
    if position + 2 * AHEAD < len(order):
        later = order[position + 2 * AHEAD]
        prefetch(corpus.offsets, later)
        prefetch(corpus.booked_offsets, later)
        prefetch(corpus.weights, later)
        prefetch(corpus.items, corpus.offsets[order[position + AHEAD]])


@njit(inline="always")
def _lay_out(corpus, order, settings, plan, cursor, state):  # type: ignore[no-untyped-def]
    """Fill the plan with passes over sessions; return how many windows it holds and the state.

    A session of weight w gets floor(w) passes and one more with probability frac(w).
    """
    n = 0
    while cursor.session[0] < len(order):
        session = order[cursor.session[0]]
        _prefetch_sessions(corpus, order, cursor.session[0])
        length = corpus.offsets[session + 1] - corpus.offsets[session]
        weight = np.float64(corpus.weights[session])
        if cursor.passes[0] < 0:
            whole = np.int64(weight)
            cursor.passes[0] = whole
            if weight > whole:
                state += GOLDEN
                cursor.passes[0] += _uniform(_mix(state)) < weight - whole
        while cursor.passes[0] > 0:
            if n + length > len(plan.items):
                return n, state
            n, state = _lay_out_pass(corpus, session, settings, plan, n, state)
            cursor.passes[0] -= 1
        cursor.passes[0] = -1
        cursor.session[0] += 1
        cursor.done[0] += weight * length
    return n, state


# _nrt=False: nothing is allocated, and counting references to every array took two thirds of the draws' time
@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def draw_windows(corpus, noise, order, settings, plan, cursor):  # type: ignore[no-untyped-def]
    """Fill `plan` with sessions of `order` from the cursor on; return how many windows it has, 0 at the end.

    The plan must hold the longest session.
    """
    n, state = _lay_out(corpus, order, settings, plan, cursor, cursor.state[0])
    state = _draw_global_noise(noise, settings, plan, n, state, cursor)
    if settings.market_negative > 0:
        state = _draw_market_noise(noise, settings, plan, n, state, cursor)
    cursor.state[0] = state
    return n
