"""The SIMD kernel against the numpy referee, fed the same draws."""

from __future__ import annotations

import numpy as np
import pytest
from sgns_referee import TERMS, Window, step

from item2vec.embeddings.numba_engine import compiled, make_scratch
from item2vec.embeddings.tables import make_tables, row_stride, take_rows
from item2vec.embeddings.windows import Plan, train_windows

N_ITEMS = 12
ITEM_MARKETS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, -1, -1], np.int32)


def random_tables(d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(0, 1 / np.sqrt(d), (N_ITEMS, d)).astype(np.float32) for _ in range(2))


def as_plan(windows: list[Window], negative: int, market_negative: int) -> Plan:
    """Write windows by hand: each gets a stretch of `items` of its own, contexts before the centre."""
    items, contexts, centres, booked, booked_items = [], [], [], [], []
    for w in windows:
        contexts.append((len(items), len(items) + len(w.contexts)))
        items += [*w.contexts, w.centre]
        centres.append(len(items) - 1)
        booked.append((len(booked_items), len(booked_items) + len(w.booked)))
        booked_items += w.booked
    n = len(items)
    plan = Plan(
        items=np.array(items, np.int32),
        contexts=np.zeros((n, 2), np.int32),
        noise=np.full((n, negative + market_negative), -1, np.int32),
        markets=np.full(n, -1, np.int32),
        booked=np.zeros((n, 2), np.int64),
        booked_items=np.array(booked_items or [0], np.int32),
        item_markets=ITEM_MARKETS,
    )
    for w, centre, span, bounds in zip(windows, centres, contexts, booked, strict=True):
        plan.contexts[centre], plan.booked[centre], plan.markets[centre] = span, bounds, w.market
        plan.noise[centre] = w.noise + w.market_noise
    return plan


