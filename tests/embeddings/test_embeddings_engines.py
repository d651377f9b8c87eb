"""What every engine must do, asked of each in the same words; and what the torch engine adds to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cluster_world import N_CLUSTERS, cluster_lists, cluster_share, fit, same, shuffled, small
from sgns_referee import TERMS

from item2vec.embeddings import Item2Vec, ItemVectors, torch_engine
from item2vec.embeddings.alias import build_noise
from item2vec.embeddings.corpus import build_corpus, noise_weights
from item2vec.embeddings.draws import WindowSettings
from item2vec.embeddings.numba_engine import NumbaEngine
from item2vec.embeddings.starting import starting_tables
from item2vec.embeddings.torch_engine import TorchEngine, windows_of_a_step
from item2vec.embeddings.training import PATIENCE, StopTraining
from item2vec.errors import ConfigError, EmptyDataError, TrainingError, UsageError
from item2vec.sessions.container import Sessions
from item2vec.vocabulary import Vocabulary

CPU = [{"engine": "numba"}, {"engine": "torch", "device": "cpu"}]
on_every_engine = pytest.mark.parametrize("engine", CPU, ids=lambda engine: engine["engine"])


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return Sessions.from_lists(cluster_lists())


def rich_sessions() -> Sessions:
    """Clusters with bookings, markets and weights."""
    rng = np.random.default_rng(0)
    lists = cluster_lists(150)
    booked = [[int(rng.choice(s)), int(rng.integers(0, 180))] if rng.random() < 0.3 else [] for s in lists]
    markets = {item: f"m{item // 45}" for s in lists for item in s if item % 11}
    weights = rng.choice([0.5, 1.0, 2.5], len(lists)).tolist()
    return Sessions.from_lists(lists, booked=booked, markets=markets, weights=weights)


# Every engine


@on_every_engine
def test_planted_clusters_are_found_and_shuffled_ones_are_not(sessions: Sessions, engine: dict) -> None:
    assert cluster_share(fit(sessions, epochs=10, **engine).item_vectors_) >= 0.95
    control = fit(Sessions.from_lists(shuffled(cluster_lists())), epochs=10, **engine)
    assert cluster_share(control.item_vectors_) < 3 / N_CLUSTERS


@on_every_engine
@pytest.mark.parametrize("params", [{"window": "session"}, {"forward_only": True}, {"sample": 1e-2}])
def test_planted_clusters_are_found_with_every_window(sessions: Sessions, engine: dict, params: dict) -> None:
    assert cluster_share(fit(sessions, epochs=10, **engine, **params).item_vectors_) >= 0.95


@on_every_engine
def test_the_loss_falls_and_its_terms_sum_up(engine: dict) -> None:
    some = rich_sessions()
    rejections = [(0, 1), (2, 20), (5, 5)]
    model = small(epochs=6, market_negative=2, **engine)
    model.fit(some, rejections=rejections, show_progress=False)
    losses = [epoch["loss"] for epoch in model.history_]
    assert losses[-1] < 0.9 * losses[0]
    terms = (*TERMS, "rejection")
    for epoch in model.history_:
        assert epoch["loss"] == pytest.approx(sum(epoch[term] for term in terms))
        assert all(epoch[term] > 0 for term in terms)
    json.dumps(model.history_)


@on_every_engine
def test_bookings_pull_and_rejections_push(engine: dict) -> None:
    """Item 0 is what the sessions of 1..9 book; 1 and 2 are clicked together and rejected together."""
    rng = np.random.default_rng(0)
    lists = [rng.integers(1, 10, 4).tolist() for _ in range(500)]
    lists += [rng.integers(10, 20, 4).tolist() for _ in range(500)] + [[0, 20]] * 50
    booked = [[0]] * 500 + [[]] * 550

    def scores(booked: list[list[int]] | None, rejections: list[tuple[int, int]]) -> np.ndarray:
        some = Sessions.from_lists(lists, booked=booked)
        model = small(epochs=10, vector_size=8, **engine)
        v = model.fit(some, rejections=rejections, show_progress=False).item_vectors_
        rows = [v.key_to_index[k] for k in range(21)]
        assert v.context_vectors is not None
        found: np.ndarray = v.vectors[rows] @ v.context_vectors[rows].T
        return found

    plain, pulled = scores(None, []), scores(booked, [])
    pushed = scores(None, [(1, 2)] * 600)
    lead = [float(s[1:10, 0].mean() - s[10:20, 0].mean()) for s in (plain, pulled)]
    assert lead[1] > lead[0] + 1
    assert pushed[1, 2] < plain[1, 2] - 1
    assert pushed[2, 1] < plain[2, 1] - 1


@on_every_engine
def test_init_vectors_are_where_known_items_start(sessions: Sessions, engine: dict) -> None:
    ids = Vocabulary.from_counts(sessions.item_ids, np.ones(sessions.n_items, np.int64)).ids[:50]
    rng = np.random.default_rng(0)
    init = ItemVectors(Vocabulary(ids, np.ones(50, np.int64)), *rng.normal(size=(2, 50, 16)))
    frozen = small(epochs=1, alpha=1e-9, min_alpha=0.0, **engine)
    start = frozen.fit(sessions, init_vectors=init, show_progress=False).item_vectors_
    np.testing.assert_allclose(start[init.ids], init[init.ids], atol=1e-5)
    rows = [start.key_to_index[i] for i in init.ids]
    assert start.context_vectors is not None
    np.testing.assert_allclose(start.context_vectors[rows], init.context_vectors, atol=1e-5)


@on_every_engine
def test_one_thread_and_a_seed_give_the_same_bytes(engine: dict) -> None:
    some = rich_sessions()
    one, again = (fit(some, market_negative=2, **engine) for _ in range(2))
    assert same(one.item_vectors_, again.item_vectors_)
    assert not same(one.item_vectors_, fit(some, seed=2, **engine).item_vectors_)


@on_every_engine
def test_a_resumed_training_ends_in_the_same_bytes(tmp_path: Path, engine: dict) -> None:
    some, rejections = rich_sessions(), [(0, 1), (2, 20)]

    def interrupt(info: dict) -> None:
        if info["epoch"] == 2:
            raise KeyboardInterrupt

    def train(**options: object) -> ItemVectors:
        model = small(epochs=4, market_negative=1, **engine)
        return model.fit(some, rejections=rejections, show_progress=False, **options).item_vectors_

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint_dir=tmp_path, callbacks=[interrupt])
    assert same(train(checkpoint_dir=tmp_path), whole)


def test_a_checkpoint_of_one_engine_is_resumed_by_the_other(sessions: Sessions, tmp_path: Path) -> None:
    def interrupt(info: dict) -> None:
        raise KeyboardInterrupt

    first, second = CPU
    with pytest.raises(KeyboardInterrupt):
        small(epochs=8, **first).fit(
            sessions, checkpoint_dir=tmp_path, callbacks=[interrupt], show_progress=False
        )
    model = small(epochs=8, **second).fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    assert [epoch["epoch"] for epoch in model.history_] == list(range(1, 9))
    assert cluster_share(model.item_vectors_) >= 0.95


@on_every_engine
def test_early_stopping_keeps_the_best_epoch(sessions: Sessions, engine: dict) -> None:
    kept: list[ItemVectors] = []
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9])

    def validate(vectors: ItemVectors) -> float:
        kept.append(vectors)
        return next(scores)

    few = sessions.take(range(300))
    model = small(epochs=20, **engine).fit(few, validate=validate, show_progress=False)
    assert len(model.history_) == 2 + PATIENCE
    assert same(model.item_vectors_, kept[1])
    assert not same(kept[1], kept[2])


@on_every_engine
def test_progress_is_shown(sessions: Sessions, engine: dict, capsys: pytest.CaptureFixture[str]) -> None:
    small(epochs=1, **engine).fit(sessions)
    shown = capsys.readouterr().err
    assert "epoch 1/1" in shown
    assert "loss=" in shown


@on_every_engine
def test_bad_input_is_refused_in_words(sessions: Sessions, engine: dict) -> None:
    with pytest.raises(EmptyDataError, match="min_count"):
        fit(sessions, min_count=10**9, **engine)
    with pytest.raises(UsageError, match="no item has a market"):
        fit(sessions, market_negative=2, **engine)


@on_every_engine
def test_a_training_that_trains_nothing_says_so(sessions: Sessions, engine: dict, tmp_path: Path) -> None:
    few = sessions.take(range(100))
    model = small(sample=1e-9, **engine)
    for _ in range(2):  # the second finds all epochs in its checkpoint
        with pytest.raises(EmptyDataError, match=r"no epoch of 3 had a pair.*Raise sample or set it to 0"):
            model.fit(few, checkpoint_dir=tmp_path, show_progress=False)
        assert not hasattr(model, "item_vectors_")
    model.fit(few, rejections=[(few.item_ids[0].as_py(), few.item_ids[1].as_py())], show_progress=False)
    assert model.history_[-1]["pairs"] == 0
    assert model.history_[-1]["rejection"] > 0


@on_every_engine
def test_validate_must_not_raise_what_callbacks_raise(sessions: Sessions, engine: dict) -> None:
    def validate(_: ItemVectors) -> float:
        raise StopTraining

    model = small(**engine)
    with pytest.raises(UsageError, match=r"validate raised StopTraining.*callbacks"):
        model.fit(sessions.take(range(100)), validate=validate, show_progress=False)
    assert len(model.history_) == 1


def test_a_huge_learning_rate_diverges_in_words_or_is_held(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of the torch engine step no further than their curvature allows; the numba engine's do."""
    monkeypatch.setattr(torch_engine, "CLICKS_PER_WINDOW", 1)  # in steps as large as a large log's
    numba, torch_cpu = CPU
    with pytest.raises(TrainingError, match=r"epoch \d+.*lower alpha"):
        fit(sessions, alpha=1e25, **numba)
    held = fit(sessions, alpha=1e25, **torch_cpu).item_vectors_
    assert np.isfinite(held.vectors).all()


