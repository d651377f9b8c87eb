"""The long-term protocol against a referee in plain Python, planted tastes, their absence, and odd input."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.errors import DataError, LeakError, UsageError
from item2vec.evaluation import Popularity, evaluate_long_term
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

INF = float("inf")
N_TYPES, N_MARKETS = 4, 3


def booked(lists, users=None, items=None):
    """Booking sequences a stay a day, all users at once."""
    sessions = Sessions.from_lists(lists, items=items)
    ts = np.concatenate([np.arange(len(one)) for one in lists]).astype(np.int64)
    starts, ends = ts[sessions.offsets[:-1]], ts[sessions.offsets[1:] - 1]
    names = None if users is None else pa.array([str(user) for user in users])
    return replace(sessions, kind="booking", ts_us=ts, start_us=starts, end_us=ends, user_ids=names)


def catalogue(n_items, rng, n_markets=N_MARKETS, n_types=N_TYPES):
    """A table of listings: every market has every type, some listings lack one of the two."""
    market = [f"m{i % n_markets}" for i in range(n_items)]
    kind = [f"t{i // n_markets % n_types}" for i in range(n_items)]
    for i in rng.integers(0, n_items, n_items // 10):
        (market if i % 2 else kind)[i] = None
    return pa.table({"item_id": list(range(n_items)), "market": market, "listing_type": kind})


class Fixed:
    """Scores that depend on the history in a way of no sense; some are ties, −inf or NaN."""

    def __init__(self, ids, seed):
        self.vocabulary = Vocabulary(pa.array(ids, pa.int64()), np.ones(len(ids), np.int64))
        self.seed = seed

    def scores(self, histories):
        rows = np.empty((len(histories), len(self.vocabulary)), np.float32)
        for row, history in enumerate(histories):
            rng = np.random.default_rng([self.seed, *history.tolist()])
            rows[row] = rng.choice([0.0, 1.0, 2.0, 3.0, -INF, np.nan], len(self.vocabulary))
        return rows


def rank(score, others):
    """1 + #greater + half the equal others; infinite for what is outside the answer."""
    others = [other for other in others if other > -INF]
    if not score > -INF:
        return INF
    return 1 + sum(other > score for other in others) + 0.5 * sum(other == score for other in others)


def referee(scorer, test, first, table, k, ranked_items):
    """Yield per case: user, stays before, listing rank, type rank or None (no word about types), market,
    whether the listing was booked before."""
    market = dict(zip(table["item_id"].to_pylist(), table["market"].to_pylist(), strict=True))
    kind = dict(zip(table["item_id"].to_pylist(), table["listing_type"].to_pylist(), strict=True))
    ids = scorer.vocabulary.ids.to_pylist()
    for s, stays in enumerate(test.to_lists()):
        for place in range(first[s], len(stays)):
            target = stays[place]
            in_market = [i for i in ranked_items if market[i] is not None and market[i] == market[target]]
            if len(in_market) < 2:
                continue
            history = np.array([ids.index(i) for i in stays[:place] if i in ids], np.int32)
            row = [-INF if np.isnan(x) else float(x) for x in scorer.scores([history])[0]]
            score = {i: row[n] for n, i in enumerate(ids) if market[i] == market[target]}
            found = INF
            if target in score:
                found = rank(score[target], [score[i] for i in score if i != target])
            types = {kind[i] for i in score} - {None}
            best = {t: max(score[i] for i in score if kind[i] == t) for t in types}
            type_rank = None
            if kind[target] is not None and len({kind[i] for i in in_market} - {None}) >= 2:
                type_rank = INF
                if kind[target] in best:
                    type_rank = rank(best[kind[target]], [best[t] for t in best if t != kind[target]])
            user = test.user_ids[s].as_py() if test.user_ids is not None else s
            yield user, place, found, type_rank, market[target], target in stays[:place]


def mean(values):
    values = list(values)
    return None if not values else pytest.approx(100 * sum(values) / len(values))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.booleans())
