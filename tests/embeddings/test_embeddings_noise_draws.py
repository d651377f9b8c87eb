"""Eight draws at a time are the draws of the definition, one after the other, and land in their rows."""

from __future__ import annotations

import numpy as np
import pytest
from test_embeddings_draws import make_corpus

from item2vec.embeddings.alias import Noise, build_noise
from item2vec.embeddings.corpus import noise_weights, trainable_sessions
from item2vec.embeddings.draws import NOT_UNDER_WAY, Corpus, Cursor, WindowSettings, draw_windows
from item2vec.embeddings.numba_engine import compiled, make_plan
from item2vec.embeddings.windows import Plan

MASK, GOLDEN = 2**64 - 1, 0x9E3779B97F4A7C15


def mixed(z: int) -> int:
    """splitmix64's finaliser (Steele et al., 2014), in whole numbers of any size."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def picked(z: int, entries: list[int]) -> int:
    slot = (z >> 32) * len(entries) >> 32
    threshold, alias = entries[slot] >> 32, entries[slot] & 0xFFFFFFFF
    return alias if (z & 0xFFFFFFFF) >= threshold else slot


def expected_noise(plan: Plan, noise: Noise, n: int, negative: int, state: int) -> tuple[np.ndarray, int]:
    """The global noise of a plan's first n rows by the definition, and how many draws were given up."""
    entries, found, dropped = noise.aliases.tolist(), np.full((n, negative), -1), 0
    for i in range(n):
        first, last = plan.booked[i]
        positives = {int(plan.items[i]), *plan.booked_items[first:last].tolist()}
        for k in range(negative):
            state = (state + GOLDEN) & MASK
            z = mixed(state)
            tries = [picked(z, entries)]
            for _ in range(3):
                z = mixed((z + GOLDEN) & MASK)
                tries.append(picked(z, entries))
            good = [item for item in tries if item not in positives]
            found[i, k] = good[0] if good else -1
            dropped += not good
    return found, dropped


def drawn(corpus: Corpus, noise: Noise, settings: WindowSettings, state: int) -> tuple[Plan, int, Cursor]:
    plan = make_plan(corpus, settings)
    start = np.array([state], np.uint64)
    one = np.zeros(1, np.int64)
    cursor = Cursor(one.copy(), one - 1, start, np.zeros(1), one.copy(), NOT_UNDER_WAY.copy())
    arguments = (corpus, noise, trainable_sessions(corpus), settings, plan, cursor)
    return plan, compiled(draw_windows, *arguments)(*arguments), cursor


@pytest.mark.parametrize("market_negative", [0, 3])
@pytest.mark.parametrize("negative", [1, 2, 5, 8, 13])
@pytest.mark.parametrize("n_items", [2, 37, 1000])
def test_noise_equals_the_definition_draw_by_draw(n_items: int, negative: int, market_negative: int) -> None:
    rng = np.random.default_rng(n_items)
    lists = [[k, (k + 1) % n_items] for k in range(n_items)]
    lists += [rng.integers(n_items, size=rng.integers(2, 9)).tolist() for _ in range(41)]
    booked = [[ids[0]] if number % 3 == 0 else [] for number, ids in enumerate(lists)]
    markets = {k: f"m{k % 2}" for k in range(n_items)}
    corpus = make_corpus(lists, booked=booked, markets=markets)
    noise = build_noise(noise_weights(corpus, 0.75), corpus.item_markets)
    # Windows of a fixed size draw nothing, so noise starts at the cursor's own state.
    settings = WindowSettings(2, False, False, negative, market_negative)
    state = int(rng.integers(2**63)) * 2 + 1
    plan, n, cursor = drawn(corpus, noise, settings, state)
    assert n == len(corpus.items)
    expected, dropped = expected_noise(plan, noise, n, negative, state)
    np.testing.assert_array_equal(plan.noise[:n, :negative], expected)
    if not market_negative:
        assert cursor.dropped[0] == dropped
        assert cursor.state[0] == (state + n * negative * GOLDEN) & MASK
    markets_of = plan.item_markets[plan.noise[:n, negative:]]
    right = (markets_of == plan.markets[:n, None]) | (plan.noise[:n, negative:] < 0)
    assert right.all(), "a market draw stands where a global one belongs"
