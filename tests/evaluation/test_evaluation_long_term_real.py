"""The long-term protocol on real stays (a review is a stay). The bounds ask for sanity, not for a winner."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

import item2vec as i2v
from item2vec.evaluation import evaluate_long_term, fit_long_term_baselines, split_sessions
from item2vec.sessions import sessionize

pytestmark = pytest.mark.real_data


class Next:
    """A model read as: what follows these stays?"""

    def __init__(self, vectors):
        recommender = i2v.Recommender(vectors)
        self.vocabulary, self.scores = recommender.vocabulary, partial(recommender.scores, mode="next")


@pytest.fixture(scope="module")
def stays(real_data):
    """The stays of all reviewers, with one snapshot of the listings."""
    folder = real_data / "airbnb_reviews"
    events = i2v.read_events(
        folder / "reviews.parquet", importer="airbnb_reviews", items=folder / "listings.parquet"
    )
    return partial(sessionize, events, kind="booking", repeats="collapse")


def measured(sessions):
    split = split_sessions(sessions)
    model = i2v.Item2Vec(vector_size=32, market_negative=5, epochs=30, seed=1, workers=2)
    vectors = model.fit(split.train, show_progress=False).item_vectors_
    result = evaluate_long_term(
        {**fit_long_term_baselines(split.train), "item2vec": Next(vectors)},
        split.test,
        sessions.items,
        train=split.train,
        first_targets=split.test_targets,
        n_bootstrap=300,
    )
    return split, result


def check(split, result):
    """What holds whatever the data say."""
    assert split.train.end_us.max() < split.t1_us
    assert result.n_cases == split.counts["stays_from_t2"]  # every market has candidates
    assert result.n_users == len(split.test) == split.counts["test"]
    assert 0.98 * result.n_cases < result.n_typed <= result.n_cases
    assert {one.type for one in result.support} == {
        "Entire home/apt",
        "Private room",
        "Hotel room",
        "Shared room",
    }
    popular, model = result.scorers["market_popularity"], result.scorers["item2vec"]
    by_luck = 100 * 20 / result.mean_candidates
    assert result.chance_recall < 0.6 * by_luck  # nearly half of what is booked is new to every scorer
    assert by_luck < popular.recall.value < 40
    assert 50 < popular.type_accuracy.value < 95  # most stays are in an entire home
    assert model.by_history["0"].recall.value == 0
    assert model.n_empty_answers >= model.by_history["0"].n
    for name in ("repeat_type", "type_transitions"):
        found = result.scorers[name]
        assert found.by_history["0"].recall == popular.by_history["0"].recall
        assert found.n_backed_off >= found.by_history["0"].n
        assert found.n_unseen_targets == popular.n_unseen_targets == model.n_unseen_targets
    for found in result.scorers.values():
        assert sum(one.n for one in found.by_history.values()) == result.n_cases
        assert 0 <= found.mrr.value <= found.ndcg.value <= found.recall.value <= 100
        assert found.recall.low <= found.recall.value <= found.recall.high
    json.dumps(result.to_json(), allow_nan=False)


def test_users_who_came_back(stays):
    split, result = measured(stays(min_length=2))
    check(split, result)
    assert result.n_cases > 1500
    model, popular = (result.scorers[name].by_history["2+"] for name in ("item2vec", "market_popularity"))
    assert model.n > 500
    assert model.recall.value > popular.recall.value / 2  # not broken; which is better is for the report


def test_users_who_stayed_once_are_targets_without_a_history(stays):
    sessions = stays(min_length=1)
    split, result = measured(sessions)
    check(split, result)
    assert split.counts["cut_below_two_stays"] == 0
    assert np.diff(split.train.offsets).min() == 1
    assert result.n_cases > 10_000
    assert result.scorers["repeat_type"].by_history["0"].n > 0.7 * result.n_cases
    assert len(sessions) == sessions.funnel["users"]["in"]  # nobody is dropped
