"""The exchange against plain loops; shares, segments and what workers of one process learn together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cluster_world import cluster_lists, cluster_share, same, shuffled, small
from hypothesis import given, settings
from hypothesis import strategies as st
from together import Member, together

from item2vec.embeddings import ItemVectors
from item2vec.embeddings import corpus as corpus_module
from item2vec.embeddings.corpus import build_corpus
from item2vec.embeddings.distributed import digest as digest_module
from item2vec.embeddings.distributed import exchange as exchange_module
from item2vec.embeddings.distributed.device_rows import DeviceRows
from item2vec.embeddings.distributed.digest import sessions_digest
from item2vec.embeddings.distributed.exchange import HostRows, exchange
from item2vec.embeddings.distributed.meeting import fresh_store
from item2vec.embeddings.distributed.model import SharedItem2Vec
from item2vec.embeddings.opening import open_engine, window_settings
from item2vec.embeddings.segments import Segment, cut_order
from item2vec.embeddings.starting import starting_tables
from item2vec.errors import EmptyDataError, TrainingError, UsageError
from item2vec.sessions.container import Sessions
from item2vec.sessions.shares import share

pytestmark = pytest.mark.distributed
WORLD = {"vector_size": 16, "epochs": 4, "workers": 1}
ENGINES: list[dict[str, str]] = [{}, {"engine": "torch", "device": "cpu"}]


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return Sessions.from_lists(cluster_lists())


def fit_together(
    sessions: Sessions, size: int, folder: object = None, **params: object
) -> list[SharedItem2Vec]:
    exchanges = params.pop("exchanges_per_epoch", 3)

    def work(member: Member) -> SharedItem2Vec:
        model = SharedItem2Vec(**{**WORLD, **params}).join(member, exchanges)
        mine = share(sessions, member.rank, size)
        return model.fit(mine, checkpoint_dir=folder, show_progress=False)

    return together(size, work)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, list[np.ndarray]]:
    """A base table and each worker's, some of whose rows it has changed."""
    size, n, d = draw(st.integers(1, 5)), draw(st.integers(0, 9)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    base = rng.normal(size=(n, d)).astype(np.float32)
    tables = []
    for _ in range(size):
        touched = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool).reshape(n, 1)
        one = rng.random((n, d)) < draw(st.sampled_from([0.5, 1.0]))  # a part of a row is a touched row too
        tables.append(np.where(touched & one, base + rng.normal(size=(n, d)), base).astype(np.float32))
    return base, tables


def merged_in_loops(base: np.ndarray, tables: list[np.ndarray], divisor: float) -> tuple[np.ndarray, int]:
    merged, travelled = base.copy(), 0
    for i in range(len(base)):
        touching = [
            table[i] for table in tables if any(table[i, k] != base[i, k] for k in range(len(base[i])))
        ]
        travelled += bool(touching)
        for k in range(base.shape[1]) if touching else ():
            merged[i, k] = base[i, k] + sum(row[k] - base[i, k] for row in touching) / divisor
    return merged, travelled


@settings(max_examples=60, deadline=None)
@given(worlds(), st.sampled_from([1, 2, 1 << 16]), st.sampled_from([1.0, 2.5, 5.0]), st.booleans())
def test_a_row_is_its_base_and_all_changes_by_the_divisor(
    world: tuple[np.ndarray, list[np.ndarray]], rows_at_once: int, divisor: float, on_device: bool
) -> None:
    base, tables = world
    wanted, n_touched = merged_in_loops(base, tables, divisor)

    def work(member: Member) -> tuple[np.ndarray, np.ndarray, int, int]:
        table = base.copy()  # a tensor made of it shares its memory
        rows = DeviceRows(torch.from_numpy(table)) if on_device else HostRows(table)
        table[...] = tables[member.rank]
        travelled = exchange(rows, member, divisor)
        return table, np.asarray(rows.base), travelled, member.sent

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange_module, "rows_at_once", lambda vector_size: rows_at_once)
        results = together(len(tables), work)
    for table, own_base, travelled, sent in results:
        np.testing.assert_allclose(table, wanted, rtol=1e-5, atol=1e-6)
        assert table.tobytes() == own_base.tobytes() == results[0][0].tobytes()
        assert travelled == n_touched
        assert sent == len(base) + n_touched * base.shape[1]  # the others do not travel


