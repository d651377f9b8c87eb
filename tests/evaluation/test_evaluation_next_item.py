"""Next-item protocol: planted ranks, ties, unseen items, seeds, and brute-force referees."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.errors import DataError, EmptyDataError, LeakError, UsageError
from item2vec.evaluation import Popularity, ReportPayload, evaluate_next_item
from item2vec.evaluation.next_item.cases import prefix_cases
from item2vec.evaluation.ranks import ranks_and_lists, target_ranks, top_items
from item2vec.evaluation.report.write import report_figures
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

INF = np.inf


class Fixed:
    """Answers every history with the same scores."""

    def __init__(self, ids, scores):
        self.vocabulary = Vocabulary(
            pa.array(ids) if isinstance(ids, list) else ids, np.ones(len(ids), np.int64)
        )
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
    sizes = rng.integers(0, 4, 7)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    targets = rng.integers(-1, n_items, offsets[-1]).astype(np.int32)
    ranks, items, kept = ranks_and_lists(scores, targets, offsets, k)
    rows = np.repeat(np.arange(7), sizes)
    np.testing.assert_array_equal(
        ranks, [referee_rank(scores[r], t) for r, t in zip(rows, targets, strict=True)]
    )
    for row, found, values in zip(scores, items, kept, strict=True):
        answer = [column for column in range(n_items) if row[column] > -INF]
        best = sorted(answer, key=lambda column: (-row[column], column))[:k]
        assert found.tolist() == best + [-1] * (k - len(best))
        np.testing.assert_array_equal(values[: len(best)], row[best])
        assert (values[len(best) :] == -INF).all()
    again, scores_again = top_items(scores, k)
    np.testing.assert_array_equal(again, items)
    np.testing.assert_array_equal(scores_again, kept)


@pytest.mark.parametrize("n_rows", [0, 1, 2, 5])
def test_few_rows_need_no_thread_each(n_rows):
    scores = np.tile(np.arange(3, dtype=np.float32), (n_rows, 1))
    assert target_ranks(scores, np.zeros(n_rows, np.int32)).tolist() == [3.0] * n_rows
    assert top_items(scores, 2)[0].tolist() == [[2, 1]] * n_rows


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
    assert [(line.position, line.n) for line in figures.by_position] == [(1, 2), (2, 1)]
    assert [line.n_sessions for line in figures.by_position] == [2, 1]
    assert [line.recall.value for line in figures.by_position] == [50, 100]
    assert figures.by_position[0].recall.to_json() == {"value": 50, "low": 0, "high": 100}  # of two sessions
    assert np.isnan(figures.by_position[1].recall.low)  # a single session says nothing about the spread


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
    monkeypatch.setattr("item2vec.evaluation.next_item.protocol.SCORE_BYTES", 4 * 30 * 7)
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
    assert result.n_targets_known_by_any == result.to_json()["n_targets_known_by_any"] == 1


class Drawn(Fixed):
    """Lists drawn at random."""

    def __init__(self, ids):
        super().__init__(ids, np.zeros(len(ids)))
        self.draws = np.random.default_rng(0)

    def scores(self, histories):
        return self.draws.random((len(histories), len(self.vocabulary)), np.float32)


def test_long_prefixes_of_one_session_are_one_session():
    test = Sessions.from_lists([["a", "b"] * 7, ["a"] * 3])
    lines = evaluate_next_item({"s": Fixed(["a", "b"], [1, 2])}, test).scorers["s"].by_position
    assert [(line.position, line.n, line.n_sessions) for line in lines if line.position in (2, 3, 10)] == [
        (2, 2, 2),
        (3, 1, 1),
        (10, 4, 1),
    ]


def test_chance_knows_no_target_that_no_scorer_knows():
    rng = np.random.default_rng(0)
    items, unseen = [f"i{n}" for n in range(40)], [f"x{n}" for n in range(10)]
    test = Sessions.from_lists([["i0", rng.choice(items + unseen)] for _ in range(3000)])
    result = evaluate_next_item({"drawn": Drawn(items), "few": Drawn(items[:30])}, test, n_bootstrap=10)
    figures = result.to_json()
    assert figures["n_targets_known_by_any"] == int(result.scorers["drawn"].knows_target.sum()) < 2600
    by_chance = report_figures(ReportPayload(title="t", next_item=result))["chance"]
    assert by_chance["recall"] == pytest.approx(50 * figures["n_targets_known_by_any"] / 3000)
    for metric in ("recall", "ndcg", "mrr"):
        assert by_chance[metric] == pytest.approx(figures["scorers"]["drawn"][metric]["value"], abs=2.5)


def test_bad_calls():
    test = Sessions.from_lists([["a", "b"]])

    class Short(Fixed):
        def scores(self, histories):
            return super().scores(histories)[:, :1]

    with pytest.raises(UsageError, match="at least one scorer"):
        evaluate_next_item({}, test)
    with pytest.raises(UsageError, match="k=0"):
        evaluate_next_item({"s": Fixed(["a"], [1])}, test, k=0)
    with pytest.raises(UsageError, match="n_bootstrap=-1"):
        evaluate_next_item({"s": Fixed(["a"], [1])}, test, n_bootstrap=-1)
    for few in (0, -3):
        with pytest.raises(UsageError, match=f"max_sessions={few}"):
            evaluate_next_item({"s": Fixed(["a"], [1])}, test, max_sessions=few)
    with pytest.raises(DataError, match="id_type"):  # one of several scorers
        evaluate_next_item({"s": Fixed(["a"], [1]), "t": Fixed([1], [1])}, test)
    no_intervals = evaluate_next_item({"s": Fixed(["a"], [1])}, test, n_bootstrap=0).scorers["s"]
    assert no_intervals.recall.to_json() == {"value": 0, "low": None, "high": None}
    with pytest.raises(UsageError, match="one row per history"):
        evaluate_next_item({"s": Short(["a", "b"], [1, 2])}, test)
    with pytest.raises(DataError, match="id_type"):
        evaluate_next_item({"s": Fixed([1, 2], [1, 2])}, test)
    with pytest.raises(UsageError, match="one per session"):
        evaluate_next_item({"s": Fixed(["a"], [1])}, test, first_targets=np.array([1, 1]))
    with pytest.raises(UsageError, match="relevant='all'"):
        evaluate_next_item({"s": Fixed(["a"], [1])}, test, relevant="all")
    with pytest.raises(UsageError, match="empty sequence"):
        evaluate_next_item({"s": []}, test)
    with pytest.raises(UsageError, match="know different items"):
        evaluate_next_item({"s": [Fixed(["a"], [1]), Fixed(["b"], [1])]}, test)


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
    scores = vectors[1] @ contexts.T + 0.5 * np.log(np.arange(40, 0, -1))
    best = 1 + (scores > scores[2]).sum()
    assert figures.ranks[0] == best
    for mode in ("similar", "next"):
        assert index_recall(ItemIndex.build(model, mode, backend="exact"), model, n_queries=20).recall == 1


def log(seed, n_sessions=60, n_items=25):
    rng = np.random.default_rng(seed)
    lists = [(rng.zipf(1.6, rng.integers(1, 13)) % n_items).tolist() for _ in range(n_sessions)]
    return lists, Sessions.from_lists(lists)


class Fitted(Random):
    """Random scores over the items of some sessions, as if fitted on them."""

    def __init__(self, train, seed):
        self.vocabulary = Popularity().fit(train).vocabulary
        self._table = (
            np.random.default_rng(seed).integers(0, 7, (len(self.vocabulary),) * 2).astype(np.float32)
        )


def referee_case(relevant, ranks, k):
    """Every metric of one case, from the ranks of its relevant items."""
    found = sorted(rank for rank in ranks if rank <= k)[:k]
    ideal = sum(1 / np.log2(place + 1) for place in range(1, min(len(ranks), k) + 1))
    return {
        "recall": len(found) / len(relevant),
        "hr": float(bool(found)),
        "mrr": 1 / found[0] if found else 0.0,
        "ndcg": sum(1 / np.log2(rank + 1) for rank in found) / ideal,
        "map": sum(place / rank for place, rank in enumerate(found, 1)) / len(relevant),
    }


@pytest.mark.parametrize("relevant", ["next", "rest"])
def test_the_whole_protocol_agrees_with_loops(relevant):
    lists, test = log(1)
    _, train = log(2, n_sessions=50)
    k, seeds = 4, [Fitted(train, seed) for seed in (5, 6)]
    figures = evaluate_next_item({"m": seeds}, test, relevant=relevant, k=k, n_bootstrap=5).scorers["m"]
    expected = []
    for session in lists:
        for n in range(1, len(session)):
            wanted = session[n : n + 1] if relevant == "next" else list(dict.fromkeys(session[n:]))
            values = []
            for scorer in seeds:
                nums = scorer.vocabulary.nums(session[:n])
                row = scorer.scores([nums[nums >= 0]])[0]
                ranks = [referee_rank(row, target) for target in scorer.vocabulary.nums(wanted)]
                values.append(referee_case(wanted, ranks, k))
            expected.append({name: np.mean([one[name] for one in values]) for name in values[0]})
    for name in ("recall", "hr", "mrr", "ndcg", "map"):
        value = 100 * np.mean([case[name] for case in expected])
        assert getattr(figures, name).value == pytest.approx(value), name
    assert 10 < figures.recall.value < 90
    if relevant == "next":
        assert (figures.hr, figures.map) == (figures.recall, figures.mrr)
    else:
        assert figures.hr.value > figures.recall.value + 5


def test_figures_are_averaged_over_seeds_and_kept_per_seed():
    _, test = log(1)
    _, train = log(2)
    one, other = Fitted(train, 5), Fitted(train, 6)
    options = {"train": train, "k": 4, "n_bootstrap": 100}
    both = evaluate_next_item({"m": [one, other]}, test, **options).scorers["m"]
    apart = evaluate_next_item({"a": one, "b": other}, test, **options)
    a, b = apart.scorers["a"], apart.scorers["b"]
    for name in ("recall", "mrr", "ndcg"):
        values = [getattr(a, name).value, getattr(b, name).value]
        assert both.seeds[name] == pytest.approx(values)
        assert getattr(both, name).value == pytest.approx(np.mean(values))
        low_and_high = sorted(values)
        assert low_and_high[0] < getattr(both, name).value < low_and_high[1]
    for name in ("diversity", "novelty", "popularity"):
        values = [getattr(a, name).value, getattr(b, name).value]
        assert getattr(both, name).value == pytest.approx(np.mean(values))
    assert (both.coverage, both.gini) == pytest.approx(((a.coverage + b.coverage) / 2, (a.gini + b.gini) / 2))
    assert both.seed_ranks.tolist() == [a.ranks.tolist(), b.ranks.tolist()]
    assert (both.n_seeds, a.n_seeds) == (2, 1)
    # Two seeds share their luck with the sessions, not with each other: their mean spreads less.
    widths = [figures.recall.high - figures.recall.low for figures in (both, a, b)]
    assert widths[0] < max(widths[1:])


def test_differences_are_paired():
    """A method that is better in every session by the same amount differs from another without a spread."""
    test = Sessions.from_lists([["b", "a"], ["c", "a"]] * 20 + [["a", "c"]] * 20)
    better, worse = Fixed(["a", "b", "c"], [3, 2, 1]), Fixed(["a", "b", "c"], [2, 3, 1])
    result = evaluate_next_item({"better": better, "worse": worse}, test, k=3, n_bootstrap=200)
    (difference,) = result.differences
    assert (difference.a, difference.b) == ("better", "worse")
    assert difference.mrr.value == pytest.approx(100 * 2 / 3 * 0.5)
    assert difference.ndcg.value == pytest.approx(100 * 2 / 3 * (1 - 1 / np.log2(3)))
    a, b = result.scorers["better"], result.scorers["worse"]
    assert difference.recall.to_json() == {"value": 0, "low": 0, "high": 0}
    assert difference.mrr.low == pytest.approx(a.mrr.low - b.mrr.low)  # the same resample is worst for both
    assert difference.mrr.high == pytest.approx(a.mrr.high - b.mrr.high)


def test_slices_are_parts_of_the_whole():
    lists, test = log(1)
    _, train = log(2, n_sessions=30)
    result = evaluate_next_item({"m": Fitted(train, 5)}, test, train=train, k=4, n_bootstrap=50)
    figures = result.scorers["m"]
    for names in (
        ("head", "torso", "tail"),
        ("cold", "warm"),
        ("repeat", "new"),
        ("history_cold", "history_warm"),
    ):
        parts = [figures.slices[name] for name in names]
        assert sum(part.n for part in parts) == result.n_prefixes
        assert all(part.n > 0 for part in parts), names
        for metric in ("recall", "mrr", "ndcg"):
            total = sum(part.n * getattr(part, metric).value for part in parts)
            assert total == pytest.approx(result.n_prefixes * getattr(figures, metric).value), (names, metric)
    repeats = [(s, n) for s, one in enumerate(lists) for n in range(1, len(one)) if one[n] in one[:n]]
    assert figures.slices["repeat"].n == len(repeats)
    assert figures.slices["repeat"].n_sessions == len({s for s, _ in repeats})
    counts = np.bincount(train.tokens)
    clicks = dict(zip(train.item_ids.to_pylist(), counts.tolist(), strict=True))
    cold = [one[n] for one in lists for n in range(1, len(one)) if clicks.get(one[n], 0) < 5]
    assert figures.slices["cold"].n == len(cold)


def test_a_slice_without_a_case_has_no_figure():
    train = Sessions.from_lists([["a", "b"]] * 9)
    scorer = Popularity().fit(train)
    result = evaluate_next_item(
        {"s": scorer}, Sessions.from_lists([["a", "b"]] * 3), train=train, n_bootstrap=9
    )
    empty = result.to_json()["scorers"]["s"]["slices"]["cold"]
    nothing = {"value": None, "low": None, "high": None}
    assert empty == {"n": 0, "n_sessions": 0, "recall": nothing, "mrr": nothing, "ndcg": nothing}


class Clairvoyant:
    """Lists exactly the item that follows in sessions that all run through one cycle."""

    def __init__(self, train):
        self.vocabulary = Popularity().fit(train).vocabulary
        self._following = self.vocabulary.nums(["b", "c", "a"])[
            self.vocabulary.nums(["a", "b", "c"]).argsort()
        ]

    def scores(self, histories):
        rows = np.full((len(histories), len(self.vocabulary)), -INF, np.float32)
        for row, history in zip(rows, histories, strict=True):
            row[self._following[history[-1]]] = 1
        return rows


def test_lists_as_popular_as_what_is_clicked_have_no_lift():
    train = Sessions.from_lists([["a", "b"], ["a", "c"], ["a", "b", "c"], ["a"]] * 3)
    test = Sessions.from_lists([["a", "b", "c", "a"], ["b", "c"], ["c", "a", "b"]] * 5)
    scorers = {"oracle": Clairvoyant(train), "popular": Popularity().fit(train)}
    found = evaluate_next_item(scorers, test, train=train, k=1, n_bootstrap=50).scorers
    oracle, popular = found["oracle"], found["popular"]
    assert oracle.recall.value == 100
    assert oracle.popularity_lift.to_json() == {"value": 0, "low": 0, "high": 0}
    clicked = np.mean([6, 6, 12, 6, 12, 6])  # targets b c a, c, a b: of 12 clicks on a, 6 on b and on c
    assert oracle.popularity.value == pytest.approx(clicked)
    assert popular.popularity_lift.value == pytest.approx(12 / clicked - 1)
    assert popular.novelty.value == 0  # a is in every training session
    assert np.isnan(popular.diversity.value)  # a list of one item has no pair
    assert (popular.gini, popular.coverage) == (1, pytest.approx(100 / 3))


def test_an_empty_answer_has_no_popularity_of_its_own():
    """Where nothing is listed, the target does not count against the lists either."""
    train = Sessions.from_lists([["a", "b"], ["a"]])
    scorer = Fixed(["a", "b"], [1, -INF])
    scorer.scores = lambda histories: np.array(
        [[1, -INF] if 1 in h else [-INF] * 2 for h in histories], np.float32
    )
    test = Sessions.from_lists([["a", "b"], ["b", "a"], ["b", "a"]])
    figures = evaluate_next_item({"s": scorer}, test, train=train, n_bootstrap=10).scorers["s"]
    assert figures.n_empty_answers == 1
    assert figures.popularity.value == 2
    assert figures.popularity_lift.value == 0


def test_a_seed_without_a_list_does_not_thin_out_the_figures_of_the_other():
    train = Sessions.from_lists([["a", "b"], ["a", "c"]])
    seeds = [Fixed(["a", "b", "c"], row) for row in ([3, 2, 1], [-INF] * 3)]
    options = {"train": train, "n_bootstrap": 10}
    test = Sessions.from_lists([["a", "b"]] * 2)
    both, one = (evaluate_next_item({"s": s}, test, **options).scorers["s"] for s in (seeds, seeds[:1]))
    assert both.novelty.value == one.novelty.value > 0
    assert both.diversity.value == one.diversity.value > 0
    assert (both.n_empty_answers, both.recall.value) == (2, one.recall.value / 2)


def test_the_rest_of_a_session_is_every_item_once_in_the_order_of_its_first_click():
    test = Sessions.from_lists([["a", "b", "c", "b", "a", "c"], ["d"]])
    cases = prefix_cases(test, relevant="rest")
    rest = [cases.targets[a:b].tolist() for a, b in pairwise(cases.offsets)]
    assert rest == [[1, 2, 0], [2, 1, 0], [1, 0, 2], [0, 2], [2]]
    following = prefix_cases(test)
    assert following.targets.tolist() == [1, 2, 1, 0, 2]
    assert following.offsets.tolist() == list(range(6))


def test_without_the_training_sessions_what_needs_them_is_absent():
    text = evaluate_next_item({"s": Fixed(["a", "b"], [2, 1])}, Sessions.from_lists([["a", "b"]])).to_json()
    figures = text["scorers"]["s"]
    for name in ("diversity", "novelty", "popularity", "popularity_lift", "slices"):
        assert figures[name] is None
    assert figures["gini"] == 0
    assert json.loads(json.dumps(text, allow_nan=False)) == text


def test_a_leak_is_refused_before_anything_is_measured():
    train = Sessions.from_lists([["a", "b"], ["b", "c"]])
    test = Sessions.from_lists([["a", "d"]])
    everything = Popularity().fit(Sessions.from_lists([["a", "b"], ["b", "c"], ["a", "d"]]))
    with pytest.raises(LeakError, match="'s'"):
        evaluate_next_item({"s": everything}, test, train=train)
    with pytest.raises(EmptyDataError):
        evaluate_next_item({"s": everything}, test, train=Sessions.from_lists([]))


def test_the_table_of_ranks():
    scorers = {
        "m": [Fixed(["a", "b", "c"], [3, 2, 1]), Fixed(["a", "b", "c"], [1, -INF, 3])],
        "one": Fixed(["a"], [1]),
    }
    plain = Sessions.from_lists([["a", "b", "c"], ["x"], ["c", "x"]])
    test = Sessions(
        **{
            name: getattr(plain, name)
            for name in ("item_ids", "tokens", "offsets", "booked", "booked_offsets")
        },
        weights=plain.weights,
        session_ids=np.array([70, 80, 90]),
        user_ids=pa.array(["u", "v", "w"]),
        start_us=np.array([7, 8, 9]),
        end_us=np.array([8, 9, 10]),
        markets=plain.markets,
    )
    result = evaluate_next_item(scorers, test, n_bootstrap=10)
    table = result.ranks_table(test)
    assert table.schema.field("m").type == pa.list_(pa.float64(), 2)
    assert table.schema.field("position").type == pa.int32()
    assert table.to_pydict() == {
        "session_id": [70, 70, 90],
        "user_id": ["u", "u", "w"],
        "start_us": [7, 7, 9],
        "position": [1, 2, 1],
        "target": ["b", "c", "x"],
        "m": [[2, INF], [3, 1], [INF, INF]],
        "one": [[INF], [INF], [INF]],
    }
    bare = result.ranks_table(plain)
    assert bare["user_id"].to_pylist() == bare["start_us"].to_pylist() == [None] * 3
    with pytest.raises(UsageError, match="pass the same test sessions"):
        result.ranks_table(Sessions.from_lists([["a", "c", "b"], ["x"], ["c", "x"]]))
    with pytest.raises(UsageError, match="relevant='rest'"):
        evaluate_next_item(scorers, test, relevant="rest", n_bootstrap=10).ranks_table(test)
    with pytest.raises(UsageError, match="'target', which is a column"):
        evaluate_next_item({"target": scorers["one"]}, test, n_bootstrap=10).ranks_table(test)


def test_reachable_leaves_out_what_a_scorer_cannot_know():
    test = Sessions.from_lists([["a", "x", "b"], ["a", "x"]])
    scorer = Fixed(["a", "b"], [2, 1])
    for relevant, recall in (("next", 100), ("rest", 100)):
        figures = evaluate_next_item({"s": scorer}, test, relevant=relevant, n_bootstrap=10).scorers["s"]
        assert figures.reachable.recall == recall
        assert figures.reachable.mrr == 50
    assert figures.reachable.n == 2  # a → x b, a x → b; the second session has no item it knows
    assert figures.recall.value == pytest.approx(100 * (0.5 + 1 + 0) / 3)


def test_a_scorer_without_items_misses_everything():
    nothing = Fixed(pa.array([], pa.string()), [])
    test = Sessions.from_lists([["a", "b"]] * 2)
    result = evaluate_next_item({"none": nothing, "some": Fixed(["a", "b"], [1, 2])}, test, n_bootstrap=10)
    figures = result.scorers["none"]
    assert (figures.recall.value, figures.coverage, figures.n_items) == (0, 0, 0)
    assert (figures.n_unseen_targets, figures.n_unseen_histories, figures.n_empty_answers) == (2, 2, 2)
    assert np.isnan(figures.gini)
    assert np.isnan(figures.reachable.recall)
