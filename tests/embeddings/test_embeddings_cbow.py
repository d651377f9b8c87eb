"""CBOW: its kernel against a numpy referee fed the same draws, and what it learns on known worlds."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from cluster_world import N_CLUSTERS, cluster_lists, cluster_share, fit, same, shuffled
from sgns_referee import Window, sigmoid
from test_embeddings_windows import N_ITEMS, as_plan, random_tables

from item2vec.embeddings import Item2Vec
from item2vec.embeddings.cbow import train_means
from item2vec.embeddings.numba_engine import compiled, make_scratch
from item2vec.embeddings.tables import make_tables, row_stride, take_rows
from item2vec.errors import ConfigError, UsageError
from item2vec.sessions.container import Sessions


def loss_of(inputs: np.ndarray, outputs: np.ndarray, window: Window) -> tuple[float, float]:
    """−log σ of the mean and its centre, and of the mean and its noise, by the formula."""
    mean = inputs[window.contexts].mean(axis=0)
    noise = [n for n in window.noise if n >= 0]
    window_loss = -np.log(sigmoid(float(mean @ outputs[window.centre])))
    return float(window_loss), float(-np.log(sigmoid(-outputs[noise] @ mean)).sum())


def step(inputs: np.ndarray, outputs: np.ndarray, window: Window, rate: float) -> tuple[float, float]:
    """Climb the gradient of one window in place, every input the whole way, from the tables before."""
    if not window.contexts:
        return 0.0, 0.0
    before, u = loss_of(inputs, outputs, window), outputs.copy()
    mean = inputs[window.contexts].mean(axis=0)
    change = np.zeros(inputs.shape[1])
    for item, label in [(window.centre, 1.0), *((n, 0.0) for n in window.noise if n >= 0)]:
        g = rate * (label - sigmoid(float(mean @ u[item])))
        change += g * u[item]
        outputs[item] += g * mean
    for a in window.contexts:
        inputs[a] += change
    return before


def train(windows: list[Window], d: int, negative: int, rates: tuple[float, float]) -> tuple:
    """Step the windows with the kernel; return both tables and the results."""
    plan, stride = as_plan(windows, negative, 0), row_stride(d)
    tables = make_tables(*random_tables(d))
    longest = max(len(w.contexts) for w in windows)
    scratch = make_scratch(max(longest, 1), negative, stride)
    results = np.zeros(5)
    arguments = (tables, plan, scratch, len(plan.items), negative, np.array(rates), results)
    compiled(train_means, *arguments, stride=stride)(stride, *arguments)
    for table in tables:
        assert not table.reshape(-1, stride)[:, d:].any(), "the padding takes no part"
    return *(take_rows(table, N_ITEMS, d) for table in tables), results


def check(windows: list[Window], d: int = 8, negative: int = 3, rate: float = 0.3) -> None:
    inputs, outputs, results = train(windows, d, negative, (rate, rate))
    expected_in, expected_out = (table.astype(np.float64) for table in random_tables(d))
    losses = np.sum([step(expected_in, expected_out, window, rate) for window in windows], axis=0)
    np.testing.assert_allclose(inputs, expected_in, atol=2e-6)
    np.testing.assert_allclose(outputs, expected_out, atol=2e-6)
    np.testing.assert_allclose(results[:2], losses, rtol=1e-6, atol=1e-9)
    assert results[2:].tolist() == [0, 0, sum(bool(w.contexts) for w in windows)]


@pytest.mark.parametrize("contexts", [[1], [1, 2, 5], [1, 2, 2, 5]])
def test_the_step_is_torch_autograd_s_gradient_the_inputs_as_many_times_as_there_are(contexts: list) -> None:
    window = Window(0, contexts, [3, 4, 4])
    before = random_tables(24)
    v, u = (torch.tensor(table, dtype=torch.float64, requires_grad=True) for table in before)
    scores = u[[window.centre, *window.noise]] @ v[contexts].mean(dim=0)
    gain = torch.nn.functional.logsigmoid(scores * torch.tensor([1.0, -1.0, -1.0, -1.0])).sum()
    gain.backward()
    inputs, outputs, results = train([window], 24, 3, (0.5, 0.5))
    assert results[:2].sum() == pytest.approx(-gain.item(), rel=1e-6)
    np.testing.assert_allclose(inputs - before[0], 0.5 * len(contexts) * v.grad.numpy(), atol=1e-6)
    np.testing.assert_allclose(outputs - before[1], 0.5 * u.grad.numpy(), atol=1e-6)


@pytest.mark.parametrize("d", [1, 8, 32, 50, 300])
def test_one_window_of_any_vector_size_equals_the_referee(d: int) -> None:
    check([Window(0, [1, 2, 5], [3, 4, 6])], d)


@pytest.mark.parametrize("negative", [1, 4, 5, 6, 11, 23])
def test_any_number_of_noise_items(negative: int) -> None:
    rng = np.random.default_rng(negative)
    check([Window(0, [1, 2, 3, 4], rng.integers(1, N_ITEMS, negative).tolist())], 8, negative)


def test_repeats_dropped_draws_and_windows_without_contexts() -> None:
    check([Window(4, [4, 1, 4], [2, 3, 5])])
    check([Window(0, [1, 2], [5, 5, 1])])
    check([Window(0, [1, 2], [-1, 3, -1]), Window(1, [2], [4, 5, 6]), Window(2, [3], [-1, -1, -1])])
    check([Window(0, [], [1, 2, 3])])


def test_random_windows_in_a_row_equal_the_referee() -> None:
    rng = np.random.default_rng(7)
    windows = []
    for _ in range(60):
        centre = int(rng.integers(N_ITEMS))
        noise = rng.choice([*(i for i in range(N_ITEMS) if i != centre), -1], 5).tolist()
        windows.append(Window(centre, rng.integers(0, N_ITEMS, rng.integers(0, 9)).tolist(), noise))
    check(windows, d=32, negative=5, rate=0.1)


def test_the_learning_rate_falls_from_window_to_window() -> None:
    windows = [Window(i % 5, [5, 6], [7, 8, 9]) for i in range(10)]
    inputs, _, _ = train(windows, 16, 3, (0.5, 0.0))
    expected, outputs = (table.astype(np.float64) for table in random_tables(16))
    for k, window in enumerate(windows):  # the window's place in the plan is its centre's
        step(expected, outputs, window, 0.5 * (1 - (3 * k + 2) / 30))
    np.testing.assert_allclose(inputs, expected, atol=2e-6)


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return Sessions.from_lists(cluster_lists())


def test_planted_clusters_are_found_and_shuffled_ones_are_not(sessions: Sessions) -> None:
    assert cluster_share(fit(sessions, sg=0, epochs=10).item_vectors_) >= 0.95
    control = fit(Sessions.from_lists(shuffled(cluster_lists())), sg=0, epochs=10)
    assert cluster_share(control.item_vectors_) < 3 / N_CLUSTERS


@pytest.mark.parametrize(
    "params",
    [{"window": "session"}, {"forward_only": True}, {"sample": 1e-2}, {"workers": 2}, {"vector_size": 50}],
)
def test_planted_clusters_are_found_with_every_knob(sessions: Sessions, params: dict) -> None:
    assert cluster_share(fit(sessions, sg=0, epochs=10, **params).item_vectors_) >= 0.95


def test_the_middle_is_told_by_both_neighbours_together() -> None:
    """Each neighbour of the middle alone leaves two middles open."""
    rng = np.random.default_rng(0)
    sides = rng.integers(0, 2, (4000, 2))
    lists = [[f"a{a}", f"{a}{b}", f"b{b}"] for a, b in sides.tolist()]
    v = fit(Sessions.from_lists(lists), sg=0, epochs=10, window=1, shrink_windows=False).item_vectors_
    assert v.context_vectors is not None
    for a, b in np.ndindex(2, 2):
        mean = v[[f"a{a}", f"b{b}"]].mean(axis=0)
        scores = {m: mean @ v.context_vectors[v.key_to_index[m]] for m in ("00", "01", "10", "11")}
        assert max(scores, key=scores.get) == f"{a}{b}"


def test_forward_windows_know_what_comes_next() -> None:
    """A ring walked one way: v'_next·v_item is high and v'_previous·v_item low; both ways they are alike."""
    n = 30
    starts = np.random.default_rng(0).integers(0, n, 3000)
    sessions = Sessions.from_lists([((start + np.arange(4)) % n).tolist() for start in starts])

    def lead(**params: object) -> float:
        v = fit(sessions, sg=0, epochs=10, window=1, **params).item_vectors_
        rows = [v.key_to_index[i] for i in range(n)]
        assert v.context_vectors is not None
        scores = v.vectors[rows] @ v.context_vectors[rows].T
        items = np.arange(n)
        return float((scores[items, (items + 1) % n] - scores[items, (items - 1) % n]).mean())

    assert lead(forward_only=True) > 3
    assert abs(lead()) < 0.5


def test_weights_are_visits_and_every_window_is_one_example() -> None:
    weighted = Sessions.from_lists([[0, 1, 2]] * 100 + [[3]], weights=[5.0] * 100 + [1.0])
    assert fit(weighted, sg=0).history_[0]["pairs"] == 100 * 5 * 3
    assert fit(weighted, sg=0, forward_only=True).history_[0]["pairs"] == 100 * 5 * 2


def test_one_thread_and_a_seed_give_the_same_bytes(sessions: Sessions) -> None:
    one, again, skip_gram = fit(sessions, sg=0), fit(sessions, sg=0), fit(sessions)
    assert same(one.item_vectors_, again.item_vectors_)
    assert not same(one.item_vectors_, skip_gram.item_vectors_)


def test_it_resumes_its_own_training_and_no_other(sessions: Sessions, tmp_path) -> None:
    class KilledError(Exception):
        pass

    def kill(info: dict) -> None:
        if info["epoch"] == 2:
            raise KilledError

    model = Item2Vec(vector_size=16, epochs=3, workers=1, sg=0)
    with pytest.raises(KilledError):
        model.fit(sessions, callbacks=[kill], checkpoint_dir=tmp_path, show_progress=False)
    with pytest.raises(UsageError, match="another training"):
        Item2Vec(**{**model.get_params(), "sg": 1}).fit(
            sessions, checkpoint_dir=tmp_path, show_progress=False
        )
    model.fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    assert same(model.item_vectors_, fit(sessions, sg=0).item_vectors_)


def test_odd_worlds_stay_finite() -> None:
    rng = np.random.default_rng(0)
    worlds = {
        "one item": [[7, 7, 7]] * 5,
        "all the same session": [[1, 2, 3]] * 200,
        "one long session": [rng.integers(0, 50, 20_000).tolist()],
        "two clicks": [[1, 2]],
    }
    for name, lists in worlds.items():
        for params in ({"workers": 1}, {"workers": 3, "forward_only": True}):
            model = fit(Sessions.from_lists(lists), sg=0, alpha=0.1, **params)
            assert np.isfinite(model.item_vectors_.vectors).all(), name
            assert np.isfinite(model.history_[-1]["loss"]), name


def test_a_new_process_finds_its_machine_code() -> None:
    fit(Sessions.from_lists([["a", "b", "c"]]), sg=0)
    program = """
from item2vec.embeddings import Item2Vec
from item2vec.embeddings.cbow import train_means
from item2vec.sessions.container import Sessions
model = Item2Vec(sg=0, vector_size=16, epochs=1, workers=1)
model.fit(Sessions.from_lists([["a", "b", "c"]]), show_progress=False)
print(sum(train_means.stats.cache_hits.values()), sum(train_means.stats.cache_misses.values()))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 0\n"


def test_terms_that_it_does_not_have_are_refused_with_the_way_out() -> None:
    lists = [["a", "b"], ["b", "c"]]
    booked = Sessions.from_lists(lists, booked=[["a"], []], markets={"a": "x", "b": "x"})
    with pytest.raises(UsageError, match=r"1 booked items.*set sg=1, or leave the bookings out"):
        fit(booked, sg=0)
    with pytest.raises(ConfigError, match=r"market_negative is 2.*set market_negative=0 or sg=1"):
        fit(Sessions.from_lists(lists, markets={"a": "x", "b": "x"}), sg=0, market_negative=2)
    with pytest.raises(UsageError, match="leave the argument rejections out"):
        Item2Vec(sg=0).fit(Sessions.from_lists(lists), rejections=[("a", "b")])
