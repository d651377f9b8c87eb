"""What trainers are timed on: Python lists of ids, as most callers have them."""

from __future__ import annotations

import gzip
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

Lists = list[list[str]]
ROOT = Path(__file__).resolve().parents[1]
DIGINETICA = Path(os.environ.get("ITEM2VEC_REAL_DATA", ROOT.parent / "shared" / "data")) / "diginetica_seq"


def simulated_clicks(
    n_sessions: int, n_items: int, seed: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Draw sessions of 2 to 20 clicks (mean about 5) over Zipf-like items, each within one of 1,000 clusters.

    Returns
    -------
    items : ndarray of int32, shape (n_clicks,)
    offsets : ndarray of int64, shape (n_sessions + 1,)
    """
    rng = np.random.default_rng(seed)
    lengths = np.minimum(2 + rng.geometric(0.25, n_sessions) - 1, 20)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ranks = np.arange(1, n_items + 1) ** -0.9
    clusters = rng.choice(n_items, n_sessions, p=ranks / ranks.sum()) % 1000
    items = np.empty(offsets[-1], np.int32)
    step = 1_000_000  # sessions at once, so that a large corpus needs little more than itself
    for first in range(0, n_sessions, step):
        part = slice(offsets[first], offsets[min(first + step, n_sessions)])
        cluster = np.repeat(clusters[first : first + step], lengths[first : first + step])
        items[part] = (rng.random(len(cluster)) ** 3 * (n_items // 1000)).astype(np.int32) * 1000 + cluster
    return items, offsets


def simulated(n_clicks: int = 3_000_000, n_items: int = 100_000, seed: int = 1) -> Lists:
    items, offsets = simulated_clicks(n_clicks // 5, n_items, seed)
    ids = [str(item) for item in items.tolist()]
    return [ids[start:end] for start, end in pairwise(offsets.tolist())]


def diginetica_training() -> Lists:
    """Read the training lines in a fixed random order: gensim keeps an order, and a log's is by time."""
    with gzip.open(DIGINETICA / "train_sessions.txt.gz", "rt") as lines:
        sessions = [line.split() for line in lines]
    return [sessions[row] for row in np.random.default_rng(1).permutation(len(sessions))]
