"""Evaluations whose lift, repeats and histories are known beforehand: what planted faults got past."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from item2vec.evaluation import evaluate_next_item, fit_baselines
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary


def test_popularity_lists_what_is_clicked_more():
    """One item has half of all clicks: a list of one is as popular as can be, the targets are not."""
    lists = [["star", item] for item in "abcdefgh"] * 2
    train, test = Sessions.from_lists(lists), Sessions.from_lists(lists[:8])
    scorers = fit_baselines(["popularity"], train)
    figures = evaluate_next_item(scorers, test, train=train, k=1).scorers["popularity"]
    assert figures.popularity.value == 16
    assert figures.popularity_lift.value == pytest.approx(16 / 2 - 1)
    assert figures.popularity_lift.low == pytest.approx(7)
    assert figures.popularity_lift.high == pytest.approx(7)


def test_a_click_of_another_session_is_no_repeat():
    train = Sessions.from_lists([[1, 2], [3, 4], [4, 1]])
    test = Sessions.from_lists([[1], [2, 1], [1, 3], [4, 3, 4]])
    scorers = fit_baselines(["popularity"], train)
    slices = evaluate_next_item(scorers, test, train=train).scorers["popularity"].slices
    assert (slices["repeat"].n, slices["new"].n) == (1, 3)


def test_an_unknown_item_moves_no_known_one():
    asked = []

    class Listener:
        vocabulary = Vocabulary(pa.array(range(20)), np.zeros(20, np.int64))

        def scores(self, histories):
            asked.extend(history.tolist() for history in histories)
            return np.zeros((len(histories), len(self.vocabulary)), np.float32)

    evaluate_next_item(
        {"l": Listener()}, Sessions.from_lists([[99, 1, 98, 2, 3], [98, 4, 5]]), n_bootstrap=10
    )
    assert asked == [[], [1], [1], [1, 2], [], [4]]
