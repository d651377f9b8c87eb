"""Co-occurrence: its counts, its information and its factors against numpy and a world with an answer."""

from __future__ import annotations

import numpy as np
import pytest
from cluster_world import CLUSTER, N_CLUSTERS, cluster_lists, cluster_share, shuffled

from item2vec.embeddings import Cooccurrence, ItemVectors
from item2vec.errors import ConfigError, EmptyDataError, UsageError
from item2vec.sessions import Sessions

CHANCE = (CLUSTER - 1) / (N_CLUSTERS * CLUSTER - 1)


def random_log(n: int = 150, seed: int = 3) -> tuple[Sessions, list[list[int]]]:
    """Weighted sessions over 20 items, each mostly within a group of five."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n):
        items = 5 * rng.integers(0, 4) + rng.integers(0, 7, rng.integers(1, 9))
        lists.append((items % 20).tolist())
    return Sessions.from_lists(lists, weights=rng.choice([1.0, 5.0], n)), lists


def counted(sessions, lists, ids, window=5, shrink=True, forward=False):
    """Count pair by pair, as the docstring says."""
    place = {item: row for row, item in enumerate(ids)}
    counts = np.zeros((len(ids), len(ids)))
    for session, weight in zip(lists, sessions.weights, strict=True):
        for at, a in enumerate(session):
            for to, b in enumerate(session):
                distance = to - at if forward else abs(to - at)
                if 1 <= distance <= window:
                    near = (window - distance + 1) / window if shrink else 1.0
                    counts[place[a], place[b]] += weight * near
    return counts


def referee(sessions, lists, ids, negative=1, ns_exponent=0.75, **options):
    """Turn the counts into information, as the docstring says."""
    counts = counted(sessions, lists, ids, **options)
    smooth = counts.sum(0) ** ns_exponent
    with np.errstate(divide="ignore"):
        values = np.log(counts * smooth.sum() / np.outer(counts.sum(1), smooth)) - np.log(negative)
    return np.maximum(values, 0)


@pytest.mark.parametrize(
    "options",
    [{}, {"window": 2, "shrink_windows": False}, {"forward_only": True}, {"negative": 2, "ns_exponent": 1.0}],
)
def test_with_every_dimension_the_vectors_give_the_information_back(options):
    sessions, lists = random_log()
    vectors = Cooccurrence(vector_size=24, **options).fit(sessions).item_vectors_
    words = {"shrink_windows": "shrink", "forward_only": "forward"}
    expected = referee(sessions, lists, vectors.ids, **{words.get(k, k): v for k, v in options.items()})
    assert expected.max() > 0.2
    np.testing.assert_allclose(vectors.vectors @ vectors.context_vectors.T, expected, atol=1e-4)
    assert not vectors.vectors[:, 20:].any()  # beyond the rank


def test_fewer_dimensions_are_nearly_the_best_approximation():
    sessions, lists = random_log()
    vectors = Cooccurrence(vector_size=5).fit(sessions).item_vectors_
    expected = referee(sessions, lists, vectors.ids)
    left, values, right = np.linalg.svd(expected)
    best = np.linalg.norm(expected - (left[:, :5] * values[:5]) @ right[:5])
    assert np.linalg.norm(expected - vectors.vectors @ vectors.context_vectors.T) < 1.01 * best


def test_the_whole_session_is_one_window():
    sessions, lists = random_log()
    vectors = Cooccurrence(vector_size=20, window="session").fit(sessions).item_vectors_
    expected = referee(sessions, lists, vectors.ids, window=99, shrink=False)
    np.testing.assert_allclose(vectors.vectors @ vectors.context_vectors.T, expected, atol=1e-4)


def test_neighbours_are_of_the_cluster_and_of_none_once_the_clicks_are_shuffled():
    lists = cluster_lists(1500)
    found, control = (
        cluster_share(Cooccurrence(vector_size=16).fit(Sessions.from_lists(clicks)).item_vectors_)
        for clicks in (lists, shuffled(lists))
    )
    assert found > 0.95
    assert control < 3 * CHANCE


WORDS = ["<", "all", "ends", "glitters", "gold", "is", "not", "that", "well", ">"]
TEXTBOOK = [  # 1 for every time that two words stand side by side in "< all that glitters is not gold >" or
    [0, 2, 0, 0, 0, 0, 0, 0, 0, 0],  # "< all is well that ends well >"
    [2, 0, 0, 0, 0, 1, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 1, 1, 0],
    [0, 0, 0, 0, 0, 1, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 0, 0, 1],
    [0, 1, 0, 1, 0, 0, 1, 0, 1, 0],
    [0, 0, 0, 0, 1, 1, 0, 0, 0, 0],
    [0, 1, 1, 1, 0, 0, 0, 0, 1, 0],
    [0, 0, 1, 0, 0, 1, 0, 1, 0, 1],
    [0, 0, 0, 0, 1, 0, 0, 0, 1, 0],
]


def textbook(reduction: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and context vectors of the two documents, in the order of WORDS."""
    documents = ["all that glitters is not gold", "all is well that ends well"]
    sessions = Sessions.from_lists([["<", *document.split(), ">"] for document in documents])
    model = Cooccurrence(vector_size=size, window=1, weighting="count", reduction=reduction)
    vectors = model.fit(sessions).item_vectors_
    assert sorted(vectors.ids) == sorted(WORDS)
    rows = [vectors.key_to_index[word] for word in WORDS]
    return vectors.vectors[rows], vectors.context_vectors[rows]


