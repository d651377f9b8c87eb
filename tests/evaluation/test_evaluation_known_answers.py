"""Evaluations whose pairs, seeds, slices, histories and lifts are known beforehand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from item2vec.evaluation import evaluate_next_item, fit_baselines
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary


class Table:
    """Scores by the last item of the history."""

    def __init__(self, n=20, seed=0):
        self.vocabulary = Vocabulary(pa.array(range(n)), np.zeros(n, np.int64))
        self._table = np.random.default_rng(seed).random((n, n)).astype(np.float32)

    def scores(self, histories):
        return np.stack([self._table[history[-1]] for history in histories])


def sessions(n=60, seed=0, n_items=20):
    rng = np.random.default_rng(seed)
    return Sessions.from_lists([rng.integers(0, n_items, rng.integers(2, 7)).tolist() for _ in range(n)])


def test_two_names_of_one_scorer_do_not_differ():
    """Over other resamples their difference would have a spread, and so would a comparison of twins."""
    result = evaluate_next_item({"a": Table(), "b": Table(), "c": Table(seed=1)}, sessions(), k=5)
    for metric in ("recall", "mrr", "ndcg"):
        same, other, _ = (getattr(one, metric) for one in result.differences)
        assert (same.value, same.low, same.high) == (0, 0, 0)
        assert other.low < other.value < other.high
    assert [(one.a, one.b) for one in result.differences] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_seeds_are_averaged_per_case():
    seeds = [Table(seed=seed) for seed in range(3)]
    test = sessions()
    result = evaluate_next_item({"m": seeds, **{f"s{n}": [one] for n, one in enumerate(seeds)}}, test, k=5)
    many, *singles = result.scorers.values()
    for metric in ("recall", "mrr", "ndcg"):
        alone = [getattr(one, metric).value for one in singles]
        assert len(set(alone)) == 3
        assert getattr(many, metric).value == pytest.approx(np.mean(alone))
        assert many.seeds[metric] == pytest.approx(alone)
    widths = [one.recall.high - one.recall.low for one in (many, *singles)]
    assert widths[0] < min(widths[1:])  # averaged first, then resampled


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


def test_head_torso_and_tail_are_all_cases():
    train = sessions(seed=3)
    test = Sessions.from_lists([[1, 2, 99], [98, 3], [97, 98, 99], [4, 5]])
    scorers = fit_baselines(["popularity"], train)
    slices = evaluate_next_item(scorers, test, train=train).scorers["popularity"].slices
    for names in ("head torso tail", "cold warm", "repeat new", "history_cold history_warm"):
        assert sum(slices[name].n for name in names.split()) == 6, names
    assert slices["tail"].n >= 3  # the three targets that training never saw
    assert slices["cold"].n >= 3


def test_a_click_of_another_session_is_no_repeat():
    train = sessions(seed=3)
    test = Sessions.from_lists([[1], [2, 1], [1, 3], [4, 3, 4]])
    scorers = fit_baselines(["popularity"], train)
    slices = evaluate_next_item(scorers, test, train=train).scorers["popularity"].slices
    assert (slices["repeat"].n, slices["new"].n) == (1, 3)


def test_an_unknown_item_moves_no_known_one():
    asked = []

    class Listener(Table):
        def scores(self, histories):
            asked.extend(history.tolist() for history in histories)
            return np.zeros((len(histories), len(self.vocabulary)), np.float32)

    evaluate_next_item(
        {"l": Listener()}, Sessions.from_lists([[99, 1, 98, 2, 3], [98, 4, 5]]), n_bootstrap=10
    )
    assert asked == [[], [1], [1], [1, 2], [], [4]]