@on_every_engine
def test_odd_worlds_stay_finite(engine: dict) -> None:
    rng = np.random.default_rng(0)
    worlds = {
        "one item": [[7, 7, 7]] * 5,
        "all the same session": [[1, 2, 3]] * 200,
        "one long session": [rng.integers(0, 50, 60_000).tolist()],
        "two clicks": [[1, 2]],
        "sessions of one click among others": [[1], [1, 2], [3], [2, 3, 1]],
    }
    for name, lists in worlds.items():
        for size in (1, 16):
            model = fit(Sessions.from_lists(lists), alpha=0.1, vector_size=size, **engine)
            assert np.isfinite(model.item_vectors_.vectors).all(), name
            assert np.isfinite([epoch["loss"] for epoch in model.history_]).all(), name


@on_every_engine
def test_a_click_with_a_booking_and_nothing_else_is_trained(engine: dict) -> None:
    some = Sessions.from_lists([["a"], ["b"]] * 20, booked=[["b"], []] * 20)
    model = fit(some, **engine)
    assert model.history_[0]["pairs"] == 0
    assert model.item_vectors_.context_vectors is not None
    assert model.item_vectors_.context_vectors.any()


# Both engines side by side


@pytest.mark.parametrize("windows_per_step", [1, 50])
def test_an_epoch_of_both_engines_on_the_same_draws(windows_per_step: int) -> None:
    """Window by window the tables agree but for rounding; in batches they stay near for a small rate."""
    sessions = rich_sessions()
    vocabulary, corpus = build_corpus(sessions, 1, 0.0)
    corpus = corpus._replace(rejections=np.array([[0, 1], [2, 3], [4, 4]], np.int32))
    noise = build_noise(noise_weights(corpus, 0.75), corpus.item_markets)
    shape = WindowSettings(4, True, False, 5, 2)
    tables = starting_tables(vocabulary, 16, 1, None)
    theirs = NumbaEngine(corpus, noise, shape, *tables, workers=1, seed=3)
    ours = TorchEngine(
        corpus, noise, shape, *tables, workers=1, seed=3, device="cpu", windows_per_step=windows_per_step
    )
    rates = (0.02, 0.01)
    one, other = (engine.run_epoch(4, rates, lambda *_: None) for engine in (ours, theirs))
    assert one.pairs == other.pairs
    assert one.dropped_noise == other.dropped_noise
    near = 1e-4 if windows_per_step == 1 else 0.05
    assert one.losses == pytest.approx(other.losses, rel=near)
    for ours_rows, theirs_rows in zip(ours.rows(), theirs.rows(), strict=True):
        np.testing.assert_allclose(ours_rows, theirs_rows, atol=near * np.abs(theirs_rows).max() * 3)


