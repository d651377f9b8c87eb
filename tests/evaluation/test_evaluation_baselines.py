"""Each baseline by hand and against its definition in plain Python."""

from __future__ import annotations

import baseline_referees as referees
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.errors import EmptyDataError, UsageError
from item2vec.evaluation import (
    ItemKNN,
    Popularity,
    SequentialRules,
    SessionKNN,
    evaluate_next_item,
    fit_baselines,
)
from item2vec.sessions import Sessions

INF = np.inf
CLICKS = st.lists(st.integers(0, 9), min_size=1, max_size=7)
LOGS = st.lists(CLICKS, min_size=1, max_size=25)


def history(scorer, *ids):
    return scorer.vocabulary.nums(ids)


def as_dict(scorer, row):
    return {
        item: float(s) for item, s in zip(scorer.vocabulary.ids.to_pylist(), row, strict=True) if s > -INF
    }


def answer(scorer, *ids):
    known = history(scorer, *ids)
    return as_dict(scorer, scorer.scores([known[known >= 0]])[0])


def with_starts(train, starts):
    from dataclasses import replace

    times = np.asarray(starts, np.int64)
    return replace(train, start_us=times, end_us=times)


def test_popularity_counts_clicks():
    scorer = Popularity().fit(Sessions.from_lists([["a", "b", "b"], ["b", "c"]], booked=[["z"], []]))
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
    assert answer(scorer, "b", "a") == pytest.approx({"b": 3 / (24 * 22) ** 0.5, "c": 1 / (24 * 21) ** 0.5})
    assert answer(scorer, "b") == pytest.approx({"a": 2 / (24 * 22) ** 0.5})
    assert answer(scorer, "d") == {}
    plain = ItemKNN(decay=0.5, regularization=0).fit(train)
    both = {"a": 0.5 * 2 / 8**0.5, "b": 3 / 8**0.5, "c": 1 / 4**0.5}
    assert answer(plain, "b", "a") == pytest.approx(both)


def test_item_knn_keeps_the_nearest():
    train = Sessions.from_lists([["a", "b"]] * 3 + [["a", "c"]] * 2 + [["a", "d"]])
    assert set(answer(ItemKNN(n_neighbors=2).fit(train), "a")) == {"b", "c"}


def test_item_knn_is_the_same_in_any_blocks(monkeypatch):
    rng = np.random.default_rng(2)
    train = Sessions.from_lists([rng.integers(0, 25, rng.integers(1, 7)).tolist() for _ in range(120)])
    whole = ItemKNN().fit(train).similarities.toarray()
    monkeypatch.setattr("item2vec.evaluation.baselines.item_knn.PAIRS_PER_BLOCK", 40)
    np.testing.assert_array_equal(ItemKNN().fit(train).similarities.toarray(), whole)


def test_sequential_rules_by_hand():
    train = Sessions.from_lists([["a", "b", "c"], ["a", "c", "a"], ["b"]])
    scorer = SequentialRules().fit(train)
    assert answer(scorer, "a") == pytest.approx({"a": 1 / 2, "b": 1, "c": 1 / 2 + 1})
    assert answer(scorer, "a", "c") == pytest.approx({"a": 1})  # forward only: c → a, never c → b
    assert answer(SequentialRules(max_distance=1).fit(train), "a") == pytest.approx({"b": 1, "c": 1})
    decayed = SequentialRules(decay=0.5).fit(train)
    assert answer(decayed, "b", "c") == pytest.approx({"a": 1, "c": 0.5})


def test_session_knn_by_hand():
    """Of history a, b the session (a, b, x) shares 1/2 + 1, (b, y) 1, and (a, z) 1/2 at the age of 1."""
    train = Sessions.from_lists([["a", "b", "x"], ["a", "z"], ["b", "y"], ["q", "r"]])
    scorer = SessionKNN().fit(train)
    ln2, ln4 = np.log(2), np.log(4)
    assert answer(scorer, "a", "b") == pytest.approx(
        {"a": 1.75 * ln2, "b": 2.5 * ln2, "x": 1.5 * ln4, "y": 1 * ln4, "z": 0.25 * ln4}
    )
    assert set(answer(SessionKNN(n_neighbors=1).fit(train), "a", "b")) == {"a", "b", "x"}
    assert set(answer(SessionKNN(sample_size=1).fit(train), "a", "b")) == {"b", "y"}  # the most recent one


