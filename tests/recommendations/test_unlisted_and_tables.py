"""Questions by vector, by several ids and by attributes; neighbours that were found beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marketplace_cases import MARKETS, ROOMS, attribute_rows, make_catalogue, meets

from item2vec.errors import CorruptArtifactError, DataError, UnknownItemError, UsageError
from item2vec.index import ItemIndex
from item2vec.recommendations import NeighbourTable, Recommender


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
    np.testing.assert_allclose(
        plain.vector_of([vectors.ids[1], vectors.ids[4]]), units[[1, 4]].mean(axis=0), atol=1e-6
    )
    with pytest.raises(UnknownItemError):
        plain.vector_of(["nobody"])
    with pytest.raises(UsageError, match="at least one"):
        plain.vector_of([])


def test_an_unlisted_item_is_the_mean_of_those_it_shares_most_with(plain, catalogue):
    vectors, items = catalogue
    rows = attribute_rows(vectors, items)
    wanted = {"market": "Oslo", "room_type": "shared room", "price": 100}
    shared = [
        sum(
            row.get(name) is not None
            and (abs(row[name] - 100) <= 10 if name == "price" else row[name] == value)
            for name, value in wanted.items()
        )
        for row in rows
    ]
    like = np.flatnonzero(np.array(shared) == max(shared))
    units = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    vector, provenance = plain.vector_for(wanted)
    np.testing.assert_allclose(vector, units[like].mean(axis=0), atol=1e-6)
    assert (provenance.n_items, provenance.n_attributes) == (len(like), 3)
    assert len(plain.similar_to(vector, N=5, where={"market": "Oslo"})[0]) == 5


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "what is known"),
        ({"brand": "x"}, "unknown filter column"),
        ({"market": "Atlantis"}, "no item shares"),
        ({"market": 3}, "cannot be compared"),
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
