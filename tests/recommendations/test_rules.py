"""Guard rails against plain greedy referees."""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marketplace_cases import attribute_rows, best, make_catalogue

from item2vec.embeddings import ItemVectors
from item2vec.errors import UsageError
from item2vec.index import ItemIndex
from item2vec.recommendations import ListRules, Recommender, lists
from item2vec.vocabulary import Vocabulary

TODAY = dt.date(2022, 6, 1)


@pytest.fixture(scope="module")
def catalogue():
    vectors, items = make_catalogue()
    rng = np.random.default_rng(3)
    hosts = pa.array([f"h{k}" for k in rng.integers(40, size=len(items))], mask=rng.random(len(items)) < 0.1)
    twins = pa.array([f"t{k}" for k in rng.integers(300, size=len(items))], mask=rng.random(len(items)) < 0.1)
    return vectors, items.append_column("host", hosts).append_column("twin", twins)


@pytest.fixture(scope="module")
def rec(catalogue):
    vectors, items = catalogue
    return Recommender(vectors, items=items, index=ItemIndex.build(vectors, n_trees=15))


def greedy(catalogue, query, N, caps, own_key=None, min_score=None):
    """Walk down the whole exact list, taking what no rule forbids."""
    vectors, items = catalogue
    num = vectors.vocabulary.num(query)
    rows = dict(zip(vectors.ids, attribute_rows(vectors, items), strict=True))
    allowed = [n != num for n in range(len(vectors.ids))]
    ids, scores = best(vectors, vectors.vectors[num], "similar", len(vectors.ids), allowed)
    seen: dict[tuple[str, object], int] = {}
    taken = []
    for item, score in zip(ids, scores, strict=True):
        values = {column: rows[item].get(column) for column in caps}
        if min_score is not None and score < np.float32(min_score):
            continue
        if (
            own_key
            and rows[item].get(own_key) is not None
            and rows[item].get(own_key) == rows[query].get(own_key)
        ):
            continue
        if any(v is not None and seen.get((c, v), 0) >= caps[c] for c, v in values.items()):
            continue
        taken.append((item, score))
        for column, value in values.items():
            seen[column, value] = seen.get((column, value), 0) + 1
        if len(taken) == N:
            break
    return [item for item, _ in taken], [score for _, score in taken]


@given(
    st.integers(0, 599),
    st.sampled_from([1, 5, 30, 100]),
    st.dictionaries(st.sampled_from(["host", "market", "room_type"]), st.integers(1, 6), min_size=1),
    st.booleans(),
    st.sampled_from([None, 0.2, 0.8]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_caps_duplicates_and_least_scores_are_the_greedy_walk(rec, catalogue, row, N, at_most, unique, least):
    query = catalogue[0].ids[row]
    rules = ListRules(at_most=at_most, unique="twin" if unique else None, min_score=least)
    ids, scores = rec.similar_items(query, N=N, rules=rules)
    caps = at_most | ({"twin": 1} if unique else {})
    expected, expected_scores = greedy(catalogue, query, N, caps, "twin" if unique else None, least)
    assert ids.tolist() == expected
    assert scores.tolist() == expected_scores


def test_a_list_that_rules_shorten_says_so(rec, catalogue):
    ids, _, info = rec.similar_items(
        catalogue[0].ids[0], N=20, rules=ListRules(at_most={"instant": 1}), return_info=True
    )
    assert 2 <= len(ids) < 20
    assert "the rules leave" in info.reason


def test_diversity_is_maximal_marginal_relevance(rec, catalogue):
    vectors, _ = catalogue
    query, share, N = vectors.ids[7], 0.4, 8
    units = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    pool, scores = rec.similar_items(query, N=100)
    rows = units[vectors.vocabulary.nums(pool.tolist())].astype(np.float64)
    chosen: list[int] = []
    while len(chosen) < N:
        gains = [
            -np.inf
            if k in chosen
            else (1 - share) * scores[k] - share * max((rows[k] @ rows[c] for c in chosen), default=0.0)
            for k in range(len(pool))
        ]
        chosen.append(int(np.argmax(gains)))
    ids, kept = rec.similar_items(query, N=N, rules=ListRules(diversity=share))
    assert ids.tolist() == pool[chosen].tolist()
    assert kept.tolist() == scores[chosen].tolist(), "scores stay the similarity"

    def spread(items):
        own = units[vectors.vocabulary.nums(items.tolist())]
        return np.mean([a @ b for a, b in itertools.combinations(own, 2)])

    assert spread(ids) < spread(pool[:N])


def test_popularity_and_freshness_move_items_by_what_they_add(catalogue):
    vectors, items = catalogue
    rec = Recommender(vectors, items=items)
    query = vectors.ids[3]
    nearest, scores = rec.similar_items(query, N=100)
    nums = vectors.vocabulary.nums(nearest.tolist())
    counts = vectors.vocabulary.counts
    bonus = 0.3 * np.log1p(counts[nums]) / np.log1p(counts.max())
    expected = nearest[np.argsort(-(scores + bonus), kind="stable")[:10]]
    ids, _ = rec.similar_items(query, N=10, rules=ListRules(popularity=0.3))
    assert ids.tolist() == expected.tolist()
    rows = dict(zip(vectors.ids, attribute_rows(vectors, items), strict=True))
    days = [(TODAY - rows[i]["listed"]).days if rows[i].get("listed") else np.inf for i in nearest.tolist()]
    fresh = 0.5 * 0.5 ** (np.maximum(days, 0) / 200)
    expected = nearest[np.argsort(-(scores + fresh), kind="stable")[:10]]
    rules = ListRules(freshness=0.5, half_life_days=200, today=TODAY)
    ids, _ = rec.similar_items(query, N=10, rules=rules)
    assert ids.tolist() == expected.tolist()
    assert ids.tolist() != nearest[:10].tolist()


def test_rules_hold_for_histories_and_vectors_too(rec, catalogue):
    vectors, _ = catalogue
    rules = ListRules(at_most={"market": 2})
    rows = dict(zip(vectors.ids, attribute_rows(vectors, catalogue[1]), strict=True))
    for ids, _ in (
        rec.recommend(list(vectors.ids[:3]), N=6, rules=rules),
        rec.similar_to(vectors.vectors[5], N=6, rules=rules),
    ):
        markets = [rows[i].get("market") for i in ids.tolist()]
        assert len(ids) == 6
        assert all(markets.count(m) <= 2 for m in markets if m is not None)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"diversity": 1.0}, "diversity is from 0"),
        ({"diversity": -0.1}, "diversity is from 0"),
        ({"popularity": float("nan")}, "popularity is a number"),
        ({"min_score": "high"}, "min_score is a number"),
        ({"half_life_days": 0}, "half_life_days is above 0"),
        ({"at_most": {"host": 0}}, "at_most"),
        ({"at_most": {"host": True}}, "at_most"),
    ],
)
def test_rules_out_of_range_are_refused(rules, words):
    with pytest.raises(UsageError, match=words):
        ListRules(**rules)


