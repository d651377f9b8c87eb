"""Questions by vector, by several ids and by attributes; neighbours that were found beforehand."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marketplace_cases import MARKETS, ROOMS, attribute_rows, make_catalogue, meets

from item2vec.errors import CorruptArtifactError, DataError, UnknownItemError, UsageError
from item2vec.index import ItemIndex, ItemSet
from item2vec.recommendations import NeighbourTable, Provenance, Recommender


@pytest.fixture(scope="module")
def catalogue():
    return make_catalogue()


@pytest.fixture(scope="module")
def plain(catalogue):
    vectors, items = catalogue
    return Recommender(vectors, items=items)


@pytest.fixture(scope="module", params=["similar", "next"])
def tabled(request, catalogue):
    vectors, items = catalogue
    index = ItemIndex.build(vectors, mode=request.param, backend="exact")
    table = NeighbourTable.build(Recommender(vectors, index=index), width=40, mode=request.param)
    return Recommender(vectors, items=items, index=index, neighbours=table), request.param


def test_a_vector_of_an_item_finds_it_and_its_neighbours(plain, catalogue):
    vectors, _ = catalogue
    ids, scores = plain.similar_items(vectors.ids[9], N=8)
    found, found_scores = plain.similar_to(vectors.vectors[9], N=9)
    assert vectors.ids[9] in found.tolist()
    assert sorted(found_scores[found != vectors.ids[9]].tolist()) == sorted(scores.tolist())
    both, _ = plain.similar_to(vectors.vectors[[9, 9]], N=9)
    assert both.shape == (2, 9)
    assert both[1].tolist() == found.tolist()
    assert set(ids.tolist()) <= set(found.tolist())


def test_several_ids_are_asked_by_the_mean_of_their_unit_vectors(plain, catalogue):
    vectors, _ = catalogue
    units = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    length = np.linalg.norm(vectors.vectors[[1, 4]], axis=1).mean()
    found = plain.vector_of([vectors.ids[1], vectors.ids[4]])
    np.testing.assert_allclose(found, units[[1, 4]].mean(axis=0) * length, atol=1e-6)
    with pytest.raises(UnknownItemError):
        plain.vector_of(["nobody"])
    with pytest.raises(UsageError, match="at least one"):
        plain.vector_of([])


def test_the_vector_of_one_item_finds_what_the_item_does(plain, catalogue):
    """Popularity is added to products, so it is the query's length too that must be the item's."""
    vectors, _ = catalogue
    for mode in ("similar", "next"):
        ids, scores = plain.similar_items(vectors.ids[9], N=20, mode=mode)
        found, found_scores = plain.similar_to(plain.vector_of([vectors.ids[9]]), N=21, mode=mode)
        others = found != vectors.ids[9]
        assert found[others][:20].tolist() == ids.tolist()
        np.testing.assert_allclose(found_scores[others][:20], scores, rtol=1e-5)


def test_an_unlisted_item_is_the_mean_of_those_of_its_market_it_shares_most_with(plain, catalogue):
    vectors, items = catalogue
    rows = attribute_rows(vectors, items)
    wanted = {"market": "Oslo", "room_type": "shared room", "price": 100}
    shared = [
        (row.get("market") == "Oslo")
        * sum(
            row.get(name) is not None
            and (abs(row[name] - 100) <= 10 if name == "price" else row[name] == value)
            for name, value in wanted.items()
        )
        for row in rows
    ]
    like = np.flatnonzero(np.array(shared) == max(shared))
    vector, provenance = plain.vector_for(wanted)
    np.testing.assert_allclose(vector, vectors.vectors[like].mean(axis=0), atol=1e-6)
    assert (provenance.tier, provenance.n_items, provenance.n_attributes) == ("attributes", len(like), 3)
    assert provenance.donors == tuple(sorted(vectors.ids[num] for num in like)[:10])
    assert provenance.farthest_miles is None
    assert len(plain.similar_to(vector, N=5, where={"market": "Oslo"})[0]) == 5


def test_of_an_unlisted_item_in_another_market_nothing_is_taken(plain, catalogue):
    """Two more attributes in common do not outweigh the market: vectors of two markets do not mix."""
    vectors, items = catalogue
    oslo = {one for one, row in zip(vectors.ids, attribute_rows(vectors, items), strict=True)
            if row.get("market") == "Oslo"}  # fmt: skip
    _, provenance = plain.vector_for(
        {"market": "Oslo", "room_type": "shared room", "capacity": 8, "price": 299}
    )
    assert set(provenance.donors) <= oslo
    _, everywhere = plain.vector_for({"room_type": "shared room", "capacity": 8, "instant": True})
    assert len(set(everywhere.donors) - oslo) > 0
    assert everywhere.shared == ("room_type", "capacity", "instant")


def test_every_kind_of_attribute_of_an_unlisted_item_is_compared(plain, catalogue):
    vectors, items = catalogue
    row = next(
        row for row in attribute_rows(vectors, items) if row.get("market") == "Rome" and row.get("price")
    )
    wanted = {name: row[name] for name in ("market", "price", "room_type", "capacity", "instant", "listed")}
    _, provenance = plain.vector_for({**wanted, "price": row["price"] * 1.05})
    assert provenance.shared == tuple(wanted)
    assert row["item_id"] in provenance.donors
    _, provenance = plain.vector_for({"market": "Rome", "listed": dt.date(1980, 5, 5), "instant": True})
    assert provenance.shared == ("market", "instant")
    for odd in ({"price": 10**400}, {"price": float("-inf")}, {"room_type": "\ud800"}):
        assert plain.vector_for({"market": "Rome", **odd})[1].tier == "market"


def test_of_an_unlisted_item_the_market_is_the_last_resort(plain, catalogue):
    vectors, items = catalogue
    oslo = [row.get("market") == "Oslo" for row in attribute_rows(vectors, items)]
    vector, provenance = plain.vector_for({"market": "Oslo", "price": 10**9})
    np.testing.assert_allclose(vector, vectors.vectors[oslo].mean(axis=0), atol=1e-5)
    assert provenance == Provenance("market", sum(oslo), ("market",), 2)


def test_an_unlisted_item_with_a_place_is_the_mean_of_the_nearest_alike(catalogue):
    vectors, items = catalogue
    n = items.num_rows
    rng = np.random.default_rng(5)
    table = items.rename_columns({"room_type": "listing_type"})
    for name, centre in (("latitude", 59.9), ("longitude", 10.7)):
        table = table.append_column(name, pa.array((centre + rng.normal(0, 0.05, n)).tolist()))
    rec = Recommender(vectors, items=table)
    wanted = {
        "market": "Oslo",
        "listing_type": "shared room",
        "price": 100.5,
        "latitude": 59.9,
        "longitude": 10.7,
    }
    vector, provenance = rec.vector_for(wanted)
    assert (provenance.tier, provenance.n_items) == ("nearest", 3)
    assert provenance.shared == ("market", "listing_type", "price")
    assert 0 < provenance.farthest_miles < 10
    nums = [vectors.vocabulary.num(one) for one in provenance.donors]
    np.testing.assert_allclose(vector, vectors.vectors[nums].mean(axis=0), atol=1e-6)
    as_text = table.set_column(table.column_names.index("price"), "price", table["price"].cast(pa.string()))
    _, provenance = Recommender(vectors, items=as_text).vector_for({**wanted, "price": "100"})
    assert provenance.tier == "attributes"  # no bucket without a number


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "what is known"),
        ({"brand": "x"}, "unknown filter column"),
        ({"market": "Atlantis"}, "no item shares"),
        ({"market": 3}, "cannot be compared"),
        ({"market": ["Paris", "Rome"]}, "one value"),
        ({"price": (10, 20)}, "one value"),
        ({"price": float("nan")}, "cannot be compared"),
        ({"amenities": "wifi"}, "cannot be filtered"),
    ],
)
def test_attributes_that_say_nothing_are_refused(plain, attributes, words):
    with pytest.raises(UsageError, match=words):
        plain.vector_for(attributes)


def test_bad_vectors_are_refused(plain, catalogue):
    d = catalogue[0].vectors.shape[1]
    for vector, error in (
        (np.zeros(d), DataError),
        (np.full(d, np.nan), DataError),
        (np.full(d, np.inf), DataError),
        (np.ones(d + 1), UsageError),
        (np.ones((2, 2, d)), UsageError),
        (np.array(["a"] * d), UsageError),
    ):
        with pytest.raises(error):
            plain.similar_to(vector)


@given(st.integers(0, 599), st.integers(1, 60), st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_table_answers_as_the_search_does(tabled, plain, catalogue, row, N, data):
    rec, mode = tabled
    where = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "market": st.sampled_from([m for m in MARKETS if m]),
                "room_type": st.lists(st.sampled_from(ROOMS), max_size=2),
                "price": st.tuples(st.integers(0, 150), st.integers(150, 400)),
            },
        )
    )
    ids, scores, info = rec.similar_items(
        catalogue[0].ids[row], N=N, where=where or None, mode=mode, return_info=True
    )
    expected, expected_scores = plain.similar_items(
        catalogue[0].ids[row], N=N, where=where or None, mode=mode
    )
    assert ids.tolist() == expected.tolist()
    assert scores.tolist() == expected_scores.tolist()
    if N <= 40 and not where:
        assert info.path == "table"
    assert info.n_results == len(ids)
    rows = dict(zip(catalogue[0].ids, attribute_rows(*catalogue), strict=True))
    assert all(meets(rows[i], where) for i in ids.tolist())


@pytest.mark.parametrize("where", [None, {"market": "Rome"}, {"price": (10, 60), "room_type": ["loft"]}])
@pytest.mark.parametrize("N", [1, 20, 41, 300])
def test_several_items_are_answered_as_each_alone_in_one_search(tabled, catalogue, where, N, monkeypatch):
    rec, mode = tabled
    ids = [*catalogue[0].ids[:25], "nobody", catalogue[0].ids[3]]
    allowed = ItemSet(np.arange(len(rec.vocabulary)) % 5 > 0)
    sold_out = rec.vocabulary.item_ids(np.flatnonzero(~allowed.mask))
    for items, deny in ((None, None), (allowed, sold_out)):
        alone = [
            rec.similar_items(one, N, where, filter_items=deny, mode=mode, return_info=True)
            for one in ids
            if one != "nobody"
        ]
        searches = []
        search = ItemIndex.search

        def counted(self, queries, *rest, _search=search, _searches=searches, **options):
            _searches.append(len(queries))
            return _search(self, queries, *rest, **options)

        monkeypatch.setattr(ItemIndex, "search", counted)
        found, scores, infos = rec.similar_items(ids, N, where, items, mode=mode, return_info=True)
        monkeypatch.undo()
        assert len(searches) <= 1
        assert infos.pop(25).path == "none"
        for row, info, (expected, expected_scores, story) in zip(
            np.delete(np.arange(len(ids)), 25), infos, alone, strict=True
        ):
            n = len(expected)
            assert found[row, :n].tolist() == expected.tolist()
            assert scores[row, :n].tolist() == expected_scores.tolist()
            assert set(found[row, n:]) <= {""}
            assert (info.path, info.n_results, info.reason) == (story.path, n, story.reason)
        in_table = sum(info.path == "table" for info in infos)
        assert sum(searches) == len(infos) - in_table
        assert in_table or N > 40 or where


def test_a_table_is_saved_and_comes_back(tabled, catalogue, tmp_path):
    rec, mode = tabled
    rec.neighbours.save(tmp_path / "table")
    (tmp_path / "table").rename(tmp_path / "elsewhere")
    loaded = NeighbourTable.load(tmp_path / "elsewhere")
    assert loaded.mode == mode
    np.testing.assert_array_equal(loaded.item_nums, rec.neighbours.item_nums)
    Recommender(catalogue[0], index=rec.index(mode), neighbours=loaded)
    with pytest.raises(UsageError, match="no index"):
        ItemIndex.load(tmp_path / "elsewhere")
    rec.index(mode).save(tmp_path / "index")
    with pytest.raises(UsageError, match="no table of neighbours"):
        NeighbourTable.load(tmp_path / "index")
    with open(tmp_path / "elsewhere" / "neighbours.npy", "r+b") as file:
        file.seek(500)
        file.write(b"\xff\xff\xff\x7f")
    with pytest.raises(CorruptArtifactError, match=r"neighbours\.npy"):
        NeighbourTable.load(tmp_path / "elsewhere")


def test_a_table_of_another_index_is_refused(tabled):
    rec, _ = tabled
    other, _ = make_catalogue(seed=5)
    with pytest.raises(UsageError, match="another index"):
        Recommender(other, neighbours=rec.neighbours)


def test_the_same_conditions_are_compiled_once_and_1_is_not_true(plain):
    compiled = plain._filters.compiled
    assert compiled({"market": "Paris", "capacity": 2}) is compiled({"capacity": 2, "market": "Paris"})
    assert compiled({"room_type": ["private room"]}) is compiled({"room_type": ["private room"]})
    assert compiled({"capacity": 1}) is not compiled({"capacity": (1, 1)})
    with pytest.raises(UsageError, match="cannot be compared"):
        compiled({"capacity": True})
    for number in range(200):
        compiled({"price": (number, None)})
    assert len(plain._filters._kept) == 64
