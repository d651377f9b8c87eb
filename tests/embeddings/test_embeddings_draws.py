"""What chance decides: passes, windows, noise. Counted against the exact distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sgns_referee import contexts_of

from item2vec.embeddings import numba_engine
from item2vec.embeddings.alias import Noise, alias_tables, build_noise
from item2vec.embeddings.corpus import build_corpus, noise_weights, trainable_sessions, weighted_counts
from item2vec.embeddings.draws import NOT_UNDER_WAY, Corpus, Cursor, WindowSettings, draw_windows
from item2vec.embeddings.numba_engine import compiled, make_plan
from item2vec.errors import EmptyDataError
from item2vec.sessions.container import Sessions

SETTINGS = WindowSettings(window=3, shrink=False, forward_only=False, negative=4, market_negative=0)


def alias_probabilities(entries: np.ndarray) -> np.ndarray:
    """Return the distribution that one alias table draws from."""
    n = len(entries)
    own = (entries >> np.uint64(32)).astype(np.float64) / 2**32
    alias = (entries & np.uint64(0xFFFFFFFF)).astype(np.int64)
    own[alias == np.arange(n)] = 1.0
    return (own + np.bincount(alias, weights=1.0 - own, minlength=n)) / n


def make_corpus(lists: list[list[int]], **columns: object) -> Corpus:
    """Items keep their numbers: item k of the lists is number k (the vocabulary is undone)."""
    sessions = Sessions.from_lists(lists, **columns)
    vocabulary, corpus = build_corpus(sessions, 1, 0.0)
    theirs = np.array(vocabulary.item_ids(range(len(vocabulary))))
    order = np.argsort(theirs)
    assert theirs[order].tolist() == list(range(len(theirs))), "the test's items must be 0..n-1, all clicked"
    return corpus._replace(
        items=theirs[corpus.items].astype(np.int32),
        booked_items=theirs[corpus.booked_items].astype(np.int32),
        item_markets=corpus.item_markets[order],
    )


def draw(
    corpus: Corpus, options: WindowSettings = SETTINGS, seed: int = 1, exponent: float = 1.0, epochs: int = 1
) -> tuple[list[dict[str, np.ndarray]], int]:
    """Every window of some epochs as plain values, and how many noise draws were dropped."""
    noise = build_noise(noise_weights(corpus, exponent), corpus.item_markets)
    plan = make_plan(corpus, options)
    order = trainable_sessions(corpus)
    windows, dropped = [], 0
    for epoch in range(epochs):
        cursor = Cursor(
            np.zeros(1, np.int64),
            np.full(1, -1, np.int64),
            np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64),
            np.zeros(1),
            np.zeros(1, np.int64),
            NOT_UNDER_WAY.copy(),
        )
        arguments = (corpus, noise, order, options, plan, cursor)
        entry = compiled(draw_windows, *arguments)
        while n := entry(*arguments):
            for i in range(n):
                first, last = plan.contexts[i]
                centre = plan.centres[i] if options.group else i
                places = [j for j in range(first, last) if j != centre]
                windows.append(
                    {
                        "centre": plan.items[centre],
                        "contexts": plan.items[places],
                        "noise": plan.noise[i].copy() if places else np.zeros(0, np.int32),
                        "market": plan.markets[i],
                        "booked": plan.booked_items[plan.booked[i, 0] : plan.booked[i, 1]],
                    }
                )
        dropped += int(cursor.dropped[0])
        assert cursor.done[0] == np.dot(corpus.weights[order], np.diff(corpus.offsets)[order])
    return windows, dropped


def as_pairs(windows: list[dict[str, np.ndarray]]) -> list[tuple[int, int]]:
    return sorted((int(a), int(w["centre"])) for w in windows for a in w["contexts"])


def assert_frequencies(observed: np.ndarray, expected: np.ndarray) -> None:
    """A chi-square statistic below its 1e-6 quantile, by the normal approximation."""
    n, kept = observed.sum(), expected > 0
    assert not observed[~kept].any()
    degrees = kept.sum() - 1
    chi2 = ((observed[kept] - n * expected[kept]) ** 2 / (n * expected[kept])).sum()
    assert chi2 < degrees + 5 * np.sqrt(2 * degrees) + 10, (chi2, degrees)


@given(st.lists(st.floats(0, 1e6) | st.just(0.0), min_size=1, max_size=50).filter(lambda w: sum(w) > 1e-3))
@settings(max_examples=200, deadline=None)
def test_an_alias_table_is_exact(weights: list[float]) -> None:
    w = np.array(weights)
    entries = alias_tables(w, np.array([0, len(w)]))
    np.testing.assert_allclose(alias_probabilities(entries), w / w.sum(), atol=1e-8)


def test_alias_tables_per_segment_are_independent() -> None:
    w = np.array([1.0, 3.0, 5.0, 1.0, 1.0, 2.0])
    entries = alias_tables(w, np.array([0, 2, 2, 6]))
    np.testing.assert_allclose(alias_probabilities(entries[:2]), [0.25, 0.75], atol=1e-9)
    np.testing.assert_allclose(alias_probabilities(entries[2:]), w[2:] / 9, atol=1e-9)


@pytest.mark.parametrize("exponent", [0.75, 1.0, 0.0, -0.5])
def test_noise_follows_the_count_to_the_exponent(exponent: float) -> None:
    rng = np.random.default_rng(0)
    lists = [[0, 0]] * 3 + [[k, k] for k in range(1, 20) for _ in range(int(rng.integers(1, 30)))]
    corpus = make_corpus(lists)
    windows, _ = draw(corpus, exponent=exponent, epochs=60)
    weights = weighted_counts(corpus) ** exponent
    centre = np.array([w["centre"] for w in windows if len(w["noise"])])
    noise = np.stack([w["noise"] for w in windows if len(w["noise"])])
    for c in (0, 5):  # a draw equal to the centre is redrawn: the rest keeps its proportions
        drawn = noise[centre == c].ravel()
        expected = weights.copy()
        expected[c] = 0
        assert_frequencies(np.bincount(drawn[drawn >= 0], minlength=20), expected / expected.sum())


def test_noise_counts_are_weighted_by_the_sessions() -> None:
    corpus = make_corpus([[0, 1], [2, 3]], weights=[5.0, 1.0])
    assert weighted_counts(corpus).tolist() == [5, 5, 1, 1]


@pytest.mark.parametrize("group", [0, 1, 2, 4])
@pytest.mark.parametrize("forward_only", [False, True])
@pytest.mark.parametrize("window", [1, 3, 100])
def test_pairs_are_those_of_the_definition(window: int, forward_only: bool, group: int) -> None:
    rng = np.random.default_rng(3)
    lists = [rng.integers(0, 9, rng.integers(1, 12)).tolist() for _ in range(200)] + [list(range(9))]
    options = SETTINGS._replace(window=window, forward_only=forward_only, group=group)
    windows, _ = draw(make_corpus(lists), options)
    assert max(len(w["contexts"]) for w in windows) <= (group or 2 * window)
    expected = [
        (s[j], s[i]) for s in lists for i in range(len(s)) for j in contexts_of(s, i, window, forward_only)
    ]
    assert as_pairs(windows) == sorted(expected)


@pytest.mark.parametrize("at_once", [1, 7, 64])
@pytest.mark.parametrize("window", [2, 200])
def test_a_long_session_needs_no_larger_plan(
    window: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pairs, and the one booked pair of each click, are the same however often a block ends within it."""
    monkeypatch.setattr(numba_engine, "WINDOWS_AT_ONCE", at_once)
    session = [*range(150), *range(20)]
    corpus = make_corpus([[3, 4], session, [5]], booked=[[], [7, 9], [8]], weights=[1.0, 2.0, 1.0])
    options = SETTINGS._replace(window=window, negative=2, group=4)
    assert len(make_plan(corpus, options).noise) == at_once
    windows, _ = draw(corpus, options)
    pairs = [(session[j], session[i]) for i in range(170) for j in contexts_of(session, i, window, False)]
    assert as_pairs(windows) == sorted([*pairs, *pairs, (3, 4), (4, 3)])
    booked = sorted(int(w["centre"]) for w in windows if len(w["booked"]))
    assert booked == sorted([*session, *session, 5])
    for w in windows:
        assert len(w["noise"]) == (2 if len(w["contexts"]) else 0)
        assert len(w["contexts"]) == 0 or not {7, 9} & set(w["noise"]) or set(w["contexts"]) <= {3, 4}


