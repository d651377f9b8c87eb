"""Cold start against brute force listing by listing, and every way to feed it wrongly."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import item2vec as i2v
from item2vec.embeddings import ColdStart, ItemVectors
from item2vec.errors import ConfigError, DataError, UsageError
from item2vec.vocabulary import Vocabulary

KINDS = {"market": pa.string(), "latitude": pa.float64(), "longitude": pa.float64(),
         "listing_type": pa.string(), "price": pa.float64(), "beds": pa.int16()}  # fmt: skip
HOME = {"market": "A", "latitude": 10.0, "longitude": 20.0, "listing_type": "home", "price": 50.0, "beds": 2}


def table(rows: dict[str, dict[str, object]]) -> pa.Table:
    """An item table of rows by id; what a row does not say is that of HOME."""
    ids = pa.array(list(rows), pa.string())
    full = [{**HOME, **row} for row in rows.values()]
    columns = {name: pa.array([row[name] for row in full], kind) for name, kind in KINDS.items()}
    return pa.table({"item_id": ids, **columns})


def vectors_of(ids: list[str], d: int = 3, context: bool = True, seed: int = 0) -> ItemVectors:
    rng = np.random.default_rng(seed)
    one, other = rng.standard_normal((2, len(ids), d)).astype(np.float32)
    vocabulary = Vocabulary(pa.array(ids, pa.string()), np.arange(len(ids), 0, -1))
    return ItemVectors(vocabulary, one, other if context else None)


def only(cold: i2v.ColdStart, row: dict[str, object]) -> tuple[np.ndarray, dict[str, object]]:
    """Ask for one listing."""
    found = cold.transform(table({"new": row}))
    (told,) = found.provenance.to_pylist()
    return found.vectors[0], told


# --- the first tier, against brute force -------------------------------------------------------------------


def haversine_miles(one: dict[str, float], other: dict[str, float]) -> float:
    lat_1, lat_2 = math.radians(one["latitude"]), math.radians(other["latitude"])
    dlon = math.radians(other["longitude"] - one["longitude"])
    half = math.sin((lat_2 - lat_1) / 2) ** 2 + math.cos(lat_1) * math.cos(lat_2) * math.sin(dlon / 2) ** 2
    return 2 * 6371.0 / 1.609344 * math.asin(min(1.0, math.sqrt(half)))


def bucket(price: float, edges: tuple[float, ...]) -> int:
    return sum(price >= edge for edge in edges)


def nearest(cold: dict, warm: dict[str, dict], k: int, miles: float, edges: tuple[float, ...]) -> list[str]:
    """The definition, one listing at a time."""
    alike = {
        one: round(haversine_miles(cold, row), 6)
        for one, row in warm.items()
        if (row["market"], row["listing_type"]) == (cold["market"], cold["listing_type"])
        and bucket(row["price"], edges) == bucket(cold["price"], edges)
    }
    return sorted((one for one, at in alike.items() if at <= miles), key=lambda one: (alike[one], one))[:k]


# A grid, so that many listings are at equal distances; both sides of the date line, and a pole.
spots = st.sampled_from([(0.0, 0.0), (60.0, 180.0), (-60.0, -180.0), (90.0, 0.0)])
steps = st.integers(-3, 3)


@st.composite
def listings(draw):
    latitude, longitude = draw(spots)
    latitude = max(-90.0, min(90.0, latitude + 0.03125 * draw(steps)))
    longitude = (longitude + 0.03125 * draw(steps) + 180) % 360 - 180
    return {
        "market": draw(st.sampled_from("AB")),
        "latitude": latitude,
        "longitude": draw(st.sampled_from([longitude, -180.0, 180.0]))
        if abs(longitude) == 180
        else longitude,
        "listing_type": draw(st.sampled_from(["home", "room"])),
        "price": draw(st.sampled_from([10.0, 50.0, 49.99, 100.0, 120.0])),
        "beds": 1,
    }


@given(st.lists(listings(), max_size=40), st.lists(listings(), min_size=1, max_size=6), st.integers(1, 4),
       st.sampled_from([0.5, 3.0, 10.0, 20_000.0]), st.randoms(use_true_random=False))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_the_nearest_are_those_of_brute_force(warm, cold, k, miles, random):
    ids = [f"w{number:02d}" for number in range(len(warm))]
    random.shuffle(ids)
    donors, edges = dict(zip(ids, warm, strict=True)), (50.0, 100.0)
    vectors = vectors_of(ids)
    estimator = ColdStart(n_nearest=k, max_miles=miles, price_edges=edges).fit(vectors, table(donors))
    found = estimator.transform(table({f"c{number}": row for number, row in enumerate(cold)}))
    for row, told, vector, context in zip(
        cold, found.provenance.to_pylist(), found.vectors, found.context_vectors, strict=True
    ):
        expected = nearest(row, donors, k, miles, edges)
        assert (told["tier"] == "nearest") == bool(expected)
        if not expected:
            continue
        assert told["donors"] == expected
        assert told["n_donors"] == len(expected)
        assert told["farthest_miles"] == pytest.approx(haversine_miles(row, donors[expected[-1]]), abs=1e-5)
        assert (told["n_shared"], told["shared"]) == (3, ["market", "listing_type", "price"])
        nums = [vectors.vocabulary.num(one) for one in expected]
        np.testing.assert_allclose(vector, vectors.vectors[nums].mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(context, vectors.context_vectors[nums].mean(axis=0), atol=1e-6)


def test_a_ring_of_listings_at_one_distance_is_decided_by_id():
    """More ties than the tree is asked for at first: places on one parallel, seen from the pole."""
    ring = {
        f"r{number:02d}": {"latitude": 89.95, "longitude": float(number * 9 - 180)} for number in range(40)
    }
    ids = sorted(ring, reverse=True)
    estimator = ColdStart().fit(vectors_of(ids), table({one: ring[one] for one in ids}))
    _, told = only(estimator, {"latitude": 90.0, "longitude": 0.0})
    assert told["donors"] == ["r00", "r01", "r02"]


def test_ten_thousand_listings_at_one_place_are_decided_by_id():
    ids = [f"r{number:05d}" for number in range(10_000)][::-1]
    estimator = ColdStart().fit(vectors_of(ids), table({one: {} for one in ids}))
    found = estimator.transform(table({f"new{number}": {} for number in range(2_000)}))
    assert {tuple(donors) for donors in found.provenance["donors"].to_pylist()} == {
        ("r00000", "r00001", "r00002")
    }


def test_neighbours_across_the_date_line():
    warm = {"east": {"latitude": 0.0, "longitude": 179.99}, "west": {"latitude": 0.0, "longitude": -179.98}}
    _, told = only(
        ColdStart().fit(vectors_of(list(warm)), table(warm)), {"latitude": 0.0, "longitude": -180.0}
    )
    assert told["donors"] == ["east", "west"]
    assert told["farthest_miles"] == pytest.approx(math.radians(0.02) * 6371 / 1.609344, abs=1e-5)


def test_miles_are_miles():
    """One degree of latitude is 69.09 statute miles on a sphere of 6,371 km."""
    warm = {"a": {"latitude": 11.0}}
    estimator = ColdStart(max_miles=69.08).fit(vectors_of(["a"]), table(warm))
    assert only(estimator, {})[1]["tier"] == "attributes"
    assert (
        only(estimator.set_params(max_miles=69.1).fit(vectors_of(["a"]), table(warm)), {})[1]["tier"]
        == "nearest"
    )


def test_prices_are_sorted_into_buckets_from_their_edge_on():
    warm = {f"p{price}": {"price": float(price)} for price in (49, 50, 99, 100)}
    estimator = ColdStart(price_edges=(50, 100)).fit(vectors_of(list(warm)), table(warm))
    donors = {
        price: only(estimator, {"price": price})[1]["donors"] for price in (0.0, 50.0, 99.99, 100.0, 1e9)
    }
    assert donors == {
        0.0: ["p49"],
        50.0: ["p50", "p99"],
        99.99: ["p50", "p99"],
        100.0: ["p100"],
        1e9: ["p100"],
    }
    assert estimator.price_edges_ == {"A": [50.0, 100.0]}


def test_buckets_are_quantiles_of_the_donors_of_each_market():
    numbers = range(1, 11)
    warm = {f"A{n:02d}": {"market": "A", "price": n * 1.0} for n in numbers}
    warm |= {f"B{n:02d}": {"market": "B", "price": n * 100.0} for n in numbers}
    cold = {f"c{n}": {"price": 1e6} for n in range(50)}  # these have no say
    estimator = ColdStart(n_nearest=10).fit(vectors_of(list(warm)), table({**warm, **cold}))
    expected = np.quantile(np.arange(1, 11), [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(estimator.price_edges_["A"], expected)
    np.testing.assert_allclose(estimator.price_edges_["B"], 100 * expected)
    assert only(estimator, {"market": "B", "price": 150.0})[1]["donors"] == ["B01", "B02"]
    assert only(estimator, {"market": "A", "price": 150.0})[1]["donors"] == ["A09", "A10"]


# --- the second and third tier -----------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["A", "B", None]), st.sampled_from(["home", "room", None]),
                          st.sampled_from([None, 10.0, 11.0, 12.0, -5.0, math.nan, math.inf]),
                          st.sampled_from([None, 1, 2, 10])), min_size=1, max_size=25),
       st.tuples(st.sampled_from(["A", "B", "C", None]), st.sampled_from(["home", "barn", None]),
                 st.sampled_from([None, 10.0, 11.0, math.nan, math.inf]), st.sampled_from([None, 1, 9]))
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_the_other_tiers_are_those_of_brute_force(warm, cold):
    names = ("market", "listing_type", "price", "beds")
    donors = {f"w{n:02d}": dict(zip(names, row, strict=True)) for n, row in enumerate(warm)}
    asked = dict(zip(names, cold, strict=True))
    nowhere = {"latitude": None, "longitude": None}
    vectors = vectors_of(list(donors))
    estimator = ColdStart().fit(vectors, table({one: {**row, **nowhere} for one, row in donors.items()}))
    found = estimator.transform(table({"new": {**asked, **nowhere}}))
    (told,) = found.provenance.to_pylist()

    def shares(row: dict, name: str) -> bool:
        mine, theirs = asked[name], row[name]
        if mine is None or theirs is None:
            return False
        if isinstance(mine, str):
            return mine == theirs
        return math.isfinite(mine) and math.isfinite(theirs) and abs(mine - theirs) <= 0.1 * abs(mine)

    shard = [one for one, row in donors.items() if shares(row, "market")]
    pool = shard or list(donors)
    counts = {one: sum(shares(donors[one], name) for name in names[1:]) for one in pool}
    most = max(counts.values())
    if most:
        tier, like = "attributes", [one for one in pool if counts[one] == most]
    elif shard:
        tier, like = "market", shard
    else:
        tier, like = "none", []
    assert (told["tier"], told["n_donors"]) == (tier, len(like))
    assert told["donors"] == (like[:10] if tier == "attributes" else [])
    assert told["farthest_miles"] is None
    shared = [name for name in names if like and all(shares(donors[one], name) for one in like)]
    assert told["shared"] == (shared if tier == "attributes" else shared[:1])
    assert told["n_shared"] == most + bool(shard)
    if like:
        nums = [vectors.vocabulary.num(one) for one in like]
        np.testing.assert_allclose(found.vectors[0], vectors.vectors[nums].mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(
            found.context_vectors[0], vectors.context_vectors[nums].mean(axis=0), atol=1e-5
        )
    else:
        assert np.isnan(found.vectors).all()
        assert np.isnan(found.context_vectors).all()


def test_any_kind_of_column_is_compared_and_lists_are_not():
    flags = {
        "pool": pa.array([True, False]),
        "built": pa.array([1, 2], pa.int32()).cast(pa.date32()),
        "host": pa.array(["h1", "h2"]).dictionary_encode(),
        "none": pa.nulls(2),
        "tags": pa.array([["x"], ["y"]]),
    }
    warm = table({"a": {"beds": None}, "b": {"beds": None}}).drop_columns(["price", "listing_type"])
    for name, column in flags.items():
        warm = warm.append_column(name, column)
    estimator = ColdStart().fit(vectors_of(["a", "b"]), warm)
    asked = warm.slice(1).set_column(0, "item_id", pa.array(["new"]))
    (told,) = estimator.transform(asked).provenance.to_pylist()
    assert (told["donors"], told["shared"]) == (["b"], ["market", "pool", "built", "host"])
    with pytest.raises(UsageError, match="'tags'"):
        ColdStart(attributes=["tags"]).fit(vectors_of(["a", "b"]), warm)


def test_only_named_attributes_are_compared():
    warm = {"a": {"price": 10.0, "beds": 2}, "b": {"price": 90.0, "beds": 5}}
    nowhere = {"latitude": math.nan}
    both = table({**warm, "new": {"price": 10.0, "beds": 5, **nowhere}})
    for attributes, donor in ((["beds"], "b"), (["price"], "a")):
        estimator = ColdStart(attributes=attributes).fit(vectors_of(["a", "b"]), both)
        (told,) = estimator.transform(both).provenance.to_pylist()
        assert (told["tier"], told["donors"], told["shared"]) == (
            "attributes",
            [donor],
            ["market", *attributes],
        )


# --- what is unknown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "tier"),
    [
        ({}, "nearest"),
        ({"latitude": 10.1}, "nearest"),  # 6.9 miles
        ({"latitude": 10.2}, "attributes"),  # 13.8 miles
        *(({name: value}, "attributes") for name in ("latitude", "longitude", "price")
          for value in (None, math.nan, math.inf, -math.inf)),
        *(({"latitude": value}, "attributes") for value in (90.5, -91.0, 1e300)),
        *(({"longitude": value}, "attributes") for value in (180.5, 200.0, -1e300)),
        ({"price": -1.0}, "attributes"),
        ({"listing_type": None}, "attributes"),
        ({"listing_type": "castle"}, "attributes"),
        ({"market": None}, "attributes"),
        ({"market": "Z"}, "attributes"),
        ({"listing_type": None, "price": None, "beds": None}, "market"),
        ({"listing_type": "castle", "price": 1e6, "beds": 30}, "market"),
        ({"market": None, "listing_type": None, "price": None, "beds": None}, "none"),
        ({"market": "Z", "listing_type": "castle", "price": 0.0, "beds": 30}, "none"),
    ],
)  # fmt: skip
def test_what_is_unknown_agrees_with_nothing(row, tier):
    warm = {"a": {}, "b": {}, "blank": dict.fromkeys(KINDS), "mad": {"latitude": 999.0, "price": math.nan}}
    estimator = ColdStart(price_edges=(100.0,)).fit(vectors_of(list(warm)), table(warm))
    vector, told = only(estimator, row)
    assert told["tier"] == tier
    assert np.isfinite(vector).all() == (tier != "none")
    if tier == "nearest":
        assert told["donors"] == ["a", "b"]


def test_an_unknown_price_is_in_no_bucket_of_any_type():
    warm = {"a": {"listing_type": "home", "price": 900.0}, "b": {"listing_type": "room", "price": 900.0}}
    estimator = ColdStart(price_edges=(100.0,)).fit(vectors_of(list(warm)), table(warm))
    for kind in ("home", "room", None):
        assert only(estimator, {"listing_type": kind, "price": None})[1]["tier"] == "attributes"


def test_ten_donors_are_named_and_all_are_counted():
    warm = {f"w{number:02d}": {"latitude": None} for number in range(12)}
    _, told = only(ColdStart().fit(vectors_of(list(warm)[::-1]), table(warm)), {})
    assert (told["n_donors"], told["donors"]) == (12, list(warm)[:10])


def test_a_column_that_the_table_lacks_is_unknown_throughout():
    warm = table({"a": {}, "b": {}})
    vectors = vectors_of(["a", "b"])
    for name, tier in (("price", "attributes"), ("listing_type", "attributes"), ("latitude", "attributes")):
        (told,) = (
            ColdStart()
            .fit(vectors, warm.drop_columns([name]))
            .transform(table({"new": {}}))
            .provenance.to_pylist()
        )
        assert told["tier"] == tier
        (told,) = (
            ColdStart()
            .fit(vectors, warm)
            .transform(table({"new": {}}).drop_columns([name]))
            .provenance.to_pylist()
        )
        assert told["tier"] == tier
    bare = pa.table({"item_id": ["new"]})
    (told,) = ColdStart().fit(vectors, warm).transform(bare).provenance.to_pylist()
    assert (told["tier"], told["donors"], told["n_shared"], told["shared"]) == ("none", [], 0, [])


def test_columns_that_are_not_asked_for():
    """Without market, type and price the nearest are the nearest anywhere, and all listings one market."""
    warm = {"a": {}, "b": {"market": "B", "listing_type": "room", "price": 1e6, "latitude": 10.01}}
    nothing = {"market_column": None, "type_column": None, "price_column": None}
    estimator = ColdStart(**nothing, attributes=()).fit(vectors_of(list(warm)), table(warm))
    _, told = only(estimator, {"market": "C", "latitude": 10.009})
    assert (told["donors"], told["shared"], told["n_shared"]) == (["b", "a"], [], 0)
    _, told = only(estimator, {"latitude": None})
    assert (told["tier"], told["n_donors"]) == ("market", 2)
    assert estimator.price_edges_ == {None: []}


def test_trained_listings_are_left_as_they_are():
    warm = {"a": {}, "b": {"latitude": 10.01}}
    vectors = vectors_of(["b", "a"])
    everything = table({**warm, "new2": {}, "new1": {"latitude": 10.01}, "lost": dict.fromkeys(KINDS)})
    found = ColdStart(n_nearest=1).fit(vectors, everything).transform(everything)
    assert found.ids.to_pylist() == ["new2", "new1", "lost"] == found.provenance["item_id"].to_pylist()
    assert found.n_warm == 2
    assert found.known.tolist() == [True, True, False]
    assert found.coverage() == {"nearest": 2 / 3, "attributes": 0.0, "market": 0.0, "none": 1 / 3}
    assert "nearest 66.7%" in repr(found)
    extended, provenance = ColdStart(n_nearest=1).extend(vectors, everything)
    assert extended.ids == ["b", "a", "new1", "new2"]
    assert extended.counts.tolist() == [2, 1, 0, 0]
    np.testing.assert_array_equal(extended.vectors, vectors.vectors[[0, 1, 0, 1]])
    np.testing.assert_array_equal(extended.context_vectors, vectors.context_vectors[[0, 1, 0, 1]])
    assert provenance.equals(found.provenance)


def test_cold_listings_are_indexed_and_recommended():
    ids = [f"w{n:02d}" for n in range(30)]
    rows = {one: {"latitude": 10 + n / 10} for n, one in enumerate(ids)}
    items = table({**rows, "new": {"latitude": 12.001}})
    vectors, _ = ColdStart(n_nearest=1).extend(vectors_of(ids, d=8), items)
    for mode in ("similar", "next"):
        assert i2v.ItemIndex.build(vectors, mode=mode, backend="exact").n_items == 31
    recommender = i2v.Recommender(vectors, items=items)
    assert recommender.similar_items("new", N=1)[0].tolist() == ["w20"]
    assert "new" in recommender.similar_items("w20", N=1)[0].tolist()


def test_vectors_without_output_vectors_have_none_when_cold():
    vectors = vectors_of(["a"], context=False)
    assert ColdStart().fit(vectors, table({"a": {}})).transform(table({"new": {}})).context_vectors is None
    assert ColdStart().extend(vectors, table({"a": {}, "new": {}}))[0].context_vectors is None


def test_zero_vectors_give_nothing_and_means_that_cancel_out_are_no_answer():
    vocabulary = Vocabulary(pa.array(["a", "b", "zero"]), np.ones(3, np.int64))
    vectors = ItemVectors(vocabulary, np.array([[1, -2], [-1, 2], [0, 0]], np.float32))
    items = table({"a": {}, "b": {}, "zero": {}, "far": {"latitude": 50.0, "market": "B"}, "new": {}})
    estimator = ColdStart().fit(vectors, items)
    assert estimator.n_donors_ == 2
    told = {row["item_id"]: row for row in estimator.transform(items).provenance.to_pylist()}
    blank = {"tier": "none", "n_donors": 0, "donors": [], "farthest_miles": None, "n_shared": 0, "shared": []}
    assert told["new"] == {"item_id": "new", **blank}
    assert ColdStart().extend(vectors, items)[0].ids == ["a", "b", "zero"]


@pytest.mark.parametrize("settings", [{}, {"market_column": None}])
def test_nothing_to_learn_from_is_no_failure(settings):
    nobody = ItemVectors(
        Vocabulary(pa.array([], pa.string()), np.zeros(0, np.int64)), np.zeros((0, 3), np.float32)
    )
    for vectors, items in ((nobody, table({})), (nobody, table({"new": {}})), (vectors_of(["a"]), table({}))):
        estimator = ColdStart(**settings).fit(vectors, items)
        found = estimator.transform(table({"new": {}}))
        assert found.provenance["tier"].to_pylist() == ["none"]
        assert len(estimator.transform(table({}))) == 0
        assert estimator.transform(table({})).coverage() == dict.fromkeys(
            ("nearest", "attributes", "market", "none"), 0
        )
        assert len(estimator.extend(vectors, items)[0]) == len(vectors)


def test_int64_ids_are_ordered_as_numbers():
    vocabulary = Vocabulary(pa.array([100, 20, 3], pa.int64()), np.array([3, 2, 1]))
    vectors = ItemVectors(vocabulary, np.eye(3, dtype=np.float32))
    items = table({"a": {}, "b": {}, "c": {}, "d": {}}).set_column(0, "item_id", pa.array([100, 20, 3, 7]))
    (told,) = ColdStart(n_nearest=2).fit(vectors, items).transform(items).provenance.to_pylist()
    assert told["donors"] == [3, 20]


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        *(({"n_nearest": value}, "n_nearest is") for value in (0, -1, 1.5, True, None, "3", 1001)),
        *(({"max_miles": value}, "max_miles is") for value in (0, -1.0, math.nan, math.inf, None, "10")),
        *(({"n_price_buckets": value}, "n_price_buckets is") for value in (0, 2.0, None)),
        *(({"price_edges": value}, "price_edges is") for value in ((), (2, 1), (1, 1), (math.nan,), "12", 5)),
        *(({"latitude_column": value}, "latitude_column is") for value in (None, 3)),
        ({"type_column": 3}, "type_column is"),
        *(({"attributes": value}, "attributes is") for value in ("beds", [3])),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_fit_alone(settings, words):
    estimator = ColdStart(**settings)
    with pytest.raises(ConfigError, match=words):
        estimator.fit(vectors_of(["a"]), table({"a": {}}))


def with_column(name: str, column: pa.Array) -> pa.Table:
    items = table({"a": {}, "b": {}})
    return items.set_column(items.column_names.index(name), name, column)


@pytest.mark.parametrize(
    ("items", "error", "words"),
    [
        ({"item_id": ["a"]}, UsageError, "pyarrow.Table"),
        (table({"a": {}}).drop_columns(["item_id"]), DataError, "no column item_id"),
        (with_column("item_id", pa.array([1, 2])), DataError, "same id_type"),
        (
            with_column("item_id", pa.array(["a", None])),
            DataError,
            "1 rows of the item table have no item_id",
        ),
        (with_column("item_id", pa.array(["b", "b"])), DataError, "several rows for item 'b'"),
        (with_column("latitude", pa.array(["1", "2"])), DataError, "latitude is string"),
        (with_column("price", pa.array(["$1", "$2"])), DataError, "price is string"),
    ],
)
def test_tables_that_make_no_sense_are_refused(items, error, words):
    with pytest.raises(error, match=words):
        ColdStart().fit(vectors_of(["a", "b"]), items)
    with pytest.raises(error, match=words):
        ColdStart().fit(vectors_of(["c"]), table({"c": {}})).transform(items)


def test_a_label_of_another_type_is_refused():
    estimator = ColdStart().fit(vectors_of(["c"]), with_column("market", pa.array([1, 2])).set_column(
        0, "item_id", pa.array(["c", "d"])))  # fmt: skip
    with pytest.raises(DataError, match="market is string here and int64"):
        estimator.transform(table({"a": {}}))


def test_other_ways_to_ask_wrongly():
    with pytest.raises(UsageError, match="not fitted"):
        ColdStart().transform(table({"a": {}}))
    with pytest.raises(UsageError, match="ItemVectors, not list"):
        ColdStart().fit([1], table({"a": {}}))
    with pytest.raises(UsageError, match="'garden' is no column"):
        ColdStart(attributes=["garden"]).fit(vectors_of(["a"]), table({"a": {}}))
    with pytest.raises(ConfigError, match="unknown hyper-parameter"):
        ColdStart().set_params(miles=3)
    assert repr(ColdStart(n_nearest=5)) == "ColdStart(n_nearest=5)"
    assert "50." in repr(ColdStart(price_edges=np.array([50.0, 100.0])))  # an array is no truth value
    assert ColdStart(max_miles=np.float32(2)).get_params()["max_miles"] == 2.0


def test_large_tables_in_chunks_and_large_text_are_one():
    warm = {f"w{n}": {"latitude": 10 + n / 100} for n in range(20)}
    items = table({**warm, "x": {}, "y": {"latitude": 10.05}})
    texts = {name for name in items.column_names if pa.types.is_string(items[name].type)}
    large = items
    for number, name in enumerate(items.column_names):
        if name in texts:
            large = large.set_column(number, name, items[name].cast(pa.large_string()))
    chunked = pa.concat_tables([large.slice(0, 7), large.slice(7)])
    plain = ColdStart().extend(vectors_of(list(warm)), items)
    other = ColdStart().extend(vectors_of(list(warm)), chunked)
    np.testing.assert_array_equal(plain[0].vectors, other[0].vectors)
    assert pc.all(pc.equal(plain[1]["tier"], other[1]["tier"])).as_py()
