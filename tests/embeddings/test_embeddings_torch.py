"""The torch engine's steps: against the numba kernel, the referee and autograd, fed the same draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sgns_referee import TERMS, Window, pairs, step, step_rejected
from test_embeddings_rejections import train as train_numba_pairs
from test_embeddings_windows import ITEM_MARKETS, N_ITEMS, as_plan, random_tables
from test_embeddings_windows import train as train_numba

from item2vec.embeddings import torch_batches
from item2vec.embeddings.alias import build_noise
from item2vec.embeddings.draws import Corpus, WindowSettings
from item2vec.embeddings.torch_engine import TorchEngine
from item2vec.embeddings.torch_steps import Pairs, Tables
from item2vec.embeddings.torch_steps import step as torch_step
from item2vec.embeddings.windows import Plan

Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def make_engine(inputs: np.ndarray, outputs: np.ndarray, negative: int, **options: Any) -> TorchEngine:
    """An engine with tables; its corpus is there because engines have one."""
    corpus = Corpus(
        items=np.arange(N_ITEMS, dtype=np.int32),
        offsets=np.array([0, N_ITEMS]),
        booked_items=np.zeros(0, np.int32),
        booked_offsets=np.zeros(2, np.int64),
        weights=np.ones(1, np.float32),
        keep=np.zeros(0, np.float32),
        item_markets=ITEM_MARKETS,
    )
    noise = build_noise(np.ones(N_ITEMS), ITEM_MARKETS)
    shape = WindowSettings(5, True, False, negative, 0)
    return TorchEngine(
        corpus,
        noise,
        shape,
        inputs,
        outputs,
        workers=1,
        seed=1,
        **{"device": "cpu", "windows_per_step": 4096, **options},
    )


def train_torch(
    inputs: np.ndarray,
    outputs: np.ndarray,
    plan: Plan,
    negative: int,
    rates: tuple[float, float],
    **options: Any,
) -> Found:
    engine = make_engine(inputs, outputs, negative, **options)
    results = torch.zeros(len(TERMS) + 1, dtype=torch.float64, device=engine.device)
    engine.train(plan, len(plan.items), rates, results)
    assert not engine.curvatures.inputs.any()
    assert not engine.curvatures.outputs.any()
    return *engine.rows(), results.cpu().numpy()


def check_parity(windows: list[Window], d: int = 8, negative: int = 3, market_negative: int = 0) -> None:
    """One step of both engines from the same tables; windows share no rows where there are several."""
    inputs, outputs = random_tables(d)
    plan = as_plan(windows, negative, market_negative)
    ours = train_torch(inputs, outputs, plan, negative, (0.1, 0.05))
    theirs = train_numba(inputs, outputs, plan, negative, (0.1, 0.05))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("d", [1, 3, 8, 50, 64, 300])
def test_one_window_of_any_vector_size_with_every_term(d: int) -> None:
    window = Window(0, [1, 2, 5], [3, 4, 6], 0, [2, 4], booked=[7, 8])
    check_parity([window], d, negative=3, market_negative=2)


@pytest.mark.parametrize(
    ("window", "market_negative"),
    [
        (Window(4, [4, 1, 4], [2, 3, 5]), 0),
        (Window(0, [1, 2], [5, 5, 5]), 0),
        (Window(0, [1, 2], [1, 2, 5]), 0),
        (Window(0, [1, 2], [-1, 3, -1]), 0),
        (Window(0, [1, 2], [-1, -1, -1]), 0),
        (Window(0, [1, 2], [3, 4, 5], booked=[6, 7, 0]), 0),
        (Window(0, [1, 2], [3, 4, 5], booked=[0]), 0),
        (Window(0, [], [-1, -1, -1], booked=[6, 7]), 0),
        (Window(0, [0, 1, 0], [3, 4, 5], booked=[6]), 0),
        (Window(0, [], [1, 2, 3]), 0),
        (Window(0, [1, 2, 5, 10], [3, 4, 6], 0, [2, 4, 1]), 3),
        (Window(0, [5, 6], [3, 4, 6], 0, [2, 4, 1]), 3),
        (Window(0, [10, 11], [3, 4, 6], -1, [-1, -1]), 2),
        (Window(0, [1, 2], [3, 4, 6], 0, [-1, 2]), 2),
        (Window(0, [k % 9 + 1 for k in range(15)], [10, 11, 10]), 0),
    ],
)
def test_every_odd_window_equals_the_numba_kernel(window: Window, market_negative: int) -> None:
    check_parity([window], negative=3, market_negative=market_negative)


def test_windows_that_share_no_rows_step_as_one_after_another() -> None:
    windows = [
        Window(0, [1, 2], [3, -1], 0, [4, 3], booked=[]),
        Window(5, [6], [7, 8], 1, [9, 8], booked=[]),
        Window(10, [], [-1, -1], -1, [-1, -1], booked=[11]),
    ]
    check_parity(windows, d=32, negative=2, market_negative=2)


def random_windows(n: int, seed: int) -> list[Window]:
    rng = np.random.default_rng(seed)
    windows = []
    for _ in range(n):
        centre, market = int(rng.integers(N_ITEMS)), int(rng.integers(-1, 2))
        booked = sorted(set(rng.integers(0, N_ITEMS, rng.integers(0, 4)).tolist()))
        allowed = [i for i in range(N_ITEMS) if i != centre and i not in booked]
        of_market = [i for i in allowed if ITEM_MARKETS[i] == market]
        contexts = rng.integers(0, N_ITEMS, rng.integers(0, 14)).tolist()
        noise = rng.choice([*allowed, -1], 5).tolist()
        near = rng.choice([*of_market, -1], 2).tolist() if market >= 0 else [-1, -1]
        windows.append(Window(centre, contexts, noise, market, near, booked))
    return windows


def test_windows_one_by_one_equal_the_referee() -> None:
    """Steps of one window, whose rows meet again and again."""
    windows = random_windows(60, seed=7)
    inputs, outputs = random_tables(32)
    ours = train_torch(inputs, outputs, as_plan(windows, 5, 2), 5, (0.03, 0.03), windows_per_step=1)
    theirs = inputs.astype(np.float64), outputs.astype(np.float64)
    losses = dict.fromkeys(TERMS, 0.0)
    for window in windows:
        for term, loss in step(*theirs, window, ITEM_MARKETS, 0.03).items():
            losses[term] += loss
    np.testing.assert_allclose(ours[0], theirs[0], atol=5e-6)
    np.testing.assert_allclose(ours[1], theirs[1], atol=5e-6)
    np.testing.assert_allclose(ours[2][:4], list(losses.values()), rtol=1e-5)
    assert ours[2][4] == sum(len(w.contexts) for w in windows)


# The gradient


def autograd(windows: list[Window], inputs: np.ndarray, outputs: np.ndarray, rate: float) -> Found:
    """One step of all windows by torch autograd of the objective, in float64, and its losses."""
    v, u = (torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in (inputs, outputs))
    losses = dict.fromkeys(TERMS, 0.0 * (v.sum() + u.sum()))
    for window in windows:
        for term, a, b, sign, weight in pairs(window, ITEM_MARKETS):
            losses[term] = losses[term] - weight * torch.nn.functional.logsigmoid(sign * (v[a] @ u[b]))
    sum(losses.values()).backward()  # type: ignore[union-attr]
    stepped = [(t - rate * t.grad).detach().numpy() for t in (v, u)]
    return stepped[0], stepped[1], np.array([loss.item() for loss in losses.values()])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 20), d=st.sampled_from([1, 5, 16]))
def test_a_step_of_many_windows_is_the_gradient_of_the_objective(seed: int, n: int, d: int) -> None:
    windows, (inputs, outputs) = random_windows(n, seed), random_tables(d, seed)
    rate = 1e-3  # so small that no row's step is shortened
    ours = train_torch(inputs, outputs, as_plan(windows, 5, 2), 5, (rate, rate))
    theirs = autograd(windows, inputs, outputs, rate)
    for k in range(2):
        start = (inputs, outputs)[k]
        np.testing.assert_allclose((ours[k] - start) / rate, (theirs[k] - start) / rate, atol=2e-3)
    np.testing.assert_allclose(ours[2][:4], theirs[2], rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), d=st.sampled_from([1, 5, 16]))
def test_a_window_of_the_numba_kernel_is_the_gradient_of_the_objective(seed: int, d: int) -> None:
    windows, (inputs, outputs) = random_windows(1, seed), random_tables(d, seed)
    ours = train_numba(inputs, outputs, as_plan(windows, 5, 2), 5, (0.1, 0.1))
    theirs = autograd(windows, inputs, outputs, 0.1)
    np.testing.assert_allclose(ours[0], theirs[0], atol=2e-6)
    np.testing.assert_allclose(ours[1], theirs[1], atol=2e-6)
    np.testing.assert_allclose(ours[2][:4], theirs[2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pair", [(0, 1), (8, 3), (4, 4)])
def test_a_rejected_pair_equals_the_numba_kernel_and_the_referee(pair: tuple[int, int]) -> None:
    inputs, outputs = random_tables(16)
    engine, loss = make_engine(inputs, outputs, 3), np.zeros(1)
    engine.train_pairs(np.array([pair], np.int32), np.array([0.3, 0.3]), loss)
    numba = train_numba_pairs(inputs[:9], outputs[:9], [pair], (0.3, 0.3))
    theirs = inputs.astype(np.float64), outputs.astype(np.float64)
    assert loss[0] == pytest.approx(step_rejected(*theirs, *pair, 0.3), rel=1e-6)
    assert loss[0] == pytest.approx(numba[2], rel=1e-6)
    for ours, referee, kernel in zip(engine.rows(), theirs, numba[:2], strict=True):
        np.testing.assert_allclose(ours, referee, atol=2e-6)
        np.testing.assert_allclose(ours[:9], kernel, atol=2e-6)


def test_the_learning_rate_falls_from_pair_to_pair_and_batches_are_cut_in_order() -> None:
    inputs, outputs = random_tables(8)
    some = [(0, 1), (1, 2), (0, 2), (5, 6), (6, 0)]
    engine, loss = make_engine(inputs, outputs, 3, windows_per_step=1), np.zeros(1)
    engine.train_pairs(np.array(some, np.int32), np.array([0.5, 0.0]), loss)
    theirs = inputs.astype(np.float64), outputs.astype(np.float64)
    expected = sum(step_rejected(*theirs, *pair, 0.5 * (1 - k / 5)) for k, pair in enumerate(some))
    assert loss[0] == pytest.approx(expected, rel=1e-5)
    for ours, referee in zip(engine.rows(), theirs, strict=True):
        np.testing.assert_allclose(ours, referee, atol=5e-6)


def test_wide_windows_take_fewer_at_a_time_and_learn_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, (inputs, outputs) = random_windows(40, seed=3), random_tables(8)
    plan = as_plan(windows, 5, 2)
    small = train_torch(inputs, outputs, plan, 5, (0.1, 0.1), windows_per_step=1)
    monkeypatch.setattr(torch_batches, "NUMBERS_PER_STEP", 1)
    for one, other in zip(train_torch(inputs, outputs, plan, 5, (0.1, 0.1)), small, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_gathered_targets_of_a_step_are_bounded() -> None:
    for reach, n_targets, vector_size in [(18, 10_001, 1000), (18, 201, 1024), (57, 6, 1024), (1, 50, 800)]:
        at_once = torch_batches.windows_at_once(8192, reach, n_targets, vector_size)
        assert at_once == 1 or at_once * n_targets * vector_size <= 4 * torch_batches.NUMBERS_PER_STEP
        assert at_once == 1 or at_once * n_targets * reach <= torch_batches.NUMBERS_PER_STEP
    assert torch_batches.windows_at_once(4096, 18, 6, 32) == 4096
    assert torch_batches.windows_at_once(8192, 18, 6, 128) == 8192


# Popular rows


def many_pairs(n: int, sign: float, rate: float) -> Pairs:
    """Input row 0 against output row 1, n times."""
    there = torch.ones(n)
    zeros = torch.zeros(n, dtype=torch.long)
    return Pairs(zeros, zeros + 1, sign * there, there, rate * there)


def test_a_row_steps_no_further_than_its_curvature_allows() -> None:
    """Plain where rate·L ≤ 2 and 2/L far where it is not, L = ¼ Σ ‖x‖² while the scores are wrong."""
    v, u = torch.full((2, 4), 0.5), torch.full((2, 4), 1.0)
    sigma = float(torch.sigmoid(v[0] @ u[1]))
    for n in (1, 1000):
        tables = Tables(v.clone(), u.clone())
        torch_step(tables, Tables(torch.zeros(2), torch.zeros(2)), None, (many_pairs(n, -1.0, 0.1),))
        curved = [0.1 * n / 4 * float(x @ x) for x in (u[1], v[0])]
        moves = [0.1 * n * sigma / max(1.0, c / 2) for c in curved]
        assert (max(curved) > 2) == (n == 1000)
        torch.testing.assert_close(tables.inputs[0], v[0] - moves[0] * u[1], rtol=1e-4, atol=0)
        torch.testing.assert_close(tables.outputs[1], u[1] - moves[1] * v[0], rtol=1e-4, atol=0)
        torch.testing.assert_close(tables.inputs[1], v[1])
        torch.testing.assert_close(tables.outputs[0], u[0])


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("n", [1, 100, 20_000])
@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_a_row_that_occurs_thousands_of_times_in_a_step_does_not_explode(
    n: int, sign: float, scale: float
) -> None:
    """At twenty times the usual rate, from rows as good as wrong as can be: learned, and none runs away."""
    rng = np.random.default_rng(0)
    v = scale * rng.normal(size=(2, 8))
    u = scale * rng.normal(size=(2, 8))
    u[1] = -sign * v[0] + 0.1 * u[1]
    tables = Tables(*(torch.tensor(t, dtype=torch.float32) for t in (v, u)))
    room, some = Tables(torch.zeros(2), torch.zeros(2)), (many_pairs(n, sign, 1.0),)
    losses = [float(torch_step(tables, room, None, some)[1][0]) / n for _ in range(150)]
    assert losses[0] > np.log(2)
    assert losses[-1] < 0.1
    assert max(float(t.abs().max()) for t in tables) < 5 * scale + 5
