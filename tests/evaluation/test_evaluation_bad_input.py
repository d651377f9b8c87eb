"""Bad and empty input to every protocol: counted, explained, and no figure where there is no case."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from item2vec.embeddings import ItemVectors
from item2vec.errors import DataError, EmptyDataError, Item2VecError, LeakError, UsageError
from item2vec.evaluation import (
    booked_rank,
    evaluate_next_item,
    fit_baselines,
    index_recall,
    probe,
    split_sessions,
)
from item2vec.evaluation.long_term.protocol import evaluate_long_term
from item2vec.index import ItemIndex
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

HOUR = 3_600_000_000
COUNTS = ("n", "n_cases", "n_prefixes", "n_queries", "n_common")


def silent_zeros(node, path="", empty=False):
    """Yield where a figure stands although nothing was counted."""
    if isinstance(node, dict):
        empty = empty or any(node.get(name) == 0 for name in COUNTS)
        for key, value in node.items():
            yield from silent_zeros(value, f"{path}.{key}", empty)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from silent_zeros(value, f"{path}[{place}]", empty)
    elif empty and isinstance(node, float):
        yield f"{path} = {node}"


def figures(result):
    """Write a result down as JSON, which knows no NaN, and find no figure without a case."""
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert not list(silent_zeros(found))
    return found


def at(found, path):
    """Follow a path of keys, ``"scorers/popularity/recall/value"``."""
    for key in path.split("/"):
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def check(found, expected):
    for path, value in expected.items():
        assert at(found, path) == (pytest.approx(value) if isinstance(value, float) else value), path


def test_a_silent_zero_would_be_found():
    assert list(silent_zeros({"n": 0, "recall": {"value": 0.0}})) == [".recall.value = 0.0"]
    assert list(silent_zeros({"scorers": [{"n": 0, "mrr": 0.5}, {"n": 1, "mrr": 0.0}]}))
    assert not list(silent_zeros({"n": 0, "recall": {"value": None}, "n_items": 3}))


MARKETS = {"a": "P", "b": "P", "c": "Q"}
TRAIN = Sessions.from_lists([["a", "b"], ["b", "a", "c"], ["c", "a"]] * 3, markets=MARKETS)
NAMES = ("popularity", "market_popularity", "item_knn")


def next_item(*lists, train=TRAIN, names=NAMES, **options):
    test = Sessions.from_lists(lists) if lists else train.take([])
    return evaluate_next_item(fit_baselines(names, train), test, train=train, n_bootstrap=20, **options)


class Mute:
    """Knows the items and never answers."""

    def __init__(self, items=("a", "b", "c"), counts=None):
        self.vocabulary = Vocabulary(pa.array(items), np.zeros(len(items), np.int64))

    def scores(self, histories):
        return np.full((len(histories), len(self.vocabulary)), np.nan, np.float32)


NEXT_ITEM = {
    "only unseen items": (
        lambda: next_item(["x", "y"], ["y", "x", "x"]),
        {
            "n_prefixes": 3,
            "scorers/item_knn/n_unseen_targets": 3,
            "scorers/item_knn/n_unseen_histories": 3,
            "scorers/item_knn/n_empty_answers": 3,
            "scorers/popularity/n_empty_answers": 0,  # it answers without a history
            "scorers/popularity/recall/value": 0.0,  # three cases and three misses
            "scorers/popularity/reachable": {"n": 0, "recall": None, "mrr": None},
            "scorers/popularity/slices/history_cold/n": 3,
            "scorers/popularity/slices/cold/n": 3,
            "scorers/popularity/slices/head/recall/value": None,
            "scorers/item_knn/novelty/value": None,  # of no list
            "scorers/item_knn/gini": None,
        },
    ),
    "one-item sessions": (
        lambda: next_item(["a"], ["b"], ["x"]),
        {
            "n_prefixes": 0,
            "n_sessions": 0,
            "n_sessions_without_case": 3,
            "scorers/popularity/recall": {"value": None, "low": None, "high": None},
            "scorers/popularity/ndcg/value": None,
            "scorers/popularity/coverage": None,
            "scorers/popularity/gini": None,
            "scorers/popularity/popularity_lift/value": None,
            "scorers/popularity/recall_curve": None,
            "scorers/popularity/by_position": [],
            "scorers/popularity/seeds/recall": [None],
            "differences/0/recall/value": None,
        },
    ),
    "targets outside the catalogue": (
        lambda: next_item(["a", "x"], ["b", "x"], ["a", "b"]),
        {
            "n_prefixes": 3,
            "scorers/popularity/n_unseen_targets": 2,
            "scorers/popularity/n_unseen_histories": 0,
            "scorers/popularity/recall/value": 100 / 3,  # misses, and no smaller denominator
            "scorers/popularity/reachable/n": 1,
            "scorers/popularity/reachable/recall": 100.0,
        },
    ),
    "no test session": (
        lambda: next_item(),
        {"n_prefixes": 0, "n_sessions_without_case": 0, "scorers/item_knn/mrr/value": None},
    ),
    "the rest of one-item sessions": (
        lambda: next_item(["a"], relevant="rest"),
        {"relevant": "rest", "n_prefixes": 0, "scorers/popularity/map/value": None},
    ),
    "one session": (
        lambda: next_item(["a", "b"]),
        {"n_prefixes": 1, "scorers/popularity/recall": {"value": 100.0, "low": None, "high": None}},
    ),
    "targets behind the end of their sessions": (
        lambda: next_item(["a", "b"], ["b", "a"], first_targets=np.array([2, 9])),
        {"n_prefixes": 0, "n_sessions_without_case": 2, "scorers/popularity/hr/value": None},
    ),
    "a scorer without an answer": (
        lambda: evaluate_next_item({"mute": Mute()}, Sessions.from_lists([["a", "b"]] * 3), train=TRAIN),
        {
            "scorers/mute/recall/value": 0.0,
            "scorers/mute/n_empty_answers": 3,
            "scorers/mute/n_unseen_targets": 0,
            "scorers/mute/diversity/value": None,
            "scorers/mute/popularity_lift/value": None,
        },
    ),
    "no market": (
        lambda: next_item(["a", "b"], ["c", "a"], train=replace(TRAIN, markets=np.full(3, -1))),
        {"n_prefixes": 2, "scorers/popularity/n_unseen_targets": 0},
    ),
}


@pytest.mark.parametrize("name", NEXT_ITEM)
def test_next_item(name):
    run, expected = NEXT_ITEM[name]
    found = figures(run())
    check(found, expected)


def stays(lists, hours, types=None, markets=MARKETS):
    """Booking sequences whose stays have the given hours."""
    items = sorted({item for row in lists for item in row} | set(markets))
    table = {"item_id": items}
    if markets:
        table["market"] = [markets.get(item) for item in items]
    if types:
        table["listing_type"] = [types.get(item) for item in items]
    sessions = Sessions.from_lists(lists, items=pa.table(table), markets=markets)
    ts = np.array([hour for row in hours for hour in row], np.int64) * HOUR
    return replace(
        sessions,
        kind="booking",
        user_ids=pa.array([f"u{number}" for number in range(len(lists))]),
        ts_us=ts,
        start_us=ts[sessions.offsets[:-1]],
        end_us=ts[sessions.offsets[1:] - 1],
    )


TYPES = {"a": "flat", "b": "house", "c": "flat"}
PAST = stays([["a", "b", "a"], ["b", "c"], ["a", "a", "b"]], [[1, 2, 3], [1, 4], [2, 3, 4]], TYPES)
ITEMS = PAST.items


def long_term(lists, items=ITEMS, train=PAST, first=None, hour=10, **options):
    test = stays(lists, [range(hour, hour + len(row)) for row in lists], TYPES) if lists else PAST.take([])
    first = np.zeros(len(lists), np.int64) if first is None else np.array(first)
    return evaluate_long_term(
        fit_baselines(["popularity"], train),
        test,
        items,
        train=train,
        first_targets=first,
        n_bootstrap=20,
        **options,
    )


LONG_TERM = {
    "only unseen listings": (
        lambda: long_term([["x", "y"]], pa.table({"item_id": ["x", "y", "a", "b"], "market": ["P"] * 4})),
        {
            "n_cases": 2,
            "insufficient": None,
            "scorers/popularity/n_unseen_targets": 2,
            "scorers/popularity/recall/value": 0.0,
            "scorers/popularity/type_accuracy/value": None,  # no type is known
        },
    ),
    "one-stay sequences": (
        lambda: long_term([["a"], ["b"]]),
        {
            "n_cases": 2,
            "scorers/popularity/by_history/0/n": 2,
            "scorers/popularity/by_history/1/n": 0,
            "scorers/popularity/by_history/1/recall/value": None,
            "scorers/popularity/by_history/2+/type_accuracy/value": None,
        },
    ),
    "no test sequence": (
        lambda: long_term([]),
        {"n_cases": 0, "n_users": 0, "mean_candidates": None, "scorers/popularity/mrr/value": None},
    ),
    "no item table": (
        lambda: long_term([["a", "b"]], None),
        {"n_cases": 0, "excluded/market_unknown": 2, "scorers/popularity/ndcg/value": None},
    ),
    "no market": (
        lambda: long_term([["a", "b"]], pa.table({"item_id": ["a", "b"], "market": [None, None]})),
        {"n_cases": 0, "excluded/market_unknown": 2},
    ),
    "no type": (
        lambda: long_term([["a", "b"]], ITEMS.drop_columns(["listing_type"])),
        {
            "n_cases": 2,
            "excluded/type_unknown": 2,
            "support": [],
            "scorers/popularity/type_accuracy/value": None,
            "scorers/popularity/type_mrr/value": None,
        },
    ),
    "a market of one listing": (
        lambda: long_term([["c", "c"]]),
        {"n_cases": 0, "excluded/fewer_than_two_candidates": 2, "scorers/popularity/recall/value": None},
    ),
    "targets behind the end of their sequences": (
        lambda: long_term([["a", "b"]], first=[2]),
        {"n_cases": 0, "scorers/popularity/recall/value": None},
    ),
}


@pytest.mark.parametrize("name", LONG_TERM)
def test_long_term(name):
    run, expected = LONG_TERM[name]
    found = figures(run())
    check(found, expected)
    if found["n_cases"] == 0:
        assert found["insufficient"].startswith("insufficient data: ")


def booked(lists, bookings, names=("popularity",), markets=MARKETS, train=TRAIN, **options):
    test = Sessions.from_lists(lists, booked=bookings, markets=markets) if lists else TRAIN.take([])
    return booked_rank(fit_baselines(names, train), test, n_bootstrap=20, **{"min_cases": 1, **options})


BOOKED_RANK = {
    "empty booked lists": (
        lambda: booked([["a", "b"], ["b", "c"]], [[], []]),
        {
            "n_cases": 0,
            "n_sessions": 0,
            "mean_candidates": None,
            "lines/popularity/before/mean_rank/value": None,
        },
    ),
    "no test session": (
        lambda: booked([], []),
        {"n_cases": 0, "lines/popularity/all/normalised/value": None},
    ),
    "no market": (
        lambda: booked([["a", "b"]], [["b"]], markets=None),
        {
            "n_cases": 0,
            "excluded/bookings of a listing without a market": 1,
            "lines/popularity/all/mean_rank/value": None,
            "lines/popularity/seeds/mean_rank": [None],
        },
    ),
    "only unseen listings": (
        lambda: booked([["x", "y", "y"]], [["y"]], markets={**MARKETS, "x": "P", "y": "P"}),
        {"n_cases": 0, "excluded/clicks before the booking of a listing that no scorer knows": 3},
    ),
    "the booked listing outside the catalogue": (
        lambda: booked([["a", "b"]], [["y"]], markets={**MARKETS, "y": "P"}),
        {
            "n_cases": 0,
            "excluded/clicks before the booking of a listing that no scorer knows": 2,
            "lines/popularity/n_unseen_booked": 0,
        },
    ),
    "a market of one listing": (
        lambda: booked([["c", "c"]], [["c"]]),
        {"n_cases": 0, "excluded/lists of one candidate": 2},
    ),
    "one-click sessions on what was booked": (
        lambda: booked([["a"], ["b"]], [["a"], ["b"]]),
        {
            "n_cases": 2,
            "lines/popularity/before/n": 0,  # its own click is not before it
            "lines/popularity/before/mean_rank/value": None,
            "lines/popularity/all/n": 2,
        },
    ),
    "one session": (
        lambda: booked([["a", "b"]], [["b"]]),
        {"lines/popularity/all/mean_rank/low": None, "lines/popularity/all/n_sessions": 1},
    ),
    "too few cases for a position": (
        lambda: booked([["a", "b"]], [["b"]], min_cases=100),
        {
            "lines/popularity/all/by_position/0": {
                "position": 1,
                "n": 1,
                "n_sessions": 1,
                "mean_rank": None,
                "normalised": None,
            }
        },
    ),
    "a scorer without an answer": (
        lambda: booked_rank(
            {"mute": Mute()},
            Sessions.from_lists([["a", "b"]], booked=[["b"]], markets=MARKETS),
            n_bootstrap=20,
            min_cases=1,
        ),
        {"n_cases": 1, "excluded/lists of one candidate": 1, "lines/mute/all/normalised/value": 1.0},
    ),
}


@pytest.mark.parametrize("name", BOOKED_RANK)
def test_booked_rank(name):
    run, expected = BOOKED_RANK[name]
    found = figures(run())
    check(found, expected)
    if not at(found, f"lines/{next(iter(found['lines']))}/before/n"):
        assert found["insufficient"].startswith("insufficient data: ")


def vectors(n=3, d=4, context=True):
    rng = np.random.default_rng(0)
    ids = pa.array([f"i{number}" for number in range(n)])
    rows = rng.standard_normal((n, d)).astype(np.float32)
    return ItemVectors(Vocabulary(ids, np.ones(n, np.int64)), rows, rows[::-1].copy() if context else None)


def items_of(**columns):
    return pa.table({"item_id": ["i0", "i1", "i2"], **columns})


PROBES = {
    "no item table": (None, ("listing_type", "price_band", "geography")),
    "a table of other items": (pa.table({"item_id": ["z"], "market": ["P"]}), ("listing_type", "price_band")),
    "no row": (pa.table({"item_id": pa.array([], pa.string()), "market": pa.array([], pa.string())}), ()),
    "no market": (items_of(listing_type=["x", "x", None]), ("price_band", "geography")),
    "one market": (items_of(market=["P", "P", "P"]), ("listing_type", "price_band", "geography")),
    "a market for every item": (
        items_of(market=["P", "Q", "R"], listing_type=["x", "x", "y"], price=[1.0, 2.0, 3.0]),
        ("listing_type", "price_band", "geography"),
    ),
    "no known price": (items_of(price=pa.array([None, None, float("nan")], pa.float64())), ("price_band",)),
    "no place on the map": (
        items_of(market=["P", "Q", "P"], latitude=[None, 91.0, 1.0], longitude=[1.0, 1.0, float("nan")]),
        ("geography",),
    ),
}


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("n", [1, 3])
def test_probe(name, n):
    items, missing = PROBES[name]
    if items is not None and n < 3:
        items = items.slice(0, n)
    found = figures(probe(vectors(n), items))
    for part in missing:
        assert found[part]["insufficient"].startswith("insufficient data: "), part
    for part in ("listing_type", "price_band"):
        assert found[part]["n_pairs"] or not any(any(row) for row in found[part]["cosine"])
    for figure in found["same_market"].values():
        assert figure["n"] or figure["share"] is None


@pytest.mark.parametrize("mode", ["similar", "next"])
@pytest.mark.parametrize(("n", "k"), [(1, 10), (2, 10), (3, 1)])
def test_index_recall(mode, n, k):
    model = vectors(n)
    found = figures(index_recall(ItemIndex.build(model, mode, backend="exact"), model, k=k))
    if mode == "similar" and n == 1:
        assert found["recall"] is None  # an item has no neighbour but itself
    else:
        assert found["recall"] == 1.0
    asked = figures(index_recall(ItemIndex.build(model, mode, backend="exact"), model, k=k, n_queries=0))
    assert (asked["recall"], asked["queries_per_second"], asked["n_queries"]) == (None, None, 0)


def timed(lists, starts):
    """Click sessions, one click per hour from the given hours on."""
    sessions = Sessions.from_lists(lists)
    lengths = np.diff(sessions.offsets)
    ts = np.concatenate([start + np.arange(n) for start, n in zip(starts, lengths, strict=True)]) * HOUR
    ends = sessions.offsets[1:] - 1
    return replace(sessions, ts_us=ts, start_us=ts[sessions.offsets[:-1]], end_us=ts[ends])


SIX = timed([["a", "b"], ["b", "a"], ["a", "b", "a"]] * 2, [0, 10, 20, 30, 40, 50])

REFUSED = {
    "a split without training sessions": (
        lambda: split_sessions(SIX, validation=0, test_from=0),
        EmptyDataError,
        r"no train session \(T1 1970.*sessions 6, train 0.*move the cuts",
    ),
    "an empty test range": (
        lambda: split_sessions(SIX, test_from=900 * HOUR),
        EmptyDataError,
        "no test session .*1970.* test 0",
    ),
    "an empty validation range": (
        lambda: split_sessions(SIX, validation_from=31 * HOUR, test_from=40 * HOUR),
        EmptyDataError,
        "no validation session",
    ),
    "a cut through every session": (
        lambda: split_sessions(timed([["a"] * 9] * 3, [0, 1, 2]), validation=0, test_from=4 * HOUR),
        EmptyDataError,
        "no train session .* straddles_t2 0",
    ),
    "no session": (lambda: split_sessions(SIX.take([])), EmptyDataError, "no session to split"),
    "one session without times": (
        lambda: split_sessions(Sessions.from_lists([["a", "b"]])),
        EmptyDataError,
        "the split leaves no",
    ),
    "next item, no training session": (
        lambda: evaluate_next_item({"m": Mute()}, TRAIN, train=TRAIN.take([])),
        EmptyDataError,
        "training side holds no session",
    ),
    "next item, the test trains": (
        lambda: evaluate_next_item(fit_baselines(["popularity"], TRAIN), SIX, train=SIX),
        LeakError,
        "6 of the 6 test sessions are among the training sessions",
    ),
    "next item, no scorer": (lambda: evaluate_next_item({}, SIX), UsageError, "at least one scorer"),
    "next item, no seed": (
        lambda: evaluate_next_item({"m": []}, SIX),
        UsageError,
        "'m' is an empty sequence",
    ),
    "next item, seeds of two vocabularies": (
        lambda: evaluate_next_item({"m": [Mute(), Mute(["a"])]}, SIX),
        UsageError,
        "'m' know different items",
    ),
    "next item, ids of two types": (
        lambda: evaluate_next_item({"m": Mute([1, 2])}, SIX),
        DataError,
        "same id_type",
    ),
    "next item, k": (lambda: evaluate_next_item({"m": Mute()}, SIX, k=0), UsageError, "k=0"),
    "next item, relevant": (
        lambda: evaluate_next_item({"m": Mute()}, SIX, relevant="best"),
        UsageError,
        "relevant='best'",
    ),
    "a baseline without clicks": (
        lambda: fit_baselines(["popularity"], TRAIN.take([])),
        EmptyDataError,
        "no training session has a click",
    ),
    "long term, click sessions": (
        lambda: evaluate_long_term({"m": Mute()}, SIX, ITEMS, train=PAST),
        UsageError,
        "give booking sequences",
    ),
    "long term, no training sequence": (
        lambda: evaluate_long_term({"m": Mute()}, PAST, ITEMS, train=PAST.take([])),
        EmptyDataError,
        "training side holds no session",
    ),
    "long term, every stay a target": (
        lambda: long_term([["a", "b"]], hour=3),
        LeakError,
        "training stays lie at or after .* first_targets=split.test_targets",
    ),
    "long term, two rows for a listing": (
        lambda: long_term([["a", "b"]], pa.table({"item_id": ["a", "a"], "market": ["P", "Q"]})),
        DataError,
        "one row",
    ),
    "probe, bands": (
        lambda: probe(vectors(), items_of(price=[1, 2, 3]), price_bands=(5, 1)),
        UsageError,
        "ascending",
    ),
    "probe, prices of text": (
        lambda: probe(vectors(), items_of(price=["1", "2", "3"])),
        DataError,
        "price is string",
    ),
    "index recall, no output vectors": (
        lambda: index_recall(ItemIndex.build(vectors(), "next", backend="exact"), vectors(context=False)),
        DataError,
        "have none",
    ),
    "index recall, k": (
        lambda: index_recall(ItemIndex.build(vectors(), "similar", backend="exact"), vectors(), k=0),
        UsageError,
        "k=0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_measured_is_refused_in_words(name):
    run, error, says = REFUSED[name]
    with pytest.raises(Item2VecError, match=says) as refused:
        run()
    assert type(refused.value) is error
