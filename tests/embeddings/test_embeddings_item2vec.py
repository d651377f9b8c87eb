"""The estimator: manners, worlds with a known answer, reproducibility, stopping, resuming, refusing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sgns_referee import TERMS

from item2vec.embeddings import Item2Vec, ItemVectors
from item2vec.embeddings.initial_rows import initial_rows, item_keys
from item2vec.embeddings.training import PATIENCE, Schedule
from item2vec.errors import (
    ConfigError,
    CorruptArtifactError,
    EmptyDataError,
    TrainingError,
    UsageError,
)
from item2vec.sessions.container import Sessions
from item2vec.vocabulary import Vocabulary

N_CLUSTERS, CLUSTER = 12, 15


def cluster_lists(n: int = 3000, seed: int = 0) -> list[list[int]]:
    """Sessions that each stay within one cluster of items: item // CLUSTER is the cluster."""
    rng = np.random.default_rng(seed)
    homes = rng.integers(0, N_CLUSTERS, n)
    return [(h * CLUSTER + rng.integers(0, CLUSTER, rng.integers(2, 8))).tolist() for h in homes]


def shuffled(lists: list[list[int]]) -> list[list[int]]:
    """The control: the same clicks dealt out at random to sessions of the same lengths."""
    clicks = np.random.default_rng(1).permutation(np.concatenate(lists))
    cuts = np.cumsum([len(session) for session in lists])[:-1]
    return [part.tolist() for part in np.split(clicks, cuts)]


def cluster_share(vectors: ItemVectors, topn: int = 5) -> float:
    """Share of each item's nearest neighbours that are of its cluster."""
    hits = [
        other // CLUSTER == item // CLUSTER
        for item in vectors.ids
        for other, _ in vectors.most_similar([item], topn=topn)
    ]
    return float(np.mean(hits))


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return Sessions.from_lists(cluster_lists())


def small(**params: object) -> Item2Vec:
    return Item2Vec(**{"vector_size": 16, "epochs": 3, "workers": 1, **params})


def fit(sessions: Sessions, **params: object) -> Item2Vec:
    return small(**params).fit(sessions, show_progress=False)


def same(one: ItemVectors, other: ItemVectors) -> bool:
    return bool(
        one.vectors.tobytes() == other.vectors.tobytes()
        and one.context_vectors is not None
        and other.context_vectors is not None
        and one.context_vectors.tobytes() == other.context_vectors.tobytes()
    )


# Manners


def test_the_constructor_only_stores() -> None:
    model = Item2Vec(vector_size=-1, window="nonsense", engine="abacus")
    assert model.get_params()["vector_size"] == -1
    assert not [name for name in vars(model) if name.endswith("_")]
    assert Item2Vec(**model.get_params()).get_params() == model.get_params()
    assert repr(Item2Vec(epochs=3)) == "Item2Vec(epochs=3)"


def test_set_params_changes_and_refuses() -> None:
    model = Item2Vec()
    assert model.set_params(epochs=7, window="session") is model
    assert (model.epochs, model.window) == (7, "session")
    with pytest.raises(ConfigError, match=r"learning_rate.*alpha"):
        model.set_params(learning_rate=0.1)


