"""Similar items and recommendations against brute force, and every way to ask wrongly."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marketplace_cases import MARKETS, ROOMS, attribute_rows, best, make_catalogue, meets

from item2vec.embeddings import ItemVectors
from item2vec.errors import UnknownItemError, UsageError
from item2vec.index import ItemIndex
from item2vec.recommendations import ListRules, QueryInfo, Recommender

MODES = ("similar", "next")


@pytest.fixture(scope="module")
def catalogue():
    return make_catalogue()


@pytest.fixture(scope="module")
def exact(catalogue):
    vectors, items = catalogue
    return Recommender(vectors, items=items)


@pytest.fixture(scope="module")
def with_trees(catalogue):
    vectors, items = catalogue
    indexes = {mode: ItemIndex.build(vectors, mode=mode, n_trees=15) for mode in MODES}
    return Recommender(vectors, items=items, index=indexes)


@pytest.fixture(scope="module", params=["exact", "with_trees"])
def rec(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("mode", MODES)
def test_similar_items_equal_brute_force(exact, mode):
    vectors = exact.vectors
    for num in range(0, 600, 37):
        ids, scores = exact.similar_items(vectors.ids[num], N=13, mode=mode)
        allowed = np.arange(600) != num
        assert (ids.tolist(), scores.tolist()) == best(vectors, vectors.vectors[num], mode, 13, allowed)


def test_types_and_shapes(rec):
    ids, scores = rec.similar_items("i0001")
    assert ids.shape == scores.shape == (10,)
    assert ids.dtype.kind == "U"
    assert scores.dtype == np.float32
    ids, scores = rec.similar_items(["i0001", "nowhere", "i0002"], N=4)
    assert ids.shape == scores.shape == (3, 4)
    assert ids[1].tolist() == [""] * 4
    assert (scores[1] == -np.inf).all()
    np.testing.assert_array_equal(ids[2], rec.similar_items("i0002", N=4)[0])
    assert rec.similar_items(["i0001"], N=4)[0].shape == (1, 4)
    assert rec.similar_items([], N=4)[0].shape == (0, 4)
    assert rec.similar_items(np.array(["i0001", "i0002"]), N=4)[0].shape == (2, 4)
    assert rec.similar_items(pa.array(["i0001", "i0002"]), N=4)[0].shape == (2, 4)


def test_integer_ids_are_padded_with_minus_one():
    vectors, items = make_catalogue(id_type="int64")
    rec = Recommender(vectors, items=items)
    ids, scores = rec.similar_items([vectors.ids[3], -7], N=3)
    assert ids.dtype == np.int64
    assert ids[1].tolist() == [-1, -1, -1]
    assert rec.similar_items(np.int64(vectors.ids[3]), N=3)[0].tolist() == ids[0].tolist()
    assert (ids[0].tolist(), scores[0].tolist()) == best(
        vectors, vectors.vectors[3], "similar", 3, np.arange(600) != 3
    )
    assert rec.recommend([vectors.ids[3]])[0].shape == (10,)


def test_the_query_is_never_returned_even_among_its_duplicates(rec):
    vectors = rec.vectors
    twins = vectors.ids[300:312]
    for N in (1, 5, 11, 20):
        ids, scores = rec.similar_items(twins, N=N)
        for row, own in enumerate(twins):
            assert own not in ids[row].tolist()
            others = sorted(set(twins) - {own})
            assert ids[row, :11].tolist() == others[:N]
            assert (scores[row, : min(N, 11)] == 1.0).all()


def test_repeated_ids_are_each_answered(rec):
    ids, _ = rec.similar_items(["i0005", "i0005", "i0006", "i0005"], N=6)
    assert ids[0].tolist() == ids[1].tolist() == ids[3].tolist() != ids[2].tolist()


def test_more_results_than_items(rec):
    ids, scores, info = rec.similar_items("i0001", N=5000, return_info=True)
    assert len(ids) == len(set(ids.tolist())) == 599
    assert (np.diff(scores) <= 0).all()
    assert info == QueryInfo(
        "exact", 599, 599, 0, "only 599 of 600 items are left after the filters and the query's own items"
    )
    assert rec.similar_items(["i0001"], N=5000)[0].shape == (1, 5000)


def test_info_tells_the_path_and_why_a_list_is_short(with_trees):
    rec = with_trees
    *_, info = rec.similar_items("i0001", return_info=True)
    assert info == QueryInfo("annoy", 10, 599, 0, None)
    *_, infos = rec.similar_items(["i0001", "nowhere"], items=["i0001", "i0002", "x", "y"], return_info=True)
    reason = "only 1 of 600 items are left after the filters and the query's own items"
    assert infos[0] == QueryInfo("exact", 1, 1, 2, reason)
    assert infos[1] == QueryInfo("none", 0, 0, 3, "the query holds no known item")
    *_, info = rec.similar_items("i0001", items=[], return_info=True)
    assert info == QueryInfo("none", 0, 0, 0, "no item is left after the filters and the query's own items")
    *_, infos = rec.recommend([[], ["nowhere"], ["i0001", "x"]], return_info=True)
    assert [info.reason for info in infos] == ["the query is empty", "the query holds no known item", None]
    assert [info.unknown_ids for info in infos] == [0, 1, 1]
    *_, info = rec.recommend(["i0001", "i0001", "i0002"], items=["i0001", "i0003"], return_info=True)
    assert (info.n_candidates, info.n_results) == (1, 1)


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "market": st.one_of(
            st.sampled_from(["Paris", "Rome", "Atlantis"]),
            st.lists(st.sampled_from([m for m in MARKETS if m])),
        ),
        "price": st.one_of(
            st.tuples(
                st.none() | st.integers(0, 150), st.none() | st.integers(150, 320) | st.floats(150, 400)
            ),
            st.sampled_from([55.0, 80]),
        ),
        "room_type": st.one_of(st.sampled_from(ROOMS), st.lists(st.sampled_from(ROOMS), max_size=2)),
        "capacity": st.one_of(st.integers(0, 9), st.lists(st.sampled_from([2, 2.5, 3, 4.0]), max_size=3)),
        "instant": st.booleans(),
    },
)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=CONDITIONS, data=st.data())
def test_filtered_answers_equal_brute_force(exact, with_trees, where, data):
    vectors, rows = exact.vectors, ATTRIBUTES
    ids = vectors.ids
    allow = data.draw(st.none() | st.lists(st.sampled_from(ids), max_size=40))
    deny = data.draw(st.none() | st.lists(st.sampled_from(ids), max_size=40))
    own, N = data.draw(st.sampled_from(ids)), data.draw(st.integers(1, 30))
    mode = data.draw(st.sampled_from(MODES))
    allowed = [
        meets(row, where) and item != own and (allow is None or item in allow) and not (deny and item in deny)
        for item, row in zip(ids, rows, strict=True)
    ]
    truth = best(vectors, vectors[own], mode, N, allowed)
    for rec in (exact, with_trees):
        found, scores, info = rec.similar_items(
            own, N, where=where, items=allow, filter_items=deny, mode=mode, return_info=True
        )
        assert len(found) == len(truth[0])
        assert info.n_candidates == sum(allowed)
        if info.path != "annoy":
            assert (found.tolist(), scores.tolist()) == truth


ATTRIBUTES = attribute_rows(*make_catalogue())


def test_ranges_include_both_ends(exact):
    price = next(row["price"] for row in ATTRIBUTES if row.get("price"))
    at_price = {
        item for item, row in zip(exact.vectors.ids, ATTRIBUTES, strict=True) if row.get("price") == price
    }
    for ends in ((price, price), (price, price + 0.5), (price - 0.5, price)):
        found, _ = exact.recommend([exact.vectors.ids[0]], N=600, where={"price": ends}, filter_seen=False)
        assert set(found.tolist()) == at_price


def test_dates_can_be_filtered(exact):
    import datetime as dt

    low, high = dt.date(2019, 6, 1), dt.date(2020, 2, 1)
    expected = {
        item
        for item, row in zip(exact.vectors.ids, ATTRIBUTES, strict=True)
        if row and low <= row["listed"] <= high
    }
    for where in ((low, high), (dt.datetime(2019, 6, 1, tzinfo=dt.UTC), dt.datetime(2020, 2, 1))):
        ids, _ = exact.recommend([exact.vectors.ids[0]], N=600, where={"listed": where}, filter_seen=False)
        assert set(ids.tolist()) == expected
    assert expected


BAD_FILTERS = {
    "unknown column": ({"city": "Paris"}, "market, price, room_type"),
    "item_id": ({"item_id": "i0001"}, "unknown filter column"),
    "text for a number": ({"price": "cheap"}, "price is a number"),
    "number for text": ({"market": 3}, "market is text"),
    "none": ({"market": None}, "cannot be compared with None"),
    "bool for a number": ({"price": True}, "price is a number"),
    "number for bool": ({"instant": 1}, "instant is true or false"),
    "nan": ({"price": (float("nan"), 3)}, "nan"),
    "upside down": ({"price": (90, 50)}, "lo is above hi"),
    "three ends": ({"price": (1, 2, 3)}, r"tuple \(lo, hi\)"),
    "range of text": ({"market": ("A", "Z")}, "a range needs numbers"),
    "number for a date": ({"listed": 2020}, "listed is a date"),
    "list column": ({"amenities": "wifi"}, "cannot be filtered"),
    "mixed list": ({"market": ["Paris", 3]}, "market is text"),
    "not a mapping": (["market"], "where is a mapping"),
}


@pytest.mark.parametrize("case", BAD_FILTERS)
def test_bad_filters_are_refused(exact, case):
    where, message = BAD_FILTERS[case]
    with pytest.raises(UsageError, match=message):
        exact.similar_items("i0001", where=where)


BAD_CALLS = {
    "N zero": (lambda r: r.similar_items("i0001", N=0), UsageError, "whole number"),
    "N negative": (lambda r: r.recommend(["i0001"], N=-1), UsageError, "whole number"),
    "N bool": (lambda r: r.similar_items("i0001", N=True), UsageError, "whole number"),
    "unknown id": (lambda r: r.similar_items("nowhere"), UnknownItemError, "unknown item 'nowhere'"),
    "id type": (lambda r: r.similar_items(5), UsageError, "type string"),
    "id none": (lambda r: r.similar_items(None), UsageError, "list of item ids"),
    "id type in a list": (lambda r: r.similar_items(["i0001", 5]), UsageError, "holds 5"),
    "nested ids": (lambda r: r.similar_items([["i0001"]]), UsageError, "item_id holds"),
    "mode": (lambda r: r.similar_items("i0001", mode="cosine"), UsageError, "unknown mode"),
    "items is one id": (
        lambda r: r.similar_items("i0001", items="i0002"),
        UsageError,
        "items must be a list",
    ),
    "deny type": (lambda r: r.recommend(["i0001"], filter_items=[5]), UsageError, "filter_items holds 5"),
    "history is one id": (lambda r: r.recommend("i0001"), UsageError, "a history is a list"),
    "mixed histories": (lambda r: r.recommend([["i0001"], "i0002"]), UsageError, "history 1 must be a list"),
    "history type": (lambda r: r.recommend([["i0001"], [None]]), UsageError, "history 1 holds None"),
    "a table": (lambda r: r.recommend(pa.table({"item_id": ["i0001"]})), UsageError, "a history is a list"),
    "decay zero": (lambda r: r.recommend(["i0001"], decay=0.0), UsageError, "decay"),
    "decay above one": (lambda r: r.scores([np.array([1], np.int32)], decay=1.5), UsageError, "decay"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_are_refused(rec, case):
    call, error, message = BAD_CALLS[case]
    with pytest.raises(error, match=message):
        call(rec)


def query_of(vectors, history, decay=0.5):
    weights = [decay**age for age in range(len(history))]
    rows = [vectors[item].astype(float) for item in reversed(history)]
    return sum(weight * row for weight, row in zip(weights, rows, strict=True)) / sum(weights)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("filter_seen", [True, False])
def test_recommendations_equal_brute_force(exact, mode, filter_seen):
    vectors = exact.vectors
    rng = np.random.default_rng(2)
    histories = [rng.choice(vectors.ids, size).tolist() for size in (1, 2, 5, 30)]
    histories.append([vectors.ids[4]] * 3)
    ids, scores = exact.recommend(histories, N=15, mode=mode, filter_seen=filter_seen, decay=0.7)
    for row, history in enumerate(histories):
        allowed = [not (filter_seen and item in history) for item in vectors.ids]
        back = None if filter_seen else (history, 0.7)
        truth = best(vectors, query_of(vectors, history, 0.7), mode, 15, allowed, back)
        assert ids[row].tolist() == truth[0]
        np.testing.assert_allclose(scores[row], truth[1], rtol=1e-6, atol=1e-7)
        single = exact.recommend(history, N=15, mode=mode, filter_seen=filter_seen, decay=0.7)
        assert single[0].tolist() == truth[0]


def test_recommendations_through_trees_return_full_lists_without_seen_items(with_trees):
    ids = with_trees.vectors.ids
    history = ids[300:312] + ids[5:60]
    found, _ = with_trees.recommend(history, N=20)
    assert len(found) == 20
    assert not set(found.tolist()) & set(history)


def test_empty_and_unknown_histories_get_nothing(rec):
    for history in ([], ["nowhere"]):
        ids, scores = rec.recommend(history)
        assert ids.shape == scores.shape == (0,)
    ids, scores = rec.recommend([[], ["i0001"], ["nowhere"]], N=3)
    assert ids[0].tolist() == ids[2].tolist() == ["", "", ""]
    assert (scores[[0, 2]] == -np.inf).all()
    assert "" not in ids[1].tolist()


@pytest.mark.parametrize("mode", MODES)
def test_scores_rank_as_recommend_does(exact, mode):
    vectors = exact.vectors
    histories = [np.array(nums, np.int32) for nums in ([3], [7, 7, 1], [], list(range(40)))]
    scores = exact.scores(histories, mode=mode)
    assert scores.dtype == np.float32
    assert scores.shape == (4, 600)
    assert (scores[2] == -np.inf).all()
    for row in (0, 1, 3):
        ids, best_scores = exact.recommend(
            [vectors.ids[num] for num in histories[row]], N=20, mode=mode, filter_seen=False
        )
        np.testing.assert_allclose(-np.sort(-scores[row])[:20], best_scores, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            scores[row][exact.vocabulary.nums(ids.tolist())], best_scores, rtol=1e-6, atol=1e-7
        )
        assert len(set(scores[row][300:312].tolist())) == 1


def test_a_model_without_output_vectors_says_so():
    vectors, _ = make_catalogue(context=False)
    rec = Recommender(vectors)
    with pytest.raises(UsageError, match="mode='similar'"):
        rec.recommend(["i0001"])
    assert len(rec.recommend(["i0001"], mode="similar")[0]) == 10
    assert np.isfinite(rec.scores([np.array([1], np.int32)])).all()
    with pytest.raises(UsageError, match="item table"):
        rec.similar_items("i0001", where={"market": "Paris"})


def test_indexes_and_item_tables_must_fit(catalogue):
    vectors, items = catalogue
    other, _ = make_catalogue(seed=5)
    index = ItemIndex.build(other, n_trees=3)
    with pytest.raises(UsageError, match="other vectors"):
        Recommender(vectors, index=index)
    with pytest.raises(UsageError, match="mode 'next'"):
        Recommender(other, index={"next": index})
    with pytest.raises(UsageError, match="no column item_id"):
        Recommender(vectors, items=items.drop_columns(["item_id"]))
    with pytest.raises(UsageError, match="same id_type"):
        Recommender(vectors, items=pa.table({"item_id": [1, 2]}))
    with pytest.raises(Exception, match="several rows for item"):
        Recommender(vectors, items=pa.concat_tables([items, items.slice(3, 1)]))
    assert Recommender(other, index=index).index("similar") is index


def test_a_saved_recommender_loads_without_the_training_libraries(with_trees, catalogue, tmp_path):
    vectors, items = catalogue
    vectors.save(tmp_path / "vectors")
    with_trees.index("similar").save(tmp_path / "similar")
    with_trees.index("next").save(tmp_path / "next")
    pq.write_table(items, tmp_path / "items.parquet")
    code = textwrap.dedent(f"""
        import datetime
        import sys
        from pathlib import Path
        import pyarrow.parquet as pq
        from item2vec.embeddings import ItemVectors
        from item2vec.index import ItemIndex
        from item2vec.recommendations import Recommender, write_similar_items
        root = Path({str(tmp_path)!r})
        rec = Recommender(
            ItemVectors.load(root / "vectors"),
            items=pq.ParquetFile(root / "items.parquet").read(),
            index={{mode: ItemIndex.load(root / mode) for mode in ("similar", "next")}},
        )
        where = {{"market": "Paris", "price": (50, None), "room_type": ["entire home"], "instant": True}}
        print(",".join(rec.similar_items("i0001", where=where)[0].tolist()))
        rec.recommend([["i0001", "i0002"], []], return_info=True)
        rec.scores([rec.vocabulary.nums(["i0001"])])
        rec.vector_for({{"market": "Paris", "price": 80, "instant": True}})
        rec.vector_for({{"market": "Paris", "listed": datetime.date(2020, 1, 1)}})
        write_similar_items(rec, root / "table", N=3)
        bad = {{"torch", "pandas", "sklearn", "numba", "duckdb"}} & set(sys.modules)
        assert not bad, bad
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    where = {"market": "Paris", "price": (50, None), "room_type": ["entire home"], "instant": True}
    assert done.stdout.strip().split(",") == with_trees.similar_items("i0001", where=where)[0].tolist()
    assert ItemVectors.load(tmp_path / "vectors").ids == vectors.ids