@pytest.mark.parametrize("n", [100, 200, 1000])
def test_small_logs_are_learned_as_well_by_both_engines(n: int) -> None:
    """An epoch that is one large step or two would leave torch's loss 8 to 20 % above numba's."""
    sessions = Sessions.from_lists(cluster_lists(n))
    numba, torch_cpu = ([fit(sessions, epochs=10, seed=s, **engine) for s in (1, 2)] for engine in CPU)
    losses, shares = (
        [[of(model) for model in models] for models in (numba, torch_cpu)]
        for of in (lambda m: m.history_[-1]["loss"], lambda m: cluster_share(m.item_vectors_))
    )
    assert np.mean(losses[1]) == pytest.approx(np.mean(losses[0]), rel=0.03)
    assert np.mean(shares[1]) >= np.mean(shares[0]) - 0.07


# The torch engine


def test_a_step_grows_with_the_log_up_to_the_default() -> None:
    cpu, cuda = map(torch.device, ("cpu", "cuda"))
    clicks = (1.0, 1023.9, 12_800.0, 4096 * 128.0, 1e9)
    assert [windows_of_a_step(c, cpu) for c in clicks] == [8, 8, 100, 4096, 4096]
    assert windows_of_a_step(1e9, cuda) == 8192


def test_popular_items_in_large_steps_learn_what_small_steps_learn() -> None:
    """A hub in every session, thousands of times a step: the loss ends where the numba engine's does."""
    others = np.random.default_rng(0).integers(1, 200, 6000)
    sessions = Sessions.from_lists([[0, int(k)] for k in others])
    hubs = [fit(sessions, epochs=10, **engine).history_[-1]["loss"] for engine in CPU]
    assert hubs[1] == pytest.approx(hubs[0], rel=0.1)
    everyone = Sessions.from_lists([[1, 2, 3]] * 4000)
    losses = [fit(everyone, epochs=5, **engine).history_[-1]["loss"] for engine in CPU]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_torch_on_the_cpu_leaves_the_number_of_threads_as_it_was(sessions: Sessions) -> None:
    before = torch.get_num_threads()
    fit(sessions.take(range(50)), workers=before + 1, engine="torch", device="cpu")
    assert torch.get_num_threads() == before