def test_it_clones_like_any_estimator() -> None:
    from sklearn.base import clone

    assert clone(Item2Vec(epochs=7)).epochs == 7


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"vector_size": 0}, "vector_size is 0"),
        ({"vector_size": 2.5}, "whole number"),
        ({"vector_size": True}, "vector_size is True"),
        ({"vector_size": 100_000}, "1024"),
        ({"window": 0}, '"session"'),
        ({"window": "week"}, '"session"'),
        ({"negative": 0}, "at least 1"),
        ({"market_negative": -1}, "at least 0"),
        ({"epochs": 0}, "epochs"),
        ({"alpha": 0}, "above 0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"min_alpha": -0.1}, "min_alpha"),
        ({"alpha": 0.01, "min_alpha": 0.02}, "above alpha"),
        ({"ns_exponent": float("inf")}, "finite"),
        ({"sample": -1e-3}, "sample"),
        ({"min_count": 0}, "min_count"),
        ({"shrink_windows": 1}, "true or false"),
        ({"forward_only": "no"}, "true or false"),
        ({"sg": 0}, r"sg=0 \(CBOW\) is not available"),
        ({"engine": "torch"}, "engine is 'torch'; it must be one of 'numba'"),
        ({"workers": 0}, "workers"),
        ({"seed": -1}, "seed"),
    ],
)
def test_fit_refuses_bad_hyperparameters(sessions: Sessions, params: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fit(sessions, **params)


def test_fit_refuses_what_is_not_sessions(sessions: Sessions) -> None:
    with pytest.raises(UsageError, match="from_lists"):
        small().fit([["a", "b"]])  # type: ignore[arg-type]
    with pytest.raises(EmptyDataError, match="min_count"):
        fit(sessions, min_count=10**9)
    with pytest.raises(UsageError, match="no item has a market"):
        fit(sessions, market_negative=2)


def test_fit_returns_self_and_shows_progress(sessions: Sessions, capsys: pytest.CaptureFixture[str]) -> None:
    model = small(epochs=1)
    assert model.fit(sessions) is model
    shown = capsys.readouterr()
    assert "epoch 1/1" in shown.err
    assert "clicks/s" in shown.err
    assert "loss=" in shown.err
    model.fit(sessions, show_progress=False)
    assert capsys.readouterr() == ("", "")


# Worlds with a known answer


def test_planted_clusters_are_found_and_shuffled_ones_are_not(sessions: Sessions) -> None:
    assert cluster_share(fit(sessions, epochs=10).item_vectors_) >= 0.95
    control = fit(Sessions.from_lists(shuffled(cluster_lists())), epochs=10)
    assert cluster_share(control.item_vectors_) < 3 / N_CLUSTERS


@pytest.mark.parametrize("params", [{"window": "session"}, {"forward_only": True}, {"shrink_windows": False}])
def test_planted_clusters_are_found_with_every_window(sessions: Sessions, params: dict) -> None:
    assert cluster_share(fit(sessions, epochs=10, **params).item_vectors_) >= 0.95


def test_two_threads_find_them_too(sessions: Sessions) -> None:
    assert cluster_share(fit(sessions, epochs=10, workers=2).item_vectors_) >= 0.95


def test_the_loss_falls(sessions: Sessions) -> None:
    model = fit(sessions, epochs=6)
    losses = [epoch["loss"] for epoch in model.history_]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.75 * losses[0]
    first = model.history_[0]
    assert first["loss"] == pytest.approx(sum(first[term] for term in TERMS))
    assert first["booked"] == first["market_negative"] == 0
    assert first["pairs"] > 0
    assert first["tokens_per_second"] > 0
    json.dumps(model.history_)


def test_eq_4_pulls_clicks_towards_what_was_booked() -> None:
    """Item 0 is never clicked beside 1..9, but it is what their sessions book."""
    rng = np.random.default_rng(0)
    lists = [rng.integers(1, 10, 4).tolist() for _ in range(500)]
    lists += [rng.integers(10, 20, 4).tolist() for _ in range(500)] + [[0, 20]] * 50
    booked = [[0]] * 500 + [[]] * 550
    params = {"epochs": 10, "vector_size": 8}
    with_bookings = fit(Sessions.from_lists(lists, booked=booked), **params)
    without = fit(Sessions.from_lists(lists), **params)

    def pull(model: Item2Vec) -> float:
        vectors = model.item_vectors_
        assert vectors.context_vectors is not None
        scores = vectors.vectors @ vectors.context_vectors[vectors.key_to_index[0]]
        near, far = ([scores[vectors.key_to_index[k]] for k in r] for r in (range(1, 10), range(10, 20)))
        return float(np.mean(near) - np.mean(far))

    assert pull(with_bookings) > pull(without) + 1
    assert with_bookings.history_[0]["booked"] > 0


def test_eq_5_tells_the_styles_of_one_market_apart() -> None:
    """Global noise is almost never of the session's market, so it cannot separate what lies within one."""
    rng = np.random.default_rng(0)
    n_markets, style = 40, 5
    lists = []
    for _ in range(6000):
        market, kind = rng.integers(n_markets), rng.integers(2)
        kinds = np.where(rng.random(5) < 0.25, 1 - kind, kind)  # a quarter of the clicks strays
        lists.append(((market * 2 + kinds) * style + rng.integers(0, style, 5)).tolist())
    markets = {item: f"m{item // (2 * style)}" for item in range(n_markets * 2 * style)}
    sessions = Sessions.from_lists(lists, markets=markets)

    def likeness_across_styles(**params: object) -> float:
        vectors = fit(sessions, epochs=5, **params).item_vectors_
        unit = vectors.get_normed_vectors()[[vectors.key_to_index[i] for i in range(len(vectors))]]
        unit = unit.reshape(n_markets, 2, style, -1)
        return float(np.einsum("mad,mbd->mab", unit[:, 0], unit[:, 1]).mean())

    assert likeness_across_styles() > 0.98
    assert likeness_across_styles(negative=10) > 0.98, "more noise of the usual kind is no substitute"
    assert likeness_across_styles(market_negative=5) < 0.95


def test_booked_sessions_weigh_more() -> None:
    lists = [[0, 1], [0, 2]] * 200 + [[3, 4]] * 200
    even = fit(Sessions.from_lists(lists), epochs=10, vector_size=8)
    heavy = fit(Sessions.from_lists(lists, weights=[5.0, 1.0] * 200 + [1.0] * 200), epochs=10, vector_size=8)

    def lead(model: Item2Vec) -> float:
        v = model.item_vectors_
        assert v.context_vectors is not None
        rows = v.key_to_index
        return float(v.vectors[rows[0]] @ (v.context_vectors[rows[1]] - v.context_vectors[rows[2]]))

    assert lead(heavy) > lead(even) + 0.2
    assert heavy.history_[0]["pairs"] == pytest.approx(2 * (200 * 5 + 200 + 200))


# Reproducibility


def test_one_thread_and_a_seed_give_the_same_bytes(sessions: Sessions) -> None:
    one, again = fit(sessions), fit(sessions)
    assert same(one.item_vectors_, again.item_vectors_)
    assert not same(one.item_vectors_, fit(sessions, seed=2).item_vectors_)


def test_ids_of_either_type_work() -> None:
    lists = cluster_lists(200)
    strings = fit(Sessions.from_lists([[str(i) for i in s] for s in lists]))
    assert isinstance(strings.item_vectors_.ids[0], str)
    assert isinstance(fit(Sessions.from_lists(lists)).item_vectors_.ids[0], int)


@pytest.mark.parametrize("as_id", [str, int])
def test_an_item_starts_the_same_whatever_else_there_is(as_id: type) -> None:
    import pyarrow as pa

    few, many = [as_id(k) for k in (5, 900)], [as_id(k) for k in range(1000)]
    all_rows = initial_rows(pa.array(many), 32, seed=3)
    np.testing.assert_array_equal(initial_rows(pa.array(few), 32, seed=3), all_rows[[5, 900]])
    assert not np.array_equal(initial_rows(pa.array(many), 32, seed=4), all_rows)
    assert np.abs(all_rows).max() <= 0.5 / 32
    assert abs(all_rows.mean()) < 5 * (1 / 32 / np.sqrt(12)) / np.sqrt(all_rows.size)
    np.testing.assert_allclose(all_rows.std(), 1 / 32 / np.sqrt(12), rtol=0.02)
    correlation = np.corrcoef(all_rows, rowvar=False) - np.eye(32)
    assert np.abs(correlation).max() < 0.2


def test_the_hash_of_an_id_is_pinned_for_ever() -> None:
    import pyarrow as pa

    assert [hex(k) for k in item_keys(pa.array(["", "a", "Zürich"]))] == PINNED_STRINGS
    assert [hex(k) for k in item_keys(pa.array([0, 1, -1]))] == PINNED_INTEGERS


PINNED_STRINGS = ["0xb4b2797457a0a6e4", "0x2f42665b399ef840", "0x8d579a7fa387470"]
PINNED_INTEGERS = ["0xe220a8397b1dcdaf", "0x910a2dec89025cc1", "0xe4d971771b652c20"]


def test_rare_further_items_leave_the_start_of_the_others_alone() -> None:
    lists = cluster_lists(300)
    rows = {}
    for name, extra in (("few", []), ("many", [[1000 + k, 2000 + k] for k in range(500)])):
        vectors = fit(Sessions.from_lists(lists + extra), epochs=1, alpha=1e-9, min_alpha=0.0).item_vectors_
        rows[name] = vectors[list(range(20))]
    np.testing.assert_allclose(rows["few"], rows["many"], atol=1e-7)


def test_init_vectors_are_where_known_items_start(sessions: Sessions) -> None:
    vocabulary = Vocabulary.from_counts(sessions.item_ids, np.ones(sessions.n_items, np.int64)).ids[:50]
    known = Vocabulary(vocabulary, np.ones(50, np.int64))
    rng = np.random.default_rng(0)
    init = ItemVectors(known, rng.normal(size=(50, 16)), rng.normal(size=(50, 16)))
    frozen = {"epochs": 1, "alpha": 1e-9, "min_alpha": 0.0}
    start = small(**frozen).fit(sessions, init_vectors=init, show_progress=False).item_vectors_
    usual = fit(sessions, **frozen).item_vectors_
    ids = init.ids
    np.testing.assert_allclose(start[ids], init[ids], atol=1e-5)
    rows = [start.key_to_index[i] for i in ids]
    assert start.context_vectors is not None
    np.testing.assert_allclose(start.context_vectors[rows], init.context_vectors, atol=1e-5)
    others = [i for i in start.ids if i not in init]
    np.testing.assert_allclose(start[others], usual[others], atol=1e-5)


def test_init_vectors_must_fit(sessions: Sessions) -> None:
    import pyarrow as pa

    wide = ItemVectors(Vocabulary(pa.array([1]), np.ones(1)), np.ones((1, 17)))
    named = ItemVectors(Vocabulary(pa.array(["1"]), np.ones(1)), np.ones((1, 16)))
    for init in (wide, named):
        with pytest.raises(UsageError, match="vector_size=16 and int64"):
            small().fit(sessions, init_vectors=init, show_progress=False)


# Epochs: schedule, callbacks, stopping, resuming


def test_the_learning_rate_is_linear_in_global_progress(sessions: Sessions) -> None:
    schedule = Schedule(alpha=0.05, min_alpha=0.01, epochs=4)
    assert [schedule.rate(e) for e in (0, 1, 2.5, 4)] == pytest.approx([0.05, 0.04, 0.025, 0.01])
    model = fit(sessions, epochs=4, alpha=0.05, min_alpha=0.01)
    assert [e["learning_rate"] for e in model.history_] == pytest.approx([0.05, 0.04, 0.03, 0.02])


def test_callbacks_see_every_epoch(sessions: Sessions) -> None:
    seen: list[dict] = []
    model = small().fit(sessions, callbacks=[seen.append], show_progress=False)
    assert [info["epoch"] for info in seen] == [1, 2, 3]
    assert seen == model.history_


def test_early_stopping_keeps_the_best_epoch(sessions: Sessions) -> None:
    kept: list[ItemVectors] = []
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9])

    def validate(vectors: ItemVectors) -> float:
        kept.append(vectors)
        return next(scores)

    model = small(epochs=20).fit(sessions, validate=validate, show_progress=False)
    assert len(model.history_) == 2 + PATIENCE
    assert [e["validation"] for e in model.history_] == [0.1, 0.5, 0.4, 0.5, 0.3]
    assert same(model.item_vectors_, kept[1])
    assert not same(kept[1], kept[2])
    with pytest.raises(UsageError, match="NaN"):
        small().fit(sessions, validate=lambda _: float("nan"), show_progress=False)