def test_the_textbook_s_two_documents_have_its_ten_words_and_symmetric_counts():
    vectors, contexts = textbook("svd", 10)
    np.testing.assert_allclose(vectors @ contexts.T, TEXTBOOK, atol=1e-5)
    assert np.array_equal(np.transpose(TEXTBOOK), TEXTBOOK)
    centred = TEXTBOOK - np.mean(TEXTBOOK, axis=0)
    vectors, contexts = textbook("pca", 10)
    np.testing.assert_allclose(vectors @ contexts.T, centred, atol=1e-5)


def test_the_textbook_s_documents_in_two_dimensions():
    left, values, _ = np.linalg.svd(np.array(TEXTBOOK, float))
    vectors, _ = textbook("svd", 2)
    np.testing.assert_allclose(np.abs(vectors), np.abs(left[:, :2]) * np.sqrt(values[:2]), atol=1e-5)
    centred = TEXTBOOK - np.mean(TEXTBOOK, axis=0)
    spread, axes = np.linalg.eigh(centred.T @ centred)
    vectors, components = textbook("pca", 2)
    np.testing.assert_allclose(np.abs(vectors), np.abs(centred @ axes[:, [-1, -2]]), atol=1e-5)
    np.testing.assert_allclose(np.abs(components), np.abs(axes[:, [-1, -2]]), atol=1e-5)
    np.testing.assert_allclose((vectors**2).sum(axis=0), spread[[-1, -2]], rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"window": 2, "shrink_windows": False}, {"forward_only": True}])
@pytest.mark.parametrize("reduction", ["svd", "pca"])
def test_with_every_dimension_the_vectors_give_the_counts_back(options, reduction):
    sessions, lists = random_log()
    model = Cooccurrence(vector_size=24, weighting="count", reduction=reduction, **options)
    vectors = model.fit(sessions).item_vectors_
    words = {"shrink_windows": "shrink", "forward_only": "forward"}
    expected = counted(sessions, lists, vectors.ids, **{words.get(k, k): v for k, v in options.items()})
    assert expected.max() > 20
    expected -= expected.mean(axis=0) * (reduction == "pca")
    np.testing.assert_allclose(vectors.vectors @ vectors.context_vectors.T, expected, atol=1e-3)


