"""The blend of embedding and sessions: its definition, its weights, what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import item2vec as i2v
from item2vec.errors import EmptyDataError, LeakError, UsageError
from item2vec.evaluation.hybrid import PARTS, TEMPERATURES
from item2vec.vocabulary import Vocabulary


class Told:
    """A scorer that knows the next item of each history by heart, or nothing."""

    def __init__(self, vocabulary, answers):
        self.vocabulary, self._answers = vocabulary, answers

    def scores(self, histories):
        scores = np.full((len(histories), len(self.vocabulary)), -np.inf, np.float32)
        for row, history in zip(scores, histories, strict=True):
            for num, score in self._answers(history).items():
                row[num] = score
        return scores


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(3)
    lists = [((rng.integers(0, 30) + np.arange(rng.integers(2, 7))) % 30).tolist() for _ in range(500)]
    train = i2v.Sessions.from_lists(lists[:400])
    model = i2v.Item2Vec(vector_size=8, epochs=5, workers=1, seed=1).fit(train, show_progress=False)
    return i2v.Recommender(model.item_vectors_), train, i2v.Sessions.from_lists(lists[400:])


def test_a_mixture_is_what_its_definition_says(world):
    rec, _, _ = world
    n = len(rec.vocabulary)
    votes = {2: 3.0, 5: 1.0, 7: 4.0}
    weights = dict(zip(PARTS, (0.05, 0.05, 0.1, 0.1, 0.05, 0.25, 0.2, 0.1, 0.06, 0.04), strict=True))
    blend = i2v.Hybrid(rec, Told(rec.vocabulary, lambda history: votes), weights=weights)
    history = np.array([4, 7, 2], np.int32)
    found = blend.scores([history, history[:0]])
    bare = i2v.HistoryScoring(repeat_last=0.0, repeat_earlier=0.0)
    scores = i2v.Recommender(rec.vectors, scoring=bare).scores([history], mode="next")[0].astype(np.float64)
    expected = np.zeros(n)
    for temperature, weight in zip(TEMPERATURES, (0.05, 0.05, 0.1, 0.1, 0.05), strict=True):
        expected += weight * np.exp(scores / temperature) / np.exp(scores / temperature).sum()
    for num, vote in votes.items():
        expected[num] += 0.25 * vote / 8 + (0.2 if num == 5 else 0)  # the only one that is new
    expected[2] += 0.06
    expected[[7, 4]] += 0.04 * np.array([2 / 3, 1 / 3])
    expected += 0.1 * rec.vocabulary.counts / rec.vocabulary.counts.sum()
    np.testing.assert_allclose(found[0], expected, rtol=1e-4)
    assert found[0].sum() == pytest.approx(1, abs=1e-5)
    assert (found[1] == -np.inf).all()


def test_weights_go_to_the_part_that_knows(world):
    rec, _, validation = world
    following = {
        num: int(rec.vocabulary.nums([(item + 1) % 30])[0]) for num, item in enumerate(rec.vectors.ids)
    }
    knows = Told(rec.vocabulary, lambda history: {following[int(history[-1])]: 1.0})
    learned = i2v.Hybrid(rec, knows).fit(validation).weights_
    assert learned["sessions"] + learned["sessions, new"] > 0.99
    knows_nothing = Told(rec.vocabulary, lambda history: {})
    learned = i2v.Hybrid(rec, knows_nothing).fit(validation).weights_
    assert learned["sessions"] + learned["sessions, new"] < 1e-6
    assert sum(learned.values()) == pytest.approx(1)


def test_no_other_weights_make_validation_more_likely(world):
    rec, train, validation = world
    blend = i2v.Hybrid(rec, i2v.SessionKNN().fit(train)).fit(validation)

    def likelihood(weights):
        mixed = i2v.Hybrid(rec, blend.sessions, weights=weights)
        total = 0.0
        for session in validation.to_lists():
            nums = rec.vocabulary.nums(session)
            for stop in range(1, len(nums)):
                total += np.log(mixed.scores([nums[:stop]])[0, nums[stop]])
        return total

    best = likelihood(blend.weights_)
    rng = np.random.default_rng(0)
    for _ in range(5):
        other = dict(zip(PARTS, rng.dirichlet(np.ones(len(PARTS))), strict=True))
        shifted = {name: 0.9 * blend.weights_[name] + 0.1 * other[name] for name in PARTS}
        assert likelihood(shifted) < best + 0.05


def test_sessions_of_other_items_are_asked_by_id(world):
    rec, _, _ = world
    ids = [*reversed(rec.vectors.ids[:20]), 999]
    other = Vocabulary(pa.array(ids), np.ones(21, np.int64))
    asked = []

    def answers(history):
        asked.append(other.item_ids(history))
        return {0: 2.0, 20: 5.0}

    weights = {name: float(name == "sessions") for name in PARTS}
    blend = i2v.Hybrid(rec, Told(other, answers), weights=weights)
    history = rec.vocabulary.nums([rec.vectors.ids[3], rec.vectors.ids[25]])
    scores = blend.scores([history])[0]
    assert asked == [[rec.vectors.ids[3]]]
    assert np.flatnonzero(scores).tolist() == [19]


@pytest.mark.parametrize("filter_seen", [True, False])
def test_lists_are_the_best_of_the_scores(world, filter_seen):
    rec, train, validation = world
    blend = i2v.Hybrid(rec, i2v.SessionKNN().fit(train)).fit(validation)
    history = [4, 5, 4]
    ids, scores = blend.recommend(history, N=8, filter_seen=filter_seen, filter_items=[6])
    everything = blend.scores([rec.vocabulary.nums(history)])[0]
    order = sorted(range(30), key=lambda num: (-everything[num], rec.vectors.ids[num]))
    unwanted = {6, *(history if filter_seen else [])}
    expected = [rec.vectors.ids[num] for num in order if rec.vectors.ids[num] not in unwanted][:8]
    assert ids.tolist() == expected
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    both, padded = blend.recommend([history, [], [12345]], N=40)
    assert both.shape == (3, 40)
    assert (both[1:] == -1).all()
    assert (padded[1:] == -np.inf).all()
    assert both[0, 28:].tolist() == [-1] * 12


def test_items_without_a_direction_leave_the_word_to_the_sessions(world):
    rec, _, _ = world
    table = rec.vectors.vectors.copy()
    table[3] = 0.0
    of = i2v.Recommender(i2v.ItemVectors(rec.vocabulary, table, rec.vectors.context_vectors))
    told = Told(rec.vocabulary, lambda history: {9: 1.0})
    validation = i2v.Sessions.from_lists([[rec.vectors.ids[3], rec.vectors.ids[9]]] * 4)
    blend = i2v.Hybrid(of, told).fit(validation)
    assert sum(blend.weights_.values()) == pytest.approx(1)
    assert blend.weights_["sessions"] + blend.weights_["sessions, new"] == pytest.approx(1)
    assert blend.recommend([rec.vectors.ids[3]], N=1)[0].tolist() == [rec.vectors.ids[9]]


def test_a_large_catalogue_is_scored_a_few_histories_at_a_time(world, monkeypatch):
    rec, train, validation = world
    blend = i2v.Hybrid(rec, i2v.SessionKNN().fit(train)).fit(validation)
    histories = [np.array([num, (num + 1) % 30], np.int32) for num in range(7)]
    expected, rows = blend.scores(histories), []
    monkeypatch.setattr("item2vec.evaluation.hybrid._PART", 60)
    parts = i2v.Hybrid._parts
    monkeypatch.setattr(i2v.Hybrid, "_parts", lambda self, some: rows.append(len(some)) or parts(self, some))
    np.testing.assert_allclose(blend.scores(histories), expected, rtol=1e-5)
    assert rows == [2, 2, 2, 1]


def test_what_makes_no_blend_is_refused(world):
    rec, train, validation = world
    neighbours = i2v.SessionKNN().fit(train)
    refused = {
        "not fitted; call its fit": (rec, i2v.SessionKNN()),
        "wrap its vectors": (i2v.Item2Vec().fit(train, show_progress=False), neighbours),
        "a scorer has a vocabulary": (rec, None),
        "past sessions comes second": (neighbours, rec),
    }
    for words, (embedding, sessions) in refused.items():
        with pytest.raises(UsageError, match=words):
            i2v.Hybrid(embedding, sessions)
    with pytest.raises(UsageError, match="seed='x'"):
        i2v.Hybrid(rec, neighbours).fit(validation, seed="x")
    with pytest.raises(UsageError, match="no weights yet; call fit"):
        i2v.Hybrid(rec, neighbours).recommend([1])
    for weights in ({"sessions": 1}, dict.fromkeys(PARTS, -1), dict.fromkeys(PARTS, "x"), [1]):
        with pytest.raises(UsageError, match="weights are numbers from 0 up"):
            i2v.Hybrid(rec, neighbours, weights=weights)
    with pytest.raises(UsageError, match="all 0"):
        i2v.Hybrid(rec, neighbours, weights=dict.fromkeys(PARTS, 0))
    with pytest.raises(EmptyDataError, match="known item after another"):
        i2v.Hybrid(rec, neighbours).fit(i2v.Sessions.from_lists([[77, 78], [1, 99]]))
    with pytest.raises(UsageError):
        i2v.Hybrid(rec, neighbours).fit([[1, 2]])
    with pytest.raises(UsageError):
        i2v.Hybrid(rec, neighbours).fit(validation, max_sessions=0)


def test_parts_that_know_the_validation_sessions_are_refused(world):
    _, train, validation = world
    everything = i2v.Sessions.from_lists([*train.to_lists(), *validation.to_lists()])
    model = i2v.Item2Vec(vector_size=8, epochs=1, workers=1, seed=1).fit(everything, show_progress=False)
    for rec, sessions in (
        (i2v.Recommender(model.item_vectors_), i2v.SessionKNN().fit(train)),
        (world[0], i2v.ItemKNN().fit(everything)),
    ):
        with pytest.raises(LeakError):
            i2v.Hybrid(rec, sessions).fit(validation, train=train)
    assert i2v.Hybrid(world[0], i2v.SessionKNN().fit(train)).fit(validation, train=train).weights_


def test_weights_may_be_numbers_of_numpy(world):
    rec, train, _ = world
    weights = dict.fromkeys(PARTS, np.float32(2))
    blend = i2v.Hybrid(rec, i2v.SessionKNN().fit(train), weights=weights)
    assert blend.weights_ == pytest.approx(dict.fromkeys(PARTS, 1 / len(PARTS)))


@pytest.mark.parametrize("nums", [[-1], [0, 30], [0.5]])
def test_other_numbers_than_the_items_are_refused(world, nums):
    """-1 stands for an unknown id in `Vocabulary.nums`, and for the last row in numpy."""
    rec, _, _ = world
    with pytest.raises(UsageError, match=r"from 0 to 29 .*without the -1 of unknown ids"):
        rec.scores([np.array([0], np.int32), np.array(nums)])