def test_a_row_that_one_worker_alone_met_moves_as_far_as_with_one_worker() -> None:
    """Items of one session each: about as far with many workers as with one, though each learns faster."""
    often = [[f"often {i % 20}", f"often {(i + 1) % 20}"] for i in range(400)]
    rare = [[f"rare {i}", f"often {i % 20}"] for i in range(200)]
    sessions = Sessions.from_lists(often + rare)
    lengths = {}
    for size in (1, 4):
        vectors = fit_together(sessions, size, epochs=1)[0].item_vectors_
        rows = [vectors.key_to_index[f"rare {i}"] for i in range(200)]
        lengths[size] = np.linalg.norm(vectors.vectors[rows] - start_of(sessions)[rows], axis=1).mean()
    assert lengths[1] / 2 < lengths[4] < 2 * lengths[1]  # 4 × the rate alone would be 4 times as far and more


def start_of(sessions: Sessions) -> np.ndarray:
    """Return the rows that training starts from: those of a rate that moves nothing."""
    return fit_together(sessions, 1, epochs=1, alpha=1e-9, min_alpha=1e-9)[0].item_vectors_.vectors


def test_the_memory_that_is_asked_for_counts_what_is_exchanged(sessions: Sessions) -> None:
    _, corpus = build_corpus(sessions, 1, 0.0)

    def need(size: int) -> int:
        model = SharedItem2Vec(**WORLD)
        model.communicator = Member(0, [np.zeros(0)] * size, None)
        settings = window_settings(model.get_params(), corpus)
        return model._memory_need(corpus, settings, False, False).total

    rows = HostRows(np.zeros((len(corpus.item_markets), WORLD["vector_size"]), np.float32))
    numbers = rows.numbers(np.ones_like(rows.touched()))
    tables = 2 * (rows.base.nbytes + rows.changes(numbers).nbytes)
    held = tables + numbers.nbytes + rows.touched().nbytes  # one table after the other
    assert need(2) - need(1) == held


def test_many_workers_learn_no_faster_than_one_can(sessions: Sessions) -> None:
    def speed(size: int, alpha: float) -> tuple[float, float]:
        engine = fit_together(sessions, size, alpha=alpha, epochs=1, exchanges_per_epoch=1)[0].engine_
        return engine.speed, engine.divisor

    assert speed(3, 0.05) == (3, 3)
    assert speed(12, 0.05) == (pytest.approx(8), pytest.approx(8))  # 12 × .05 diverges
    assert speed(12, 0.1) == (pytest.approx(4), 6)
    assert speed(2, 0.5) == (1, 1)


def test_a_number_that_is_none_is_a_change() -> None:
    table = np.zeros((3, 2), np.float32)
    both = HostRows(table), DeviceRows(torch.from_numpy(table))
    table[1, 1] = np.nan
    for rows in both:
        assert rows.touched().tolist() == [0, 1, 0]


def test_a_worker_without_a_pair_to_train_is_refused_by_all_of_them() -> None:
    sessions = Sessions.from_lists([[1, 2], [3, 4]])

    def work(member: Member) -> str:
        mine = share(sessions, member.rank, member.size)
        model = SharedItem2Vec(**WORLD).join(member, 1)
        with pytest.raises(UsageError) as refused:
            model.fit(mine, show_progress=False)
        return str(refused.value)

    said = together(3, work)
    assert len(set(said)) == 1
    assert said[0] == (
        "1 of the workers would have no pair to train in their shares of the 2 sessions, 2 of which have"
        " one; start fewer workers"
    )


def test_sessions_without_a_pair_are_refused_in_the_same_words_by_all_workers() -> None:
    sessions = Sessions.from_lists([[1], [2], [3]])

    def work(member: Member) -> None:
        with pytest.raises(EmptyDataError, match="none of the 3 sessions has two clicks"):
            SharedItem2Vec(**WORLD).join(member, 1).fit(share(sessions, member.rank, member.size))

    together(2, work)


