"""Train windows whose draws are already made: eq. 3, 4 and 5, one gradient step per row of a plan."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from item2vec.embeddings import prefetching, simd, vector_ir
from item2vec.embeddings.prefetching import prefetch_row
from item2vec.embeddings.simd import (
    TARGETS,
    add_scaled_row,
    apply_steps,
    row_dot,
    score_pair,
    step_tile,
)
from item2vec.embeddings.vector_ir import LANES, LN2

AHEAD = 12  # rows of the plan: theirs in the tables are on the way while this one trains
TERMS = ("window", "negative", "booked", "market_negative")


NO_CENTRES = np.zeros(0, np.int32)


class Plan(NamedTuple):
    """Rows in the order they are trained, each a window or a group of its inputs; positions index `items`."""

    items: npt.NDArray[np.int32]  # (n,) item number of each click, session after session
    contexts: npt.NDArray[np.int32]  # (n, 2) first and past-last position of each row's inputs
    noise: npt.NDArray[np.int32]  # (n, negative + market_negative), −1 where a draw was dropped
    markets: npt.NDArray[np.int32]  # (n,) the market the row's market noise was drawn from
    booked: npt.NDArray[np.int64]  # (n, 2) first and past-last index into `booked_items`
    booked_items: npt.NDArray[np.int32]  # distinct within a session
    item_markets: npt.NDArray[np.int32]  # (n_items,), −1 unknown
    centres: npt.NDArray[np.int32] = NO_CENTRES  # (n,) position of each row's centre; (): row i's is i


@njit(inline="always")
def _lane(k):  # type: ignore[no-untyped-def]
    """Where target k stands among the signs and losses."""
    return k + k // TARGETS * (LANES - TARGETS)


@njit(inline="always")
def pad_inputs(scratch, m):  # type: ignore[no-untyped-def]
    """Make the inputs an even number: the last one stands there again, with no signs. Return the pairs."""
    scratch.inputs[np.uint64(m)] = scratch.inputs[np.uint64(m - 1)]
    scratch.sign_rows[np.uint64(m)] = 2 * len(scratch.powers)
    return (m + 1) >> 1


@njit(inline="always")
def _gather_input(stride, scratch, plan, market, j, m):  # type: ignore[no-untyped-def]
    """Write where the row of the click at position j is and where its signs are, as input m."""
    item = np.int64(plan.items[np.uint64(j)])
    other_market = market < 0 or plan.item_markets[np.uint64(item)] != market
    scratch.inputs[np.uint64(m)] = item * stride
    scratch.sign_rows[np.uint64(m)] = len(scratch.powers) if other_market else 0


@njit(inline="always")
def _gather_inputs(stride, scratch, plan, i, centre):  # type: ignore[no-untyped-def]
    """Write the offsets of the row's inputs and where their signs are; return how many there are."""
    first, last, market = plan.contexts[i, 0], plan.contexts[i, 1], plan.markets[i]
    m = last - first - (first <= centre < last)
    if 0 < m <= 2:  # as for nearly every row; a loop's end would be a guess
        _gather_input(stride, scratch, plan, market, first + (first == centre), 0)
        _gather_input(stride, scratch, plan, market, last - 1 - (last - 1 == centre), 1)
        return m
    m = 0
    for j in range(first, last):
        _gather_input(stride, scratch, plan, market, j, m)
        m += j != centre
    return m


@njit(inline="always")
def gather_targets(stride, scratch, plan, i, item):  # type: ignore[no-untyped-def]
    """Write the offsets of the target rows; what is not there is the centre again, with no sign."""
    width = len(scratch.powers)
    n = plan.noise.shape[1]
    scratch.targets[0] = item * stride
    absent = 0
    for k in range(n):
        noise = np.int64(plan.noise[i, np.uint64(k)])
        absent += 1 if noise < 0 else 0
        scratch.targets[np.uint64(k + 1)] = (item if noise < 0 else noise) * stride
    for k in range(n + 1, len(scratch.targets)):
        scratch.targets[np.uint64(k)] = item * stride
    if absent:
        for k in range(1, n + 1):
            if plan.noise[i, k - 1] < 0:
                scratch.signs[_lane(k)] = scratch.signs[width + _lane(k)] = 0
    return absent


@njit(inline="always")
def reset_signs(scratch, plan, negative):  # type: ignore[no-untyped-def]
    """Say of every target that it is there: noise, for inputs of its market and for the others."""
    width = len(scratch.powers)
    for k in range(1, 1 + plan.noise.shape[1]):
        scratch.signs[_lane(k)] = -1
        scratch.signs[width + _lane(k)] = -1 if k <= negative else 0


