"""Baselines against hand-computed tables and a brute-force referee."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from item2vec.errors import EmptyDataError, UsageError
from item2vec.evaluation import ItemKNN, Popularity, Scorer, evaluate_next_item, fit_baselines
from item2vec.sessions import Sessions

INF = np.inf


def history(scorer, *ids):
    return scorer.vocabulary.nums(ids)


def as_dict(scorer, row):
    return {
        item: float(s) for item, s in zip(scorer.vocabulary.ids.to_pylist(), row, strict=True) if s > -INF
    }


def test_popularity_counts_clicks():
    scorer = Popularity().fit(Sessions.from_lists([["a", "b", "b"], ["b", "c"]], booked=[["z"], []]))
    assert isinstance(scorer, Scorer)
    assert scorer.vocabulary.ids.to_pylist() == ["b", "a", "c"]  # z was booked, never clicked
    np.testing.assert_array_equal(scorer.scores([history(scorer, "a"), history(scorer)]), [[3, 1, 1]] * 2)


def test_popularity_of_the_market_of_the_last_click():
    markets = {"a": "P", "b": "P", "x": "Q"}
    train = Sessions.from_lists([["a", "b", "b", "x", "no market"]], markets=markets)
    scorer = Popularity(per_market=True).fit(train)
    asked = [history(scorer, "x", "a"), history(scorer, "a", "x", "no market"), history(scorer)]
    rows = [as_dict(scorer, row) for row in scorer.scores(asked)]
    assert rows == [{"a": 1, "b": 2}, {"x": 1}, {"a": 1, "b": 2, "x": 1, "no market": 1}]
    with pytest.raises(EmptyDataError, match="no item has a market"):
        Popularity(per_market=True).fit(Sessions.from_lists([["a", "b"]]))


def test_item_knn_by_hand():
    """Three clicks on a meet b and one meets c; two clicks on b meet a; λ = 20 by default."""
    train = Sessions.from_lists([["a", "b", "a"], ["a", "b"], ["a", "c"], ["d"]])
    scorer = ItemKNN().fit(train)
    (last_a, last_b, lonely) = scorer.scores(
        [history(scorer, "b", "a"), history(scorer, "b"), history(scorer, "d")]
    )
    to_b, to_c = 3 / (24 * 22) ** 0.5, 1 / (24 * 21) ** 0.5
    assert as_dict(scorer, last_a) == pytest.approx({"b": to_b, "c": to_c})
    assert as_dict(scorer, last_b) == pytest.approx({"a": 2 / (24 * 22) ** 0.5})
    assert as_dict(scorer, lonely) == {}
    plain = ItemKNN(decay=0.5, regularization=0).fit(train)
    (both,) = plain.scores([history(plain, "b", "a")])
    assert as_dict(plain, both) == pytest.approx({"a": 0.5 * 2 / 8**0.5, "b": 3 / 8**0.5, "c": 1 / 4**0.5})


def test_item_knn_keeps_the_nearest():
    train = Sessions.from_lists([["a", "b"]] * 3 + [["a", "c"]] * 2 + [["a", "d"]])
    scorer = ItemKNN(n_neighbors=2).fit(train)
    assert set(as_dict(scorer, scorer.scores([history(scorer, "a")])[0])) == {"b", "c"}


def test_bad_calls():
    with pytest.raises(EmptyDataError, match="no training session"):
        Popularity().fit(Sessions.from_lists([["a", "b"]]).take([]))
    with pytest.raises(UsageError, match="n_neighbors=0"):
        ItemKNN(n_neighbors=0)
    with pytest.raises(UsageError, match="decay=2"):
        ItemKNN(decay=2)
    with pytest.raises(UsageError, match="unknown baseline 'popular'"):
        fit_baselines(["popular"], Sessions.from_lists([["a", "b"]]))


def test_baselines_by_name_leave_out_what_the_data_cannot_answer():
    train = Sessions.from_lists([["a", "b"]])
    assert list(fit_baselines(["item_knn", "popularity", "market_popularity"], train)) == [
        "item_knn",
        "popularity",
    ]
    assert list(fit_baselines(["market_popularity"], Sessions.from_lists([["a"]], markets={"a": "P"})))


def test_baselines_order_as_they_should_on_sessions_with_structure():
    """Items of one group follow each other: neighbours know it, popularity does not."""
    rng = np.random.default_rng(4)
    lists = [(10 * rng.integers(0, 20) + rng.integers(0, 10, 5)).tolist() for _ in range(900)]
    train, test = Sessions.from_lists(lists[:800]), Sessions.from_lists(lists[800:])
    result = evaluate_next_item(fit_baselines(["item_knn", "popularity"], train), test, n_bootstrap=200)
    (difference,) = result.differences
    assert difference.recall.low > 50


@pytest.mark.real_data
def test_item_knn_on_diginetica_lands_near_the_published_figures(real_data):
    folder = real_data / "diginetica_seq"
    with gzip.open(folder / "train_sessions.txt.gz", "rt") as lines:
        train = Sessions.from_lists([[int(item) for item in line.split()] for line in lines])
    sequences, previous = [], None
    with gzip.open(folder / "test_examples.tsv.gz", "rt") as lines:
        for line in lines:  # the longest prefix of a session comes first, the shorter ones follow it
            prefix, target = line.rstrip("\n").split("\t")
            sequence = [*map(int, prefix.split()), int(target)]
            if sequence != previous:
                sequences.append(sequence)
            previous = sequence[:-1]
    test = Sessions.from_lists(sequences)
    result = evaluate_next_item({"knn": ItemKNN().fit(train)}, test, max_sessions=8000, n_bootstrap=200)
    figures = result.scorers["knn"]
    assert len(test) == 15_963
    assert abs(figures.recall.value - 35.8) < 1.5  # published; ± 0.7 from the sample, one point of tolerance
    assert abs(figures.mrr.value - 11.6) < 1.2