def interrupt_after(epoch: int):  # type: ignore[no-untyped-def]
    def callback(info: dict) -> None:
        if info["epoch"] == epoch:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize("validated", [False, True])
def test_a_resumed_training_ends_in_the_same_bytes(sessions: Sessions, tmp_path, validated: bool) -> None:  # type: ignore[no-untyped-def]
    def validate(vectors: ItemVectors) -> float:
        return -abs(float(np.abs(vectors.vectors).mean()) - 0.2)

    options = {"validate": validate if validated else None, "show_progress": False}
    whole = small(epochs=5).fit(sessions, **options)
    for last in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            small(epochs=5).fit(
                sessions, checkpoint_dir=tmp_path, callbacks=[interrupt_after(last)], **options
            )
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "checkpoint.json",
            f"epoch-{last:05d}.safetensors",
        ]
    resumed = small(epochs=5).fit(sessions, checkpoint_dir=tmp_path, **options)
    assert same(resumed.item_vectors_, whole.item_vectors_)
    clocked = ("tokens_per_second",)
    for one, other in zip(resumed.history_, whole.history_, strict=True):
        assert {k: v for k, v in one.items() if k not in clocked} == {
            k: v for k, v in other.items() if k not in clocked
        }
    again = small(epochs=5).fit(sessions, checkpoint_dir=tmp_path, **options)
    assert same(again.item_vectors_, whole.item_vectors_)
    assert again.history_ == resumed.history_


