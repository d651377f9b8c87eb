"""Where an item starts: a row that depends on the seed and the item's id and on nothing else."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NUMBERS_AT_ONCE = 1 << 15  # they stay in the cache from step to step


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64's finaliser: every bit of the input moves every bit of the output."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def item_keys(ids: pa.Array) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each id that is the same in every process, on every machine, for ever.

    Parameters
    ----------
    ids : pyarrow.Array of string or int64, shape (n,)

    Returns
    -------
    ndarray of uint64, shape (n,)
        BLAKE2b of a string's UTF-8 bytes; splitmix64 of an integer.
    """
    if pa.types.is_string(ids.type):
        digests = [blake2b(i.encode(), digest_size=8).digest() for i in ids.to_pylist()]
        return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
    return _mix(ids.to_numpy().astype(np.int64).view(np.uint64) + _GOLDEN)


def initial_rows(ids: pa.Array, vector_size: int, seed: int) -> npt.NDArray[np.float32]:
    """Return the input rows at which training starts, uniform in ±0.5 / vector_size as in word2vec.

    A counter-based generator keyed by (seed, hash of the id): tomorrow's training starts every old item
    where today's did, whatever else is in the vocabulary.

    Returns
    -------
    ndarray of float32, shape (n, vector_size)
    """
    start = _mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64) + _GOLDEN)
    keys = _mix(item_keys(ids) ^ start)
    counters = np.arange(1, vector_size + 1, dtype=np.uint64) * _GOLDEN
    rows = np.empty((len(keys), vector_size), np.float32)
    at_once = max(_NUMBERS_AT_ONCE // vector_size, 1)
    for first in range(0, len(keys), at_once):
        bits = _mix(keys[first : first + at_once, None] + counters)
        uniform = (bits >> np.uint64(40)).astype(np.uint32) * 2.0**-24
        rows[first : first + at_once] = (uniform - 0.5) / vector_size
    return rows