@pytest.mark.parametrize("params", [{}, {"sample": 1e-3, "min_count": 3}], ids=["plain", "sample"])
def test_what_is_counted_is_counted_over_all_shares(
    params: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vocabulary, noise, subsampling, repeats, unknown bookings: as if one worker had all sessions."""
    lists = [*cluster_lists(301), [1, 1], [2]]
    booked = [session[:1] if k % 3 else [900 + k] for k, session in enumerate(lists)]
    weights = np.linspace(0.5, 2, len(lists)).tolist()
    sessions = Sessions.from_lists(lists, booked=booked, weights=weights)
    [alone] = fit_together(sessions, 1, epochs=1, exchanges_per_epoch=1, **params)
    assert alone.engine_.engine.corpus.keep.min(initial=0) < 1
    for name in ("_CLICKS_AT_ONCE", "_SESSIONS_AT_ONCE"):
        monkeypatch.setattr(corpus_module, name, 7)  # counted in many parts
    for model in fit_together(sessions, 3, epochs=1, exchanges_per_epoch=1, **params):
        assert model.item_vectors_.vocabulary == alone.item_vectors_.vocabulary
        assert model.item_vectors_.repeats == alone.item_vectors_.repeats
        assert model.n_booked_unknown_ == alone.n_booked_unknown_ > 0
        ours, one = model.engine_.engine, alone.engine_.engine
        for name in ours.noise._fields:
            np.testing.assert_array_equal(getattr(ours.noise, name), getattr(one.noise, name))
        np.testing.assert_array_equal(ours.corpus.keep, one.corpus.keep)
        assert model.engine_.clicks_per_epoch == pytest.approx(alone.engine_.clicks_per_epoch)


@pytest.mark.parametrize("at_once", [1, 3, 1 << 20])
def test_a_digest_tells_sessions_apart_and_not_how_they_are_dealt_out(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_module, "SESSIONS_AT_ONCE", at_once)
    lists, booked, weights = [[1, 2, 3], [2, 2], [3, 1]], [[1], [], [2, 3]], [1.0, 2.0, 1.0]

    def digest(
        lists: list[list[int]], booked: list[list[int]], weights: list[float], size: int = 1
    ) -> list[int]:
        sessions = Sessions.from_lists([*lists, [1, 2, 3]], booked=[*booked, []], weights=[*weights, 1.0])

        def work(member: Member) -> np.ndarray:
            def total(array: np.ndarray) -> np.ndarray:
                array = array.copy()
                member.sum(array)
                return array

            _, corpus = build_corpus(share(sessions, member.rank, size), 1, 0.0, total)
            return total(sessions_digest(corpus))

        return together(size, work)[0].tolist()

    found = digest(lists, booked, weights)
    assert found[:2] == [4, 10]
    assert digest(lists, booked, weights, 2) == digest(lists, booked, weights, 3) == found
    others = [
        ([[1, 3, 2], *lists[1:]], booked, weights),
        ([[1, 2], [3, 2, 2], [3, 1]], booked, weights),
        (lists, [[], [1], [2, 3]], weights),
        (lists, [[1], [], [3, 2]], weights),
        (lists, booked, [2.0, 1.0, 1.0]),
        (lists, booked, [1.0, 2.0, 1.5]),
    ]
    digests = [tuple(digest(*other)) for other in others]
    assert len({tuple(found), *digests}) == 1 + len(others)


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 7))
def test_an_order_is_cut_into_parts_of_about_equally_many_clicks(clicks: list[int], n: int) -> None:
    order = np.random.default_rng(0).permutation(len(clicks))
    parts = cut_order(order, np.array(clicks, float), n)
    assert len(parts) == n
    assert np.concatenate(parts).tolist() == order.tolist()
    for part in parts:
        assert abs(sum(clicks[k] for k in part) - sum(clicks) / n) <= max(clicks, default=0)


def test_one_worker_with_one_exchange_learns_what_the_estimator_learns(sessions: Sessions) -> None:
    [model] = fit_together(sessions, 1, exchanges_per_epoch=1)
    alone = small(epochs=4).fit(sessions, show_progress=False)
    assert same(model.item_vectors_, alone.item_vectors_)
    figures = [{k: e[k] for k in e if k != "tokens_per_second"} for e in model.history_]
    assert figures == [{k: e[k] for k in e if k != "tokens_per_second"} for e in alone.history_]


@pytest.mark.parametrize("engine", ENGINES, ids=["numba", "torch"])
def test_two_workers_find_the_clusters_and_learn_the_same(sessions: Sessions, engine: dict[str, str]) -> None:
    one, other = (model.item_vectors_ for model in fit_together(sessions, 2, epochs=6, **engine))
    assert same(one, other)
    assert cluster_share(one) > 0.95


def test_clusters_are_in_the_sessions_and_not_in_the_workers() -> None:
    control = fit_together(Sessions.from_lists(shuffled(cluster_lists())), 2)[0].item_vectors_
    assert cluster_share(control) < 0.2


def test_a_seed_and_one_thread_per_worker_give_the_same_bytes(sessions: Sessions) -> None:
    [one, *_] = fit_together(sessions, 3)
    [again, *_] = fit_together(sessions, 3)
    assert same(one.item_vectors_, again.item_vectors_)
    assert not same(one.item_vectors_, fit_together(sessions, 3, seed=2)[0].item_vectors_)


@pytest.mark.parametrize("engine", ENGINES, ids=["numba", "torch"])
def test_segments_are_parts_of_an_epoch_with_random_numbers_of_their_own(
    sessions: Sessions, engine: dict[str, str]
) -> None:
    params = SharedItem2Vec(**WORLD, **engine).get_params()
    vocabulary, corpus = build_corpus(sessions, 1, 0.0)
    settings = window_settings(params, corpus)

    def run(segment: Segment) -> tuple[float, np.ndarray]:
        tables = starting_tables(vocabulary, 16, 1, None)
        made = open_engine(params, corpus, settings, *tables)
        result = made.run_segment(segment, (0.05, 0.05), lambda clicks, loss: None)
        return result.pairs, made.rows()[0]

    whole, _ = run(Segment(0))
    parts = [run(Segment(0, number, 3))[0] for number in range(3)]
    assert sum(parts) == pytest.approx(whole, rel=0.05)
    assert max(parts) < 1.2 * min(parts)
    assert not np.allclose(run(Segment(0, 0, 1, 0))[1], run(Segment(0, 0, 1, 1 << 16))[1], atol=1e-5)


def test_the_figures_and_the_learning_rate_are_those_of_all_workers(sessions: Sessions) -> None:
    seen: list[tuple[int, int, tuple[float, float], float]] = []
    streams: list[int] = []

    def work(member: Member) -> SharedItem2Vec:
        model = SharedItem2Vec(**WORLD).join(member, 2)
        open_engine = model._open_engine

        def watched(*arguments: object) -> object:
            shared = open_engine(*arguments)
            run = shared.engine.run_segment

            def run_segment(segment, rates, on_progress):  # type: ignore[no-untyped-def]
                result = run(segment, rates, on_progress)
                streams.append(segment.stream)
                seen.append((member.rank, 2 * segment.epoch + segment.number, rates, result.pairs))
                return result

            shared.engine.run_segment = run_segment
            return shared

        model._open_engine = watched
        return model.fit(share(sessions, member.rank, 2), show_progress=False)

    models = together(2, work)
    assert len(set(streams)) == 4  # of each worker, in each half of an epoch
    starts = {(rank, step): rates for rank, step, rates, _ in seen}
    for step in range(8):
        assert starts[0, step] == starts[1, step]
        fall = 2 * (0.05 - 1e-4) / 8  # two workers learn twice as fast
        assert starts[0, step][0] == pytest.approx(2 * 0.05 - fall * step, abs=0.05 * fall)
    for epoch in range(4):
        pairs = sum(n for _, step, _, n in seen if step // 2 == epoch)
        assert all(model.history_[epoch]["pairs"] == pairs for model in models)
    alone = small(epochs=4).fit(sessions, show_progress=False)
    assert models[0].history_[0]["pairs"] == pytest.approx(alone.history_[0]["pairs"], rel=0.05)


def test_a_training_goes_on_from_the_checkpoint_to_the_same_bytes(sessions: Sessions, tmp_path) -> None:  # type: ignore[no-untyped-def]
    def stop(member: Member) -> None:
        def after_two(epoch: dict[str, float]) -> None:
            if epoch["epoch"] == 2:
                raise RuntimeError("the machine is gone")

        model = SharedItem2Vec(**WORLD).join(member, 3)
        mine = share(sessions, member.rank, member.size)
        with pytest.raises(RuntimeError, match="the machine is gone"):
            model.fit(mine, checkpoint_dir=tmp_path, callbacks=[after_two], show_progress=False)

    together(2, stop)
    resumed = fit_together(sessions, 2, folder=tmp_path)
    assert [e["epoch"] for e in resumed[1].history_] == [1, 2, 3, 4]
    assert same(resumed[1].item_vectors_, fit_together(sessions, 2)[0].item_vectors_)
    more = fit_together(sessions, 3, folder=tmp_path, epochs=4)  # it is over: nothing is trained again
    assert same(more[2].item_vectors_, resumed[0].item_vectors_)
    with pytest.raises(UsageError, match="another training"):
        fit_together(sessions, 2, folder=tmp_path, exchanges_per_epoch=2)
    with pytest.raises(UsageError, match="another training"):  # as many clicks on every item
        fit_together(Sessions.from_lists(shuffled(cluster_lists())), 2, folder=tmp_path)


def test_another_number_of_workers_goes_on_from_the_checkpoint(sessions: Sessions, tmp_path) -> None:  # type: ignore[no-untyped-def]
    def stop(member: Member) -> None:
        def after_one(epoch: dict[str, float]) -> None:
            raise RuntimeError("the machine is gone")

        model, mine = SharedItem2Vec(**WORLD).join(member, 3), share(sessions, member.rank, member.size)
        with pytest.raises(RuntimeError, match="the machine is gone"):
            model.fit(mine, checkpoint_dir=tmp_path, callbacks=[after_one], show_progress=False)

    together(2, stop)
    resumed = fit_together(sessions, 3, folder=tmp_path)
    assert [e["epoch"] for e in resumed[0].history_] == [1, 2, 3, 4]
    assert same(resumed[0].item_vectors_, resumed[2].item_vectors_)
    assert cluster_share(resumed[0].item_vectors_) > 0.9


def test_rejected_pairs_are_dealt_out_too(sessions: Sessions) -> None:
    pairs = [(k, k + 20) for k in range(7)]

    def work(member: Member) -> list[tuple[int, int]]:
        model = SharedItem2Vec(**{**WORLD, "epochs": 1}).join(member, 1)
        mine = share(sessions, member.rank, member.size)
        model.fit(mine, rejections=pairs, show_progress=False)
        ids = model.item_vectors_.ids
        return [(ids[a], ids[b]) for a, b in model.engine_.engine.corpus.rejections.tolist()]

    found = together(3, work)
    assert sorted(pair for mine in found for pair in mine) == pairs
    assert [len(mine) for mine in found] == [3, 2, 2]


def test_folders_that_not_all_workers_see_are_refused(sessions: Sessions, tmp_path) -> None:  # type: ignore[no-untyped-def]
    fit_together(sessions, 1, folder=tmp_path / "0", epochs=1)

    def work(member: Member) -> None:
        model = SharedItem2Vec(**{**WORLD, "epochs": 1}).join(member, 3)
        mine = share(sessions, member.rank, member.size)
        model.fit(mine, checkpoint_dir=tmp_path / str(member.rank), show_progress=False)

    with pytest.raises(TrainingError, match="a folder that all workers see"):
        together(2, work)


def test_vectors_know_what_all_sessions_hold(sessions: Sessions) -> None:
    vectors: ItemVectors = fit_together(sessions, 2)[1].item_vectors_
    alone = small(epochs=1).fit(sessions, show_progress=False).item_vectors_
    assert vectors.ids == alone.ids
    assert vectors.counts.tolist() == alone.counts.tolist()
    assert vectors.repeats == alone.repeats


def test_workers_of_a_new_start_do_not_take_an_earlier_one_s_word() -> None:
    from torch.distributed import HashStore

    shared = HashStore()
    for start in range(3):  # nobody tidies up
        stores = together(3, lambda member: fresh_store(shared, member.rank, member.size, 20))
        assert not any(store.check(["who"]) for store in stores), "what an earlier start wrote is there"
        stores[1].set("who", str(start))
        assert {store.get("who") for store in stores} == {str(start).encode()}


def test_a_worker_that_does_not_come_is_named() -> None:
    from torch.distributed import HashStore

    with pytest.raises(TrainingError, match="worker 0 of 3 waited in vain for worker 1, 2"):
        fresh_store(HashStore(), 0, 3, 0.05)
    with pytest.raises(TrainingError, match="worker 2 of 3 waited in vain for worker 0"):
        fresh_store(HashStore(), 2, 3, 0.05)