@pytest.mark.parametrize("weight", [0.3, 1.0, 1.7, 5.0])
def test_progress_follows_the_passes_of_a_long_session(
    weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The learning rate falls by it: never back, and in no leap, whatever a session weighs."""
    monkeypatch.setattr(numba_engine, "WINDOWS_AT_ONCE", 40)
    corpus = make_corpus([list(range(200))], weights=[weight])
    options = SETTINGS._replace(group=2)
    noise = build_noise(noise_weights(corpus, 1.0), corpus.item_markets)
    plan, order = make_plan(corpus, options), trainable_sessions(corpus)
    of_pass = draw(make_corpus([list(range(200))]), options)[0]
    for seed in range(8):  # .3 and 1.7 passes are one or none more
        cursor = Cursor(
            *(np.full(1, start, np.int64) for start in (0, -1)),
            np.array([seed], np.uint64),
            np.zeros(1),
            np.zeros(1, np.int64),
            NOT_UNDER_WAY.copy(),
        )
        arguments = (corpus, noise, order, options, plan, cursor)
        entry, rows, done = compiled(draw_windows, *arguments), 0, [0.0]
        while n := entry(*arguments):
            rows += n
            done.append(float(cursor.done[0]))
            if cursor.session[0] < len(order):
                expected = min(200 * rows / len(of_pass), int(weight * 200))
                assert done[-1] == pytest.approx(expected, abs=3)
        assert done == sorted(done)
        assert float(cursor.done[0]) == pytest.approx(weight * 200)


def test_every_group_of_a_window_draws_its_own_noise() -> None:
    session = list(range(200))
    windows, _ = draw(make_corpus([session]), SETTINGS._replace(window=4, negative=8, group=2))
    of_one = [tuple(w["noise"]) for w in windows if w["centre"] == 100]
    assert len(of_one) == len(set(of_one)) == 4


def test_session_walls_are_hard() -> None:
    lists = [[2 * k, 2 * k + 1] for k in range(500)]
    windows, _ = draw(make_corpus(lists), SETTINGS._replace(window=50))
    assert all(a // 2 == b // 2 for a, b in as_pairs(windows))
    assert len(as_pairs(windows)) == 1000


def test_shrinking_windows_are_uniform_in_size() -> None:
    session = list(range(31))
    windows, _ = draw(make_corpus([session]), SETTINGS._replace(window=5, shrink=True), epochs=2000)
    sizes = np.array([len(w["contexts"]) for w in windows if w["centre"] == 15])
    assert set(sizes % 2) == {0}
    assert_frequencies(np.bincount(sizes // 2, minlength=6), np.array([0, 1, 1, 1, 1, 1]) / 5)


@pytest.mark.parametrize("weight", [1.0, 0.25, 2.0, 2.6, 5.0])
def test_a_session_is_visited_weight_times_on_average(weight: float) -> None:
    corpus = make_corpus([[0, 1], [2, 3]], weights=[weight, 1.0])
    visits = [sum(int(w["centre"]) == 0 for w in draw(corpus, seed=seed)[0]) for seed in range(400)]
    assert set(visits) <= {int(np.floor(weight)), int(np.ceil(weight))}
    assert abs(np.mean(visits) - weight) < 5 * np.sqrt(0.25 / 400) * (weight % 1 > 0) + 1e-9


def test_each_pass_draws_its_own_noise() -> None:
    corpus = make_corpus([[0, 1], list(range(2, 60))], weights=[5.0, 1.0])
    windows, _ = draw(corpus, SETTINGS._replace(negative=8))
    draws = {tuple(w["noise"]) for w in windows if w["centre"] == 0}
    assert len(draws) == 5


def test_noise_is_never_the_centre_nor_a_booked_item() -> None:
    rng = np.random.default_rng(1)
    lists = [rng.integers(0, 6, 5).tolist() for _ in range(300)] + [[0, 1, 2, 3, 4, 5]]
    booked = [[int(s[0]), int(s[1])] if s[0] != s[1] else [] for s in lists]
    windows, dropped = draw(make_corpus(lists, booked=booked))
    assert dropped > 0
    assert dropped == sum(int((w["noise"] < 0).sum()) for w in windows)
    for w in windows:
        assert w["centre"] not in w["noise"]
        assert not set(w["booked"]) & set(w["noise"])


def test_redraws_stop_after_three() -> None:
    corpus = make_corpus([[0] * 40, [0, 1]])  # nearly all noise is item 0
    windows, _ = draw(corpus, epochs=200)
    p = 41 / 42  # a draw is item 0
    noise = np.concatenate([w["noise"] for w in windows if w["centre"] == 0])
    share = p**4
    assert abs((noise < 0).mean() - share) < 5 * np.sqrt(share * (1 - share) / len(noise))
    assert set(noise.tolist()) == {-1, 1}


def test_one_item_alone_drops_all_its_noise() -> None:
    windows, dropped = draw(make_corpus([[0, 0, 0]]))
    assert dropped == 3 * 4
    assert all((w["noise"] == -1).all() for w in windows)


def test_market_noise_comes_from_the_market_of_an_input() -> None:
    markets = {k: f"m{k % 3}" for k in range(27)} | {27: "alone"}
    rng = np.random.default_rng(2)
    lists = [rng.integers(0, 29, 6).tolist() for _ in range(400)] + [list(range(29))]
    corpus = make_corpus(lists, markets=markets)
    assert corpus.item_markets[28] == -1
    windows, _ = draw(corpus, SETTINGS._replace(market_negative=3), epochs=20)
    seen: dict[int, np.ndarray] = {}
    for w in windows:
        assert w["market"] in corpus.item_markets[w["contexts"]]
        market_noise = w["noise"][4:]
        if w["market"] < 0:
            assert (market_noise == -1).all()
            continue
        drawn = market_noise[market_noise >= 0]
        assert (corpus.item_markets[drawn] == w["market"]).all()
        if corpus.item_markets[w["centre"]] != w["market"]:  # nothing was redrawn
            seen.setdefault(int(w["market"]), np.zeros(29, np.int64))
            seen[int(w["market"])] += np.bincount(drawn, minlength=29)
    counts = weighted_counts(corpus)
    for market, drawn in seen.items():
        expected = np.where(corpus.item_markets == market, counts, 0)
        assert_frequencies(drawn, expected / expected.sum())


def test_both_markets_of_a_mixed_session_get_their_share() -> None:
    corpus = make_corpus([[0, 1, 2, 3]], markets={0: "a", 1: "a", 2: "a", 3: "b"})
    windows, _ = draw(corpus, SETTINGS._replace(market_negative=1, window=9), epochs=4000)
    markets = np.array([w["market"] for w in windows if w["centre"] == 0])
    assert_frequencies(np.bincount(markets), np.array([2, 1]) / 3)


def test_subsampling_keeps_word2vecs_share() -> None:
    lists = [[0, 1] if k % 10 else [0, 2] for k in range(1000)]
    sessions = Sessions.from_lists(lists)
    vocabulary, corpus = build_corpus(sessions, 1, 0.05)
    windows, _ = draw(corpus, epochs=20)
    counts = vocabulary.counts
    ratio = 0.05 / (counts / counts.sum())
    expected = np.minimum(1, np.sqrt(ratio) + ratio)
    observed = np.bincount([w["centre"] for w in windows], minlength=3) / (counts * 20)
    np.testing.assert_allclose(observed, expected, atol=5 * np.sqrt(0.25 / (100 * 20)))


def test_rare_items_leave_before_windows_are_formed() -> None:
    sessions = Sessions.from_lists([["a", "rare", "b"], ["a", "b"]], booked=[["rare"], ["b"]])
    vocabulary, corpus = build_corpus(sessions, 2, 0.0)
    assert vocabulary.item_ids([0, 1]) == ["a", "b"]
    assert corpus.items.tolist() == [0, 1, 0, 1]
    assert corpus.booked_offsets.tolist() == [0, 0, 1]
    windows, _ = draw(corpus, SETTINGS._replace(window=1))
    assert as_pairs(windows) == [(0, 1), (0, 1), (1, 0), (1, 0)]


def test_no_pair_left_is_an_error() -> None:
    with pytest.raises(EmptyDataError, match="min_count"):
        build_corpus(Sessions.from_lists([["a"], ["b"]]), 1, 0.0)
    with pytest.raises(EmptyDataError, match="min_count=9"):
        build_corpus(Sessions.from_lists([["a", "b"]]), 9, 0.0)


def test_a_plan_is_as_long_as_the_longest_session() -> None:
    rng = np.random.default_rng(0)
    lists = [[0, 1], rng.integers(0, 5, 30_000).tolist(), list(range(5))]
    windows, _ = draw(make_corpus(lists, weights=[1.0, 2.0, 1.0]), SETTINGS._replace(window=1))
    assert len(windows) == 2 + 2 * 30_000 + 5


def test_noise_tables_cover_markets_in_order() -> None:
    noise = build_noise(np.array([1.0, 2.0, 3.0]), np.array([1, -1, 0], np.int32))
    assert isinstance(noise, Noise)
    assert noise.market_items.tolist() == [2, 0]
    assert noise.market_offsets.tolist() == [0, 1, 2]
