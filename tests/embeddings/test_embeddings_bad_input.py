"""Odd sessions, settings and arguments: an error in words or finite vectors, never a crash."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cluster_world import cluster_lists, fit, small
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.embeddings import Cooccurrence, ItemVectors
from item2vec.errors import ConfigError, EmptyDataError, Item2VecError, TrainingError, UsageError
from item2vec.sessions.container import Sessions

CLUSTERS = Sessions.from_lists(cluster_lists(400))
MARKETS = {"a": "X", "b": "Y", "c": "Y", "d": "Y"}
CHAIN = [["a", "b"], ["b", "c", "d"], ["c", "d"]] * 30


def long_session(n: int, n_items: int = 1000) -> Sessions:
    return Sessions.from_lists([np.random.default_rng(0).integers(0, n_items, n).tolist()])


def vectors_of(n_items: int, length: float) -> ItemVectors:
    found = fit(CLUSTERS, epochs=1).item_vectors_
    table = np.zeros((n_items, 16), np.float32)
    table[:, 0] = length
    return ItemVectors(found.vocabulary, table)


SANE: dict[str, Callable[[], Any]] = {
    "one item": lambda: fit(Sessions.from_lists([[7, 7, 7]] * 5)),
    "all the same session": lambda: fit(Sessions.from_lists([[1, 2, 3]] * 500)),
    "all the same session, alpha .5": lambda: fit(Sessions.from_lists([[1, 2, 3]] * 500), alpha=0.5),
    "a million clicks in one session": lambda: fit(long_session(10**6), epochs=1),
    "vector_size 1": lambda: fit(CLUSTERS, vector_size=1),
    "vector_size 1000": lambda: fit(CLUSTERS.take(range(50)), vector_size=1000, epochs=1),
    "more threads than sessions": lambda: fit(CLUSTERS, workers=999),
    "a window beyond every session": lambda: fit(CLUSTERS, window=2**62),
    "a market with one item": lambda: fit(Sessions.from_lists(CHAIN, markets=MARKETS), market_negative=3),
    "one market, one item of it": lambda: fit(
        Sessions.from_lists(CHAIN, markets={"a": "X"}), market_negative=3
    ),
    "bookings never clicked": lambda: fit(Sessions.from_lists(CHAIN, booked=[["never"]] * len(CHAIN))),
    "rejections never clicked": lambda: small().fit(CLUSTERS, rejections=[(1, 999_999)], show_progress=False),
    "init_vectors of other items": lambda: small(vector_size=8).fit(
        CLUSTERS,
        init_vectors=fit(Sessions.from_lists([[9001, 9002]] * 3), vector_size=8).item_vectors_,
        show_progress=False,
    ),
    "heavy sessions": lambda: fit(Sessions.from_lists([[1, 2]] * 3, weights=[1000.0] * 3)),
    "a whole session of 2,000 clicks": lambda: fit(long_session(2000), window="session", epochs=2),
    "CBOW of one item": lambda: fit(Sessions.from_lists([[7, 7, 7]] * 5), sg=0),
    "CBOW of a whole long session": lambda: fit(long_session(500), window="session", sg=0, epochs=1),
    "torch, one item": lambda: fit(Sessions.from_lists([[7, 7, 7]] * 5), engine="torch"),
    "torch, all the same session": lambda: fit(
        Sessions.from_lists([[1, 2, 3]] * 500), alpha=0.5, engine="torch"
    ),
    "numpy's numbers": lambda: fit(
        CLUSTERS, vector_size=np.int64(8), alpha=np.float32(0.1), shrink_windows=np.bool_(False)
    ),
}


@pytest.mark.parametrize("case", SANE)
def test_odd_input_trains_to_finite_vectors(case: str) -> None:
    vectors = SANE[case]().item_vectors_
    assert len(vectors)
    for table in (vectors.vectors, vectors.context_vectors):
        assert np.isfinite(table).all()
        assert np.linalg.norm(table, axis=1).max() < 100


REFUSED: dict[str, tuple[Callable[[], Any], type[Item2VecError], str]] = {
    "no sessions": (lambda: fit(Sessions.from_lists([])), EmptyDataError, "sessions hold no clicks; check"),
    "no sessions, counted": (
        lambda: Cooccurrence().fit(Sessions.from_lists([])),
        EmptyDataError,
        "sessions hold no clicks; check the source",
    ),
    "a million clicks, whole, counted": (
        lambda: Cooccurrence(window="session").fit(long_session(10**6)),
        UsageError,
        r"999,999 pairs for a single click \(at most 10,000\), about 999,999,000,000 pairs, 27.8 hours of one"
        " core; set a window",
    ),
    "a million clicks, wide, counted": (
        lambda: Cooccurrence(window=6_000).fit(long_session(10**6)),
        UsageError,
        "12,000 pairs for a single click.*about 12,000,000,000 pairs",
    ),
    "one item, booked": (
        lambda: fit(Sessions.from_lists([[7]] * 5, booked=[[7]] * 5)),
        EmptyDataError,
        "nothing was trained.*two clicks",
    ),
    "sample that keeps almost nothing": (
        lambda: fit(CLUSTERS, sample=1e-300),
        EmptyDataError,
        "nothing was trained.*Raise sample",
    ),
    "torch, alpha 1e9": (
        lambda: fit(CLUSTERS, alpha=1e9, engine="torch"),
        TrainingError,
        "diverged in epoch.*lower alpha",
    ),
    "one click each": (lambda: fit(Sessions.from_lists([[1], [2]])), EmptyDataError, "two clicks"),
    "lists": (lambda: small().fit([[1, 2]]), UsageError, "Sessions.from_lists"),  # type: ignore[arg-type]
    "a million clicks, whole": (
        lambda: fit(long_session(10**6), window="session"),
        UsageError,
        r"999,999 pairs for a single click \(at most 10,000\), about 999,999,000,000 pairs.*hours",
    ),
    "a million clicks, wide": (
        lambda: fit(long_session(10**6), window=6_000, shrink_windows=False),
        UsageError,
        "12,000 pairs for a single click.*about 12,000,000,000 pairs",
    ),
    "windows that shrink, half as wide on average": (
        lambda: fit(long_session(20_000), window=6_000),
        UsageError,
        "12,000 pairs for a single click.*about 120,000,000 pairs",
    ),
    "windows of what came before, each click": (
        lambda: fit(long_session(20_000), window=12_000, forward_only=True, shrink_windows=False),
        UsageError,
        "12,000 pairs for a single click.*about 240,000,000 pairs",
    ),
    "all that came before, half of it on average": (
        lambda: fit(long_session(20_000), window="session", forward_only=True),
        UsageError,
        "19,999 pairs for a single click.*about 199,990,000 pairs",
    ),
    "alpha .5": (
        lambda: fit(CLUSTERS, alpha=0.5, epochs=20),
        TrainingError,
        "diverged in epoch.*lower alpha",
    ),
    "alpha NaN": (lambda: fit(CLUSTERS, alpha=float("nan")), ConfigError, "alpha is nan"),
    "workers 0": (lambda: fit(CLUSTERS, workers=0), ConfigError, "workers is 0"),
    "no noise": (lambda: fit(CLUSTERS, negative=0), ConfigError, "collapsing into one"),
    "market noise only": (
        lambda: fit(Sessions.from_lists(CHAIN, markets=MARKETS), negative=0, market_negative=3),
        ConfigError,
        "market_negative holds only items of one market apart",
    ),
    "no markets": (lambda: fit(CLUSTERS, market_negative=3), UsageError, "no item has a market"),
    "ns_exponent beyond floats": (lambda: fit(CLUSTERS, ns_exponent=-1e300), ConfigError, "from -10 to 10"),
    "weights beyond counting": (
        lambda: fit(Sessions.from_lists([[1, 2]] * 3, weights=[1.0, 1.0, 1e30])),
        UsageError,
        "largest session weight is 1e.30",
    ),
    "init_vectors of 1e6": (
        lambda: small().fit(CLUSTERS, init_vectors=vectors_of(180, 1e6), show_progress=False),
        UsageError,
        "1e.06 long.*scale them down",
    ),
    "init_vectors that are none": (
        lambda: small().fit(CLUSTERS, init_vectors={1: [0.0]}),  # type: ignore[arg-type]
        UsageError,
        "init_vectors is of type dict",
    ),
    "validate that is none": (
        lambda: small().fit(CLUSTERS, validate=0.5),  # type: ignore[arg-type]
        UsageError,
        "validate is of type float",
    ),
    "validate that returns none": (
        lambda: small().fit(CLUSTERS, validate=lambda _: None, show_progress=False),  # type: ignore[arg-type,return-value]
        UsageError,
        "validate returned None",
    ),
    "a callback alone": (
        lambda: small().fit(CLUSTERS, callbacks=print),  # type: ignore[arg-type]
        UsageError,
        "callbacks must be a list",
    ),
    "callbacks that are none": (
        lambda: small().fit(CLUSTERS, callbacks=["print"]),  # type: ignore[list-item]
        UsageError,
        "callbacks must be a list",
    ),
    "checkpoint_every 0": (
        lambda: small().fit(CLUSTERS, checkpoint_every=0),
        ConfigError,
        "checkpoint_every is 0",
    ),
    "checkpoint_every True": (
        lambda: small().fit(CLUSTERS, checkpoint_every=True),
        ConfigError,
        "checkpoint_every is True",
    ),
    "checkpoint_dir a file": (
        lambda: small().fit(CLUSTERS, checkpoint_dir=__file__),
        UsageError,
        "cannot be a folder",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_words(case: str) -> None:
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_is_no_fault_of_the_call(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(TrainingError, match=os.strerror(number)):
        small().fit(CLUSTERS, checkpoint_dir=tmp_path / "checkpoints")


@st.composite
def configurations(draw: st.DrawFn) -> tuple[Sessions, dict[str, Any]]:
    """Sessions over a few items with every kind of side data, and settings from their whole ranges."""
    n_items = draw(st.integers(1, 12))
    clicks = st.lists(st.integers(0, n_items - 1), min_size=1, max_size=9)
    lists = [[0, 0], *draw(st.lists(clicks, min_size=1, max_size=20))]
    cbow = draw(st.integers(0, 4)) == 0
    booked = None
    if not cbow and draw(st.booleans()):
        booked = [draw(st.lists(st.integers(0, n_items), max_size=2)) for _ in lists]
    markets = {k: k % 3 for k in range(n_items)} if draw(st.booleans()) else None
    weights = [draw(st.floats(0.1, 5)) for _ in lists] if draw(st.booleans()) else None
    chosen = {
        "vector_size": draw(st.sampled_from([1, 3, 16, 17])),
        "window": draw(st.sampled_from([1, 2, 5, 100, "session"])),
        "negative": draw(st.sampled_from([1, 5, 8])),
        "market_negative": draw(st.sampled_from([0, 4])) if markets and not cbow else 0,
        "alpha": draw(st.sampled_from([1e-6, 0.01, 0.05, 0.1])),
        "min_alpha": 0.0 if draw(st.booleans()) else 1e-6,
        "ns_exponent": draw(st.floats(-1, 1)),
        "sample": draw(st.sampled_from([0.0, 1e-4, 0.1])),
        "min_count": draw(st.sampled_from([1, 1, 2])),
        "shrink_windows": draw(st.booleans()),
        "forward_only": draw(st.booleans()),
        "sg": int(not cbow),
        "engine": draw(st.sampled_from(["numba", "numba", "numba", "torch"])) if not cbow else "numba",
        "workers": draw(st.sampled_from([1, 2])),
        "epochs": draw(st.integers(1, 2)),
        "seed": draw(st.integers(0, 2**63 - 1)),
    }
    return Sessions.from_lists(lists, booked=booked, markets=markets, weights=weights), chosen


@settings(max_examples=200, deadline=None)
@given(configurations(), st.booleans())
def test_two_hundred_configurations_stay_finite(world: tuple[Sessions, dict], rejects: bool) -> None:
    sessions, chosen = world
    rejections = [(0, 1), (0, 0)] if rejects and chosen["sg"] else None
    try:
        model = small(**chosen).fit(sessions, rejections=rejections, show_progress=False)
    except EmptyDataError:
        if chosen["sample"] or sessions.weights.min() < 1 or np.diff(sessions.offsets).max() < 2:
            return  # chance may leave no pair, or there is none
        raise
    vectors = model.item_vectors_
    assert np.isfinite(vectors.vectors).all()
    assert vectors.context_vectors is not None
    assert np.isfinite(vectors.context_vectors).all()
    for entry in model.history_:
        assert all(np.isfinite(value) for value in entry.values()), entry
        terms = ("window", "negative", "booked", "market_negative", "rejection")
        assert entry["loss"] == pytest.approx(sum(entry[term] for term in terms))
        assert entry["pairs"] >= 0


def test_cooccurrence_takes_numpy_s_numbers() -> None:
    assert Cooccurrence(vector_size=np.int64(8)).fit(CLUSTERS).item_vectors_.vector_size == 8
