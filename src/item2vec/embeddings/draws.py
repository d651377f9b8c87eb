"""Draw what chance decides about a block of sessions: passes, subsampling, window sizes and noise."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from item2vec.embeddings import noise_draws, prefetching, vector_ir
from item2vec.embeddings.noise_draws import (
    GOLDEN,
    below,
    draw_global_noise,
    draw_market_noise,
    mix,
    uniform,
)
from item2vec.embeddings.prefetching import prefetch

AHEAD = 8  # sessions
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
def _lay_out_pass(corpus, session, plan, start, state):  # type: ignore[no-untyped-def]
    """Write a pass over a session from position `start` on; return the position behind it and the state."""
    stop = start
    for j in range(corpus.offsets[session], corpus.offsets[session + 1]):
        item = corpus.items[np.uint64(j)]
        if len(corpus.keep):
            state += GOLDEN
            if uniform(mix(state)) >= corpus.keep[np.uint64(item)]:
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
        reach = 1 + below(mix(state), settings.window)
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
                cursor.passes[0] += uniform(mix(state)) < weight - cursor.passes[0]
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


@njit(inline="always")
def _draw_block(corpus, noise, order, settings, plan, cursor):  # type: ignore[no-untyped-def]
    carried_on = cursor.under_way[CENTRE] < cursor.under_way[STOP] and cursor.under_way[CONTEXT] >= 0
    n, state = _lay_out(corpus, order, settings, plan, cursor, cursor.state[0])
    state = draw_global_noise(noise, settings, plan, n, state, cursor)
    if settings.market_negative > 0:
        state = draw_market_noise(noise, settings, plan, n, state, cursor)
    if settings.group and len(plan.booked_items):
        _count_once(plan, n, carried_on)
    cursor.state[0] = state
    return n


def _make_draw_windows(version: str):  # type: ignore[no-untyped-def]
    """Define the kernel over a digest of what it inlines: numba's cache sees this file and closures only."""

    # _nrt=False: nothing is allocated, and counting references to every array took two thirds of the time
    @njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
    def draw_windows(corpus, noise, order, settings, plan, cursor):  # type: ignore[no-untyped-def]
        """Fill `plan` with sessions of `order` from the cursor on; return how many rows it has, 0 at the end.

        The plan's `items` must hold the longest session; without groups it must have as many rows.
        """
        return _draw_block(corpus, noise, order, settings, plan, cursor) if version else 0

    return draw_windows


_SOURCES = [Path(str(module.__file__)).read_bytes() for module in (noise_draws, prefetching, vector_ir)]
draw_windows = _make_draw_windows(hashlib.sha256(b"".join(_SOURCES)).hexdigest())
