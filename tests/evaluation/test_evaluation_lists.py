"""What lists are like: by hand, against loops, and planted concentrations."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.errors import DataError, EmptyDataError
from item2vec.evaluation.next_item.lists import TrainingItems, coverage, gini
from item2vec.sessions import Sessions

TRAIN = Sessions.from_lists([["a", "b", "a"], ["a", "b"], ["a", "c"], ["d"]])  # tokens: a 0, b 1, c 2, d 3


def test_coverage_by_hand():
    assert coverage(np.array([3, 0, 1, 0]), 8) == 25
    assert np.isnan(coverage(np.array([], np.int64), 0))


@pytest.mark.parametrize(
    ("times", "n_items", "expected"),
    [
        ([5, 5, 5, 5], 4, 0.0),  # equally often
        ([7], 10, 1.0),  # one item alone
        ([1, 1], 3, 0.5),  # (2j − 4) · p_j for j = 2, 3: (0 + 2) / 2 · ½
        ([1, 3], 2, 0.5),  # (−1 · ¼ + 1 · ¾)
        ([0, 0], 2, np.nan),  # nothing was recommended
        ([4], 1, np.nan),  # one item cannot be unequal
    ],
)
def test_gini_by_hand(times, n_items, expected):
    np.testing.assert_allclose(gini(np.array(times), n_items), expected)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=30))
def test_gini_is_the_mean_absolute_difference(times):
    """The textbook's other form: Σ|x_i − x_j| over all ordered pairs, over 2 n (n − 1) times the mean."""
    x, n = np.array(times), len(times)
    expected = np.nan if x.sum() == 0 else np.abs(x[:, None] - x).sum() / (2 * (n - 1) * x.sum())
    np.testing.assert_allclose(gini(x, n), expected, atol=1e-12)


def test_figures_by_hand():
    items = TrainingItems(TRAIN)
    assert items.clicks.tolist() == [4, 2, 1, 1]
    assert items.sessions_with.tolist() == [3, 2, 1, 1]  # a repeat within a session counts once
    found = items.figures(np.array([[0, 1, 2], [3, -1, -1], [-1, -1, -1], [3, 0, -1]], np.int32))
    ab, ac = 2 / np.sqrt(3 * 2), 1 / np.sqrt(3)
    np.testing.assert_allclose(found["diversity"], [1 - (ab + ac + 0) / 3, np.nan, np.nan, 1])
    bits = -np.log2([3 / 4, 2 / 4, 1 / 4, 1 / 4])
    np.testing.assert_allclose(found["novelty"], [bits[:3].mean(), 2, np.nan, (2 + bits[0]) / 2])
    np.testing.assert_allclose(found["popularity"], [7 / 3, 1, np.nan, 2.5])


def referee(train, lists):
    """Every pair of every list, by sets."""
    sets = [{s for s, session in enumerate(train) if item in session} for item in range(40)]
    for row in lists:
        pairs = [(a, b) for a, b in combinations([item for item in row if item >= 0], 2)]
        cosines = [len(sets[a] & sets[b]) / np.sqrt(len(sets[a]) * len(sets[b])) for a, b in pairs]
        yield 1 - np.mean(cosines) if pairs else np.nan


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_diversity_agrees_with_loops(seed, k):
    rng = np.random.default_rng(seed)
    train = [rng.integers(0, 40, rng.integers(1, 9)).tolist() for _ in range(60)] + [list(range(40))]
    lists = np.stack([rng.permutation(40)[:k] for _ in range(50)]).astype(np.int32)
    for row, length in zip(lists, rng.integers(0, k + 1, 50), strict=True):
        row[length:] = -1
    found = TrainingItems(Sessions.from_lists(train)).figures(lists)["diversity"]
    np.testing.assert_allclose(found, list(referee(train, lists)), atol=1e-12)


def test_diversity_does_not_depend_on_the_number_of_threads():
    import numba

    rng = np.random.default_rng(3)
    train = Sessions.from_lists([rng.integers(0, 40, 6).tolist() for _ in range(80)])
    lists = np.stack([rng.permutation(30)[:9] for _ in range(70)]).astype(np.int32)
    many = TrainingItems(train).figures(lists)["diversity"]
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = TrainingItems(train).figures(lists)["diversity"]
    finally:
        numba.set_num_threads(before)
    assert one.tolist() == many.tolist()


def test_parts_bound_the_memory_and_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    items = TrainingItems(Sessions.from_lists([rng.integers(0, 40, 6).tolist() for _ in range(80)]))
    lists = np.stack([rng.permutation(30)[:9] for _ in range(70)]).astype(np.int32)
    once = items.figures(lists)
    monkeypatch.setattr("item2vec.evaluation.next_item.lists.LISTED_AT_ONCE", 9 * 8)
    for name, values in items.figures(lists).items():
        np.testing.assert_allclose(values, once[name], rtol=1e-14)
    assert all(len(values) == 0 for values in items.figures(lists[:0]).values())


def test_the_sessions_stay_as_they_were():
    train = Sessions.from_lists([["b", "a", "b"], ["c", "a"]])
    before = train.tokens.tolist(), train.offsets.tolist()
    TrainingItems(train)
    assert (train.tokens.tolist(), train.offsets.tolist()) == before


def test_unknown_items_and_bad_input():
    items = TrainingItems(TRAIN)
    tokens = items.tokens(Sessions.from_lists([["d", "x"]]).item_ids)
    assert tokens.tolist() == [3, -1]
    assert items.clicks_of(tokens).tolist() == [1, 0]
    with pytest.raises(DataError, match="id_type"):
        items.tokens(Sessions.from_lists([[1, 2]]).item_ids)
    with pytest.raises(EmptyDataError, match="no training session has a click"):
        TrainingItems(Sessions.from_lists([]))
    booked_only = TrainingItems(Sessions.from_lists([["a"], ["a"]], booked=[["z"], []]))
    novelty = booked_only.figures(np.array([[1], [0]], np.int32))["novelty"]
    assert novelty.tolist() == [1, 0]  # never clicked: as new as an item of a single session, not infinitely
