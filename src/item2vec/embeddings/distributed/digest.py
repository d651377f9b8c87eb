"""Which sessions a training has, however they are dealt out to workers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.draws import Corpus


def sessions_digest(corpus: Corpus) -> npt.NDArray[np.int64]:
    """Return numbers whose sums over the workers' shares are those of all their sessions in one corpus.

    Returns
    -------
    ndarray of int64, shape (3,)
        Sessions, clicks, and the sum (mod 2⁶⁴) of a hash of each session's clicks in their order, its booked
        items in theirs, and its weight.
    """
    clicks = _row_sums(corpus.items, corpus.offsets)
    booked = _row_sums(corpus.booked_items, corpus.booked_offsets)
    weights = np.ascontiguousarray(corpus.weights, np.float32).view(np.uint32).astype(np.uint64)
    hashes = _mixed(clicks + _mixed(booked + _mixed(weights)))
    counts = np.array([len(corpus.weights), len(corpus.items)], np.uint64)
    digest: npt.NDArray[np.int64] = np.append(counts, hashes.sum(dtype=np.uint64)).view(np.int64)
    return digest


def _row_sums(values: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Sum over each ragged row a hash of (position, value)."""
    position = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
    hashed = _mixed((position.astype(np.uint64) << np.uint64(32)) + values.astype(np.uint64))
    reached = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashed, dtype=np.uint64)])
    sums: npt.NDArray[np.uint64] = reached[offsets[1:]] - reached[offsets[:-1]]
    return sums


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return SplitMix64's output function of each value (Steele, Lea & Flood, OOPSLA 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