@pytest.mark.parametrize("weighting", ["ppmi", "count"])
def test_principal_components_of_many_items_are_those_of_the_dense_matrix(weighting):
    """Beyond 1,024 items the matrix stays sparse."""
    rng = np.random.default_rng(0)
    lists = [rng.integers(h, h + 30, 6).tolist() for h in 30 * rng.integers(0, 40, 4000)]
    sessions = Sessions.from_lists(lists)
    vectors = Cooccurrence(vector_size=8, weighting=weighting, reduction="pca").fit(sessions).item_vectors_
    assert len(vectors) > 1024
    matrix = (referee if weighting == "ppmi" else counted)(sessions, lists, vectors.ids)
    centred = matrix - matrix.mean(axis=0)
    spread = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    np.testing.assert_allclose((vectors.vectors**2).sum(axis=0), spread[:8], rtol=1e-3)
    np.testing.assert_allclose(centred @ vectors.context_vectors, vectors.vectors, atol=1e-3)
    np.testing.assert_allclose(vectors.vectors.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("weighting", ["ppmi", "count"])
@pytest.mark.parametrize("reduction", ["svd", "pca"])
def test_every_weighting_and_reduction_finds_the_clusters(weighting, reduction):
    sessions = Sessions.from_lists(cluster_lists(1500))
    model = Cooccurrence(vector_size=16, weighting=weighting, reduction=reduction).fit(sessions)
    assert cluster_share(model.item_vectors_) > 0.95


def test_an_item_without_a_pair_has_no_principal_components_either():
    lists = [["a", "b"], ["a", "b"], ["b", "c"], ["lonely"]]
    for weighting in ("ppmi", "count"):
        model = Cooccurrence(vector_size=4, weighting=weighting, reduction="pca")
        assert "lonely" not in model.fit(Sessions.from_lists(lists)).item_vectors_.ids


def test_it_is_reproducible_by_its_seed_and_changes_nothing():
    sessions, _ = random_log()
    before = [sessions.tokens.copy(), sessions.offsets.copy()]
    first, again, other = (
        Cooccurrence(vector_size=4, seed=seed).fit(sessions).item_vectors_ for seed in (7, 7, 2**60)
    )
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert isinstance(other, ItemVectors)
    assert (first.vectors != other.vectors).any()
    for old, new in zip(before, [sessions.tokens, sessions.offsets], strict=True):
        np.testing.assert_array_equal(old, new)


def test_rare_items_are_left_out_before_windows_are_formed():
    lists = [["a", "rare", "b"], ["a", "b"], ["c", "d"], ["c", "d"]]
    vectors = Cooccurrence(vector_size=4, window=1, min_count=2).fit(Sessions.from_lists(lists)).item_vectors_
    assert vectors.ids == ["a", "b", "c", "d"]
    assert vectors.vectors[0] @ vectors.context_vectors[1] > 1  # a and b are neighbours in both sessions


def test_an_item_that_nothing_is_known_of_has_no_vector():
    lists = [["a", "b"], ["a", "b"], ["c", "d"], ["lonely"]]
    vectors = Cooccurrence(vector_size=4).fit(Sessions.from_lists(lists)).item_vectors_
    assert vectors.ids == ["a", "b", "c", "d"]
    assert vectors.counts.tolist() == [2, 2, 1, 1]
    first_only = Cooccurrence(vector_size=1).fit(Sessions.from_lists(lists)).item_vectors_
    assert set(first_only.ids) in ({"a", "b"}, {"c", "d"})  # one factor tells of one pair only


def test_how_many_items_no_factor_reaches_is_counted_and_told(caplog):
    groups = [["a", "b"]] * 9 + [["c", "d"]] * 5 + [["e", "f"]] * 2 + [["lonely"]]
    with caplog.at_level("INFO", logger="item2vec"):
        model = Cooccurrence(vector_size=2, weighting="count").fit(Sessions.from_lists(groups))
    assert model.n_items_left_out_ == 7 - len(model.item_vectors_) > 1
    assert f"{model.n_items_left_out_} of 7 items are left out" in caplog.text
    assert "none of the first 2 factors" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", logger="item2vec"):
        model = Cooccurrence(vector_size=6).fit(Sessions.from_lists(groups[:-1]))
    assert (model.n_items_left_out_, "left out" in caplog.text) == (0, False)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"vector_size": 0}, "vector_size is 0"),
        ({"window": "all"}, "window is 'all'"),
        ({"negative": 0}, "negative is 0"),
        ({"ns_exponent": float("nan")}, "ns_exponent is nan"),
        ({"forward_only": 1}, "forward_only is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"weighting": "tfidf"}, 'weighting is \'tfidf\'; it must be "ppmi" or "count"'),
        ({"reduction": ["svd"]}, "reduction is"),
        ({"weighting": "count", "negative": 5}, "negative is 5, which is of no meaning"),
        ({"weighting": "count", "ns_exponent": 1.0}, "ns_exponent is 1.0, which is of no meaning"),
    ],
)
def test_bad_hyperparameters_are_refused(params, words):
    with pytest.raises(ConfigError, match=words):
        Cooccurrence(**params).fit(Sessions.from_lists([["a", "b"]]))


def test_bad_data_is_refused_in_words():
    with pytest.raises(UsageError, match="fit takes Sessions"):
        Cooccurrence().fit([["a", "b"]])
    with pytest.raises(EmptyDataError, match="none of the 2 sessions has two clicks"):
        Cooccurrence().fit(Sessions.from_lists([["a"], ["b"]]))
    with pytest.raises(EmptyDataError, match="no two items are clicked together"):
        Cooccurrence().fit(Sessions.from_lists([["a"], ["b"]], booked=[["b"], []]))
    with pytest.raises(EmptyDataError, match="lower negative"):
        Cooccurrence(negative=1000).fit(Sessions.from_lists([["a", "b"]]))
    for alike in ([["a", "a"]], [["a", "a"], ["b", "b"], ["a", "b"], ["a", "b"]]):
        with pytest.raises(EmptyDataError, match='set reduction="svd"'):
            Cooccurrence(weighting="count", reduction="pca").fit(Sessions.from_lists(alike))


def test_parameters_go_by_name():
    model = Cooccurrence(vector_size=7)
    assert Cooccurrence(**model.get_params()).get_params() == model.get_params()
    assert model.set_params(window="session") is model
    assert repr(model) == "Cooccurrence(vector_size=7, window='session')"
    with pytest.raises(ConfigError, match="unknown hyper-parameter 'epochs'"):
        model.set_params(epochs=3)
