"""The estimator: its manners, what it refuses, what odd data do to it."""

from __future__ import annotations

import numpy as np
import pytest
from cluster_world import cluster_lists, fit, small

from item2vec.embeddings import Item2Vec
from item2vec.errors import (
    ConfigError,
    EmptyDataError,
    TrainingError,
    UsageError,
)
from item2vec.sessions.container import Sessions


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return Sessions.from_lists(cluster_lists())


def test_the_constructor_only_stores() -> None:
    model = Item2Vec(vector_size=-1, window="nonsense", engine="abacus")
    assert model.get_params()["vector_size"] == -1
    assert not [name for name in vars(model) if name.endswith("_")]
    assert Item2Vec(**model.get_params()).get_params() == model.get_params()
    assert repr(Item2Vec(epochs=3)) == "Item2Vec(epochs=3)"


def test_set_params_changes_and_refuses() -> None:
    model = Item2Vec()
    assert model.set_params(epochs=7, window="session") is model
    assert (model.epochs, model.window) == (7, "session")
    with pytest.raises(ConfigError, match=r"learning_rate.*alpha"):
        model.set_params(learning_rate=0.1)


def test_it_clones_like_any_estimator() -> None:
    from sklearn.base import clone

    assert clone(Item2Vec(epochs=7)).epochs == 7


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"vector_size": 0}, "vector_size is 0"),
        ({"vector_size": 2.5}, "whole number"),
        ({"vector_size": True}, "vector_size is True"),
        ({"vector_size": 100_000}, "1024"),
        ({"window": 0}, '"session"'),
        ({"window": "week"}, '"session"'),
        ({"negative": 0}, "at least 1"),
        ({"market_negative": -1}, "at least 0"),
        ({"epochs": 0}, "epochs"),
        ({"alpha": 0}, "above 0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"min_alpha": -0.1}, "min_alpha"),
        ({"alpha": 0.01, "min_alpha": 0.02}, "above alpha"),
        ({"ns_exponent": float("inf")}, "finite"),
        ({"sample": -1e-3}, "sample"),
        ({"min_count": 0}, "min_count"),
        ({"shrink_windows": 1}, "true or false"),
        ({"forward_only": "no"}, "true or false"),
        ({"sg": 2}, r"1 \(skip-gram\) or 0 \(CBOW\)"),
        ({"engine": "abacus"}, "engine is 'abacus'; it must be one of 'numba', 'torch'"),
        ({"engine": "torch", "sg": 0}, 'set engine="numba" or sg=1'),
        ({"engine": "torch", "device": "tpu"}, 'device is \'tpu\'; it must be "cpu", "cuda"'),
        ({"device": "cuda"}, 'set engine="torch"'),
        ({"workers": 0}, "workers"),
        ({"seed": -1}, "seed"),
    ],
)
def test_fit_refuses_bad_hyperparameters(sessions: Sessions, params: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fit(sessions, **params)


def test_fit_refuses_what_is_not_sessions(sessions: Sessions) -> None:
    with pytest.raises(UsageError, match="from_lists"):
        small().fit([["a", "b"]])  # type: ignore[arg-type]
    with pytest.raises(EmptyDataError, match="min_count"):
        fit(sessions, min_count=10**9)
    with pytest.raises(UsageError, match="no item has a market"):
        fit(sessions, market_negative=2)


def test_fit_returns_self_and_shows_progress(sessions: Sessions, capsys: pytest.CaptureFixture[str]) -> None:
    model = small(epochs=1)
    assert model.fit(sessions) is model
    shown = capsys.readouterr()
    assert "epoch 1/1" in shown.err
    assert "clicks/s" in shown.err
    assert "loss=" in shown.err
    model.fit(sessions, show_progress=False)
    assert capsys.readouterr() == ("", "")


def test_bookings_of_items_without_a_vector_are_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    lists = [["a", "b"], ["a", "b", "rare"], ["b", "a"]]
    booked = [["never clicked", "a"], ["rare"], []]
    sessions = Sessions.from_lists(lists, booked=booked)
    with caplog.at_level("INFO", logger="item2vec.embeddings.corpus"):
        assert fit(sessions).n_booked_unknown_ == 1
        assert fit(sessions, min_count=2).n_booked_unknown_ == 2
    assert caplog.messages == [
        "1 of 3 booked items are left out: never clicked, or fewer than min_count=1 clicks",
        "2 of 3 booked items are left out: never clicked, or fewer than min_count=2 clicks",
    ]
    caplog.clear()
    with caplog.at_level("INFO", logger="item2vec.embeddings.corpus"):
        assert fit(Sessions.from_lists(lists)).n_booked_unknown_ == 0
    assert not caplog.messages


def test_divergence_names_the_epoch_and_the_way_out(sessions: Sessions) -> None:
    with pytest.raises(TrainingError, match=r"epoch \d+.*lower alpha"):
        fit(sessions, alpha=1e25)


def test_odd_worlds_stay_finite() -> None:
    """At twice the usual learning rate (windows of ten repeats diverge from about 0.3 on, and say so)."""
    rng = np.random.default_rng(0)
    worlds = {
        "one item": [[7, 7, 7]] * 5,
        "all the same session": [[1, 2, 3]] * 200,
        "one long session": [rng.integers(0, 50, 60_000).tolist()],
        "two clicks": [[1, 2]],
    }
    for name, lists in worlds.items():
        for workers in (1, 3):
            model = fit(Sessions.from_lists(lists), alpha=0.1, workers=workers)
            assert np.isfinite(model.item_vectors_.vectors).all(), name


def test_every_vector_size_trains(sessions: Sessions) -> None:
    few = sessions.take(range(300))
    for size in (1, 3, 50, 300):
        model = fit(few, vector_size=size, epochs=1)
        assert model.item_vectors_.vectors.shape == (len(model.item_vectors_), size)
        assert model.item_vectors_.context_vectors.any()
