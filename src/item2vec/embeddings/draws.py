"""Draw what chance decides about a block of sessions: passes, subsampling, window sizes and noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from item2vec.embeddings.prefetching import prefetch

AHEAD = 8  # sessions
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
REDRAWS = 3  # of a noise item that equals a positive; then it is dropped and counted
NO_REJECTIONS = np.zeros((0, 2), np.int32)
# Where a pass that one block of rows does not hold goes on: its first and past-last position, the centre and
# the context it stands at (−1: no window yet), its end, the clicks counted as done, the passes begun
START, STOP, CENTRE, CONTEXT, LAST, COUNTED, BEGUN = range(7)
NOT_UNDER_WAY = np.zeros(7, np.int64)


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
    group: int = 0  # at most so many inputs of a window share their noise, as a row of the plan; 0: all


class Cursor(NamedTuple):
    """Where a thread stands in its slice of the epoch; every member has one element."""

    session: npt.NDArray[np.int64]  # position in the order
    passes: npt.NDArray[np.int64]  # still to make over that session, −1 not drawn yet
    state: npt.NDArray[np.uint64]  # of the random numbers
    done: npt.NDArray[np.float64]  # expected clicks of the finished sessions
    dropped: npt.NDArray[np.int64]  # noise draws given up
    under_way: npt.NDArray[np.int64]  # (7,) see START to BEGUN; for groups only


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
    other = np.uint64((z & np.uint64(0xFFFFFFFF)) >= (entry >> np.uint64(32)))  # as a mask: a coin, no branch
    return slot ^ ((slot ^ (entry & np.uint64(0xFFFFFFFF))) & (np.uint64(0) - other))


@njit(inline="always")
def _is_positive(item, centre, plan, i):  # type: ignore[no-untyped-def]
    """Whether a noise item is the row's centre or booked in its session."""
    if item == centre:
        return True
    for b in range(plan.booked[i, 0], plan.booked[i, 1]):  # noqa: SIM110 (numba knows no any)
        if plan.booked_items[b] == item:
            return True
    return False


@njit(inline="always")
def _centre(plan, i):  # type: ignore[no-untyped-def]
    """Position of a row's centre."""
    return np.int64(plan.centres[np.uint64(i)]) if len(plan.centres) else i


@njit(inline="always")
def _draw_global_noise(noise, settings, plan, n, state, cursor):  # type: ignore[no-untyped-def]
    """Eq. 3: `negative` items of the whole vocabulary for each of the first n rows."""
    n_items = len(noise.aliases)
    for i in range(n):
        centre = plan.items[np.uint64(_centre(plan, i))]
        for k in range(settings.negative):
            state += GOLDEN
            z = _mix(state)
            item = np.int64(_pick(z, noise.aliases, 0, n_items))
            redraws = 0
            while _is_positive(item, centre, plan, i) and redraws <= REDRAWS:
                redraws += 1
                z = _mix(z + GOLDEN)
                item = np.int64(_pick(z, noise.aliases, 0, n_items))
            dropped = redraws > REDRAWS
            cursor.dropped[0] += dropped
            plan.noise[i, k] = np.int64(-1) if dropped else item
    return state


@njit(inline="always")
def _draw_market_noise(noise, settings, plan, n, state, cursor):  # type: ignore[no-untyped-def]
    """Eq. 5: `market_negative` items of one market per row, the market of an input that is drawn.

    Were it always the nearest input's, say, a session over two markets would train one of them less.
    """
    for i in range(n):
        first, last, c = plan.contexts[i, 0], plan.contexts[i, 1], _centre(plan, i)
        n_inputs = last - first - (first <= c < last)
        plan.markets[i] = -1
        if n_inputs > 0:
            state += GOLDEN
            j = first + _below(_mix(state), n_inputs)
            plan.markets[i] = plan.item_markets[plan.items[j + (first <= c <= j)]]
        market, centre = plan.markets[i], plan.items[c]
        for k in range(settings.negative, settings.negative + settings.market_negative):
            plan.noise[i, k] = -1
            if market < 0:
                continue
            start = noise.market_offsets[market]
            size = noise.market_offsets[market + 1] - start
            state += GOLDEN
            z = _mix(state)
            item = noise.market_items[start + np.int64(_pick(z, noise.market_aliases, start, size))]
            redraws = 0
            while _is_positive(item, centre, plan, i) and redraws <= REDRAWS:
                redraws += 1
                z = _mix(z + GOLDEN)
                item = noise.market_items[start + np.int64(_pick(z, noise.market_aliases, start, size))]
            dropped = redraws > REDRAWS
            cursor.dropped[0] += dropped
            plan.noise[i, k] = -1 if dropped else item
    return state


@njit(inline="always")
def _lay_out_pass(corpus, session, plan, start, state):  # type: ignore[no-untyped-def]
    """Write a pass over a session from position `start` on; return the position behind it and the state."""
    stop = start
    for j in range(corpus.offsets[session], corpus.offsets[session + 1]):
        item = corpus.items[np.uint64(j)]
        if len(corpus.keep):
            state += GOLDEN
            if _uniform(_mix(state)) >= corpus.keep[np.uint64(item)]:
                continue
        plan.items[np.uint64(stop)] = item
        stop += 1
    return stop, state