def test_agreement_with_a_referee_in_plain_python(seed, k, has_users):
    rng = np.random.default_rng(seed)
    table = catalogue(30, rng)
    lists = [rng.integers(0, 30, rng.integers(1, 6)).tolist() for _ in range(15)]
    train = booked([list(range(28)), *lists[:3]])
    test = booked(lists, rng.integers(0, 9, 15) if has_users else None)
    test = replace(test, ts_us=test.ts_us + 1000, start_us=test.start_us + 1000, end_us=test.end_us + 1000)
    first = np.array([rng.integers(0, len(one)) for one in lists])
    known = sorted(rng.choice(28, 20, replace=False).tolist())
    scorers = {"all": Fixed(list(range(28)), seed), "some": Fixed(known, seed + 1)}
    result = evaluate_long_term(
        scorers, test, table, train=train, first_targets=first, k=k, n_bootstrap=20
    ).to_json()
    for name, scorer in scorers.items():
        cases = list(referee(scorer, test, first, table, k, range(28)))
        found = result["scorers"][name]
        assert result["n_cases"] == len(cases)
        assert result["n_users"] == len({case[0] for case in cases})
        assert result["n_typed"] == sum(case[3] is not None for case in cases)
        assert result["n_typed_users"] == len({case[0] for case in cases if case[3] is not None})
        assert sum(one["n_targets"] for one in result["support"]) == result["n_typed"]
        slices = {
            None: cases,
            ("history", "0"): [case for case in cases if case[1] == 0],
            ("history", "1"): [case for case in cases if case[1] == 1],
            ("history", "2+"): [case for case in cases if case[1] >= 2],
            ("repeat", "repeat"): [case for case in cases if case[5]],
            ("repeat", "new"): [case for case in cases if not case[5]],
        }
        markets = {case[4] for case in cases}
        assert set(found["by_market"]) == markets
        slices |= {("market", one): [case for case in cases if case[4] == one] for one in markets}
        for length, chosen in slices.items():
            ranks = [case[2] for case in chosen]
            types = [case[3] for case in chosen if case[3] is not None]
            here = found if length is None else found[f"by_{length[0]}"][length[1]]
            assert here["recall"]["value"] == mean(r <= k for r in ranks)
            assert here["mrr"]["value"] == mean(1 / r if r <= k else 0 for r in ranks)
            assert here["type_accuracy"]["value"] == mean(r == 1 for r in types)
            if length is None:
                assert here["ndcg"]["value"] == mean(1 / np.log2(1 + r) if r <= k else 0 for r in ranks)
                assert here["type_mrr"]["value"] == mean(1 / r for r in types)
            else:
                assert here["n"] == len(ranks)
                assert here["n_typed"] == len(types)
                assert here["n_users"] == len({case[0] for case in chosen})
                assert here["n_typed_users"] == len({case[0] for case in chosen if case[3] is not None})
    json.dumps(result, allow_nan=False)


def test_what_is_no_case_and_what_says_nothing_about_types_is_counted():
    table = pa.table(
        {
            "item_id": ["a", "b", "c", "nowhere", "only", "d", "e", "plain"],
            "market": ["P", "P", "P", None, "Q", "R", "R", "P"],
            "listing_type": ["x", "y", "x", "x", "x", "x", "x", None],
        }
    )
    train = booked([["a", "b", "c", "only", "d", "e", "plain"]])
    test = booked([["a", "nowhere", "only", "d", "plain", "b", "new"]])
    result = evaluate_long_term({"p": Popularity().fit(train)}, test, table, train=shifted(train), k=2)
    assert result.excluded == {
        "market_unknown": 2,  # nowhere; new, which no table knows
        "fewer_than_two_candidates": 1,
        "type_unknown": 1,
        "fewer_than_two_types": 1,
    }
    assert (result.n_cases, result.n_typed, result.n_users) == (4, 2, 1)
    assert result.mean_candidates == (4 + 2 + 4 + 4) / 4
    assert result.chance_recall == 100 * (2 / 4 + 1 + 2 / 4 + 2 / 4) / 4
    # d is of type x, in a market of that type alone: nothing to guess there
    assert [(s.type, s.n_listings, s.n_targets) for s in result.support] == [("x", 5, 1), ("y", 1, 1)]
    assert result.to_json()["scorers"]["p"]["recall"]["low"] is None  # one user says nothing about the spread


class Drawn:
    """Lists drawn at random."""

    def __init__(self, ids, seed=0):
        self.vocabulary = Vocabulary(pa.array(ids, pa.int64()), np.ones(len(ids), np.int64))
        self.draws = np.random.default_rng(seed)

    def scores(self, histories):
        return self.draws.random((len(histories), len(self.vocabulary)), np.float32)


