"""One contract for every backend and both readings."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_referee import brute_force, make_vectors

from item2vec.errors import DataError, MissingDependencyError, RunError, SourceError, UsageError
from item2vec.index import BACKENDS, IndexConfig, ItemIndex
from item2vec.index import backends as backends_module
from item2vec.index.recall import RecallProbe
from item2vec.index.search import FEW_ALLOWED
from item2vec.index.tuning import cheapest_search
from item2vec.recommendations import HistoryScoring

MODES = ("similar", "next")


@pytest.fixture(scope="module", params=[(b, m) for b in BACKENDS for m in MODES], ids="-".join)
def index(request, vectors):
    backend, mode = request.param
    return ItemIndex.build(vectors, mode=mode, backend=backend, n_trees=20, seed=3)


def queries_of(vectors, count=30, seed=5):
    return vectors.vectors[np.random.default_rng(seed).choice(len(vectors.vectors), count, replace=False)]


def test_answers_have_the_promised_shape_order_and_scores(index, vectors):
    queries = queries_of(vectors)
    nums, scores = index.query(queries, 12)
    assert (nums.dtype, scores.dtype) == (np.int32, np.float32)
    assert nums.shape == scores.shape == (30, 12)
    truth_nums, truth_scores = brute_force(vectors, index.mode, queries, len(vectors.vectors))
    rank = index._searcher.id_rank
    for row in range(len(queries)):
        score_of = dict(zip(truth_nums[row].tolist(), truth_scores[row].tolist(), strict=True))
        assert [score_of[num] for num in nums[row].tolist()] == scores[row].tolist()
        keys = list(zip((-scores[row]).tolist(), rank[nums[row]].tolist(), strict=True))
        assert keys == sorted(keys)
        assert len(set(nums[row].tolist())) == 12


def test_exact_search_equals_brute_force_bit_for_bit(index, vectors):
    queries = queries_of(vectors)
    answer = index.search(queries, 25, exact=True)
    truth = brute_force(vectors, index.mode, queries, 25)
    np.testing.assert_array_equal(answer.item_nums, truth[0])
    np.testing.assert_array_equal(answer.scores, truth[1])
    assert answer.exact.all()


def test_approximate_answers_are_nearly_all_right(index, vectors):
    queries = queries_of(vectors, 100)
    _nums, scores = index.query(queries, 10)
    truth = index.search(queries, 10, exact=True)
    assert np.mean(scores >= truth.scores[:, -1:]) > 0.97
    assert index.recall >= 0.97
    assert index.search(queries, 10).exact.all() == (index.backend == "exact")


def test_ties_are_broken_by_id_even_when_they_run_past_the_last_place(index, make):
    tied = make(1200, duplicates=400, seed=9)  # four groups of 100 equal vectors
    built = ItemIndex.build(tied, mode=index.mode, backend=index.backend, n_trees=5)
    table = tied.vectors if index.mode == "similar" else tied.context_vectors
    values, counts = np.unique(table, axis=0, return_counts=True)
    group = values[np.argmax(counts)]
    nums, scores = built.query(group[None], 15)
    truth = brute_force(tied, index.mode, group[None], 15)
    if index.mode == "similar" or (truth[1] == truth[1][0, 0]).all():
        np.testing.assert_array_equal(nums, truth[0])
    np.testing.assert_array_equal(scores, truth[1])
    if index.mode == "similar":
        assert (scores == 1.0).all()
        assert tied.vocabulary.item_ids(nums[0]) == sorted(tied.vocabulary.item_ids(nums[0]))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.9])
def test_filters_return_exactly_what_is_allowed(index, vectors, share):
    allowed = np.random.default_rng(1).random(len(vectors.vectors)) < share
    queries = queries_of(vectors, 8)
    nums, scores = index.query(queries, 10, allowed)
    expected = min(10, int(allowed.sum()))
    assert ((nums >= 0).sum(axis=1) == expected).all()
    assert allowed[nums[nums >= 0]].all()
    assert (nums[:, expected:] == -1).all()
    assert (scores[:, expected:] == -np.inf).all()
    truth = brute_force(vectors, index.mode, queries, 10, allowed)
    np.testing.assert_array_equal(nums, truth[0])  # so few allowed items are scanned, whatever the backend
    np.testing.assert_array_equal(scores, truth[1])


@pytest.mark.parametrize("mode", MODES)
def test_a_wide_filter_over_a_large_catalogue_asks_the_trees_for_more(make, mode):
    vectors = make(FEW_ALLOWED * 2, duplicates=0)
    built = ItemIndex.build(vectors, mode=mode, n_trees=10)
    allowed = np.random.default_rng(0).random(FEW_ALLOWED * 2) < 0.7
    queries = queries_of(vectors, 50)
    answer = built.search(queries, 10, allowed)
    truth = built.search(queries, 10, allowed, exact=True)
    assert not answer.exact.all()
    assert (answer.item_nums >= 0).all()
    assert allowed[answer.item_nums].all()
    assert np.mean(answer.scores >= truth.scores[:, -1:]) > 0.95


@pytest.mark.parametrize("n", [1, 2, 3, 9, 60])
def test_tiny_catalogues_and_more_results_than_items(index, make, n):
    tiny = make(n, d=5, duplicates=0)
    built = ItemIndex.build(tiny, mode=index.mode, backend=index.backend, n_trees=4)
    nums, scores = built.query(tiny.vectors, 75)
    truth = brute_force(tiny, index.mode, tiny.vectors, 75)
    np.testing.assert_array_equal(nums, truth[0])
    np.testing.assert_array_equal(scores, truth[1])
    assert built.recall >= (1.0 if n < 40 else 0.9)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_filters_and_lengths_equal_brute_force(index, data):
    n = data.draw(st.integers(1, 120))
    d = data.draw(st.integers(1, 6))
    # few distinct whole numbers: ties everywhere
    cells = st.lists(st.integers(-2, 2), min_size=d, max_size=d).filter(any)
    rows = data.draw(st.lists(cells, min_size=1, max_size=8))
    pick = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=n, max_size=n))
    table = np.array(rows, np.float32)[pick]
    small = make_vectors(n, d, seed=n)
    small.vectors = small.context_vectors = table
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    k = data.draw(st.integers(1, 30))
    built = ItemIndex.build(small, mode=index.mode, backend=index.backend, n_trees=3, min_recall=0.0)
    nums, scores, exact = built.search(np.array(rows, np.float32), k, allowed)
    truth = brute_force(small, index.mode, np.array(rows), k, allowed)
    assert exact.all() or allowed.all() or not allowed.any()
    np.testing.assert_array_equal(nums[exact], truth[0][exact])
    np.testing.assert_array_equal(scores[exact], truth[1][exact])
    assert ((nums >= 0) == (truth[0] >= 0)).all()


def test_a_saved_index_answers_the_same(index, vectors, tmp_path):
    index.save(tmp_path / "index")
    loaded = ItemIndex.load(tmp_path / "index")
    queries = queries_of(vectors)
    for left, right in zip(index.search(queries, 10), loaded.search(queries, 10), strict=True):
        np.testing.assert_array_equal(left, right)
    assert (loaded.mode, loaded.backend, loaded.recall) == (index.mode, index.backend, index.recall)
    assert (loaded.settings, loaded.fingerprint, len(loaded)) == (
        index.settings,
        index.fingerprint,
        len(index),
    )
    loaded.check_vectors(vectors)
    (tmp_path / "index").rename(tmp_path / "moved")  # the mapped files keep answering
    np.testing.assert_array_equal(loaded.query(queries, 10)[0], index.query(queries, 10)[0])
    ItemIndex.load(tmp_path / "moved").save(tmp_path / "again")
    assert folder_bytes(tmp_path / "again") == folder_bytes(tmp_path / "moved")


def folder_bytes(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_equal_input_gives_equal_bytes(index, vectors, tmp_path):
    for name in ("a", "b"):
        ItemIndex.build(vectors, mode=index.mode, backend=index.backend, n_trees=20, seed=3).save(
            tmp_path / name
        )
    assert folder_bytes(tmp_path / "a") == folder_bytes(tmp_path / "b")
    ItemIndex.build(vectors, mode=index.mode, backend="annoy", n_trees=20, seed=4).save(tmp_path / "c")
    assert folder_bytes(tmp_path / "c").get("trees.annoy") != folder_bytes(tmp_path / "a").get("trees.annoy")
    description = json.loads((tmp_path / "a" / "index.json").read_text())
    assert description["recall"]["value"] == index.recall
    assert {"annoy": "n_trees"}.get(index.backend, "recall") in description["recall"]["curve"][0]


def test_save_never_writes_over_anything(index, tmp_path):
    target = tmp_path / "index"
    target.mkdir()
    index.save(target)  # an empty folder is as good as none
    before = folder_bytes(target)
    with pytest.raises(UsageError, match="new folder"):
        index.save(target)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="new folder"):
        index.save(tmp_path / "file")
    assert folder_bytes(target) == before
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "index"]


def test_a_large_batch_answers_as_single_queries_do(index, vectors):
    whole = index.query(vectors.vectors[:300], 5)
    for part in (slice(0, 100), slice(100, 300)):
        np.testing.assert_array_equal(index.query(vectors.vectors[part], 5)[0], whole[0][part])


def test_a_failed_save_leaves_nothing(index, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("item2vec.index.storage.publish", full)
    with pytest.raises(OSError, match="No space"):
        index.save(tmp_path / "index")
    assert os.listdir(tmp_path) == []


def test_threads_may_share_an_index_while_it_is_saved(index, vectors, tmp_path):
    queries = queries_of(vectors, 20)
    expected = index.query(queries, 10)[0]
    wrong = []

    def ask():
        answers = [index.query(queries, 10)[0] for _ in range(10)]
        wrong.extend(answer for answer in answers if not np.array_equal(answer, expected))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(3):
        index.save(tmp_path / str(number))
    for thread in threads:
        thread.join()
    assert not wrong


BAD_CALLS = {
    "k zero": ({"k": 0}, UsageError, "whole number"),
    "k negative": ({"k": -1}, UsageError, "whole number"),
    "k huge": ({"k": 2**31}, UsageError, "1,000,000"),
    "k bool": ({"k": True}, UsageError, "whole number"),
    "k float": ({"k": 2.0}, UsageError, "whole number"),
    "k none": ({"k": None}, UsageError, "whole number"),
    "one vector": ({"query_vectors": np.ones(8, np.float32)}, UsageError, r"\(n_queries, 8\)"),
    "wrong dimension": ({"query_vectors": np.ones((1, 9))}, UsageError, r"\(n_queries, 8\)"),
    "text": ({"query_vectors": np.full((1, 8), "a")}, UsageError, "numbers"),
    "objects": ({"query_vectors": np.full((1, 8), None)}, UsageError, "numbers"),
    "nan": ({"query_vectors": np.full((1, 8), np.nan)}, DataError, "query row 0"),
    "inf": ({"query_vectors": np.array([[1.0] * 8, [np.inf] * 8])}, DataError, "query row 1"),
    "zero": ({"query_vectors": np.zeros((1, 8))}, DataError, "zero query"),
    "mask length": ({"allowed": np.ones(3, bool)}, UsageError, "allowed"),
    "mask dtype": ({"allowed": np.ones(1500, int)}, UsageError, "bool"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_are_refused_before_they_reach_a_backend(index, vectors, case):
    arguments, error, message = BAD_CALLS[case]
    call = {"query_vectors": vectors.vectors[:2], "k": 3, "allowed": None, **arguments}
    with pytest.raises(error, match=message):
        index.query(**call)


def test_no_queries_give_an_empty_answer(index):
    nums, scores = index.query(np.empty((0, 8), np.float32), 4)
    assert nums.shape == scores.shape == (0, 4)


def damaged(column, value):
    def change(vectors):
        table = getattr(vectors, column).copy()
        table[7] = value
        setattr(vectors, column, table)

    return change


BAD_VECTORS = {
    "nan": ("similar", damaged("vectors", np.nan), DataError, "item-"),
    "inf": ("next", damaged("context_vectors", np.inf), DataError, "diverged"),
    "huge": ("similar", damaged("vectors", 1e30), DataError, "huge"),
    "zero": ("similar", damaged("vectors", 0.0), DataError, "zero vector"),
    "untrained": ("next", damaged("context_vectors", 0.0), None, ""),
    "no output vectors": (
        "next",
        lambda v: setattr(v, "context_vectors", None),
        UsageError,
        "mode='similar'",
    ),
    "mode": ("cosine", lambda v: None, UsageError, "unknown mode"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", BAD_VECTORS)
def test_bad_vectors_are_refused_by_item_id(make, backend, case):
    mode, change, error, message = BAD_VECTORS[case]
    vectors = make(200)
    change(vectors)
    if error is None:  # an output vector may be zero: its inner product is simply 0
        assert ItemIndex.build(vectors, mode=mode, backend=backend, n_trees=5).n_items == 200
        return
    with pytest.raises(error, match=message):
        ItemIndex.build(vectors, mode=mode, backend=backend)


def test_a_model_without_any_direction_is_refused(make):
    vectors = make(20)
    vectors.context_vectors = np.zeros_like(vectors.vectors)
    with pytest.raises(DataError, match="untrained"):
        ItemIndex.build(vectors, mode="next")


@pytest.mark.parametrize(
    "bad",
    [
        {"n_trees": 0},
        {"n_trees": True},
        {"search_k": -1},
        {"search_k": 1.5},
        {"seed": -1},
        {"seed": 2**31},
    ],
)
def test_bad_settings_are_refused(make, bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        ItemIndex.build(make(20), **bad)


def test_low_recall_fails_the_build_and_names_the_way_out(make):
    rng = np.random.default_rng(0)
    vectors = make(4000, d=24)
    vectors.vectors = rng.standard_normal((4000, 24)).astype(np.float32)
    with pytest.raises(RunError, match="raise n_trees or search_k"):
        ItemIndex.build(vectors, n_trees=1, search_k=1, min_recall=0.9)
    widened = ItemIndex.build(vectors, n_trees=10)
    assert widened.recall >= 0.99
    assert widened.settings["search_k"] > 100
    curve = [step["recall"] for step in widened._facts["recall"]["curve"]]
    assert len(curve) > 1
    assert curve[0] < 0.99 <= curve[-1]


def test_the_default_search_finds_output_vectors_of_uneven_length(make):
    """Long vectors crowd the others at the pole: twice the items in nodes, shared by 50 trees, is too few."""
    rng = np.random.default_rng(0)
    vectors = make(1500)
    vectors.vectors = rng.standard_normal((1500, 32)).astype(np.float32)
    output = rng.standard_normal((1500, 32)) * rng.lognormal(0, 1, (1500, 1))
    vectors.context_vectors = output.astype(np.float32)
    built = ItemIndex.build(vectors, mode="next")
    assert built.recall >= 0.99
    curve = {step["search_k"]: step["recall"] for step in built._facts["recall"]["curve"]}
    assert max(recall for search_k, recall in curve.items() if search_k < 2 * 1500) < 0.9


@pytest.mark.parametrize(("backend", "target"), [("annoy", 0.8), ("annoy", 0.95), ("hnsw", 0.95)])
def test_the_effort_is_the_least_that_reaches_the_target(make, backend, target):
    vectors = make(4000, d=24, duplicates=0)
    vectors.vectors = np.random.default_rng(0).standard_normal((4000, 24)).astype(np.float32)
    built = ItemIndex.build(vectors, backend=backend, n_trees=10, n_links=4, recall=target, min_recall=0.5)
    curve = [(step["search_k"], step["recall"]) for step in built._facts["recall"]["curve"]]
    chosen, safe = built.settings["search_k"], target + 0.25 * (1 - target)
    assert dict(curve)[chosen] == built.recall >= safe
    assert curve == sorted(curve), "by effort"
    less = max(search_k for search_k, _ in curve if search_k < chosen)
    assert dict(curve)[less] < safe
    assert chosen <= 1.3 * less, "no much cheaper search was left out"


def test_a_target_out_of_reach_ends_with_the_largest_effort(make):
    class Blind:
        exact, search_range, settings = False, (3, 50), {}

        def with_search_k(self, search_k):
            tried.append(search_k)
            return self

    tried: list[int] = []
    _, recall, curve = cheapest_search(Blind(), lambda _: 0.5, 0.99)
    assert (tried, recall, len(curve)) == ([3, 6, 12, 24, 50], 0.5, 5)


@pytest.mark.parametrize("n", [30, 41, 44, 45, 60])
def test_few_results_of_a_small_catalogue_are_no_worse_than_the_many_that_were_measured(make, n):
    rng = np.random.default_rng(n)
    vectors = make(n, duplicates=0)
    vectors.vectors = rng.standard_normal((n, 24)).astype(np.float32)
    built = ItemIndex.build(vectors, n_trees=1)
    for k in (1, 3, 5):
        found, truth = (built.search(vectors.vectors, k, exact=exact).item_nums for exact in (False, True))
        assert np.mean(found == truth) >= 0.98, k


@pytest.mark.parametrize("backend", ["annoy", "hnsw"])
def test_where_the_target_costs_more_than_a_scan_queries_are_scans(make, backend):
    """Long vectors hide the others from a graph of two links and from one tree."""
    rng = np.random.default_rng(0)
    vectors = make(6000, d=24, duplicates=0)
    vectors.vectors = rng.standard_normal((6000, 24)).astype(np.float32)
    vectors.context_vectors = (vectors.vectors * rng.lognormal(0, 1, (6000, 1))).astype(np.float32)
    few = {"n_trees": 1, "n_links": 2, "mode": "next", "backend": backend, "min_recall": 0.0}
    built = ItemIndex.build(vectors, **few)
    curve = built._facts["recall"]["curve"]
    assert curve[-1] == {**built.settings, "recall": 1.0}
    assert all(step["recall"] < 0.99 for step in curve[:-1])
    for k in (1, 10, 100):
        assert built.search(vectors.vectors[:20], k).exact.all()
    sparing = ItemIndex.build(vectors, **few, search_k=16)
    assert not sparing.search(vectors.vectors[:20], 10).exact.all(), "an effort that was given is kept"


def test_the_largest_effort_is_a_full_visit(make):
    built = ItemIndex.build(make(300), n_trees=3, search_k=1, min_recall=0.0)
    assert built._searcher.backend.search_range == (3, 900)


def test_recall_counts_what_the_trees_miss(make):
    vectors = make(4000, d=24, duplicates=0)
    vectors.vectors = np.random.default_rng(0).standard_normal((4000, 24)).astype(np.float32)
    built = ItemIndex.build(vectors, n_trees=3, search_k=300, min_recall=0.0)
    own = np.arange(4000)
    found = built.search(vectors.vectors, 11).item_nums
    truth = built.search(vectors.vectors, 11, exact=True).item_nums
    share = np.mean(
        [
            len((set(f) - {i}) & set([t for t in ts if t != i][:10])) / 10
            for i, f, ts in zip(own.tolist(), found.tolist(), truth.tolist(), strict=True)
        ]
    )
    assert RecallProbe(built, vectors.vectors, sample=4000).recall(built) == pytest.approx(share, abs=1e-9)
    assert built.recall == pytest.approx(share, abs=0.05)
    assert 0.05 < built.recall < 0.95


def test_integer_ids_break_ties_as_numbers(make):
    vectors = make(300, int_ids=True, duplicates=120)
    built = ItemIndex.build(vectors, n_trees=5)
    queries = vectors.vectors[:20]
    np.testing.assert_array_equal(
        built.search(queries, 40, exact=True)[0], brute_force(vectors, "similar", queries, 40)[0]
    )


def test_an_index_knows_its_vectors(make, tmp_path):
    vectors, other = make(100), make(100, seed=1)
    built = ItemIndex.build(vectors, n_trees=3)
    built.check_vectors(vectors)
    with pytest.raises(UsageError, match="other vectors"):
        built.check_vectors(other)
    renamed = make(100)
    renamed.vocabulary = other.vocabulary
    with pytest.raises(UsageError, match="other vectors"):
        built.check_vectors(renamed)
    sliced = make(100)
    ids = sliced.vocabulary.ids.to_pylist()
    sliced.vocabulary = type(sliced.vocabulary)(pa.array(["x", *ids, "y"])[1:-1], sliced.vocabulary.counts)
    built.check_vectors(sliced)


def test_unknown_and_missing_backends_say_what_to_do(make, monkeypatch):
    with pytest.raises(UsageError, match="annoy, exact, hnsw"):
        ItemIndex.build(make(20), backend="faiss")
    monkeypatch.setitem(backends_module.BACKENDS, "other", "item2vec_no_such_library.index:Index")
    with pytest.raises(MissingDependencyError, match="pip install item2vec_no_such_library"):
        ItemIndex.build(make(20), backend="other")


def test_a_folder_without_an_index_is_named(tmp_path):
    with pytest.raises(SourceError, match="no index in"):
        ItemIndex.load(tmp_path / "nowhere")


def test_config_states_the_same_defaults_as_build():
    config = IndexConfig().model_dump()
    assert config.pop("modes") == ("similar", "next")
    assert config.pop("neighbours") == 0, "a table of the run, made beside the index"
    *defaults, popularity = ItemIndex.build.__func__.__defaults__
    assert popularity == HistoryScoring().popularity, "a setting of [scoring]"
    assert list(config.values()) == defaults[1:]
    assert list(config) == ["backend", "n_trees", "search_k", "seed", "recall", "min_recall", "n_links"]


def test_loading_imports_no_training_library(vectors, tmp_path):
    ItemIndex.build(vectors, n_trees=3).save(tmp_path / "index")
    code = (
        "import sys; from item2vec.index import ItemIndex\n"
        "assert 'annoy' not in sys.modules\n"
        f"ItemIndex.load({str(tmp_path / 'index')!r}).query(__import__('numpy').ones((1, 8)), 3)\n"
        "bad = {'torch', 'pandas', 'sklearn', 'numba', 'duckdb'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_forked_child_leaves_the_forest_to_its_parent(make, tmp_path):
    built = ItemIndex.build(make(300), n_trees=3)
    child = os.fork()
    if child == 0:
        del built
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    built.save(tmp_path / "index")
    assert len(ItemIndex.load(tmp_path / "index")) == 300


def test_a_target_of_nothing_is_refused(make):
    with pytest.raises(UsageError, match="recall"):
        ItemIndex.build(make(20), recall=0)
    facts = ItemIndex.build(make(300)).recall_facts
    assert facts["target"] == 0.99
    assert facts["curve"][-1]["recall"] >= 0.99