@njit(inline="always")
def _step_booked(stride, tables, scratch, plan, i, item, rate, results):  # type: ignore[no-untyped-def]
    """Eq. 4: pull the click's input row and its session's booked output rows together, 1/n each.

    No booked row is a target of this row (noise avoids them, and a click is no context of itself), so they
    change at once; the click's own may be an input and changes at the end: returns where its change stands.
    """
    first, last = plan.booked[i, 0], plan.booked[i, 1]
    x = item * stride
    at = len(scratch.deltas) - stride
    for k in range(at, at + stride):
        scratch.deltas[k] = np.float32(0)
    share = 1.0 / (last - first)
    for b in range(first, last):
        y = np.int64(plan.booked_items[b]) * stride
        if x == y:
            continue
        score = np.float64(row_dot(stride, tables.inputs, x, tables.outputs, y))
        e = math.exp(-abs(score))
        sigmoid = e / (1 + e) if score > 0 else 1 / (1 + e)  # σ(−score)
        results[2] += share * (max(-score, 0.0) + math.log1p(e))
        step = np.float32(rate * share * sigmoid)
        add_scaled_row(stride, step, tables.outputs, y, scratch.deltas, at)
        add_scaled_row(stride, step, tables.inputs, x, tables.outputs, y)
    return at


@njit(inline="always")
def step_pairs(stride, tables, scratch, n_pairs, rate):  # type: ignore[no-untyped-def]
    """Eq. 3 and 5: every input against the centre and its noise, from the tables as they are now.

    Leaves the change of every input in `scratch.deltas`.
    """
    blocks = len(scratch.powers) // LANES
    for pair in range(n_pairs):
        for block in range(blocks):
            score_pair(stride, tables, scratch, pair, block, (pair * blocks + block) * 2 * LANES, rate)
    apply_steps(stride, tables, scratch, n_pairs, blocks)


@njit(inline="always")
def _train_row(stride, tables, plan, scratch, i, negative, rate, results):  # type: ignore[no-untyped-def]
    centre = np.int64(plan.centres[i]) if len(plan.centres) else np.int64(i)
    item = np.int64(plan.items[np.uint64(centre)])
    m = _gather_inputs(stride, scratch, plan, i, centre)
    booked = plan.booked[i, 1] > plan.booked[i, 0]
    if booked:
        delta = _step_booked(stride, tables, scratch, plan, i, item, rate, results)
    if m:
        absent = gather_targets(stride, scratch, plan, i, item)
        n_pairs = pad_inputs(scratch, m)
        if n_pairs == 1 and len(scratch.powers) == LANES:
            step_tile(stride, tables, scratch, rate)
        else:
            step_pairs(stride, tables, scratch, n_pairs, rate)
        if absent:
            reset_signs(scratch, plan, negative)
        results[4] += m
    if booked:
        add_scaled_row(stride, np.float32(1), scratch.deltas, delta, tables.inputs, item * stride)


@njit(inline="always")
def prefetch_window(stride, tables, plan, i, n):  # type: ignore[no-untyped-def]
    """Ask for the rows of a window that is trained soon."""
    if i < n:
        u = np.uint64(i)
        centre = np.int64(plan.centres[u]) if len(plan.centres) else i
        row = np.int64(plan.items[np.uint64(centre)]) * stride
        prefetch_row(stride, tables.inputs, row)
        prefetch_row(stride, tables.outputs, row)
        for k in range(plan.noise.shape[1]):
            prefetch_row(stride, tables.outputs, max(np.int64(plan.noise[u, np.uint64(k)]), 0) * stride)


@njit(inline="always")
def add_losses(scratch, plan, negative, results):  # type: ignore[no-untyped-def]
    """Move what the steps left in the scratch to the terms it belongs to, as −log σ."""
    for k in range(1 + plan.noise.shape[1]):
        lane = _lane(k)
        log = math.log(scratch.likelihoods[lane]) + np.float64(scratch.powers[lane]) * LN2
        results[0 if k == 0 else 1 if k <= negative else 3] -= log
    scratch.likelihoods[:] = 1
    scratch.powers[:] = 0


@njit(inline="always")
def _train_in_order(stride, tables, plan, scratch, n, negative, rates, results):  # type: ignore[no-untyped-def]
    fall = (rates[1] - rates[0]) / n
    reset_signs(scratch, plan, negative)
    for i in range(n):
        prefetch_window(stride, tables, plan, i + AHEAD, n)
        rate = np.float32(rates[0] + fall * i)
        _train_row(stride, tables, plan, scratch, np.uint64(i), negative, rate, results)
    add_losses(scratch, plan, negative, results)


def _make_train_windows(simd_version: str):  # type: ignore[no-untyped-def]
    """Define the kernel over a digest of its intrinsics: numba's cache sees this file and closures only."""

    @njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
    def train_windows(stride, tables, plan, scratch, n, negative, rates, results):  # type: ignore[no-untyped-def]
        """Train the first `n` rows of a plan, the learning rate going from rates[0] to rates[1].

        `results` (float64, 5) gains −log σ summed per term, in the order of `TERMS`, and the number of
        window pairs. A row sees the tables as they were at its start and changes them at its end; other
        threads may change them at any time, which skip-gram forgives.
        """
        if simd_version:
            _train_in_order(stride, tables, plan, scratch, n, negative, rates, results)

    return train_windows


_SOURCES = [Path(str(module.__file__)).read_bytes() for module in (prefetching, simd, vector_ir)]
train_windows = _make_train_windows(hashlib.sha256(b"".join(_SOURCES)).hexdigest())
