"""Geography of the vectors: planted places, their absence, distances by hand, and what is missing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from item2vec.embeddings.places import coordinates, kilometres
from item2vec.errors import DataError
from item2vec.evaluation import probe
from item2vec.evaluation.probes.geography import _another, geography
from item2vec.evaluation.probes.neighbours import unit_rows
from item2vec.vocabulary import Vocabulary


def planted(n=900, n_markets=3, quarters=4, seed=0):
    """Vectors that know the market and its quarter; quarters lie about 11 km apart, markets far away."""
    rng = np.random.default_rng(seed)
    market, quarter = rng.integers(0, n_markets, n), rng.integers(0, quarters, n)
    centres = rng.standard_normal((n_markets, 16))
    shift = 0.8 * rng.standard_normal((n_markets, quarters, 16))
    vectors = centres[market] + shift[market, quarter] + 0.15 * rng.standard_normal((n, 16))
    latitude = 20.0 * market + 0.1 * quarter + rng.uniform(-0.005, 0.005, n)
    places = np.stack([latitude, 5.0 + rng.uniform(-0.005, 0.005, n)], axis=1)
    return unit_rows(vectors.astype(np.float32)), market.astype(np.int64), places


def test_planted_markets_and_quarters_are_found():
    unit, market, places = planted()
    found = geography(unit, market, places)
    assert (found.n_clusters, found.n_items, found.insufficient) == (90, 900, None)
    assert found.market_purity > 0.99
    assert 1 / 3 < found.chance_purity < 0.65  # ten items of a cluster are never spread evenly
    assert found.median_km < 1 < 5 < found.chance_km
    assert geography(unit, market, places) == found


def test_permuted_vectors_know_nothing():
    unit, market, places = planted()
    permuted = geography(np.random.default_rng(1).permutation(unit), market, places)
    assert permuted.market_purity == pytest.approx(permuted.chance_purity, abs=0.04)
    assert permuted.median_km == pytest.approx(permuted.chance_km, rel=0.15)
    within = unit.copy()
    for name in range(3):
        rows = np.flatnonzero(market == name)
        within[rows] = unit[np.random.default_rng(name).permutation(rows)]
    shuffled = geography(within, market, places)
    assert shuffled.market_purity > 0.99  # the market is still there, the quarter is not
    assert shuffled.median_km == pytest.approx(shuffled.chance_km, rel=0.15)


def test_the_purity_of_clusters_that_are_known():
    unit = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)
    market = np.repeat([0, 0, 1, 1], 10)
    market[[0, 11, 22]] = [1, 1, 0]
    found = geography(unit, market, None, n_clusters=4)
    assert (found.n_clusters, found.market_purity) == (4, 37 / 40)
    assert "latitude" in found.insufficient
    assert (found.median_km, found.chance_km) == (None, None)


def test_distances_against_every_pair_by_hand():
    """With two far clusters the medians are those over all pairs of a cluster and of the market."""
    unit = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
    rng = np.random.default_rng(4)
    places = rng.uniform(0, 1, (20, 2))
    market = np.zeros(20, np.int64)
    found = geography(unit, market, places, n_clusters=2)

    def median(together):
        pairs = [(i, j) for i in range(20) for j in range(20) if i != j and together(i, j)]
        one, other = np.array(pairs).T
        return np.median(kilometres(places[one], places[other]))

    assert found.median_km == pytest.approx(median(lambda i, j: i // 10 == j // 10), rel=0.1)
    assert found.chance_km == pytest.approx(median(lambda i, j: True), rel=0.1)
    assert "one market known" in found.insufficient
    assert found.market_purity is None


def test_great_circles():
    paris, london, antipode = (48.8566, 2.3522), (51.5074, -0.1278), (-48.8566, -177.6478)
    one, other = np.array([paris, paris, paris]), np.array([london, paris, antipode])
    assert kilometres(one, other) == pytest.approx([343.6, 0, np.pi * 6371], abs=0.5)


def test_coordinates_that_are_missing_or_impossible():
    given = coordinates(pa.array([1.5, None, 95.0, -3.0, -91.0, 3.0]), pa.array([2, 2, 2, 400, 2, -181]))
    assert given[0].tolist() == [1.5, 2]
    assert np.isnan(given[1:]).any(axis=1).all()
    assert coordinates(None, pa.array([1.0])) is None
    with pytest.raises(DataError, match="latitude is string"):
        coordinates(pa.array(["1"]), pa.array([1.0]))


def test_listings_without_a_place_and_equal_vectors():
    unit, market, places = planted(n=200)
    places[:150] = np.nan
    few = geography(unit, market, places)
    assert few.n_items == 200
    assert few.market_purity > 0.9
    nowhere = geography(unit, market, np.full((200, 2), np.nan))
    assert (nowhere.median_km, nowhere.n_pairs) == (None, 0)
    equal = geography(np.ones((200, 4), np.float32) / 2, market, None)  # fewer vectors than clusters
    assert equal.market_purity == pytest.approx((market == np.bincount(market).argmax()).mean())


def test_too_few_items_say_so():
    unit, market, places = planted(n=30)
    for known in (0, 19):
        few = geography(unit, np.where(np.arange(30) < known, market, -1), places)
        assert few.insufficient.startswith(f"insufficient data: {known} items with a known market")
        assert few.market_purity is None


def test_probe_carries_it():
    unit, market, places = planted(n=300)
    vocabulary = Vocabulary(pa.array([f"i{i:03d}" for i in range(300)]), np.arange(300, 0, -1))
    items = pa.table(
        {
            "item_id": vocabulary.ids,
            "market": [f"m{m}" for m in market],
            "latitude": places[:, 0],
            "longitude": places[:, 1],
        }
    )
    model = SimpleNamespace(vocabulary=vocabulary, vectors=unit)
    shuffled = items.take(np.random.default_rng(0).permutation(300))
    found = probe(model, shuffled).to_json()["geography"]
    assert found["market_purity"] > 0.98
    assert found["median_km"] < found["chance_km"] / 5
    assert probe(model, None).to_json()["geography"]["market_purity"] is None


def test_the_other_listing_of_a_pair_is_any_other_of_the_group_and_never_the_same():
    groups = np.array([2, 0, 2, 1, 0, 2])
    first = np.repeat([0, 1, 2, 4, 5], 300)
    drawn = _another(first, groups, np.random.default_rng(0))
    found = {item: sorted(set(drawn[first == item].tolist())) for item in (0, 1, 2, 4, 5)}
    assert found == {0: [2, 5], 1: [4], 2: [0, 5], 4: [1], 5: [0, 2]}
    for item in (0, 2, 5):
        assert 110 < np.bincount(drawn[first == item]).max() < 190  # each of the two with the same chance
