"""Sums of pairs: against the plain loop, in any blocks, and of many distances at once."""

from __future__ import annotations

import numpy as np
import pytest

from item2vec.embeddings import pair_counts
from item2vec.embeddings.pair_counts import count_pairs

N_ITEMS = 15


def random_clicks(seed=1):
    rng = np.random.default_rng(seed)
    lengths = np.append(rng.integers(0, 30, 40), [0, 1, 90])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = rng.integers(0, N_ITEMS, offsets[-1]).astype(np.int32)
    return items, offsets, rng.choice([1.0, 2.5], len(lengths)).astype(np.float32)


def plain_loop(items, offsets, near, weights):
    counts = np.zeros((N_ITEMS, N_ITEMS))
    for start, stop, weight in zip(offsets, offsets[1:], weights, strict=False):
        for earlier in range(start, stop):
            for later in range(earlier + 1, min(stop, earlier + 1 + len(near))):
                counts[items[earlier], items[later]] += weight * near[later - earlier - 1]
    return counts


@pytest.fixture
def blocks(monkeypatch):
    """How many pairs of how many distances were summed at once."""
    sizes = []
    summed = pair_counts._summed

    def noted(block, n_items):
        sizes.append([len(values) for values, _, _ in block])
        return summed(block, n_items)

    monkeypatch.setattr(pair_counts, "_summed", noted)
    return sizes


@pytest.mark.parametrize("bound", [1, 250, 1000, 10**6])
@pytest.mark.parametrize("near", [[], [1.0], [1.0, 0.5, 0.25], [1.0] * 89, [1.0] * 200])
def test_sums_are_those_of_the_plain_loop_in_any_blocks(monkeypatch, blocks, near, bound):
    items, offsets, weights = random_clicks()
    monkeypatch.setattr(pair_counts, "PAIRS_PER_BLOCK", bound)
    expected = plain_loop(items, offsets, near, weights)
    np.testing.assert_array_equal(
        count_pairs(items, offsets, np.array(near), N_ITEMS, weights=weights).toarray(), expected
    )  # equal, not nearly so: halves and quarters add up exactly
    assert all(sum(sizes) <= bound or len(sizes) == 1 for sizes in blocks)
    unweighted = count_pairs(items, offsets, np.array(near), N_ITEMS).toarray()
    np.testing.assert_array_equal(unweighted, plain_loop(items, offsets, near, np.ones(len(weights))))


def test_a_long_session_is_not_summed_once_per_distance(blocks):
    items = np.arange(2000, dtype=np.int32)
    counts = count_pairs(items, np.array([0, 2000]), np.ones(1999), 2000)
    assert counts.sum() == 2000 * 1999 / 2
    assert len(blocks) == 1