def test_another_trainings_checkpoint_is_refused(sessions: Sessions, tmp_path) -> None:  # type: ignore[no-untyped-def]
    small().fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    small(workers=2).fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    with pytest.raises(UsageError, match="another training"):
        small(seed=5).fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    with pytest.raises(UsageError, match="another training"):
        small().fit(sessions.take(range(100)), checkpoint_dir=tmp_path, show_progress=False)


def test_a_damaged_checkpoint_is_refused(sessions: Sessions, tmp_path) -> None:  # type: ignore[no-untyped-def]
    small().fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    tables = tmp_path / "epoch-00003.safetensors"
    body = bytearray(tables.read_bytes())
    body[-1] ^= 1
    tables.write_bytes(body)
    with pytest.raises(CorruptArtifactError, match="SHA-256"):
        small().fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    (tmp_path / "checkpoint.json").write_text("{")
    with pytest.raises(CorruptArtifactError, match="delete the folder"):
        small().fit(sessions, checkpoint_dir=tmp_path, show_progress=False)


def test_divergence_names_the_epoch_and_the_way_out(sessions: Sessions) -> None:
    with pytest.raises(TrainingError, match=r"epoch \d+.*lower alpha"):
        fit(sessions, alpha=1e25)


def test_odd_worlds_stay_finite() -> None:
    """At twice the usual learning rate (windows of ten repeats diverge from about 0.3 on, and say so)."""
    rng = np.random.default_rng(0)
    worlds = {
        "one item": [[7, 7, 7]] * 5,
        "all the same session": [[1, 2, 3]] * 200,
        "one long session": [rng.integers(0, 50, 60_000).tolist()],
        "two clicks": [[1, 2]],
    }
    for name, lists in worlds.items():
        for workers in (1, 3):
            model = fit(Sessions.from_lists(lists), alpha=0.1, workers=workers)
            assert np.isfinite(model.item_vectors_.vectors).all(), name


def test_every_vector_size_trains(sessions: Sessions) -> None:
    few = sessions.take(range(300))
    for size in (1, 3, 50, 300):
        model = fit(few, vector_size=size, epochs=1)
        assert model.item_vectors_.vectors.shape == (len(model.item_vectors_), size)
        assert model.item_vectors_.context_vectors.any()


def test_every_seed_epoch_and_thread_draws_its_own_numbers(sessions: Sessions) -> None:
    from item2vec.embeddings.numba_engine import first_state

    states = [first_state(s, e, w) for s in range(4) for e in range(5) for w in range(3)]
    assert len({int(state[0]) for state in states}) == len(states)
    assert first_state(2, 1, 0) == first_state(2, 1, 0)