def test_chance_is_what_lists_drawn_at_random_reach():
    """Markets of 3 and of 55 listings: k over the mean size would be far off."""
    rng = np.random.default_rng(0)
    new = {3, 4, 60}  # booked, and no scorer knows them
    market = ["small"] * 5 + ["big"] * 56
    table = pa.table({"item_id": list(range(61)), "market": market, "listing_type": ["x"] * 61})
    lists = [[rng.integers(0, 5) if rng.random() < 0.5 else rng.integers(5, 61)] for _ in range(3000)]
    known = [i for i in range(61) if i not in new]
    sizes = {name: sum(market[i] == name for i in known) for name in ("small", "big")}
    train = shifted(booked([known]))
    scorers = {"drawn": Drawn(known), "fewer": Drawn(known[:40])}
    result = evaluate_long_term(scorers, booked(lists), table, train=train, n_bootstrap=10)
    by_hand = [0.0 if i in new else min(1.0, 20 / sizes[market[i]]) for (i,) in lists]
    assert result.chance_recall == result.to_json()["chance_recall"] == pytest.approx(100 * np.mean(by_hand))
    assert result.chance_recall == pytest.approx(result.scorers["drawn"].recall.value, abs=2.5)


def shifted(sessions, by=-1000):
    """The same sequences earlier, so that they may be a training side."""
    later = {name: getattr(sessions, name) + by for name in ("ts_us", "start_us", "end_us")}
    return replace(sessions, **later)


def test_a_listing_that_is_not_known_may_still_be_of_a_known_type():
    table = pa.table({"item_id": ["a", "b", "new"], "market": ["P"] * 3, "listing_type": ["x", "y", "x"]})
    train = shifted(booked([["a", "b", "a"]]))
    result = evaluate_long_term({"p": Popularity().fit(train)}, booked([["new"], ["b"]]), table, train=train)
    found = result.scorers["p"]
    assert (found.n_unseen_targets, found.n_unseen_histories, found.n_empty_answers) == (1, 0, 0)
    assert result.mean_candidates == 2  # new is asked for, and nobody ranks it
    assert [(one.type, one.n_listings) for one in result.support] == [("x", 1), ("y", 1)]
    assert sorted(found.ranks[0].tolist()) == [2, INF]
    assert sorted(found.type_ranks[0].tolist()) == [1, 2]
    assert found.type_accuracy.value == 50


def test_the_mean_over_seeds_comes_before_the_mean_over_users():
    rng = np.random.default_rng(0)
    table = catalogue(30, rng)
    train = shifted(booked([list(range(30))]))
    test = booked([rng.integers(0, 30, 4).tolist() for _ in range(20)])
    seeds = [Fixed(list(range(30)), seed) for seed in (1, 2, 3)]
    scorers = {"three": seeds, **{f"only {one.seed}": one for one in seeds}}
    found = evaluate_long_term(scorers, test, table, train=train, k=3, n_bootstrap=50).scorers
    assert [figures.n_seeds for figures in found.values()] == [3, 1, 1, 1]
    for metric in ("recall", "mrr", "ndcg", "type_accuracy", "type_mrr"):
        alone = [getattr(found[f"only {one.seed}"], metric).value for one in seeds]
        assert getattr(found["three"], metric).value == pytest.approx(np.mean(alone))
    spread = found["three"].recall.high - found["three"].recall.low
    assert spread < max(found[f"only {i}"].recall.high - found[f"only {i}"].recall.low for i in (1, 2, 3))


def test_users_are_the_clusters():
    """One user with many sequences is one draw of the bootstrap, however many stays it brings."""
    rng = np.random.default_rng(3)
    table = catalogue(30, rng)
    train = shifted(booked([list(range(30))]))
    lists = [[int(i)] for i in rng.integers(0, 30, 60)]
    scorers = {"p": Popularity().fit(train), "f": Fixed(list(range(30)), 1)}
    alone = evaluate_long_term(scorers, booked(lists), table, train=train)
    grouped = evaluate_long_term(scorers, booked(lists, ["one user"] * 60), table, train=train)
    assert (alone.n_users, grouped.n_users) == (alone.n_cases, 1)
    assert grouped.scorers["f"].recall.value == alone.scorers["f"].recall.value
    assert np.isnan(grouped.scorers["f"].recall.low)
    (difference,) = alone.differences
    assert difference.recall.value == pytest.approx(
        alone.scorers["p"].recall.value - alone.scorers["f"].recall.value
    )
    itself = evaluate_long_term({"a": scorers["p"], "b": scorers["p"]}, booked(lists), table, train=train)
    assert itself.differences[0].to_json()["type_accuracy"] == {"value": 0, "low": 0, "high": 0}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (None, "no listing has a known market"),
        (pa.table({"item_id": ["a", "b"], "listing_type": ["x", "y"]}), "no listing has a known market"),
        (pa.table({"item_id": ["a"], "market": ["P"], "listing_type": ["x"]}), "fewer_than_two_candidates"),
    ],
)
def test_no_case_at_all_says_why(table, says):
    train = shifted(booked([["a", "b"]]))
    result = evaluate_long_term({"p": Popularity().fit(train)}, booked([["a", "b"]]), table, train=train)
    assert result.insufficient.startswith("insufficient data")
    assert says in result.insufficient
    plain = result.to_json()
    assert plain["mean_candidates"] is None
    assert plain["scorers"]["p"]["recall"] == {"value": None, "low": None, "high": None}
    assert plain["scorers"]["p"]["by_history"]["0"]["n"] == 0
    json.dumps(plain, allow_nan=False)


