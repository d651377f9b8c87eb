"""Slices of items by popularity, and of test cases by what training saw."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from item2vec.evaluation.next_item.cases import prefix_cases
from item2vec.evaluation.next_item.slices import WARM_CLICKS, case_slices, popularity_slices
from item2vec.sessions import Sessions


def test_head_is_half_of_the_clicks():
    slices = popularity_slices(np.array([50, 30, 10, 5, 5, 0]))
    assert slices["head"].tolist() == [True, False, False, False, False, False]
    assert slices["torso"].tolist() == [False, True, False, False, False, False]
    assert slices["tail"].tolist() == [False, False, True, True, True, True]  # an item nobody clicked, too


@given(st.lists(st.integers(0, 99), min_size=1, max_size=40))
def test_every_item_is_in_one_slice(counts):
    slices = np.stack(list(popularity_slices(np.array(counts)).values()))
    assert (slices.sum(axis=0) == 1).all()


def test_cases_by_hand():
    test = Sessions.from_lists([["a", "b", "a"], ["x", "c", "c"], ["b", "x"]])
    cases = prefix_cases(test)
    clicks = np.array([90, WARM_CLICKS, WARM_CLICKS - 1, 0])  # a, b, c, x
    of_items = {"head": np.array([1, 0, 0, 0], bool), "tail": np.array([0, 1, 1, 1], bool)}
    slices = case_slices(test, cases, clicks, of_items)
    # cases: a → b, a b → a, x → c, x c → c, b → x
    expected = {
        "head": [0, 1, 0, 0, 0],
        "tail": [1, 0, 1, 1, 1],
        "cold": [0, 0, 1, 1, 1],
        "warm": [1, 1, 0, 0, 0],
        "repeat": [0, 1, 0, 1, 0],
        "new": [1, 0, 1, 0, 1],
        "history_cold": [0, 0, 1, 0, 0],
        "history_warm": [1, 1, 0, 1, 1],
    }
    assert {name: mask.astype(int).tolist() for name, mask in slices.items()} == expected


@given(
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=7), min_size=1, max_size=6), st.integers(0, 3)
)
def test_repeats_and_cold_histories_agree_with_loops(lists, first):
    test = Sessions.from_lists(lists)
    cases = prefix_cases(test, np.full(len(test), first))
    clicks = np.where(np.asarray(test.item_ids.to_pylist()) % 2 == 0, 9, 0)
    slices = case_slices(test, cases, clicks, {})
    pairs = [(one[:n], one[n]) for one in lists for n in range(max(first, 1), len(one))]
    assert slices["repeat"].tolist() == [target in prefix for prefix, target in pairs]
    assert slices["history_cold"].tolist() == [all(item % 2 for item in prefix) for prefix, _ in pairs]
    assert slices["cold"].tolist() == [bool(target % 2) for _, target in pairs]
