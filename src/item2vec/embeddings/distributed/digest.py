"""Which sessions a training has, however they are dealt out to workers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.draws import Corpus

SESSIONS_AT_ONCE = 1 << 20


def sessions_digest(corpus: Corpus) -> npt.NDArray[np.int64]:
    """Return numbers whose sums over the workers' shares are those of all their sessions in one corpus.

    Returns
    -------
    ndarray of int64, shape (3,)
        Sessions, clicks, and the sum (mod 2⁶⁴) of a hash of each session's clicks in their order, its booked
        items in theirs, and its weight.
    """
    total = np.array([len(corpus.weights), len(corpus.items), 0], np.uint64)
    for first in range(0, len(corpus.weights), SESSIONS_AT_ONCE):
        last = first + SESSIONS_AT_ONCE
        clicks = _row_sums(corpus.items, corpus.offsets[first : last + 1])
        booked = _row_sums(corpus.booked_items, corpus.booked_offsets[first : last + 1])
        weights = corpus.weights[first:last].view(np.uint32).astype(np.uint64)
        total[2:] += _mixed(clicks + _mixed(booked + _mixed(weights))).sum(dtype=np.uint64)
    return total.view(np.int64)


def _row_sums(values: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Sum over each ragged row a hash of (position, value)."""
    values = values[offsets[0] : offsets[-1]]
    starts = offsets - offsets[0]
    position = np.arange(len(values)) - np.repeat(starts[:-1], np.diff(starts))
    hashed = _mixed((position.astype(np.uint64) << np.uint64(32)) + values.astype(np.uint64))
    reached = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashed, dtype=np.uint64)])
    sums: npt.NDArray[np.uint64] = reached[starts[1:]] - reached[starts[:-1]]
    return sums


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return SplitMix64's output function of each value (Steele, Lea & Flood, OOPSLA 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