def test_without_types_the_listings_are_still_ranked():
    table = pa.table({"item_id": ["a", "b"], "market": ["P", "P"]})
    train = shifted(booked([["a", "b", "a"]]))
    result = evaluate_long_term({"p": Popularity().fit(train)}, booked([["a"], ["b"]]), table, train=train)
    assert (result.n_cases, result.n_typed, result.excluded["type_unknown"]) == (2, 0, 2)
    assert result.support == ()
    assert result.insufficient is None
    figures = result.to_json()["scorers"]["p"]
    assert (figures["mrr"]["value"], figures["type_accuracy"]["value"]) == (75, None)


TRAIN = shifted(booked([["a", "b"], ["b", "a"]]))
TEST = booked([["a", "b"]])
ITEMS = pa.table({"item_id": ["a", "b"], "market": ["P", "P"], "listing_type": ["x", "y"]})


class WrongShape(Popularity):
    def scores(self, histories):
        return super().scores(histories)[:, :-1]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"scorers": {}}, UsageError, "at least one scorer"),
        ({"scorers": {"p": []}}, UsageError, "empty sequence"),
        ({"scorers": {"p": WrongShape().fit(TRAIN)}}, UsageError, "one column per item"),
        ({"scorers": {"p": [Fixed([1], 0), Fixed([2], 0)]}}, UsageError, "different items"),
        ({"k": 0}, UsageError, "k=0"),
        ({"test": replace(TEST, kind="click")}, UsageError, "booking sequences"),
        ({"first_targets": np.array([0, 1])}, UsageError, "2 first targets for 1 sequences"),
        ({"first_targets": np.array([-1])}, UsageError, "in their sequences: whole numbers from 0"),
        ({"items": pa.table({"id": ["a"]})}, DataError, "no column item_id"),
        ({"items": pa.concat_tables([ITEMS, ITEMS])}, DataError, "one row"),
        ({"items": pa.table({"item_id": [1]})}, DataError, "int64 item ids"),
        ({"train": TEST}, LeakError, "at or after the first target"),
        ({"test": booked([[1, 2]])}, DataError, "id"),
    ],
)
def test_bad_input(changes, error, says):
    given = {"scorers": {"p": Popularity().fit(TRAIN)}, "test": TEST, "items": ITEMS, "train": TRAIN}
    scorers, test, items = [{**given, **changes}[name] for name in ("scorers", "test", "items")]
    rest = {name: value for name, value in changes.items() if name not in ("scorers", "test", "items")}
    with pytest.raises(error, match=says):
        evaluate_long_term(scorers, test, items, **{"train": TRAIN, **rest})


def test_an_empty_test_has_no_case():
    result = evaluate_long_term({"p": Popularity().fit(TRAIN)}, TEST.take([]), ITEMS, train=TRAIN)
    assert "no stay is a target" in result.insufficient
    assert result.to_json()["chance_recall"] is None
    nothing_new = evaluate_long_term(
        {"p": Popularity().fit(TRAIN)}, TEST, ITEMS, train=TRAIN, first_targets=np.array([2])
    )
    assert nothing_new.n_cases == 0


def test_a_scorer_without_items_misses_everything():
    table = pa.table({"item_id": [1, 2], "market": ["P", "P"], "listing_type": ["x", "y"]})
    train = shifted(booked([[1, 2, 1]]))
    scorers = {"nobody": Fixed([], 0), "p": Popularity().fit(train)}
    result = evaluate_long_term(scorers, booked([[1, 2], [2]]), table, train=train)
    nobody = result.scorers["nobody"]
    assert (nobody.recall.value, nobody.type_accuracy.value, result.scorers["p"].recall.value) == (0, 0, 100)
    assert (nobody.n_unseen_targets, nobody.n_unseen_histories, nobody.n_empty_answers) == (3, 1, 3)
