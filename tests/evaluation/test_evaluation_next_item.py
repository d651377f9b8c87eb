"""Next-item protocol: planted ranks, ties, unseen items, a brute-force referee and ir-measures."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.errors import DataError, UsageError
from item2vec.evaluation import evaluate_next_item
from item2vec.evaluation.lists import coverage
from item2vec.evaluation.metrics import recall_at, recall_curve, reciprocal_rank_at
from item2vec.evaluation.ranks import target_ranks, top_items
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

INF = np.inf


class Fixed:
    """Answers every history with the same scores."""

    def __init__(self, ids, scores):
        self.vocabulary = Vocabulary(pa.array(ids), np.ones(len(ids), np.int64))
        self._row = np.array(scores, np.float32)
        self.asked = []

    def scores(self, histories):
        self.asked += [history.tolist() for history in histories]
        return np.tile(self._row, (len(histories), 1))


class Random:
    """Scores that depend on the whole history, with many ties."""

    def __init__(self, n, seed=0, levels=6):
        self.vocabulary = Vocabulary(pa.array(range(n)), np.ones(n, np.int64))
        self._table = np.random.default_rng(seed).integers(0, levels, (n, n)).astype(np.float32)

    def scores(self, histories):
        return np.stack([self._table[history].sum(axis=0) for history in histories])


def referee_rank(row, target):
    """Rank by sorting out loud."""
    if target < 0 or not np.isfinite(row[target]):
        return INF
    others = [score for column, score in enumerate(row) if column != target]
    return 1 + sum(s > row[target] for s in others) + 0.5 * sum(s == row[target] for s in others)


@pytest.mark.parametrize(
    ("row", "target", "rank"),
    [
        ([3, 2, 1], 0, 1),
        ([3, 2, 1], 2, 3),
        ([1, 1, 1], 1, 2),  # two others equal: ½ · 2
        ([5, 1, 1, 0], 2, 2.5),
        ([5, 1, 1, 0], -1, INF),  # unseen
        ([5, -INF, 1, 0], 1, INF),  # outside the answer
        ([np.nan, 1, 2], 0, INF),
        ([np.nan, 1, 2], 1, 2),  # NaN is above nothing
        ([-INF, -INF, -INF], 0, INF),
        ([7], 0, 1),
    ],
)
def test_rank_of_the_target(row, target, rank):
    scores = np.array([row], np.float32)
    assert target_ranks(scores, np.array([target], np.int32))[0] == rank


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 300), st.integers(1, 25))
def test_ranks_and_lists_agree_with_a_referee(seed, n_items, k):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, (7, n_items)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -INF
    scores[rng.random(scores.shape) < 0.05] = np.nan
    targets = rng.integers(-1, n_items, 7).astype(np.int32)
    expected = [referee_rank(row, target) for row, target in zip(scores, targets, strict=True)]
    np.testing.assert_array_equal(target_ranks(scores, targets), expected)
    items, kept = top_items(scores, k)
    for row, found, values in zip(scores, items, kept, strict=True):
        answer = [column for column in range(n_items) if row[column] > -INF]
        best = sorted(answer, key=lambda column: (-row[column], column))[:k]
        assert found.tolist() == best + [-1] * (k - len(best))
        np.testing.assert_array_equal(values[: len(best)], row[best])
        assert (values[len(best) :] == -INF).all()


def test_metrics_by_hand():
    ranks = np.array([1, 2.5, 20, 20.5, INF])
    np.testing.assert_array_equal(recall_at(ranks, 20), [1, 1, 1, 0, 0])
    np.testing.assert_allclose(reciprocal_rank_at(ranks, 20), [1, 0.4, 0.05, 0, 0])
    curve = recall_curve(ranks, 25)
    np.testing.assert_allclose(curve[[0, 1, 2, 18, 19, 20, 24]], [20, 20, 40, 40, 60, 80, 80])
    assert np.isnan(recall_curve(np.array([]), 5)).all()
    assert coverage(np.array([3, 0, 1, 0]), 8) == 25
    assert np.isnan(coverage(np.array([]), 0))


def test_every_prefix_is_asked_and_planted_ranks_come_out():
    scorer = Fixed(["a", "b", "c", "d"], [4, 3, 2, 1])
    test = Sessions.from_lists([["a", "b", "a"], ["d"], ["c", "d"]])
    result = evaluate_next_item({"fixed": scorer}, test, k=2, n_bootstrap=50)
    assert scorer.asked == [[0], [0, 1], [2]]
    figures = result.scorers["fixed"]
    assert figures.ranks.tolist() == [2, 1, 4]  # b, a (a repeat stays in the ranking), d
    assert figures.recall.value == pytest.approx(200 / 3)
    assert figures.mrr.value == pytest.approx(100 * (0.5 + 1) / 3)
    assert figures.coverage == 50
    assert (result.n_prefixes, result.n_sessions, result.cases.n_without_case) == (3, 2, 1)
    assert [line.n for line in result.scorers["fixed"].by_position] == [2, 1]


def test_unseen_items_are_misses_and_counted():
    scorer = Fixed(["a", "b"], [2, 1])
    test = Sessions.from_lists([["a", "x", "b"], ["x", "a"], ["x", "y"]])
    result = evaluate_next_item({"fixed": scorer}, test, n_bootstrap=50)
    figures = result.scorers["fixed"]
    assert scorer.asked == [[0], [0], [], []]  # x is removed from the history
    assert figures.ranks.tolist() == [INF, 2, 1, INF]
    assert (figures.n_unseen_targets, figures.n_unseen_histories) == (2, 2)
    assert figures.recall.value == 50


def test_an_empty_answer_is_a_miss_and_no_luck():
    result = evaluate_next_item(
        {"none": Fixed(["a", "b"], [-INF, -INF])}, Sessions.from_lists([["a", "b"]] * 3)
    )
    figures = result.scorers["none"]
    assert figures.n_empty_answers == 3
    assert (figures.recall.value, figures.mrr.value, figures.coverage) == (0, 0, 0)


def test_all_test_items_unseen_is_zero_with_its_reason_and_no_case_is_nan():
    scorer = Fixed(["a", "b"], [2, 1])
    unseen = evaluate_next_item({"s": scorer}, Sessions.from_lists([["x", "y"]]), n_bootstrap=10)
    assert unseen.scorers["s"].recall.value == 0
    assert unseen.scorers["s"].n_unseen_targets == 1
    none = evaluate_next_item({"s": scorer}, Sessions.from_lists([["a"], ["b"]]), n_bootstrap=10)
    figures = none.scorers["s"]
    assert none.n_prefixes == 0
    assert none.cases.n_without_case == 2
    for value in (figures.recall.value, figures.recall.low, figures.mrr.value, figures.coverage):
        assert np.isnan(value)
    text = none.to_json()["scorers"]["s"]
    assert text["recall"] == {"value": None, "low": None, "high": None}
    assert text["recall_curve"] is None


def test_batches_do_not_change_the_figures(monkeypatch):
    rng = np.random.default_rng(1)
    test = Sessions.from_lists([rng.integers(0, 30, rng.integers(1, 8)).tolist() for _ in range(80)])
    once = evaluate_next_item({"r": Random(30)}, test, k=5, n_bootstrap=20)
    monkeypatch.setattr("item2vec.evaluation.next_item.SCORE_BYTES", 4 * 30 * 7)
    again = evaluate_next_item({"r": Random(30)}, test, k=5, n_bootstrap=20)
    np.testing.assert_array_equal(once.scorers["r"].ranks, again.scorers["r"].ranks)
    assert once.to_json() == again.to_json()


def test_first_targets_keep_the_earlier_stays_as_history_only():
    scorer = Fixed(["a", "b", "c"], [3, 2, 1])
    test = Sessions.from_lists([["a", "b", "c", "a"], ["b", "c"]])
    result = evaluate_next_item({"s": scorer}, test, first_targets=np.array([2, 1]), n_bootstrap=10)
    assert scorer.asked == [[0, 1], [0, 1, 2], [1]]
    assert result.scorers["s"].ranks.tolist() == [3, 1, 3]


def test_a_sample_of_sessions_is_counted():
    test = Sessions.from_lists([["a", "b"]] * 10 + [["a"]])
    result = evaluate_next_item({"s": Fixed(["a", "b"], [1, 2])}, test, max_sessions=4, n_bootstrap=10)
    assert (result.n_sessions, result.cases.n_not_sampled, result.cases.n_without_case) == (4, 6, 1)


def test_scorers_with_other_vocabularies_share_one_catalogue():
    small, large = Fixed(["a"], [1]), Fixed(["a", "b", "c", "d"], [1, 2, 3, 4])
    result = evaluate_next_item({"small": small, "large": large}, Sessions.from_lists([["a", "d"]]), k=1)
    assert result.n_catalogue == 4
    assert (result.scorers["small"].coverage, result.scorers["large"].coverage) == (25, 25)
    assert result.scorers["small"].n_unseen_targets == 1


def test_bad_calls():
    test = Sessions.from_lists([["a", "b"]])

    class Short(Fixed):
        def scores(self, histories):
            return super().scores(histories)[:, :1]

    with pytest.raises(UsageError, match="at least one scorer"):
        evaluate_next_item({}, test)
    with pytest.raises(UsageError, match="k=0"):
        evaluate_next_item({"s": Fixed(["a"], [1])}, test, k=0)
    with pytest.raises(UsageError, match="one row per history"):
        evaluate_next_item({"s": Short(["a", "b"], [1, 2])}, test)
    with pytest.raises(DataError, match="id_type"):
        evaluate_next_item({"s": Fixed([1, 2], [1, 2])}, test)
    with pytest.raises(UsageError, match="one per session"):
        evaluate_next_item({"s": Fixed(["a"], [1])}, test, first_targets=np.array([1, 1]))


def test_recall_and_mrr_agree_with_ir_measures():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ir_measures = pytest.importorskip("ir_measures")
    rng = np.random.default_rng(3)
    n_items, n_cases, k = 60, 200, 20
    scores = rng.permuted(np.tile(np.arange(n_items, dtype=np.float32), (n_cases, 1)), axis=1)  # no ties
    targets = rng.integers(0, n_items, n_cases).astype(np.int32)
    ranks = target_ranks(scores, targets)
    qrels = [ir_measures.Qrel(str(q), str(t), 1) for q, t in enumerate(targets)]
    run = [
        ir_measures.ScoredDoc(str(q), str(item), float(scores[q, item]))
        for q in range(n_cases)
        for item in range(n_items)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ir_measures.calc_aggregate([ir_measures.R @ k, ir_measures.RR @ k], qrels, run)
    assert recall_at(ranks, k).mean() == pytest.approx(found[ir_measures.R @ k])
    assert reciprocal_rank_at(ranks, k).mean() == pytest.approx(found[ir_measures.RR @ k])


def test_intervals_are_over_sessions_not_prefixes():
    """Half of the sessions hit with all their nine prefixes, half never: 40 cases of information, not 360."""
    scorer = Fixed(["a", "b"], [2, 1])
    test = Sessions.from_lists([["a"] * 10, ["b"] * 10] * 20)
    interval = evaluate_next_item({"s": scorer}, test, k=1, n_bootstrap=500).scorers["s"].recall
    assert interval.value == 50
    assert 25 < interval.high - interval.low < 37  # 2 · 1.96 · 50 / √40 = 31; over prefixes it would be 10


def test_the_recommender_is_a_scorer():
    from item2vec.embeddings import ItemVectors
    from item2vec.evaluation import Scorer, index_recall
    from item2vec.index import ItemIndex
    from item2vec.recommendations import Recommender

    rng = np.random.default_rng(0)
    vocabulary = Vocabulary(pa.array([f"i{i}" for i in range(40)]), np.arange(40, 0, -1))
    vectors, contexts = rng.standard_normal((2, 40, 8)).astype(np.float32)
    model = ItemVectors(vocabulary, vectors, contexts)
    recommender = Recommender(model)
    assert isinstance(recommender, Scorer)
    test = Sessions.from_lists([["i1", "i2"], ["unseen", "i3", "i4"]])
    figures = evaluate_next_item({"item2vec": recommender}, test, n_bootstrap=10).scorers["item2vec"]
    assert figures.n_empty_answers == 1  # the history of one unseen item
    best = 1 + (vectors[1] @ contexts.T > vectors[1] @ contexts[2]).sum()
    assert figures.ranks[0] == best
    for mode in ("similar", "next"):
        assert index_recall(ItemIndex.build(model, mode, backend="exact"), model, n_queries=20).recall == 1
