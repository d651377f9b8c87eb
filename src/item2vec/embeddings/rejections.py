"""Rejected pairs, eq. 8-9: two items that were declined together are pushed apart, in both directions.

A pair (a, b) adds log σ(−v'_b·v_a) + log σ(−v'_a·v_b) to the objective once per epoch. Grbovic & Cheng, KDD
2018, use it for hosts who declined a guest.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from item2vec.embeddings import prefetching, simd, vector_ir
from item2vec.embeddings.prefetching import prefetch_row
from item2vec.embeddings.simd import add_scaled_row, row_dot
from item2vec.errors import UsageError
from item2vec.vocabulary import Vocabulary

AHEAD = 4  # pairs: their rows are on the way while this one trains
Pairs = npt.NDArray[np.int32]


def number_pairs(rejections: Iterable[Any], vocabulary: Vocabulary) -> tuple[Pairs, int]:
    """Return the pairs by item number and how many were left out because an item has no vector.

    Parameters
    ----------
    rejections : iterable of (id, id), or array of shape (n, 2)
    vocabulary : Vocabulary

    Returns
    -------
    ndarray of int32, shape (n, 2)
        In the order they were given; a pair given twice is there twice.
    int
        Pairs with an id that is not in the vocabulary.

    Raises
    ------
    UsageError
        If `rejections` are no pairs, or name an item by another id type than the sessions do.
    """
    listed = rejections.tolist() if isinstance(rejections, np.ndarray) else rejections
    if not isinstance(listed, Iterable) or isinstance(listed, str | bytes | dict):
        raise UsageError(f"rejections are pairs of item ids, [(a, b), …]; got {type(rejections).__name__}")
    pairs = list(listed)
    others = {kind for kind in set(map(type, pairs)) if not issubclass(kind, tuple | list | np.ndarray)}
    if others or not set(map(len, pairs)) <= {2}:
        number = next(k for k, pair in enumerate(pairs) if type(pair) in others or len(pair) != 2)
        raise UsageError(
            f"rejections are pairs of item ids, [(a, b), …]; entry {number} is {str(pairs[number])[:64]!r}"
        )
    ids = list(chain.from_iterable(pairs))
    kinds = (str,) if vocabulary.id_type == "string" else (int, np.integer)
    wrong = {found for found in set(map(type, ids)) if not issubclass(found, kinds) or found is bool}
    if wrong:
        other = next(item_id for item_id in ids if type(item_id) in wrong)
        raise UsageError(
            f"the rejections name items by {type(other).__name__}, as in {repr(other)[:64]}; the ids of the"
            f" sessions are {vocabulary.id_type}: give all of both as one type"
        )
    if not ids:  # looking nothing up would number the vocabulary in Python first
        return np.zeros((0, 2), np.int32), 0
    nums = vocabulary.nums(ids).reshape(-1, 2)
    known = (nums >= 0).all(axis=1)
    return np.ascontiguousarray(nums[known], np.int32), int(len(pairs) - known.sum())


def epoch_pairs(pairs: Pairs, seed: int, epoch: int, workers: int) -> list[Pairs]:
    """Shuffle the pairs by (seed, epoch) and deal them out, one contiguous (m, 2) array per thread."""
    source = np.random.SeedSequence([seed, epoch], spawn_key=(1,))  # not the one that shuffles the sessions
    order = np.random.default_rng(source).permutation(len(pairs))
    return [np.ascontiguousarray(part) for part in np.array_split(pairs[order], workers)]


@njit(inline="always")
def _push(score, rate, losses):  # type: ignore[no-untyped-def]
    """Add −log σ(−score) to the loss; return how far the two rows move along each other."""
    e = math.exp(-abs(score))
    losses[0] += max(score, 0.0) + math.log1p(e)
    return np.float32(-rate * (1 / (1 + e) if score > 0 else e / (1 + e)))


@njit(inline="always")
def _step_pair(stride, tables, scratch, x, y, rate, losses):  # type: ignore[no-untyped-def]
    """Both directions of the pair of rows at x and y, from the tables as they are now (x may be y)."""
    there = np.float64(row_dot(stride, tables.inputs, x, tables.outputs, y))
    back = np.float64(row_dot(stride, tables.inputs, y, tables.outputs, x))
    for k in range(2 * stride):
        scratch.deltas[k] = np.float32(0)
    step = _push(there, rate, losses)
    step_back = _push(back, rate, losses)
    add_scaled_row(stride, step, tables.outputs, y, scratch.deltas, 0)
    add_scaled_row(stride, step_back, tables.outputs, x, scratch.deltas, stride)
    add_scaled_row(stride, step, tables.inputs, x, tables.outputs, y)
    add_scaled_row(stride, step_back, tables.inputs, y, tables.outputs, x)
    add_scaled_row(stride, np.float32(1), scratch.deltas, 0, tables.inputs, x)
    add_scaled_row(stride, np.float32(1), scratch.deltas, stride, tables.inputs, y)


@njit(inline="always")
def _train_in_order(stride, tables, scratch, pairs, rates, losses):  # type: ignore[no-untyped-def]
    n = len(pairs)
    fall = (rates[1] - rates[0]) / n if n else 0.0
    for p in range(n):
        if p + AHEAD < n:
            for side in range(2):
                row = np.int64(pairs[p + AHEAD, side]) * stride
                prefetch_row(stride, tables.inputs, row)
                prefetch_row(stride, tables.outputs, row)
        x, y = np.int64(pairs[p, 0]) * stride, np.int64(pairs[p, 1]) * stride
        _step_pair(stride, tables, scratch, x, y, rates[0] + fall * p, losses)


def _make_train_rejections(simd_version: str):  # type: ignore[no-untyped-def]
    """Define the kernel over a digest of its intrinsics: numba's cache sees this file and closures only."""

    @njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
    def train_rejections(stride, tables, scratch, pairs, rates, losses):  # type: ignore[no-untyped-def]
        """Train pairs, int32 (n, 2), one after another, the learning rate going from rates[0] to rates[1].

        `losses` (float64, 1) gains −log σ summed over both directions. A pair sees the tables as they were
        at its start; other threads may change them at any time. `scratch.deltas` holds two rows or more.
        """
        if simd_version:
            _train_in_order(stride, tables, scratch, pairs, rates, losses)

    return train_rejections


_SOURCES = [Path(str(module.__file__)).read_bytes() for module in (prefetching, simd, vector_ir)]
train_rejections = _make_train_rejections(hashlib.sha256(b"".join(_SOURCES)).hexdigest())


class EpochRejections:
    """One thread's pairs of one epoch, trained in step with its windows.

    Parameters
    ----------
    pairs : ndarray of int32, shape (n, 2)
        Of this thread, in their order; see :func:`epoch_pairs`.
    train : callable (pairs, rates, losses) -> object
        Trains some of them, as :func:`train_rejections` does.
    """

    def __init__(self, pairs: Pairs, train: Callable[..., object]) -> None:
        self.pairs, self.train = pairs, train
        self.losses = np.zeros(1)
        self.done = 0

    def advance(self, share: float, rates: npt.NDArray[np.float64]) -> None:
        """Train on until `share` of the pairs is done, the learning rate going from rates[0] to rates[1]."""
        due = round(share * len(self.pairs))
        if due > self.done:
            self.train(self.pairs[self.done : due], rates, self.losses)
            self.done = due