def test_rules_need_their_columns(rec, catalogue):
    query = catalogue[0].ids[0]
    with pytest.raises(UsageError, match="unknown filter column 'brand'"):
        rec.similar_items(query, rules=ListRules(at_most={"brand": 1}))
    with pytest.raises(UsageError, match="freshness needs dates, and price is a number"):
        rec.similar_items(query, rules=ListRules(freshness=1.0, fresh_column="price"))
    with pytest.raises(UsageError, match="need the item table"):
        Recommender(catalogue[0]).similar_items(query, rules=ListRules(unique="twin"))
    with pytest.raises(UsageError, match=r"rules are ListRules"):
        rec.similar_items(query, rules={"at_most": {"host": 1}})


def test_rules_on_one_item_leave_nothing(catalogue):
    vectors, _ = catalogue
    one = ItemVectors(
        vectors.vocabulary.__class__(vectors.vocabulary.ids[:1], np.ones(1, np.int64)), vectors.vectors[:1]
    )
    ids, scores = Recommender(one).similar_items(one.ids[0], rules=ListRules(diversity=0.5))
    assert len(ids) == len(scores) == 0


def test_caps_that_cannot_be_met_are_not_searched_for(monkeypatch):
    """Three values and one of each: three is all there is, however many are asked."""
    rng = np.random.default_rng(0)
    n = 3000
    vectors = ItemVectors(
        Vocabulary(pa.array([f"i{k:05d}" for k in range(n)]), np.ones(n, np.int64)),
        rng.standard_normal((n, 8)).astype(np.float32),
    )
    items = pa.table({"item_id": vectors.vocabulary.ids, "m": [k % 3 for k in range(n)]})
    rec = Recommender(vectors, items=items)
    asked = []
    search = ItemIndex.search

    def noting(self, queries, k, *rest, **more):
        asked.append(k)
        return search(self, queries, k, *rest, **more)

    monkeypatch.setattr(ItemIndex, "search", noting)
    ids, _ = rec.similar_items("i00000", N=10, rules=ListRules(at_most={"m": 1}))
    assert len(ids) == 3
    assert max(asked) < 300
    monkeypatch.setattr(lists, "MAX_K", 500)  # what an index takes at most, in a larger catalogue
    ids, _ = rec.similar_items("i00000", N=10, rules=ListRules(at_most={"m": 1}, min_score=-1.0))
    assert len(ids) == 3
    ids, _ = rec.similar_items("i00000", N=10, rules=ListRules(unique="m", min_score=0.99))
    assert len(ids) == 0
    assert max(asked) <= 501


@pytest.mark.parametrize(
    "bad", [{"at_most": ["m"]}, {"today": "2026-01-01"}, {"at_most": {"m": np.float64(1.5)}}]
)
def test_rules_of_the_wrong_kind_are_refused(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        ListRules(**bad)


def test_numpy_s_numbers_are_numbers():
    rules = ListRules(min_score=np.float32(0.5), at_most={"m": np.int64(2)}, diversity=np.float64(0.1))
    assert rules == ListRules(min_score=0.5, at_most={"m": 2}, diversity=0.1)