def test_conditions_meet_columns_of_any_width():
    vectors, _ = make_catalogue(n=30)
    big = 2**63 + 1025
    items = pa.table(
        {
            "item_id": vectors.vocabulary.ids,
            "price": pa.array([10.1] * 30, pa.float32()),
            "half": pa.array(np.full(30, 0.3, np.float16)),
            "host": pa.array([big + (k % 2) for k in range(30)], pa.uint64()),
        }
    )
    rec = Recommender(vectors, items=items)
    one = vectors.ids[0]

    def count(**where):
        return len(rec.similar_items(one, N=30, where=where)[0])

    assert count(price=10.1) == count(price=(0, 10.1)) == count(price=(10.1, 11)) == count(price=[10.1]) == 29
    assert count(half=0.3) == 29
    assert count(host=big) in (14, 15)
    assert count(host=[big, big + 1]) == 29
    assert count(host=(big + 1, None)) + count(host=big) == 29
    assert count(host=-1) == count(host=0.5) == 0
    ids, _ = rec.similar_items(one, N=30, rules=ListRules(at_most={"host": 2}))
    assert len(ids) == 4


@pytest.mark.parametrize("bad", [5.0, None, {"market": "Paris"}, "i0001", [[1.0], [1.0, 2.0]], ["a", "b"]])
def test_what_is_no_vector_is_refused(bad):
    vectors, _ = make_catalogue(n=30)
    with pytest.raises(UsageError, match="vector"):
        Recommender(vectors).similar_to(bad)
