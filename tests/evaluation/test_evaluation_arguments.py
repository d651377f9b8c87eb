"""What a newcomer passes by mistake is refused in words, and never read out of bounds."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from item2vec.embeddings import Cooccurrence, Item2Vec, ItemVectors
from item2vec.errors import UsageError
from item2vec.evaluation import (
    ItemKNN,
    Popularity,
    RepeatType,
    SequentialRules,
    SessionKNN,
    TypeTransitions,
    booked_rank,
    check_no_leak,
    evaluate_long_term,
    evaluate_next_item,
    fit_baselines,
    fit_long_term_baselines,
    index_recall,
    neighbour_agreement,
    probe,
    search_lists,
    split_sessions,
)
from item2vec.evaluation.baselines.click_matrix import flat_histories
from item2vec.evaluation.text_table import text_table
from item2vec.index import ItemIndex
from item2vec.recommendations import Recommender
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

ITEMS = pa.table({"item_id": ["a", "b", "c"], "listing_type": ["x", "x", "y"], "market": ["P"] * 3})
LOG = Sessions.from_lists(
    [["a", "b"], ["b", "a", "c"], ["c", "a"], ["a", "c", "b"]] * 5,
    markets=dict.fromkeys("abc", "P"),
    items=ITEMS,
)
STAYS = replace(LOG, kind="booking")
TEST = Sessions.from_lists([["a", "b"], ["b", "c", "a"], ["c", "b"]])
MODEL = Cooccurrence(vector_size=2).fit(LOG)
WRAPPED = Recommender(MODEL.item_vectors_)

BASELINES = {
    "popularity": Popularity(),
    "popularity by market": Popularity(per_market=True),
    "item-kNN": ItemKNN(),
    "item-kNN, decayed": ItemKNN(decay=0.5),
    "rules": SequentialRules(),
    "rules, decayed": SequentialRules(decay=0.5),
    "session-kNN": SessionKNN(),
    "repeat type": RepeatType(),
    "type transitions": TypeTransitions(),
}
NO_HISTORIES = {
    "beyond the vocabulary": [np.array([99])],
    "just beyond": [np.array([0]), np.array([3, 0])],
    "unknown": [np.array([-1], np.int32)],
    "wider than int32": [np.array([2**32])],
    "ids": [["a", "b"]],
    "numbers with a fraction": [np.array([0.0, 1.0])],
    "flags": [np.array([True, False])],
    "one history": np.array([0, 1]),
    "one history as a list": [0, 1],
    "tables": [np.zeros((1, 2), np.int32)],
}


@pytest.mark.parametrize("what", NO_HISTORIES)
@pytest.mark.parametrize("name", BASELINES)
def test_histories_of_other_things_than_item_numbers_are_refused(name, what):
    scorer = BASELINES[name].fit(LOG)
    with pytest.raises(
        UsageError, match=r"item numbers of the scorer's vocabulary, from 0 to 2 .*nums\(ids\)"
    ):
        scorer.scores(NO_HISTORIES[what])


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_whole_numbers_of_every_width_are_item_numbers(dtype):
    items, offsets = flat_histories([np.array([2, 0], dtype), [], np.array([1], dtype)], 3)
    assert items.dtype == np.int32
    assert (items.tolist(), offsets.tolist()) == ([2, 0, 1], [0, 2, 2, 3])


def vectors(n=12, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32)
    return ItemVectors(Vocabulary(pa.array([f"i{i}" for i in range(n)]), np.ones(n, np.int64)), rows)


class Nothing:
    pass


class Answers:
    """Knows the three items and answers what it is told."""

    def __init__(self, answer):
        self.vocabulary = Vocabulary(pa.array(["a", "b", "c"]), np.zeros(3, np.int64))
        self.answer = answer

    def scores(self, histories):
        return self.answer(len(histories))


NO_SCORERS = {
    "an estimator": ({"m": MODEL}, r"'m' is of type Cooccurrence.*Recommender\(model.item_vectors_\)"),
    "an estimator, not fitted": ({"m": Item2Vec()}, "'m' is of type Item2Vec: it is not fitted.*Recommender"),
    "vectors": ({"m": MODEL.item_vectors_}, r"'m' is of type ItemVectors.*Recommender\("),
    "a baseline, not fitted": ({"m": ItemKNN()}, r"'m' is of type ItemKNN: it is not fitted.*first$"),
    "one of several": ({"m": [WRAPPED, ItemKNN()]}, "'m' is of type ItemKNN: it is not fitted"),
    "a class": ({"m": ItemKNN}, "'m' is the class ItemKNN"),
    "an index": ({"m": ItemIndex.build(vectors(), "similar", backend="exact")}, "'m' is of type ItemIndex"),
    "something else": ({"m": Nothing()}, "'m' is of type Nothing: a scorer has a vocabulary and scores"),
    "no scorer": ({"m": None}, "'m' is of type NoneType"),
    "a scorer without a name": (WRAPPED, "given as Recommender; give each one a name"),
    "a list": ([WRAPPED], "given as list; give each one a name"),
    "a class without a name": (ItemKNN, "given as the class ItemKNN"),
}
PROTOCOLS = {
    "next item": lambda scorers, **options: evaluate_next_item(scorers, TEST, **options),
    "long term": lambda scorers, **options: evaluate_long_term(scorers, STAYS, ITEMS, train=STAYS, **options),
    "booked rank": lambda scorers, **options: booked_rank(scorers, TEST, **options),
    "leaks": lambda scorers: check_no_leak(scorers, LOG, TEST),
}


@pytest.mark.parametrize("what", NO_SCORERS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_does_not_rank_is_refused_by_every_protocol(protocol, what):
    scorers, says = NO_SCORERS[what]
    with pytest.raises(UsageError, match=says):
        PROTOCOLS[protocol](scorers)


@pytest.mark.parametrize(
    "options", [{"k": 2.5}, {"k": True}, {"k": 0}, {"n_bootstrap": 1.5}, {"n_bootstrap": -1}, {"seed": -1}]
)
@pytest.mark.parametrize("protocol", ["next item", "long term", "booked rank"])
def test_numbers_out_of_range_are_refused_by_name(protocol, options):
    if protocol == "booked rank" and "k" in options:
        options = {"min_cases": options["k"]}
    ((name, value),) = options.items()
    with pytest.raises(UsageError, match=f"{name}={value}: "):
        PROTOCOLS[protocol]({"m": WRAPPED}, **options)


def test_a_sample_of_sessions_is_a_whole_number():
    with pytest.raises(UsageError, match=r"max_sessions=1.5: "):
        evaluate_next_item({"m": WRAPPED}, TEST, max_sessions=1.5)


SPLIT = split_sessions(LOG, validation=0.2, test=0.2)
NO_SESSIONS = {
    "test": lambda given: evaluate_next_item({"m": WRAPPED}, given),
    "train": lambda given: evaluate_next_item({"m": WRAPPED}, TEST, train=given),
    "long term": lambda given: evaluate_long_term({"m": WRAPPED}, given, ITEMS, train=STAYS),
    "leaks": lambda given: check_no_leak({"m": WRAPPED}, LOG, given),
    "a baseline": lambda given: ItemKNN().fit(given),
    "a baseline by type": lambda given: RepeatType().fit(given),
}


@pytest.mark.parametrize("where", NO_SESSIONS)
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (SPLIT, "are a whole Split; pass one of its sides"),
        ([["a", "b"]], r"sessions are of type list; pass Sessions: .*from_lists"),
    ],
)
def test_what_are_no_sessions_is_refused(where, given, says):
    with pytest.raises(UsageError, match=says):
        NO_SESSIONS[where](given)


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ([1, -1, 1], "whole numbers from 0"),
        ([1.5, 1, 1], "whole numbers from 0"),
        ([1, 1], "2 first targets for 3 sessions"),
        ([[1, 1, 1]], "1 first targets for 3 sessions"),
        ([0.9, 0.9, 0.9], "whole numbers from 0"),
        (["a", "b", "c"], "whole numbers from 0"),
        (5, "1 first targets for 3 sessions"),
        ([[1], [1, 2], []], "whole numbers from 0"),
        ([[1], [1, 2]], "2 first targets for 3 sessions"),
    ],
)
def test_first_targets_are_positions(first, says):
    stays, of_stays = STAYS.take([0, 1, 2]), says.replace("sessions", "sequences")
    for check, words in (
        (lambda: evaluate_next_item({"m": WRAPPED}, TEST, first_targets=first), says),
        (lambda: check_no_leak({"m": WRAPPED}, LOG, TEST, first), says),
        (
            lambda: evaluate_long_term({"m": WRAPPED}, stays, ITEMS, train=STAYS, first_targets=first),
            of_stays,
        ),
    ):
        with pytest.raises(UsageError, match=words):
            check()


def test_an_infinite_score_is_the_best_and_equal_ones_share_their_ranks():
    rows = [[np.inf, 1.0, np.inf]]
    scorer = Answers(lambda n: np.repeat(np.array(rows, np.float32), n, axis=0))
    found = evaluate_next_item({"m": scorer}, Sessions.from_lists([["b", "a"], ["c", "b"], ["b", "c"]]), k=2)
    assert found.scorers["m"].ranks.tolist() == [1.5, 3.0, 1.5]
    assert found.scorers["m"].n_empty_answers == 0
    stays = STAYS.take(np.array([0, 2]))
    found = evaluate_long_term({"m": scorer}, stays, ITEMS, train=STAYS, first_targets=np.array([1, 0]))
    assert sorted(found.scorers["m"].ranks[0].tolist()) == [1.5, 1.5, 3.0]
    assert found.scorers["m"].n_empty_answers == 0
    bookings = Sessions.from_lists([["b"]] * 2, booked=[["c"], ["a"]], markets=dict.fromkeys("abc", "P"))
    found = booked_rank({"m": scorer}, bookings, min_cases=1)
    assert found.lines["m"].ranks.tolist() == [[1.5, 1.5]]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda n: np.zeros((n, 2)), r"answered \(\d, 2\) for \d histories and 3 items"),
        (lambda n: np.full((n, 3), "x"), "answered <U1; scores"),
        (lambda n: None, r"answered \(\) for"),
    ],
)
def test_answers_of_another_shape_or_kind_are_refused(answer, says):
    with pytest.raises(UsageError, match="'m' " + says):
        evaluate_next_item({"m": Answers(answer)}, TEST)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.float16, np.float64, "float128"])
def test_answers_of_any_kind_of_number_rank_in_every_protocol(dtype):
    def scorer(dtype):
        return Answers(lambda n: np.array([[1, 0, 0]] * n, dtype))

    bookings = Sessions.from_lists([["b"]] * 2, booked=[["c"], ["a"]], markets=dict.fromkeys("abc", "P"))
    both = {"given": scorer(dtype), "float32": scorer(np.float32)}
    found = evaluate_next_item(both, TEST, n_bootstrap=0)
    assert found.scorers["given"].ranks.tolist() == found.scorers["float32"].ranks.tolist()
    found = evaluate_long_term(both, STAYS, ITEMS, train=STAYS, n_bootstrap=0)
    assert found.scorers["given"].ranks.tolist() == found.scorers["float32"].ranks.tolist()
    found = booked_rank(both, bookings, min_cases=1, n_bootstrap=0)
    assert found.lines["given"].ranks.tolist() == found.lines["float32"].ranks.tolist()


def test_scores_beyond_float32_are_infinite():
    found = evaluate_next_item({"m": Answers(lambda n: [[1e300, 1.0, -1e300]] * n)}, TEST)
    assert found.scorers["m"].ranks.tolist() == [2.0, np.inf, 1.0, 2.0]


def test_rows_as_lists_are_answers():
    found = evaluate_next_item({"m": Answers(lambda n: [[3, 2, 1]] * n)}, TEST)
    assert found.scorers["m"].ranks.tolist() == [2.0, 3.0, 1.0, 2.0]


DOORS = {
    "searches in a split": (lambda: search_lists(LOG_OF_EVENTS, SPLIT), "are a whole Split; pass one of"),
    "searches in lists": (lambda: search_lists(LOG_OF_EVENTS, [["a"]]), "sessions are of type list"),
    "searches of a word": (lambda: search_lists("x", TEST), "takes Events and test sessions, not str"),
    "searches of sessions": (lambda: search_lists(LOG, TEST), "not Sessions; see read_events"),
    "baselines on a split": (lambda: fit_baselines(["popularity"], SPLIT), "are a whole Split; pass one of"),
    "no baselines on lists": (lambda: fit_baselines([], [["a", "b"]]), "sessions are of type list"),
    "one baseline, no list": (lambda: fit_baselines("popularity", LOG), r"given as 'popularity'; .*a list"),
    "no baselines": (lambda: fit_baselines(None, LOG), "given as None; give a list of names"),
    "a list for a baseline": (lambda: fit_baselines([["popularity"]], LOG), r"unknown baseline \['pop"),
    "half a neighbour": (lambda: SessionKNN(n_neighbors=2.5), "n_neighbors=2.5: at least one"),
    "a sample of words": (lambda: SessionKNN(sample_size="many"), "sample_size='many': at least one"),
    "a neighbour's name": (lambda: ItemKNN(n_neighbors="a"), "n_neighbors='a': at least one"),
    "a flag for a decay": (lambda: ItemKNN(decay=True), r"decay=True: give a number in \[0, 1\]"),
    "no decay": (lambda: SequentialRules(decay=None), r"decay=None: give a number in \[0, 1\]"),
    "regularised by a word": (lambda: ItemKNN(regularization="20"), "regularization='20': give a finite"),
    "the position of a word": (lambda: rank(max_position="3"), "max_position='3': give a whole number"),
    "half a position": (lambda: rank(max_position=2.5), "max_position=2.5: give a whole number"),
    "no number of cases": (lambda: rank(min_cases=None), "min_cases=None: give a whole number"),
    "searches in a list": (lambda: rank(searches=[1]), r"searches are of type list; pass search_lists\("),
    "a difference of unknown lines": (
        lambda: rank(min_cases=1).difference("m", "other"),
        "no difference 'm' - 'other' of the curve 'before': the lines are 'm',",
    ),
    "items in a dictionary": (lambda: long_term({"a": 1}), "items are given as dict; pass a pyarrow.Table"),
    "a type that is no column": (
        lambda: long_term(ITEMS, attribute="typo"),
        "attribute='typo': the item table has no such column; it has listing_type, market beside",
    ),
    "a type without a table": (lambda: long_term(None, attribute="typo"), "it has none beside the ids"),
    "the ids for a type": (lambda: long_term(ITEMS, attribute="item_id"), "attribute='item_id': the item"),
    "a baseline of a type that is no column": (
        lambda: RepeatType(attribute="typo").fit(STAYS),
        "attribute='typo': the item table has no such column; it has .*listing_type.* beside",
    ),
    "baselines of a type that is no column": (
        lambda: fit_long_term_baselines(STAYS, attribute="typo"),
        "attribute='typo': the item table has no such column; it has .*listing_type.* beside",
    ),
    "long-term baselines on a split": (lambda: fit_long_term_baselines(SPLIT), "are a whole Split; pass"),
    "half a step": (lambda: SequentialRules(max_distance=2.5), "max_distance=2.5: a rule reaches"),
}
BOOKINGS = Sessions.from_lists([["b"]] * 2, booked=[["c"], ["a"]], markets=dict.fromkeys("abc", "P"))
LOG_OF_EVENTS = SimpleNamespace(files=[], id_type="string")


def rank(**options):
    return booked_rank({"m": WRAPPED}, BOOKINGS, **options)


def long_term(items, **options):
    return evaluate_long_term({"m": WRAPPED}, STAYS, items, train=STAYS, **options)


@pytest.mark.parametrize("door", DOORS)
def test_doors_refuse_what_they_do_not_take(door):
    call, says = DOORS[door]
    with pytest.raises(UsageError, match=says):
        call()


def test_lists_as_long_as_a_number_of_numpy_are_json():
    assert json.loads(json.dumps(evaluate_next_item({"m": WRAPPED}, TEST, k=np.int64(5)).to_json()))["k"] == 5
    assert json.loads(json.dumps(long_term(ITEMS, k=np.int64(5)).to_json()))["k"] == 5
    assert json.dumps(rank(min_cases=np.int64(1), max_position=np.int32(3)).to_json())


def test_without_a_column_that_nobody_asked_for_types_are_unknown():
    assert long_term(ITEMS.select(["item_id", "market"])).n_typed == 0


def test_a_result_shows_why_it_says_little():
    assert repr(rank()).splitlines()[-1].startswith("  insufficient data: ")
    assert repr(long_term(None)).splitlines()[-1].startswith("  insufficient data: no listing has a known")


def test_numbers_of_numpy_are_numbers():
    two, half = np.int64(2), np.float32(0.5)
    for given, plain in (
        (
            ItemKNN(n_neighbors=two, decay=half, regularization=two),
            ItemKNN(n_neighbors=2, decay=0.5, regularization=2),
        ),
        (SequentialRules(max_distance=two, decay=half), SequentialRules(max_distance=2, decay=0.5)),
        (
            SessionKNN(n_neighbors=np.uint8(2), sample_size=np.int32(3)),
            SessionKNN(n_neighbors=2, sample_size=3),
        ),
    ):
        histories = [np.array([0, 2]), np.array([1])]
        np.testing.assert_array_equal(given.fit(LOG).scores(histories), plain.fit(LOG).scores(histories))


def test_more_than_there_can_be_is_all():
    many = 10**30
    for given, plain in (
        (ItemKNN(n_neighbors=many), ItemKNN()),
        (SequentialRules(max_distance=many), SequentialRules()),
        (SessionKNN(n_neighbors=many, sample_size=many), SessionKNN()),
    ):
        histories = [np.array([0, 2]), np.array([1])]
        np.testing.assert_array_equal(given.fit(LOG).scores(histories), plain.fit(LOG).scores(histories))


def test_names_of_baselines_come_in_any_order_of_things():
    names = ["item_knn", "popularity"]
    assert list(fit_baselines(iter(names), LOG)) == list(fit_baselines(tuple(names), LOG)) == names


PROBES = {
    "k": (lambda: probe(vectors(), None, k=0), "k=0: "),
    "a part of k": (lambda: neighbour_agreement(vectors().vectors, np.zeros(12, int), k=1.5), "k=1.5: "),
    "queries": (lambda: probe(vectors(), None, max_queries=0), "max_queries=0: "),
    "seed": (lambda: probe(vectors(), None, seed=-1), "seed=-1: "),
    "descending bands without prices": (lambda: probe(vectors(), None, price_bands=(5, 1)), "ascending"),
    "no band": (lambda: probe(vectors(), None, price_bands=()), "ascending"),
    "bands of words": (lambda: probe(vectors(), None, price_bands=["x"]), "ascending"),
    "a band that is no number": (lambda: probe(vectors(), None, price_bands=[np.nan]), "ascending"),
    "bands of another name": (lambda: probe(vectors(), None, price_bands="quartiles"), "or 'quintiles'"),
    "recall of a part": (lambda: recall(k=2.5), "k=2.5: "),
    "recall over half a query": (lambda: recall(n_queries=0.5), "n_queries=0.5: "),
    "recall of other vectors": (
        lambda: recall(vectors(seed=1)),
        "similar index was built from other vectors",
    ),
    "recall of fewer vectors": (lambda: recall(vectors(5)), "similar index was built from other vectors"),
}


def recall(given=None, **options):
    index = ItemIndex.build(vectors(), "similar", backend="exact")
    return index_recall(index, given or vectors(), **options)


@pytest.mark.parametrize("name", PROBES)
def test_probes_refuse_what_they_cannot_ask(name):
    run, says = PROBES[name]
    with pytest.raises(UsageError, match=says):
        run()


def test_columns_are_as_wide_as_they_need():
    assert text_table("Title", ["a", "b"], [("long name", 1), ("x", 22)]) == (
        "Title\n  a          b\n  long name  1\n  x          22"
    )


def test_a_result_shows_its_main_figures_and_not_its_arrays():
    found = evaluate_next_item({"knn": ItemKNN().fit(LOG), "cooc": WRAPPED}, TEST, k=2, n_bootstrap=50)
    title, head, *rows = repr(found).splitlines()
    assert "4 prefixes of 3 sessions" in title
    assert head.split() == ["scorer", "Recall@2", "MRR@2", "NDCG@2", "coverage", "%"]
    assert [row.split()[0] for row in rows] == ["knn", "cooc"]
    assert str(found.scorers["knn"].recall) in rows[0]


def test_a_result_of_the_long_term_shows_its_main_figures():
    found = evaluate_long_term(
        {"popular": Popularity().fit(STAYS)}, STAYS.take([1]), ITEMS, train=STAYS, n_bootstrap=5
    )
    title, head, row, about = repr(found).splitlines()
    assert "3 stays of 1 users" in title
    assert "listing_type is a snapshot" in about
    assert head.split() == ["scorer", "Recall@20", "MRR@20", "type", "accuracy"]
    assert row.split()[0] == "popular"
    assert str(found.scorers["popular"].type_accuracy) in row
    title, head, row = found.slice_table("repeat").splitlines()
    assert head.split() == ["scorer", "repeat", "(0)", "new", "(3)"]


def test_a_booked_rank_shows_its_main_figures():
    bookings = Sessions.from_lists([["b", "a"]] * 3, booked=[["c"]] * 3, markets=dict.fromkeys("abc", "P"))
    found = booked_rank({"popular": Popularity().fit(LOG)}, bookings, min_cases=1, n_bootstrap=5)
    title, head, row = repr(found).splitlines()
    assert "6 cases" in title
    assert head.split() == ["line", "cases", "mean", "rank", "normalised"]
    assert row.split()[:2] == ["popular", "6"]
    assert str(found.curves["popular"]["before"].overall.mean_rank) in row
