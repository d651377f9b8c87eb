"""Metrics from ragged ranks: by hand, against ir-measures, and bounded where scores are tied."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.evaluation.metrics import (
    average_precision_at,
    hit_at,
    ndcg_at,
    recall_at,
    recall_curve,
    reciprocal_rank_at,
)
from item2vec.evaluation.ranks import ranks_and_lists

INF = np.inf
METRICS = {
    "R": recall_at,
    "Success": hit_at,
    "RR": reciprocal_rank_at,
    "nDCG": ndcg_at,
    "AP": average_precision_at,
}


def test_one_relevant_item_by_hand():
    ranks = np.array([1, 2.5, 20, 20.5, INF])
    np.testing.assert_array_equal(recall_at(ranks, 20), [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(hit_at(ranks, 20), [1, 1, 1, 0, 0])
    np.testing.assert_allclose(reciprocal_rank_at(ranks, 20), [1, 0.4, 0.05, 0, 0])
    np.testing.assert_allclose(average_precision_at(ranks, 20), [1, 0.4, 0.05, 0, 0])
    np.testing.assert_allclose(ndcg_at(ranks, 20), [1, 1 / np.log2(3.5), 1 / np.log2(21), 0, 0])
    curve = recall_curve(ranks, 25)
    np.testing.assert_allclose(curve[[0, 1, 2, 18, 19, 20, 24]], [20, 20, 40, 40, 60, 80, 80])
    assert np.isnan(recall_curve(np.array([]), 5)).all()


def test_several_relevant_items_by_hand():
    ranks = np.array(
        [4, 1, INF, 3, 9]
    )  # a case with ranks 1, 4 and a miss, one without any, one with 3 and 9
    offsets = np.array([0, 3, 3, 5])
    nan = np.nan
    np.testing.assert_allclose(recall_at(ranks, 4, offsets), [2 / 3, nan, 1 / 2])
    np.testing.assert_allclose(hit_at(ranks, 4, offsets), [1, nan, 1])
    np.testing.assert_allclose(reciprocal_rank_at(ranks, 4, offsets), [1, nan, 1 / 3])
    np.testing.assert_allclose(average_precision_at(ranks, 4, offsets), [(1 + 2 / 4) / 3, nan, 1 / 3 / 2])
    ideal = np.cumsum(1 / np.log2([2, 3, 4]))
    expected = [(1 + 1 / np.log2(5)) / ideal[2], nan, 1 / np.log2(4) / ideal[1]]
    np.testing.assert_allclose(ndcg_at(ranks, 4, offsets), expected)
    np.testing.assert_allclose(
        ndcg_at(ranks, 2, offsets), [1 / ideal[1], nan, 0]
    )  # the ideal list is cut too
    curve = recall_curve(ranks, 10, offsets)  # over the two cases that have a relevant item
    for k in range(1, 11):
        assert curve[k - 1] == pytest.approx(100 * np.nanmean(recall_at(ranks, k, offsets)))


def test_more_tied_items_than_a_list_holds_are_not_all_hits():
    tied = np.full(3, 2.0)  # three relevant items share the best score: ranks 2, 2, 2
    offsets = np.array([0, 3])
    assert recall_at(tied, 2, offsets).tolist() == [2 / 3]
    assert recall_at(tied, 1, offsets).tolist() == [0]
    assert recall_curve(tied, 3, offsets).tolist() == pytest.approx([0, 200 / 3, 100])
    assert average_precision_at(tied, 3, offsets).tolist() == [1]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 4))
def test_no_metric_leaves_its_bounds(seed, k, levels):
    """Few levels of scores, so that almost everything is tied."""
    rng = np.random.default_rng(seed)
    n_items, sizes = 12, rng.integers(1, 8, 6)
    scores = rng.integers(0, levels, (6, n_items)).astype(np.float32)
    targets = np.concatenate([rng.permutation(n_items)[:size] for size in sizes]).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    ranks, _, _ = ranks_and_lists(scores, targets, offsets, 1)
    values = {name: metric(ranks, k, offsets) for name, metric in METRICS.items()}
    for per_case in values.values():
        assert (per_case >= 0).all()
        assert (per_case <= 1 + 1e-12).all()
    assert (values["R"] <= np.minimum(sizes, k) / sizes + 1e-12).all()
    assert (values["R"] <= values["Success"]).all()
    assert ((values["R"] > 0) == (values["RR"] > 0)).all()


def ir_values(scores, targets, offsets, k):
    """The same metrics per case as ir-measures (trec_eval) computes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ir = pytest.importorskip("ir_measures")
        cases = list(enumerate(pairwise(offsets.tolist())))
        qrels = [ir.Qrel(f"{c:04}", str(t), 1) for c, (a, b) in cases for t in targets[a:b]]
        answer = [
            ir.ScoredDoc(f"{c:04}", str(item), float(scores[c, item]))
            for c in range(len(scores))
            for item in np.flatnonzero(np.isfinite(scores[c]))
        ]
        measures = {name: getattr(ir, name) @ k for name in METRICS}
        found = {name: np.zeros(len(scores)) for name in METRICS}
        names = {measure: name for name, measure in measures.items()}
        for one in ir.iter_calc(list(measures.values()), qrels, answer):
            found[names[one.measure]][int(one.query_id)] = one.value
    return found


@pytest.mark.parametrize("largest", [1, 9])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_every_metric_agrees_with_ir_measures(largest, k):
    rng = np.random.default_rng(k)
    n_items, n_cases = 60, 120
    scores = rng.permuted(np.tile(np.arange(n_items, dtype=np.float32), (n_cases, 1)), axis=1)  # no ties
    scores[rng.random(scores.shape) < 0.3] = -INF  # outside the answer: the relevant ones are misses
    sizes = rng.integers(1, largest + 1, n_cases)
    targets = np.concatenate([rng.permutation(n_items)[:size] for size in sizes]).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    ranks, _, _ = ranks_and_lists(scores, targets, offsets, k)
    expected = ir_values(scores, targets, offsets, k)
    for name, metric in METRICS.items():
        np.testing.assert_allclose(metric(ranks, k, offsets), expected[name], atol=1e-12, err_msg=name)
    assert all(0 < values.mean() < 1 for values in expected.values())