def train(
    inputs: np.ndarray, outputs: np.ndarray, plan: Plan, negative: int, rates: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    d = inputs.shape[1]
    tables, stride = make_tables(inputs, outputs), row_stride(d)
    longest = int(np.diff(plan.contexts, axis=1).max())
    scratch = make_scratch(max(longest, 1), plan.noise.shape[1], stride)
    results = np.zeros(len(TERMS) + 1)
    arguments = (tables, plan, scratch, len(plan.items), negative, np.array(rates), results)
    compiled(train_windows, *arguments, stride=stride)(stride, *arguments)
    padding = np.concatenate([t.reshape(-1, stride)[:, d:].ravel() for t in tables])
    assert not padding.any(), "the padding takes no part"
    return take_rows(tables.inputs, N_ITEMS, d), take_rows(tables.outputs, N_ITEMS, d), results


def check(
    windows: list[Window], d: int = 8, negative: int = 3, market_negative: int = 0, rate: float = 0.3
) -> None:
    inputs, outputs = random_tables(d)
    plan = as_plan(windows, negative, market_negative)
    ours_in, ours_out, results = train(inputs, outputs, plan, negative, (rate, rate))
    theirs_in, theirs_out = inputs.astype(np.float64), outputs.astype(np.float64)
    losses = dict.fromkeys(TERMS, 0.0)
    for window in windows:
        for term, loss in step(theirs_in, theirs_out, window, ITEM_MARKETS, rate).items():
            losses[term] += loss
    np.testing.assert_allclose(ours_in, theirs_in, atol=2e-6)
    np.testing.assert_allclose(ours_out, theirs_out, atol=2e-6)
    np.testing.assert_allclose(results[:4], list(losses.values()), rtol=1e-6, atol=1e-9)
    assert results[4] == sum(len(w.contexts) for w in windows)


@pytest.mark.parametrize("d", [1, 3, 8, 32, 50, 64, 100, 128, 300])
def test_one_window_of_any_vector_size_equals_the_referee(d: int) -> None:
    window = Window(0, [1, 2, 5], [3, 4, 6], 0, [2, 4], booked=[7, 8])
    check([window], d, negative=3, market_negative=2)


@pytest.mark.parametrize("negative", [1, 4, 5, 6, 11, 23])
def test_any_number_of_noise_items(negative: int) -> None:
    rng = np.random.default_rng(negative)
    check([Window(0, [1, 2, 3, 4], rng.integers(1, N_ITEMS, negative).tolist())], negative=negative)


def test_a_repeated_item_is_its_own_context() -> None:
    check([Window(4, [4, 1, 4], [2, 3, 5])])


def test_a_noise_item_drawn_twice_counts_twice() -> None:
    check([Window(0, [1, 2], [5, 5, 5])])


def test_a_noise_item_may_be_an_input() -> None:
    check([Window(0, [1, 2], [1, 2, 5])])


def test_a_dropped_draw_counts_nothing_and_the_next_window_is_whole() -> None:
    check([Window(0, [1, 2], [-1, 3, -1]), Window(1, [2, 3], [4, 5, 6]), Window(2, [3], [-1, -1, -1])])


def test_booked_items_weigh_one_over_their_number_and_skip_the_click_itself() -> None:
    check([Window(0, [1, 2], [3, 4, 5], booked=[6])])
    check([Window(0, [1, 2], [3, 4, 5], booked=[6, 7, 0])])
    check([Window(0, [1, 2], [3, 4, 5], booked=[0])])


def test_a_booked_pair_needs_no_context() -> None:
    check([Window(0, [], [-1, -1, -1], booked=[6, 7])])


def test_the_click_may_be_its_own_context_and_have_a_booking() -> None:
    check([Window(0, [0, 1, 0], [3, 4, 5], booked=[6])])


def test_inputs_of_another_market_skip_the_market_noise() -> None:
    check([Window(0, [1, 2, 5, 10], [3, 4, 6], 0, [2, 4, 1])], market_negative=3)
    check([Window(0, [5, 6], [3, 4, 6], 0, [2, 4, 1])], market_negative=3)


@pytest.mark.parametrize("score", [-200.0, -80.0, -20.0, 0.0, 20.0, 80.0, 200.0])
def test_scores_of_any_size_leave_a_true_loss_over_many_windows(score: float) -> None:
    """Likelihoods are multiplied before one logarithm is taken: thousands of tiny ones must not vanish."""
    inputs, outputs = (np.zeros((N_ITEMS, 4), np.float32) for _ in range(2))
    inputs[1] = inputs[2] = [1, 0, 0, 0]
    outputs[:, 0] = score
    n = 3000
    windows = [Window(0, [1, 2], [3, 4, 5])] * n
    _, _, results = train(inputs, outputs, as_plan(windows, 3, 0), 3, (0.0, 0.0))
    known = min(max(score, -83.2), 83.2)  # float32 tells no more of σ
    np.testing.assert_allclose(results[0], 2 * n * np.logaddexp(0, -known), rtol=1e-3, atol=2 * n * 2e-7)
    np.testing.assert_allclose(results[1], 6 * n * np.logaddexp(0, known), rtol=1e-3, atol=6 * n * 2e-7)


def test_a_window_without_market_has_no_market_noise() -> None:
    check([Window(0, [10, 11], [3, 4, 6], -1, [-1, -1])], market_negative=2)


@pytest.mark.parametrize("noise", [[3, 4, 5], [-1, 4, 5]])
def test_rows_of_items_that_take_no_part_are_not_even_written(noise: list[int]) -> None:
    """Another thread may be changing them; −0 is the one number that adding nothing changes."""
    inputs, outputs = random_tables(8)
    outputs[[0, 10, 11]] = -0.0
    _, ours_out, _ = train(inputs, outputs, as_plan([Window(6, [1, 2, 8], noise)], 3, 0), 3, (0.3, 0.3))
    assert np.signbit(ours_out[[0, 10, 11]]).all()


def test_a_window_without_contexts_changes_nothing() -> None:
    check([Window(0, [], [1, 2, 3])])


def test_scores_far_out_saturate_without_overflow() -> None:
    for scale in (8.0, 40.0, 2e3):
        inputs, outputs = random_tables(32)
        plan = as_plan([Window(0, [1, 2], [3, 4, 5])], 3, 0)
        ours_in, ours_out, results = train(inputs * scale, outputs * scale, plan, 3, (0.01, 0.01))
        theirs_in, theirs_out = (t.astype(np.float64) * scale for t in (inputs, outputs))
        with np.errstate(over="ignore", divide="ignore"):
            step(theirs_in, theirs_out, Window(0, [1, 2], [3, 4, 5]), ITEM_MARKETS, 0.01)
        np.testing.assert_allclose(ours_in, theirs_in, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(ours_out, theirs_out, rtol=1e-5, atol=1e-5)
        assert np.isfinite(results).all()


def test_random_windows_in_a_row_equal_the_referee() -> None:
    rng = np.random.default_rng(7)
    windows = []
    for _ in range(60):
        centre, market = int(rng.integers(N_ITEMS)), int(rng.integers(-1, 2))
        booked = sorted(set(rng.integers(0, N_ITEMS, rng.integers(0, 4)).tolist()))
        allowed = [i for i in range(N_ITEMS) if i != centre and i not in booked]
        of_market = [i for i in allowed if ITEM_MARKETS[i] == market]
        windows.append(
            Window(
                centre,
                rng.integers(0, N_ITEMS, rng.integers(0, 7)).tolist(),
                rng.choice([*allowed, -1], 5).tolist(),
                market,
                rng.choice([*of_market, -1], 2).tolist() if market >= 0 else [-1, -1],
                booked,
            )
        )
    check(windows, d=32, negative=5, market_negative=2, rate=0.1)


def test_the_learning_rate_falls_from_window_to_window() -> None:
    windows = [Window(i % 5, [5, 6], [7, 8, 9]) for i in range(10)]
    inputs, outputs = random_tables(16)
    plan = as_plan(windows, 3, 0)
    ours_in, _, _ = train(inputs, outputs, plan, 3, (0.5, 0.0))
    theirs_in, theirs_out = inputs.astype(np.float64), outputs.astype(np.float64)
    n = len(plan.items)
    for k, window in enumerate(windows):  # the window's place in the plan is its centre's
        step(theirs_in, theirs_out, window, ITEM_MARKETS, 0.5 * (1 - (3 * k + 2) / n))
    np.testing.assert_allclose(ours_in, theirs_in, atol=2e-6)
