"""Train windows whose draws are already made: eq. 3, 4 and 5, one stochastic gradient step per window."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from item2vec.embeddings import simd, vector_ir
from item2vec.embeddings.simd import (
    TARGETS,
    add_scaled_row,
    prefetch_row,
    row_dot,
    step_input,
    step_targets,
)

AHEAD = 4  # windows: their rows are on the way while this one trains
TERMS = ("window", "negative", "booked", "market_negative")


class Plan(NamedTuple):
    """Windows in the order they are trained; a position is an index into `items`."""

    items: npt.NDArray[np.int32]  # (n,) item number of each click, session after session
    contexts: npt.NDArray[np.int32]  # (n, 2) first and past-last position of each window
    noise: npt.NDArray[np.int32]  # (n, negative + market_negative), −1 where a draw was dropped
    markets: npt.NDArray[np.int32]  # (n,) the market the window's market noise was drawn from
    booked: npt.NDArray[np.int64]  # (n, 2) first and past-last index into `booked_items`
    booked_items: npt.NDArray[np.int32]  # distinct within a session
    item_markets: npt.NDArray[np.int32]  # (n_items,), −1 unknown


@njit(inline="always")
def _gather_inputs(stride, scratch, plan, i):  # type: ignore[no-untyped-def]
    """Write the offsets of the window's input rows, zero their changes, return how many there are."""
    m = 0
    for j in range(plan.contexts[i, 0], plan.contexts[i, 1]):
        if j != i:
            scratch.inputs[m] = np.int64(plan.items[j]) * stride
            m += 1
    for k in range(m * stride):
        scratch.deltas[k] = np.float32(0)
    return m


@njit(inline="always")
def gather_targets(stride, scratch, plan, i):  # type: ignore[no-untyped-def]
    """Write the offsets of the window's target rows; a draw that is not there points at a spare row."""
    width = len(scratch.targets)
    scratch.targets[0] = np.int64(plan.items[i]) * stride
    absent = 0
    for k in range(1, 1 + plan.noise.shape[1]):
        item = np.int64(plan.noise[i, k - 1])
        scratch.targets[k] = item * stride
        if item < 0:
            absent += 1
            scratch.targets[k] = scratch.spare
            scratch.signs[k] = scratch.signs[width + k] = 0
    return absent


@njit(inline="always")
def reset_signs(scratch, plan, negative):  # type: ignore[no-untyped-def]
    """Say of every target that it is there: noise, for inputs of its market and for the others."""
    width = len(scratch.targets)
    for k in range(1, 1 + plan.noise.shape[1]):
        scratch.signs[k] = -1
        scratch.signs[width + k] = -1 if k <= negative else 0


@njit(inline="always")
def _step_booked(stride, tables, scratch, plan, i, m, rate, results):  # type: ignore[no-untyped-def]
    """Eq. 4: pull the click's input row and its session's booked output rows together, 1/n each.

    No booked row is a target of this window (noise avoids them, and a click is no context of itself), so they
    change at once; the click's own row may be an input of the window and changes at its end, as row `m`.
    """
    first, last = plan.booked[i, 0], plan.booked[i, 1]
    x = np.int64(plan.items[i]) * stride
    scratch.inputs[m] = x
    for k in range(m * stride, (m + 1) * stride):
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
        add_scaled_row(stride, step, tables.outputs, y, scratch.deltas, m * stride)
        add_scaled_row(stride, step, tables.inputs, x, tables.outputs, y)
    return m + 1


@njit(inline="always")
def _step_window(stride, tables, scratch, plan, i, m, rate):  # type: ignore[no-untyped-def]
    """Eq. 3 and 5: every input against the centre and its noise, from the tables as they are now."""
    width = len(scratch.targets)
    blocks = width // TARGETS
    market = plan.markets[i]
    for v in range(m):
        other_market = market < 0 or plan.item_markets[scratch.inputs[v] // stride] != market
        signs_at = width if other_market else 0
        for block in range(blocks):
            step_input(stride, tables, scratch, v, block, signs_at, rate)
    for block in range(blocks):
        step_targets(stride, tables, scratch, m, block)


@njit(inline="always")
def prefetch_window(stride, tables, plan, i, n):  # type: ignore[no-untyped-def]
    """Ask for the rows of a window that is trained soon."""
    if i < n:
        row = np.int64(plan.items[i]) * stride
        prefetch_row(stride, tables.inputs, row)
        prefetch_row(stride, tables.outputs, row)
        for k in range(plan.noise.shape[1]):
            if plan.noise[i, k] >= 0:
                prefetch_row(stride, tables.outputs, np.int64(plan.noise[i, k]) * stride)


@njit(inline="always")
def add_losses(scratch, plan, negative, results):  # type: ignore[no-untyped-def]
    """Move what the steps left in the scratch to the terms it belongs to."""
    results[0] += scratch.losses[0]
    results[1] += scratch.losses[1 : 1 + negative].sum()
    results[3] += scratch.losses[1 + negative : 1 + plan.noise.shape[1]].sum()
    scratch.losses[:] = 0


@njit(inline="always")
def _train_in_order(stride, tables, plan, scratch, n, negative, rates, results):  # type: ignore[no-untyped-def]
    fall = (rates[1] - rates[0]) / n
    reset_signs(scratch, plan, negative)
    for i in range(n):
        prefetch_window(stride, tables, plan, i + AHEAD, n)
        rate = np.float32(rates[0] + fall * i)
        m = _gather_inputs(stride, scratch, plan, i)
        changed = m
        if plan.booked[i, 1] > plan.booked[i, 0]:
            changed = _step_booked(stride, tables, scratch, plan, i, m, rate, results)
        if m:
            absent = gather_targets(stride, scratch, plan, i)
            _step_window(stride, tables, scratch, plan, i, m, rate)
            if absent:
                reset_signs(scratch, plan, negative)
            results[4] += m
        for v in range(changed):
            add_scaled_row(
                stride, np.float32(1), scratch.deltas, v * stride, tables.inputs, scratch.inputs[v]
            )
    add_losses(scratch, plan, negative, results)


def _make_train_windows(simd_version: str):  # type: ignore[no-untyped-def]
    """Define the kernel over a digest of its intrinsics: numba's cache sees this file and closures only."""

    @njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
    def train_windows(stride, tables, plan, scratch, n, negative, rates, results):  # type: ignore[no-untyped-def]
        """Train the first `n` windows of a plan, the learning rate going from rates[0] to rates[1].

        `results` (float64, 5) gains −log σ summed per term, in the order of `TERMS`, and the number of
        window pairs. A window sees the tables as they were at its start and changes them at its end; other
        threads may change them at any time, which skip-gram forgives.
        """
        if simd_version:
            _train_in_order(stride, tables, plan, scratch, n, negative, rates, results)

    return train_windows


_SOURCES = [Path(str(module.__file__)).read_bytes() for module in (simd, vector_ir)]
train_windows = _make_train_windows(hashlib.sha256(b"".join(_SOURCES)).hexdigest())
