"""Where an item starts: a row that depends on the seed and the item's id and on nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from item2vec.arrow import arrow_values

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit(inline="always")
def _mix(z):  # type: ignore[no-untyped-def]
    """splitmix64's finaliser: every bit of the input moves every bit of the output."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def _hash_texts(data, bounds, keys):  # type: ignore[no-untyped-def]
    """Take in eight bytes a step, mixed before the next ones; the length tells "a" from "a" and a zero."""
    for i in range(len(keys)):
        first, last = np.int64(bounds[i]), np.int64(bounds[i + 1])
        key = _mix(np.uint64(last - first) + _GOLDEN)
        for start in range(first, last, 8):
            word = np.uint64(0)
            for k in range(8 if last - start > 8 else int(last - start)):
                word |= np.uint64(data[start + k]) << np.uint64(8 * k)
            key = _mix((key ^ word) + _GOLDEN)
        keys[i] = key


@njit(cache=True, nogil=True)
def _hash_integers(numbers, keys):  # type: ignore[no-untyped-def]
    for i in range(len(keys)):
        keys[i] = _mix(np.uint64(numbers[i]) + _GOLDEN)


@njit(cache=True, nogil=True)
def _fill_rows(keys, seed, rows):  # type: ignore[no-untyped-def]
    start = _mix(seed + _GOLDEN)
    n, size = rows.shape
    for i in range(n):
        counter = _mix(keys[i] ^ start)
        for k in range(size):
            counter += _GOLDEN
            uniform = np.float64(_mix(counter) >> np.uint64(40)) * 2.0**-24
            rows[i, k] = (uniform - 0.5) / size


def item_keys(ids: pa.Array) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each id that is the same in every process, on every machine, for ever.

    It is made for speed, not against somebody who looks for two ids of one hash.

    Parameters
    ----------
    ids : pyarrow.Array of string or int64, shape (n,)

    Returns
    -------
    ndarray of uint64, shape (n,)
        Of a string, splitmix64 over its length and its UTF-8 bytes, eight (little-endian) at a time;
        splitmix64 of an integer, so that no two integers share theirs.
    """
    keys = np.empty(len(ids), np.uint64)
    if not pa.types.is_string(ids.type):
        _hash_integers(arrow_values(ids, np.int64), keys)
    elif len(ids):
        _, bounds, data = ids.buffers()
        first = np.frombuffer(bounds, np.int32)[ids.offset : ids.offset + len(ids) + 1]
        _hash_texts(np.frombuffer(data or b"", np.uint8), first, keys)
    return keys


def initial_rows(ids: pa.Array, vector_size: int, seed: int) -> npt.NDArray[np.float32]:
    """Return the input rows at which training starts, uniform in ±0.5 / vector_size as in word2vec.

    A counter-based generator keyed by (seed, hash of the id): tomorrow's training starts every old item
    where today's did, whatever else is in the vocabulary.

    Returns
    -------
    ndarray of float32, shape (n, vector_size)
    """
    rows = np.empty((len(ids), vector_size), np.float32)
    _fill_rows(item_keys(ids), np.uint64(seed & 0xFFFFFFFFFFFFFFFF), rows)
    return rows
