"""Rejected pairs (eq. 8-9): the kernel against its referees, what is learned, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from cluster_world import CLUSTER, cluster_lists, cluster_share, fit, same, small
from hypothesis import given, settings
from hypothesis import strategies as st
from sgns_referee import step_rejected

from item2vec.embeddings import Item2Vec, ItemVectors, numba_engine
from item2vec.embeddings.numba_engine import compiled, make_scratch
from item2vec.embeddings.rejections import EpochRejections, epoch_pairs, number_pairs, train_rejections
from item2vec.embeddings.tables import make_tables, row_stride, take_rows
from item2vec.errors import UsageError
from item2vec.sessions.container import Sessions
from item2vec.vocabulary import Vocabulary

N_ITEMS = 9


def random_tables(d: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(d)
    return tuple((scale * rng.normal(size=(N_ITEMS, d))).astype(np.float32) for _ in range(2))


def train(
    inputs: np.ndarray, outputs: np.ndarray, pairs: list[tuple[int, int]], rates: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, float]:
    d = inputs.shape[1]
    tables, stride, losses = make_tables(inputs, outputs), row_stride(d), np.zeros(1)
    scratch = make_scratch(1, 5, stride)
    scratch.deltas[:] = 7.0  # what the last window left
    arguments = (tables, scratch, np.array(pairs, np.int32).reshape(-1, 2), np.array(rates), losses)
    compiled(train_rejections, *arguments, stride=stride)(stride, *arguments)
    assert all(not t[N_ITEMS * stride :].any() for t in tables)
    return take_rows(tables.inputs, N_ITEMS, d), take_rows(tables.outputs, N_ITEMS, d), float(losses[0])


# The kernel


@pytest.mark.parametrize("d", [1, 3, 16, 50, 64, 300])
@pytest.mark.parametrize("pair", [(0, 1), (8, 3), (4, 4)])
def test_a_pair_equals_the_referee(d: int, pair: tuple[int, int]) -> None:
    inputs, outputs = random_tables(d, 1 / np.sqrt(d))
    ours_in, ours_out, loss = train(inputs, outputs, [pair], (0.3, 0.3))
    theirs_in, theirs_out = inputs.astype(np.float64), outputs.astype(np.float64)
    assert loss == pytest.approx(step_rejected(theirs_in, theirs_out, *pair, 0.3), rel=1e-6)
    np.testing.assert_allclose(ours_in, theirs_in, atol=2e-6)
    np.testing.assert_allclose(ours_out, theirs_out, atol=2e-6)
    others = [k for k in range(N_ITEMS) if k not in pair]
    assert ours_in[others].tobytes() == inputs[others].tobytes()
    assert ours_out[others].tobytes() == outputs[others].tobytes()


@given(
    pairs=st.lists(st.tuples(st.integers(0, N_ITEMS - 1), st.integers(0, N_ITEMS - 1)), max_size=30),
    rates=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
)
@settings(max_examples=50, deadline=None)
def test_pairs_in_a_row_equal_the_referee(pairs: list[tuple[int, int]], rates: tuple[float, float]) -> None:
    inputs, outputs = random_tables(16, 0.25)
    ours_in, ours_out, loss = train(inputs, outputs, pairs, rates)
    theirs_in, theirs_out = inputs.astype(np.float64), outputs.astype(np.float64)
    start, end = rates
    expected = 0.0
    for k, pair in enumerate(pairs):
        expected += step_rejected(theirs_in, theirs_out, *pair, start + (end - start) * k / len(pairs))
    assert loss == pytest.approx(expected, rel=1e-5, abs=1e-9)
    np.testing.assert_allclose(ours_in, theirs_in, atol=1e-5)
    np.testing.assert_allclose(ours_out, theirs_out, atol=1e-5)


@pytest.mark.parametrize("pair", [(0, 1), (4, 4)])
def test_the_step_is_torch_autograd_s_gradient(pair: tuple[int, int]) -> None:
    inputs, outputs = random_tables(24, 0.3)
    v, u = (torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in (inputs, outputs))
    a, b = pair
    gain = torch.nn.functional.logsigmoid(torch.stack([-(u[b] @ v[a]), -(u[a] @ v[b])])).sum()
    gain.backward()
    ours_in, ours_out, loss = train(inputs, outputs, [pair], (0.5, 0.5))
    assert loss == pytest.approx(-gain.item(), rel=1e-6)
    np.testing.assert_allclose(ours_in - inputs, 0.5 * v.grad.numpy(), atol=1e-6)
    np.testing.assert_allclose(ours_out - outputs, 0.5 * u.grad.numpy(), atol=1e-6)


def test_scores_far_out_neither_overflow_nor_move_what_is_apart() -> None:
    ones = np.ones((N_ITEMS, 16), np.float32)
    inputs, outputs, loss = train(ones * 30, ones * 30, [(0, 1)], (0.01, 0.01))
    assert loss == pytest.approx(2 * 16 * 900)
    assert inputs[0] == pytest.approx(30 - 0.3)
    assert outputs[1] == pytest.approx(30 - 0.3)
    inputs, outputs, loss = train(ones * 30, -ones * 30, [(0, 1)], (0.01, 0.01))
    assert loss == 0
    assert (inputs == 30).all()
    assert (outputs == -30).all()


# The epoch


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_pair_is_dealt_once_per_epoch_in_an_order_of_its_own(workers: int) -> None:
    pairs = np.arange(26, dtype=np.int32).reshape(13, 2)
    dealt = [epoch_pairs(pairs, seed=3, epoch=e, workers=workers) for e in (0, 0, 1)]
    assert [len(part) for part in dealt[0]] == [len(part) for part in np.array_split(pairs, workers)]
    first, again, other = (np.concatenate(parts).tolist() for parts in dealt)
    assert sorted(first) == sorted(other) == pairs.tolist()
    assert first == again
    assert first != other
    assert first != pairs.tolist()


@given(shares=st.lists(st.floats(0, 1), max_size=12), n=st.integers(0, 50))
def test_pairs_keep_step_with_the_epoch_and_none_is_left(shares: list[float], n: int) -> None:
    trained: list[tuple[np.ndarray, float]] = []
    pairs = np.arange(2 * n, dtype=np.int32).reshape(n, 2)
    rejections = EpochRejections(pairs, lambda part, rates, losses: trained.append((part, rates)))
    for share in [*sorted(shares), 1.0]:
        rejections.advance(share, np.array([share, share]))
        assert sum(len(part) for part, _ in trained) == round(share * n)
    assert [row for part, _ in trained for row in part.tolist()] == pairs.tolist()
    assert all(len(part) for part, _ in trained)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("weights", [None, 0.5])
def test_a_training_visits_each_pair_once_per_epoch_all_along_it(
    workers: int, weights: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba_engine, "WINDOWS_AT_ONCE", 64)
    calls: list[tuple[Counter, float]] = []

    class Watched(EpochRejections):
        def advance(self, share: float, rates: np.ndarray) -> None:
            before = self.done
            super().advance(share, rates)
            seen = Counter(map(tuple, self.pairs[before : self.done].tolist()))
            calls.append((seen, float(rates[0])))

    monkeypatch.setattr(numba_engine, "EpochRejections", Watched)
    lists = cluster_lists(300)
    sessions = Sessions.from_lists(lists, weights=None if weights is None else [weights] * len(lists))
    pairs = [(i, i + CLUSTER) for i in range(150)] + [(0, 1)] * 3
    model = small(epochs=2, workers=workers).fit(sessions, rejections=pairs, show_progress=False)
    numbers = Counter(
        (model.item_vectors_.key_to_index[a], model.item_vectors_.key_to_index[b]) for a, b in pairs
    )
    total = sum((seen for seen, _ in calls), Counter())
    assert total == Counter({pair: 2 * n for pair, n in numbers.items()})
    busy = [seen for seen, _ in calls if seen]
    assert len(busy) > 6, "not all at once"
    assert max(sum(seen.values()) for seen in busy) < len(pairs) / 2
    rates = {rate for _, rate in calls}
    assert len(rates) > 6, "the learning rate falls with the epoch's progress"


def test_no_rejections_change_nothing_and_some_do() -> None:
    sessions = Sessions.from_lists(cluster_lists(300))
    plain = fit(sessions)
    for none in (None, [], np.zeros((0, 2), np.int64), [(10**6, 10**6 + 1)]):
        again = small().fit(sessions, rejections=none, show_progress=False)
        assert same(plain.item_vectors_, again.item_vectors_)
        assert again.history_[0]["rejection"] == 0
    assert plain.n_rejections_unknown_ == 0
    assert again.n_rejections_unknown_ == 1
    pushed = small().fit(sessions, rejections=[(0, 1)], show_progress=False)
    assert not same(plain.item_vectors_, pushed.item_vectors_)
    twice = small().fit(sessions, rejections=iter([(0, 1)]), show_progress=False)
    assert same(pushed.item_vectors_, twice.item_vectors_)


FIT = """
import json
from item2vec.embeddings import Item2Vec, rejections
from item2vec.sessions.container import Sessions
sessions = Sessions.from_lists([["a", "b", "c"], ["c", "d"]] * 5)
model = Item2Vec(vector_size=32, epochs=2, workers=1).fit(
    sessions, rejections=[("a", "b"), ("c", "d"), ("a", "d")], show_progress=False
)
stats = rejections.train_rejections.stats
found = {"misses": sum(stats.cache_misses.values()), "hits": sum(stats.cache_hits.values())}
print(json.dumps(found | {"row": model.item_vectors_["a"].tobytes().hex()}))
"""


def test_a_new_process_finds_the_machine_code_and_learns_the_same_bytes() -> None:
    first, second = (
        json.loads(
            subprocess.run(
                [sys.executable, "-W", "error", "-c", FIT],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout
        )
        for seed in ("1", "2")
    )
    assert (second["misses"], second["hits"]) == (0, 1)
    assert first["row"] == second["row"]


def test_the_loss_has_a_term_of_its_own() -> None:
    sessions = Sessions.from_lists([[0, 1], [2, 3]] * 50)
    model = small(epochs=1, alpha=1e-12, min_alpha=0.0).fit(
        sessions, rejections=[(0, 2), (1, 3), (0, 9)], show_progress=False
    )
    (entry,) = model.history_
    assert entry["rejection"] == pytest.approx(2 * 2 * np.log(2) / entry["pairs"])  # v' starts at 0
    terms = ("window", "negative", "booked", "market_negative", "rejection")
    assert entry["loss"] == pytest.approx(sum(entry[term] for term in terms))


def test_an_epoch_without_a_window_visits_the_pairs_too() -> None:
    """A session of weight 10⁻⁶ hardly ever gets a pass."""
    sessions = Sessions.from_lists([[0, 1]], weights=[1e-6])
    model = small(epochs=2).fit(sessions, rejections=[(0, 1)], show_progress=False)
    assert [entry["pairs"] for entry in model.history_] == [0, 0]
    assert model.history_[1]["rejection"] == pytest.approx(2 * np.log(2), rel=1e-2)


def test_other_rejections_are_another_training(tmp_path: Path) -> None:
    sessions = Sessions.from_lists(cluster_lists(100))
    pairs = [(0, 1), (2, 3)]
    options = {"show_progress": False, "checkpoint_dir": tmp_path}
    whole = small(epochs=4).fit(sessions, rejections=pairs, show_progress=False)

    def stop(entry: dict) -> None:
        if entry["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small(epochs=4).fit(sessions, rejections=pairs, callbacks=[stop], **options)
    with pytest.raises(UsageError, match="another training"):
        small(epochs=4).fit(sessions, rejections=pairs[:1], **options)
    resumed = small(epochs=4).fit(sessions, rejections=pairs, **options)
    assert same(whole.item_vectors_, resumed.item_vectors_)


# What is learned


def next_score(vectors: ItemVectors, a: int, b: int) -> float:
    assert vectors.context_vectors is not None
    rows = vectors.key_to_index
    return float(vectors.vectors[rows[a]] @ vectors.context_vectors[rows[b]])


@pytest.mark.parametrize("workers", [1, 2])
def test_what_sessions_pull_together_rejections_push_apart(workers: int) -> None:
    """Items 2k and 2k + 1 are always clicked together; those of every fourth couple decline each other."""
    rng = np.random.default_rng(0)
    couples = rng.permutation(np.repeat(np.arange(40), 60))
    sessions = Sessions.from_lists([(2 * k + rng.permutation(2)).tolist() for k in couples])
    params = {"epochs": 20, "vector_size": 8, "workers": workers}
    rejections = [(2 * k, 2 * k + 1) for k in range(0, 40, 4)] * 60
    plain = fit(sessions, **params).item_vectors_
    declined = small(**params).fit(sessions, rejections=rejections, show_progress=False).item_vectors_
    for k in range(40):
        for a, b in ((2 * k, 2 * k + 1), (2 * k + 1, 2 * k)):
            before, after = next_score(plain, a, b), next_score(declined, a, b)
            if k % 4:
                assert min(before, after) > 2, "the couple was not declined"
            else:
                assert before > 2
                assert after < 0.5
                assert before - after > 2


def test_what_is_not_rejected_stays_where_sessions_put_it() -> None:
    sessions = Sessions.from_lists(cluster_lists())
    across = [(i, (i + CLUSTER) % 180) for i in range(180)]
    model = small(epochs=10).fit(sessions, rejections=across, show_progress=False)
    assert cluster_share(model.item_vectors_) >= 0.95


# What is given

STRINGS = Vocabulary(pa.array(["a", "b", "c"]), np.ones(3))
NUMBERS = Vocabulary(pa.array([7, 5, 6]), np.ones(3))


@pytest.mark.parametrize(
    ("given_pairs", "vocabulary", "expected", "unknown"),
    [
        ([("a", "c"), ("c", "b"), ("a", "c")], STRINGS, [[0, 2], [2, 1], [0, 2]], 0),
        (iter([["a", "c"], ("x", "b"), ("b", "y")]), STRINGS, [[0, 2]], 2),
        (np.array([["a", "b"]]), STRINGS, [[0, 1]], 0),
        (np.array([["a", "b"]], object), STRINGS, [[0, 1]], 0),
        (np.array([[5, 7], [6, 8]]), NUMBERS, [[1, 0]], 1),
        ([(np.int32(5), 7), (1, 5), (-5, 7)], NUMBERS, [[1, 0]], 2),
        ([np.array([5, 6])], NUMBERS, [[1, 2]], 0),
        ((), NUMBERS, [], 0),
        (np.zeros((0, 2)), STRINGS, [], 0),
    ],
)
def test_pairs_by_item_number(given_pairs: Any, vocabulary: Vocabulary, expected: list, unknown: int) -> None:
    pairs, left_out = number_pairs(given_pairs, vocabulary)
    assert pairs.tolist() == expected
    assert pairs.dtype == np.int32
    assert pairs.shape == (len(expected), 2)
    assert left_out == unknown


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (["ab"], "entry 0 is 'ab'"),
        ("ab", "got str"),
        ({"a": "b"}, "got dict"),
        (7, "got int"),
        ([("a", "b"), ("a",)], "entry 1"),
        ([("a", "b", "c")], "entry 0"),
        (np.array(["a", "b"]), "entry 0"),
        (np.array("a"), "got ndarray"),
        ([(1, 2)], "by int, as in 1; the ids of the sessions are string"),
        ([("a", "b"), ("a", 1)], "by int, as in 1; the ids of the sessions are string"),
        ([("a", "b"), ("b", None)], "by NoneType, as in None"),
    ],
)
def test_what_is_no_pairs_is_refused_in_words(bad: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Item2Vec().fit(Sessions.from_lists([["a", "b"], ["b", "c"]]), rejections=bad, show_progress=False)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([("a", 1), (1, 2.5), (True, 2)], "str, as in 'a'"),
        ([(5, 7), (True, 5)], "bool"),
        ([(5, 7), (5.0, 7)], "float, as in 5.0"),
    ],
)
def test_a_mixture_of_id_types_is_refused_where_ids_are_numbers(bad: Any, words: str) -> None:
    with pytest.raises(UsageError, match=f"by {words}.* are int64: give all of both as one type"):
        number_pairs(bad, NUMBERS)
