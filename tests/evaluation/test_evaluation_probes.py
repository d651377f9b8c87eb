"""Probes against brute force, planted structure and its absence; index recall against a spoilt index."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from item2vec.embeddings import ItemVectors
from item2vec.errors import DataError, UsageError
from item2vec.evaluation import index_recall, neighbour_agreement, probe
from item2vec.evaluation.next_item.slices import popularity_slices
from item2vec.evaluation.probes.attributes import aligned_attributes, label_codes, price_codes
from item2vec.evaluation.probes.neighbours import unit_rows
from item2vec.evaluation.probes.probe import cosine_table
from item2vec.evaluation.report.embedding_map import project
from item2vec.index.annoy import MANY_QUERIES
from item2vec.vocabulary import Vocabulary


def planted(n=600, n_markets=4, seed=0, context=True):
    """Vectors that know market and style, in a vocabulary with a long tail."""
    rng = np.random.default_rng(seed)
    market, style = rng.integers(0, n_markets, n), rng.integers(0, 3, n)
    vectors = rng.standard_normal((n_markets, 16))[market] + 0.7 * rng.standard_normal((3, 16))[style]
    vectors = (vectors + 0.3 * rng.standard_normal((n, 16))).astype(np.float32)
    counts = np.sort((1000 / np.arange(1, n + 1)).astype(np.int64) + 1)[::-1]
    vocabulary = Vocabulary(pa.array([f"i{i:04d}" for i in range(n)]), counts)
    items = pa.table(
        {
            "item_id": vocabulary.ids,
            "market": [f"m{m}" for m in market],
            "listing_type": [f"style {s}" for s in style],
            "price": rng.gamma(2.0, 40.0, n),
        }
    )
    contexts = rng.standard_normal(vectors.shape).astype(np.float32) if context else None
    model = SimpleNamespace(vocabulary=vocabulary, vectors=vectors, context_vectors=contexts)
    return model, items, market, style


def test_cosine_table_is_the_mean_over_all_pairs_of_one_market():
    model, _, market, style = planted(n=60)
    unit = unit_rows(model.vectors)
    style = np.where(np.arange(60) % 7 == 0, -1, style)
    table = cosine_table(unit, style, ["x", "y", "z"], market, "style")
    pairs = [
        (i, j)
        for i, j in combinations(range(60), 2)
        if market[i] == market[j] and min(style[i], style[j]) >= 0
    ]
    assert table.n_pairs == len(pairs)
    for a in range(3):
        for b in range(3):
            cosines = [unit[i] @ unit[j] for i, j in pairs if sorted((style[i], style[j])) == sorted((a, b))]
            assert table.cosine[a][b] == pytest.approx(np.mean(cosines), abs=1e-5)
    everywhere = cosine_table(unit, style, ["x", "y", "z"], np.full(60, -1), "style")
    assert not everywhere.within_market
    assert everywhere.n_pairs == (style >= 0).sum() * ((style >= 0).sum() - 1) // 2


def test_probe_finds_what_is_planted():
    model, items, *_ = planted()
    shuffled = items.take(np.random.default_rng(1).permutation(items.num_rows))
    result = probe(model, shuffled)
    table = result.listing_type
    assert sorted(table.labels) == ["style 0", "style 1", "style 2"]
    assert min(table.cosine[i][i] for i in range(3)) > max(
        table.cosine[i][j] for i, j in combinations(range(3), 2)
    )
    assert result.price_band.labels == ("<30", "30–60", "60–90", "90–120", "120+")
    assert {"all", "head", "torso", "tail"} == set(result.same_market)
    market = result.same_market["all"]
    assert market.share > 0.95
    assert market.chance == pytest.approx(0.25, abs=0.03)
    assert sum(result.n_items[name] for name in ("head", "torso", "tail")) == result.n_items["all"] == 600


def test_agreement_against_brute_force_and_chance():
    model, _, market, style = planted(n=150)
    unit = unit_rows(model.vectors)
    found = neighbour_agreement(model.vectors, style, within=market, k=5)
    shares, chances = [], []
    for i in range(150):
        others = [j for j in range(150) if j != i and market[j] == market[i]]
        near = sorted(others, key=lambda j: -(unit[i] @ unit[j]))[:5]
        shares.append(np.mean(style[near] == style[i]))
        chances.append(np.mean(style[others] == style[i]))
    assert found.share == pytest.approx(np.mean(shares))
    assert found.chance == pytest.approx(np.mean(chances))
    assert found.score == pytest.approx((found.share - found.chance) / (1 - found.chance))
    permuted = np.random.default_rng(0).permutation(style)
    assert abs(neighbour_agreement(model.vectors, permuted, within=market).score) < 0.08


def test_agreement_leaves_out_unknown_labels_and_samples():
    model, _, market, _ = planted(n=300)
    labels = np.where(np.arange(300) % 2 == 0, market, -1)
    known = neighbour_agreement(model.vectors[::2], market[::2])
    assert neighbour_agreement(model.vectors, labels) == known
    assert neighbour_agreement(model.vectors, labels, max_queries=40).n == 40
    nothing = neighbour_agreement(model.vectors, np.full(300, -1))
    assert nothing.to_json() == {"share": None, "chance": None, "score": None, "n": 0}
    one_label = neighbour_agreement(model.vectors, np.zeros(300, np.int64))
    assert (one_label.share, one_label.score) == (1, None)
    with pytest.raises(DataError, match="one of each per item"):
        neighbour_agreement(model.vectors, market[:5])


@pytest.mark.parametrize(
    ("drop", "says"),
    [
        (["market"], "0 market"),
        (["listing_type"], "no item has a known listing_type"),
        (["price"], "no item has a known price"),
    ],
)
def test_missing_attributes_say_so(drop, says):
    model, items, *_ = planted(n=40)
    result = probe(model, items.drop_columns(drop))
    reasons = [result.insufficient, result.listing_type.insufficient, result.price_band.insufficient]
    assert [says in (reason or "") for reason in reasons].count(True) == 1
    assert all(reason is None or reason.startswith("insufficient data") for reason in reasons)


def test_no_items_at_all():
    model, *_ = planted(n=40)
    result = probe(model, None)
    assert result.same_market == {}
    assert result.to_json()["listing_type"]["cosine"] == []


def test_slices_and_price_bands():
    slices = popularity_slices(np.array([50, 30, 10, 5, 5]))
    assert {name: np.flatnonzero(mask).tolist() for name, mask in slices.items()} == {
        "head": [0],
        "torso": [1],
        "tail": [2, 3, 4],
    }
    prices = pa.array([10.0, 30.0, None, 1000.0, float("nan")])
    codes, names = price_codes(prices, np.zeros(5, np.int64), (30.0, 60.0))
    assert (codes.tolist(), names) == ([0, 1, -1, 2, -1], ["<30", "30–60", "60+"])
    two_currencies = pa.array([1.0, 2, 3, 4, 5, 100, 200, 300, 400, 500])
    codes, _ = price_codes(two_currencies, np.repeat([0, 1], 5), "quintiles")
    assert codes.tolist() == [0, 1, 2, 3, 4] * 2
    codes, names = label_codes(pa.array(["b", "a", "b", None, "c", "d"]), 6, max_labels=2)
    assert (codes.tolist(), names) == ([0, 1, 0, -1, 1, 1], ["b", "all others"])


@pytest.mark.parametrize(
    ("items", "options", "error", "says"),
    [
        ({"id": ["i0000"]}, {}, DataError, "no column item_id"),
        ({"item_id": [1]}, {}, DataError, "int64 item ids"),
        ({"item_id": ["i0000"], "price": ["$9"]}, {}, DataError, "price is string"),
        ({"item_id": ["i0000"], "price": [9.0]}, {"price_bands": (60.0, 30.0)}, UsageError, "ascending"),
    ],
)
def test_bad_items(items, options, error, says):
    model, *_ = planted(n=20)
    with pytest.raises(error, match=says):
        probe(model, pa.table(items), **options)


class BruteForce:
    """An index that is right, but for the share of answers it spoils."""

    def __init__(self, model, mode, spoilt=0.0):
        self.mode, self.popularity = mode, 0.0
        table = model.vectors if mode == "similar" else model.context_vectors
        self._table = unit_rows(table) if mode == "similar" else table
        self._spoilt = spoilt

    def query(self, query_vectors, k=10):
        scores = query_vectors @ self._table.T
        items = np.argsort(-scores, axis=1)[:, :k].astype(np.int32)
        worst = np.argsort(scores, axis=1)[:, :k].astype(np.int32)
        spoil = np.random.default_rng(0).random(items.shape) < self._spoilt
        return np.where(spoil, worst, items), np.zeros(items.shape, np.float32)


@pytest.mark.parametrize("mode", ["similar", "next"])
@pytest.mark.parametrize(("spoilt", "low", "high"), [(0.0, 1.0, 1.0), (0.3, 0.6, 0.8), (1.0, 0.0, 0.0)])
def test_index_recall(mode, spoilt, low, high):
    model, *_ = planted(n=200)
    result = index_recall(BruteForce(model, mode, spoilt), model, n_queries=80)
    assert low <= result.recall <= high
    assert (result.n_queries, result.n_items, result.mode) == (80, 200, mode)
    assert result.queries_per_second > 0


def test_index_recall_needs_what_it_ranks():
    model, *_ = planted(n=20, context=False)
    spoken = SimpleNamespace(mode="next", query=None)
    with pytest.raises(DataError, match="context vectors"):
        index_recall(spoken, model)
    with pytest.raises(UsageError, match="k=0"):
        index_recall(spoken, model, k=0)
    short = index_recall(BruteForce(model, "similar"), model, k=50)
    assert short.recall == 1  # 19 neighbours are all there are


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_the_map_is_deterministic_and_separates_markets(method):
    model, _, market, _ = planted(n=120, n_markets=2)
    rows, places, used = project(model.vectors, method)
    assert used == method
    assert rows.tolist() == list(range(120))
    np.testing.assert_array_equal(places, project(model.vectors, method)[1])
    near = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(near, np.inf)
    assert (market[near.argmin(axis=1)] == market).mean() > 0.9


def test_maps_of_odd_sizes():
    for shape in ((1, 4), (2, 2), (3, 1), (6, 8)):
        _, places, _ = project(np.ones(shape, np.float32))
        assert places.shape == (shape[0], 2)
        assert np.isfinite(places).all()
    assert len(project(np.random.default_rng(0).random((50, 4), np.float32), "pca", max_points=20)[0]) == 20
    with pytest.raises(UsageError, match="umap"):
        project(np.ones((3, 3), np.float32), "umap")


def test_two_rows_for_one_item_are_refused():
    vocabulary = Vocabulary(pa.array(["a", "b"]), np.array([2, 1]))
    table = pa.table({"item_id": ["a", "b", "a"], "market": ["Paris", "Paris", "Rome"]})
    with pytest.raises(DataError, match="one row"):
        aligned_attributes(table, vocabulary)


def test_index_recall_asks_in_batches_that_take_no_threads_and_counts_an_item_once():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((600, 6)).astype(np.float32)
    sizes = []

    class Stutters:
        mode = "similar"

        def query(self, queries, k=10):
            sizes.append(len(queries))
            unit = table / np.linalg.norm(table, axis=1, keepdims=True)
            order = np.argsort(-(queries @ unit.T), axis=1)
            nearest = np.repeat(order[:, 1:2], k, axis=1)  # one true neighbour, again and again
            return nearest.astype(np.int32), np.ones(nearest.shape, np.float32)

    vectors = ItemVectors(Vocabulary(pa.array(range(600), pa.int64()), np.ones(600, np.int64)), table)
    found = index_recall(Stutters(), vectors, k=10, n_queries=450)
    assert found.recall == pytest.approx(0.1)
    assert sum(sizes) == 450
    assert max(sizes) < MANY_QUERIES, "from there on Annoy opens a pool"