def test_session_knn_takes_times_for_the_order_where_there_are_times():
    train = Sessions.from_lists([["a", "late"], ["a", "early"], ["a", "earliest"]])
    latest = SessionKNN(n_neighbors=1)
    assert "earliest" in answer(latest.fit(train), "a")  # without times: the last one
    assert "late" in answer(latest.fit(with_starts(train, [30, 20, 10])), "a")


REFEREED = [
    (ItemKNN, referees.item_knn, {}),
    (ItemKNN, referees.item_knn, {"decay": 0.3, "regularization": 0.5}),
    (ItemKNN, referees.item_knn, {"decay": 1.0, "regularization": 0}),
    (SequentialRules, referees.sequential_rules, {}),
    (SequentialRules, referees.sequential_rules, {"max_distance": 2, "decay": 0.7}),
    (SessionKNN, referees.session_knn, {}),
    (SessionKNN, referees.session_knn, {"n_neighbors": 3}),
    (SessionKNN, referees.session_knn, {"n_neighbors": 4, "sample_size": 6}),
    (SessionKNN, referees.session_knn, {"n_neighbors": 9, "sample_size": 2}),
]


@pytest.mark.parametrize(("kind", "referee", "options"), REFEREED)
def test_scores_are_those_of_the_definition(kind, referee, options):
    @settings(max_examples=60, deadline=None)
    @given(log=LOGS, asked=st.lists(st.integers(0, 9), min_size=1, max_size=9))
    def agree(log, asked):
        scorer = kind(**options).fit(Sessions.from_lists(log))
        known = [item for item in asked if item in scorer.vocabulary]
        expected = referee(log, known, **options) if known else {}
        assert answer(scorer, *known) == pytest.approx(expected, rel=1e-5)

    agree()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ItemKNN(n_neighbors=0), "n_neighbors=0"),
        (lambda: ItemKNN(decay=2), "decay=2"),
        (lambda: ItemKNN(regularization=-1), "regularization=-1"),
        (lambda: ItemKNN(regularization=float("nan")), "regularization=nan"),
        (lambda: SequentialRules(max_distance=0), "max_distance=0"),
        (lambda: SequentialRules(decay=-0.1), "decay=-0.1"),
        (lambda: SessionKNN(n_neighbors=0), "n_neighbors=0"),
        (lambda: SessionKNN(sample_size=0), "sample_size=0"),
        (lambda: fit_baselines(["popular"], Sessions.from_lists([["a", "b"]])), "unknown baseline 'popular'"),
    ],
)
def test_bad_calls(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_baselines_by_name_leave_out_what_the_data_cannot_answer():
    names = ["item_knn", "popularity", "market_popularity", "sequential_rules", "session_knn"]
    train = Sessions.from_lists([["a", "b"]])
    assert list(fit_baselines(names, train)) == [n for n in names if n != "market_popularity"]
    assert list(fit_baselines(["market_popularity"], Sessions.from_lists([["a"]], markets={"a": "P"})))


def test_every_baseline_bears_items_that_meet_no_other():
    train = Sessions.from_lists([["a", "b"], ["a", "b"], ["lonely"], ["c", "c"]])
    names = ["popularity", "item_knn", "sequential_rules", "session_knn", "cooccurrence"]
    for name, scorer in fit_baselines(names, train).items():
        assert np.isfinite(scorer.scores([history(scorer, "a")])).any(), name


def test_baselines_order_as_they_should_on_sessions_with_structure():
    """Items of a group follow each other in a ring: rules know the way, neighbours only the group."""
    rng = np.random.default_rng(4)
    walks = [(rng.integers(0, 20), (rng.integers(0, 10) + np.arange(5)) % 10) for _ in range(900)]
    lists = [(10 * group + steps).tolist() for group, steps in walks]
    train, test = Sessions.from_lists(lists[:800]), Sessions.from_lists(lists[800:])
    names = ["sequential_rules", "session_knn", "item_knn", "popularity"]
    fitted = fit_baselines(names, train)
    first = evaluate_next_item(fitted, test, k=1, n_bootstrap=100).scorers
    assert [first[name].recall.value == 100 for name in names] == [True, False, False, False]
    ten = evaluate_next_item(fitted, test, k=10, n_bootstrap=100).scorers
    assert all(ten[name].recall.low > 90 for name in names[:3])
    assert ten["popularity"].recall.high < 15
