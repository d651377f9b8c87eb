"""A world whose answer is known: sessions that each stay within one cluster of items."""

from __future__ import annotations

import numpy as np

from item2vec.embeddings import Item2Vec, ItemVectors
from item2vec.sessions.container import Sessions

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