@njit(inline="always")
def _draw_window(settings, start, stop, i, state):  # type: ignore[no-untyped-def]
    """Return the first and past-last context position around centre i and the state."""
    reach = settings.window
    if settings.shrink:
        state += GOLDEN
        reach = 1 + _below(_mix(state), settings.window)
    last = i if settings.forward_only or i + 1 == stop else min(stop, i + 1 + reach)
    return max(start, i - reach), last, state


@njit(inline="always")
def _write_row(corpus, session, plan, n, first, last):  # type: ignore[no-untyped-def]
    plan.contexts[np.uint64(n), 0] = first
    plan.contexts[np.uint64(n), 1] = last
    plan.booked[np.uint64(n), 0] = corpus.booked_offsets[session]
    plan.booked[np.uint64(n), 1] = corpus.booked_offsets[session + 1]


@njit(inline="always")
def _cut_groups(corpus, session, settings, plan, n, cursor, state):  # type: ignore[no-untyped-def]
    """Write the rows of the pass under way from row n on, as many as fit; return how many rows there are."""
    at = cursor.under_way
    start, stop, i, j, last = at[START], at[STOP], at[CENTRE], at[CONTEXT], at[LAST]
    while i < stop and n < len(plan.centres):
        if j < 0:
            j, last, state = _draw_window(settings, start, stop, i, state)
        end = j + settings.group
        end = min(end + (j <= i < end), last)
        plan.centres[np.uint64(n)] = i
        _write_row(corpus, session, plan, n, j, end)
        n += 1
        done = end >= last
        j = np.int64(-1) if done else end
        i += done
    at[CENTRE], at[CONTEXT], at[LAST] = i, j, last
    return n, state


@njit(inline="always")
def _count_once(plan, n, carried_on):  # type: ignore[no-untyped-def]
    """Leave a click's bookings to the first of its rows; the others needed them to avoid them as noise."""
    for i in range(n):
        if plan.centres[i] == plan.centres[i - 1] if i else carried_on:
            plan.booked[i, 1] = plan.booked[i, 0]


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
def _add_pass(corpus, session, settings, plan, n, stop, cursor, state):  # type: ignore[no-untyped-def]
    """Lay out a pass behind position `stop`; return the number of rows, the position behind it, the state."""
    start = stop
    stop, state = _lay_out_pass(corpus, session, plan, start, state)
    if settings.group:
        at = cursor.under_way
        at[START], at[STOP], at[CENTRE], at[CONTEXT] = start, stop, start, -1
        n, state = _cut_groups(corpus, session, settings, plan, n, cursor, state)
    else:
        n = stop
        for i in range(start, stop):
            first, last, state = _draw_window(settings, start, stop, i, state)
            _write_row(corpus, session, plan, i, first, last)
    return n, stop, state


@njit(inline="always")
def _lay_out(corpus, order, settings, plan, cursor, state):  # type: ignore[no-untyped-def]
    """Fill the plan with passes over sessions; return how many rows it holds and the state."""
    n, stop, at = 0, 0, cursor.under_way
    if settings.group and at[CENTRE] < at[STOP]:
        stop = at[STOP]
        n, state = _cut_groups(corpus, order[cursor.session[0]], settings, plan, n, cursor, state)
    while cursor.session[0] < len(order):
        session = order[cursor.session[0]]
        _prefetch_sessions(corpus, order, cursor.session[0])
        length = corpus.offsets[session + 1] - corpus.offsets[session]
        weight = np.float64(corpus.weights[session])
        if cursor.passes[0] < 0:  # floor(w) passes over a session of weight w and one more by frac(w)
            cursor.passes[0] = np.int64(weight)
            if weight > cursor.passes[0]:
                state += GOLDEN
                cursor.passes[0] += _uniform(_mix(state)) < weight - cursor.passes[0]
        while cursor.passes[0] > 0 and at[CENTRE] >= at[STOP] and stop + length <= len(plan.items):
            cursor.passes[0] -= 1
            at[BEGUN] += 1
            n, stop, state = _add_pass(corpus, session, settings, plan, n, stop, cursor, state)
        if at[CENTRE] < at[STOP] or cursor.passes[0] > 0:  # the plan is full
            if settings.group and at[BEGUN]:
                counted = min((at[BEGUN] - 1) * length + at[CENTRE] - at[START], np.int64(weight * length))
                cursor.done[0] += counted - at[COUNTED]
                at[COUNTED] = counted
            return n, state
        cursor.passes[0] = -1
        cursor.session[0] += 1
        cursor.done[0] += weight * length - at[COUNTED]
        if settings.group:
            at[COUNTED] = at[BEGUN] = 0
    return n, state


# _nrt=False: nothing is allocated, and counting references to every array took two thirds of the draws' time
@njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def draw_windows(corpus, noise, order, settings, plan, cursor):  # type: ignore[no-untyped-def]
    """Fill `plan` with sessions of `order` from the cursor on; return how many rows it has, 0 at the end.

    The plan's `items` must hold the longest session; without groups it must have as many rows.
    """
    carried_on = cursor.under_way[CENTRE] < cursor.under_way[STOP] and cursor.under_way[CONTEXT] >= 0
    n, state = _lay_out(corpus, order, settings, plan, cursor, cursor.state[0])
    state = _draw_global_noise(noise, settings, plan, n, state, cursor)
    if settings.market_negative > 0:
        state = _draw_market_noise(noise, settings, plan, n, state, cursor)
    if settings.group and len(plan.booked_items):
        _count_once(plan, n, carried_on)
    cursor.state[0] = state
    return n
