"""What is learned, on worlds whose answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cluster_world import N_CLUSTERS, cluster_lists, cluster_share, fit, shuffled
from sgns_referee import TERMS

from item2vec.embeddings import Item2Vec
from item2vec.sessions.container import Sessions


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return Sessions.from_lists(cluster_lists())


def test_planted_clusters_are_found_and_shuffled_ones_are_not(sessions: Sessions) -> None:
    assert cluster_share(fit(sessions, epochs=10).item_vectors_) >= 0.95
    control = fit(Sessions.from_lists(shuffled(cluster_lists())), epochs=10)
    assert cluster_share(control.item_vectors_) < 3 / N_CLUSTERS


@pytest.mark.parametrize("params", [{"window": "session"}, {"forward_only": True}, {"shrink_windows": False}])
def test_planted_clusters_are_found_with_every_window(sessions: Sessions, params: dict) -> None:
    assert cluster_share(fit(sessions, epochs=10, **params).item_vectors_) >= 0.95


def test_two_threads_find_them_too(sessions: Sessions) -> None:
    assert cluster_share(fit(sessions, epochs=10, workers=2).item_vectors_) >= 0.95


def test_the_loss_falls(sessions: Sessions) -> None:
    model = fit(sessions, epochs=6)
    losses = [epoch["loss"] for epoch in model.history_]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.75 * losses[0]
    first = model.history_[0]
    assert first["loss"] == pytest.approx(sum(first[term] for term in TERMS))
    assert first["booked"] == first["market_negative"] == 0
    assert first["pairs"] > 0
    assert first["tokens_per_second"] > 0
    json.dumps(model.history_)


def test_eq_4_pulls_clicks_towards_what_was_booked() -> None:
    """Item 0 is never clicked beside 1..9, but it is what their sessions book."""
    rng = np.random.default_rng(0)
    lists = [rng.integers(1, 10, 4).tolist() for _ in range(500)]
    lists += [rng.integers(10, 20, 4).tolist() for _ in range(500)] + [[0, 20]] * 50
    booked = [[0]] * 500 + [[]] * 550
    params = {"epochs": 10, "vector_size": 8}
    with_bookings = fit(Sessions.from_lists(lists, booked=booked), **params)
    without = fit(Sessions.from_lists(lists), **params)

    def pull(model: Item2Vec) -> float:
        vectors = model.item_vectors_
        assert vectors.context_vectors is not None
        scores = vectors.vectors @ vectors.context_vectors[vectors.key_to_index[0]]
        near, far = ([scores[vectors.key_to_index[k]] for k in r] for r in (range(1, 10), range(10, 20)))
        return float(np.mean(near) - np.mean(far))

    assert pull(with_bookings) > pull(without) + 1
    assert with_bookings.history_[0]["booked"] > 0


def test_eq_5_tells_the_styles_of_one_market_apart() -> None:
    """Global noise is almost never of the session's market, so it cannot separate what lies within one."""
    rng = np.random.default_rng(0)
    n_markets, style = 40, 5
    lists = []
    for _ in range(6000):
        market, kind = rng.integers(n_markets), rng.integers(2)
        kinds = np.where(rng.random(5) < 0.25, 1 - kind, kind)  # a quarter of the clicks strays
        lists.append(((market * 2 + kinds) * style + rng.integers(0, style, 5)).tolist())
    markets = {item: f"m{item // (2 * style)}" for item in range(n_markets * 2 * style)}
    sessions = Sessions.from_lists(lists, markets=markets)

    def likeness_across_styles(**params: object) -> float:
        vectors = fit(sessions, epochs=5, **params).item_vectors_
        unit = vectors.get_normed_vectors()[[vectors.key_to_index[i] for i in range(len(vectors))]]
        unit = unit.reshape(n_markets, 2, style, -1)
        return float(np.einsum("mad,mbd->mab", unit[:, 0], unit[:, 1]).mean())

    assert likeness_across_styles() > 0.98
    assert likeness_across_styles(negative=10) > 0.98, "more noise of the usual kind is no substitute"
    assert likeness_across_styles(market_negative=5) < 0.95


def test_booked_sessions_weigh_more() -> None:
    lists = [[0, 1], [0, 2]] * 200 + [[3, 4]] * 200
    even = fit(Sessions.from_lists(lists), epochs=10, vector_size=8)
    heavy = fit(Sessions.from_lists(lists, weights=[5.0, 1.0] * 200 + [1.0] * 200), epochs=10, vector_size=8)

    def lead(model: Item2Vec) -> float:
        v = model.item_vectors_
        assert v.context_vectors is not None
        rows = v.key_to_index
        return float(v.vectors[rows[0]] @ (v.context_vectors[rows[1]] - v.context_vectors[rows[2]]))

    assert lead(heavy) > lead(even) + 0.2
    assert heavy.history_[0]["pairs"] == pytest.approx(2 * (200 * 5 + 200 + 200))


def test_forward_windows_know_what_comes_next() -> None:
    """A ring walked one way: v'_next·v_item is high and v'_previous·v_item low; both ways they are alike."""
    n = 30
    starts = np.random.default_rng(0).integers(0, n, 3000)
    sessions = Sessions.from_lists([((start + np.arange(4)) % n).tolist() for start in starts])

    def lead(**params: object) -> float:
        v = fit(sessions, epochs=10, window=1, **params).item_vectors_
        rows = [v.key_to_index[i] for i in range(n)]
        assert v.context_vectors is not None
        scores = v.vectors[rows] @ v.context_vectors[rows].T
        items = np.arange(n)
        return float((scores[items, (items + 1) % n] - scores[items, (items - 1) % n]).mean())

    assert lead(forward_only=True) > 3
    assert abs(lead()) < 0.5
