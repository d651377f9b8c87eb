"""Sessions that walk around a ring: what follows a click is its successor, never its predecessor."""

from __future__ import annotations

import numpy as np

from item2vec import Sessions

N_ITEMS = 40


def walks(n: int, seed: int, last: int = 0) -> Sessions:
    """Return `n` walks of three to six steps; `last` of them more, that jump at random."""
    generator = np.random.default_rng(seed)
    lists = []
    for number in range(n + last):
        start, length = generator.integers(N_ITEMS), generator.integers(3, 7)
        steps = np.arange(length) if number < n else generator.integers(0, N_ITEMS, length)
        lists.append([f"item-{(start + step) % N_ITEMS:02d}" for step in steps.tolist()])
    return Sessions.from_lists(lists)


BASE = {"vector_size": 8, "epochs": 4, "workers": 1, "alpha": 0.1}
