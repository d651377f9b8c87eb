"""Pairs of clicks of one session, weighed by the way between them and summed by their items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_array

PAIRS_PER_BLOCK = 5_000_000  # formed before they are summed (about 300 MB), or those of one distance


def count_pairs(
    items: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    near: npt.NDArray[np.float64],
    n_items: int,
    *,
    weights: npt.NDArray[Any] | None = None,
) -> csr_array:
    """Sum over all pairs of a click and a later one of its session, of up to ``len(near)`` steps.

    Parameters
    ----------
    items : ndarray of int32, shape (n_clicks,)
        Item numbers; session ``s`` is ``items[offsets[s]:offsets[s + 1]]``.
    offsets : ndarray of int64, shape (n_sessions + 1,)
    near : ndarray of float64, shape (farthest,)
        What a pair counts whose clicks are 1, 2, ... steps apart.
    n_items : int
    weights : ndarray, shape (n_sessions,), optional
        By which the pairs of each session are multiplied.

    Returns
    -------
    csr_array of float64, shape (n_items, n_items)
        Row: the earlier click's item, column: the later one's.
    """
    from scipy import sparse

    lengths = np.diff(offsets)
    left = np.repeat(offsets[1:], lengths) - np.arange(len(items))  # clicks to the end, own too
    each = np.ones(len(items)) if weights is None else np.repeat(weights.astype(np.float64), lengths)
    counts = sparse.csr_array((n_items, n_items), dtype=np.float64)
    block: list[tuple[npt.NDArray[Any], ...]] = []
    n_pairs = 0
    starts = np.arange(len(items))
    for distance, share in enumerate(near.tolist(), 1):
        starts = starts[left[starts] > distance]
        if block and n_pairs + len(starts) > PAIRS_PER_BLOCK:
            counts = counts + _summed(block, n_items)
            block, n_pairs = [], 0
        block.append((share * each[starts], items[starts], items[starts + distance]))
        n_pairs += len(starts)
    return counts + _summed(block, n_items) if block else counts


def _summed(block: list[tuple[npt.NDArray[Any], ...]], n_items: int) -> csr_array:
    from scipy import sparse

    values, earlier, later = (np.concatenate(parts) for parts in zip(*block, strict=True))
    return sparse.csr_array((values, (earlier, later)), shape=(n_items, n_items))
