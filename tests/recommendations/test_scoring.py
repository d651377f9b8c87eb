"""How a history becomes scores: popularity, repeats, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marketplace_cases import make_catalogue, with_repeats

import item2vec as i2v
from item2vec.embeddings.repeats import RepeatRates, repeat_rates
from item2vec.errors import UsageError
from item2vec.index import ItemSet
from item2vec.recommendations import write_recommendations
from item2vec.recommendations.lists import best_items


@pytest.fixture(scope="module")
def vectors():
    return make_catalogue(n=150)[0]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9), min_size=1, max_size=12))
def test_repeat_rates_are_those_of_plain_loops(lists):
    last = earlier = following = 0
    for session in lists:
        for place in range(1, len(session)):
            following += 1
            if session[place] == session[place - 1]:
                last += 1
            elif session[place] in session[:place]:
                earlier += 1
    expected = (last / following, earlier / following) if following else (0.0, 0.0)
    assert repeat_rates(i2v.Sessions.from_lists(lists)) == pytest.approx(expected)


def test_a_training_and_its_file_know_the_repeats_of_their_sessions(tmp_path):
    sessions = i2v.Sessions.from_lists([["a", "a", "b", "a"], ["b", "c"]])
    vectors = i2v.Item2Vec(epochs=1, workers=1).fit(sessions, show_progress=False).item_vectors_
    assert vectors.repeats == RepeatRates(0.25, 0.25)
    vectors.save(tmp_path)
    assert i2v.ItemVectors.load(tmp_path).repeats == vectors.repeats
    assert i2v.Cooccurrence(vector_size=2).fit(sessions).item_vectors_.repeats == vectors.repeats


def test_scores_are_the_product_popularity_and_repeats(vectors):
    rec = i2v.Recommender(vectors)
    histories = [[3], [7, 7, 1], [1, 7, 1, 9, 7], list(range(40))]
    scores = rec.scores([np.array(one, np.int32) for one in histories], mode="next")
    for row, history in zip(scores, histories, strict=True):
        weights = np.array([0.5**age for age in reversed(range(len(history)))])
        query = weights / weights.sum() @ vectors.vectors[history].astype(np.float64)
        plain = vectors.context_vectors @ query + 0.5 * np.log(np.maximum(vectors.counts, 1))
        ids = [vectors.ids[num] for num in history]
        expected = with_repeats(vectors, plain.astype(np.float32), ids, 0.5)
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-5)
        assert (row[history] > plain[history] - 1e-5).all()
        assert row[history[-1]] > plain[history[-1]]


def test_without_repeats_popularity_and_decay_scores_are_the_mean_s_products(vectors):
    scoring = i2v.HistoryScoring(decay=1.0, popularity=0.0, repeat_last=0.0, repeat_earlier=0.0)
    rec = i2v.Recommender(vectors, scoring=scoring)
    scores = rec.scores([np.array([4, 8], np.int32)], mode="next")[0]
    query = vectors.vectors[[4, 8]].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(scores, vectors.context_vectors @ query, rtol=1e-6)


def test_what_coming_back_adds_is_a_probability(vectors):
    scoring = i2v.HistoryScoring(temperature=2.0, repeat_last=0.3, repeat_earlier=0.2)
    plain = i2v.HistoryScoring(temperature=2.0, repeat_last=0.0, repeat_earlier=0.0)
    history = np.array([5, 6, 5, 2], np.int32)

    def softmax(one):
        scores = i2v.Recommender(vectors, scoring=one).scores([history], mode="next")[0].astype(np.float64)
        return np.exp(scores / 2.0)

    mass = softmax(plain).sum()
    gained = (softmax(scoring) - softmax(plain)) / mass * 0.5
    assert gained[2] == pytest.approx(0.3, rel=1e-4)
    # two and three clicks before the last: of 1/2 + 1/8 and 1/4
    assert gained[5] == pytest.approx(0.2 * 0.625 / 0.875, rel=1e-4)
    assert gained[6] == pytest.approx(0.2 * 0.25 / 0.875, rel=1e-4)
    assert np.abs(np.delete(gained, [2, 5, 6])).max() < 1e-6


def test_a_history_of_one_item_has_nothing_earlier_to_come_back_to(vectors):
    scoring = i2v.HistoryScoring(temperature=1.0, repeat_last=0.3, repeat_earlier=0.5)
    for history in ([5], [5, 5]):
        scores = i2v.Recommender(vectors, scoring=scoring).scores([np.array(history, np.int32)], mode="next")
        bare = i2v.HistoryScoring(repeat_last=0.0, repeat_earlier=0.0)
        plain = i2v.Recommender(vectors, scoring=bare).scores([np.array(history, np.int32)], mode="next")
        before, now = (np.exp(one[0].astype(np.float64)) for one in (plain, scores))
        assert now[5] / now.sum() == pytest.approx(0.3 + 0.7 * before[5] / before.sum(), rel=1e-4)


def test_the_last_click_comes_back_where_sessions_do(vectors):
    history = [vectors.ids[4], vectors.ids[90]]

    def place(**repeats):
        rec = i2v.Recommender(vectors, scoring=i2v.HistoryScoring(**repeats))
        return rec.recommend(history, N=150, filter_seen=False)[0].tolist().index(history[-1])

    assert place(repeat_last=0.9, repeat_earlier=0.0) == 0
    assert place(repeat_last=0.0, repeat_earlier=0.0) > 20


def test_a_table_of_recommendations_lists_what_recommend_does(vectors, tmp_path):
    rec = i2v.Recommender(vectors)
    histories = {
        "a": [vectors.ids[2], vectors.ids[9]],
        "b": [vectors.ids[5]] * 3,
        "c": list(vectors.ids[:30]),
    }
    write_recommendations(rec, histories, tmp_path, N=12, filter_seen=False)
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path).to_pylist()
    for user, history in histories.items():
        ids, scores = rec.recommend(history, N=12, filter_seen=False)
        rows = [row for row in table if row["user_id"] == user]
        assert [row["item_id"] for row in rows] == ids.tolist()
        assert [row["score"] for row in rows] == scores.tolist()


def test_a_table_of_recommendations_goes_on_with_the_same_rates_of_repeats_only(vectors, tmp_path):
    rates = [
        i2v.ItemVectors(vectors.vocabulary, vectors.vectors, vectors.context_vectors, RepeatRates(0.1, x))
        for x in (0.1, 0.5)
    ]
    histories = {"a": list(vectors.ids[:4])}
    write_recommendations(i2v.Recommender(rates[0]), histories, tmp_path / "back", filter_seen=False)
    with pytest.raises(UsageError):
        write_recommendations(i2v.Recommender(rates[1]), histories, tmp_path / "back", filter_seen=False)
    write_recommendations(i2v.Recommender(rates[0]), histories, tmp_path / "new")
    assert write_recommendations(i2v.Recommender(rates[1]), histories, tmp_path / "new").n_written == 0


def test_repeats_ask_for_no_more_than_an_index_answers(vectors, monkeypatch):
    for module in ("index.arguments", "recommendations.lists", "recommendations.repeating"):
        monkeypatch.setattr(f"item2vec.{module}.MAX_K", 20)
    ids, _ = i2v.Recommender(vectors).recommend(list(vectors.ids[:9]), N=15, filter_seen=False)
    assert len(ids) == 15


def test_an_index_and_a_scoring_agree_on_popularity(vectors):
    index = i2v.ItemIndex.build(vectors, mode="next", backend="exact", popularity=0.2)
    assert i2v.Recommender(vectors, index=index).scoring.popularity == 0.2
    with pytest.raises(UsageError, match=r"popularity=0\.2, the scoring has 0\.5; build it with"):
        i2v.Recommender(vectors, index=index, scoring=i2v.HistoryScoring())
    fitting = i2v.HistoryScoring(popularity=0.2, decay=0.9)
    assert i2v.Recommender(vectors, index=index, scoring=fitting).scoring == fitting


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("decay", bad) for bad in (0, -1, 1.1, math.nan, "x", None, True)],
        *[("popularity", bad) for bad in (-0.1, 11, math.inf, None)],
        *[("temperature", bad) for bad in (0, -1, math.nan, 1e9)],
        *[("repeat_last", bad) for bad in (-0.1, 0.95, "x")],
        ("repeat_earlier", 1),
    ],
)
def test_settings_out_of_their_range_are_refused_by_name(name, value):
    with pytest.raises(UsageError, match=f"{name} is a number"):
        i2v.HistoryScoring(**{name: value})


def test_probabilities_of_coming_back_leave_some_for_the_rest():
    with pytest.raises(UsageError, match="repeat_last and repeat_earlier together"):
        i2v.HistoryScoring(repeat_last=0.6, repeat_earlier=0.5)
    with pytest.raises(UsageError, match="scoring is a HistoryScoring"):
        i2v.Recommender(make_catalogue(n=30)[0], scoring={"decay": 0.5})


@pytest.mark.parametrize("popularity", [-1, math.nan, "x", True])
def test_an_index_refuses_a_popularity_that_is_none(vectors, popularity):
    with pytest.raises(UsageError, match="popularity is a number"):
        i2v.ItemIndex.build(vectors, mode="next", backend="exact", popularity=popularity)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 40), st.integers(0, 2**31))
def test_the_best_items_are_those_of_a_sort(n, k, seed):
    rng = np.random.default_rng(seed)
    scores = rng.choice(rng.standard_normal(rng.integers(1, 400)).astype(np.float32), n)
    scores[rng.random(n) < 0.1] = -np.inf
    ranks = rng.permutation(n).astype(np.int32)
    mask = rng.random(n) < rng.choice([0.01, 0.5, 1.0])
    for allowed in (None, ItemSet(mask)):
        hidden = rng.integers(0, n, rng.integers(0, 5)).astype(np.int32)
        listed = [num for num in range(n) if (allowed is None or mask[num]) and num not in hidden]
        listed = [num for num in listed if scores[num] > -np.inf]
        expected = sorted(listed, key=lambda num: (-scores[num], ranks[num]))[:k]
        found = best_items(scores, k, allowed, ranks, hidden)
        assert found.item_nums[0].tolist() == expected + [-1] * (k - len(expected))
        assert found.scores[0, : len(expected)].tolist() == scores[expected].tolist()