def test_more_threads_of_torch_draw_and_learn_the_same(sessions: Sessions) -> None:
    few = sessions.take(range(100))
    one, two = (fit(few, workers=n, engine="torch", device="cpu") for n in (1, 2))
    assert [e["pairs"] for e in one.history_] == [e["pairs"] for e in two.history_]
    np.testing.assert_allclose(one.item_vectors_.vectors, two.item_vectors_.vectors, atol=1e-4)


def test_a_missing_device_is_refused_with_the_way_out(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(UsageError, match=r'device is \'cuda:99\'.*set device="cpu"'):
        fit(sessions, engine="torch", device="cuda:99")
    with pytest.raises(ConfigError, match='"cpu", "cuda"'):
        fit(sessions, engine="torch", device="gpu")
    if not n:
        with pytest.raises(UsageError, match="no CUDA device"):
            fit(sessions, engine="torch", device="cuda")
    assert Item2Vec(engine="torch").device is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_taken_where_there_is_one_and_learns_the_same(sessions: Sessions) -> None:
    vocabulary, corpus = build_corpus(sessions, 1, 0.0)
    noise = build_noise(noise_weights(corpus, 0.75), corpus.item_markets)
    tables = starting_tables(vocabulary, 16, 1, None)
    shape = WindowSettings(5, True, False, 5, 0)
    engine = TorchEngine(corpus, noise, shape, *tables, workers=1, seed=1)
    assert engine.device.type == "cuda"
    assert cluster_share(fit(sessions, epochs=10, engine="torch").item_vectors_) >= 0.95


def test_only_the_torch_engine_imports_torch() -> None:
    code = """
import sys
from item2vec.embeddings import Item2Vec
from item2vec.sessions.container import Sessions
sessions = Sessions.from_lists([["a", "b", "c"], ["c", "d"]] * 5)
Item2Vec(epochs=1, workers=1).fit(sessions, show_progress=False)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
