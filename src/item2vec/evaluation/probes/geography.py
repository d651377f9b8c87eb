"""Does the embedding know where listings lie? k-means over the vectors, as in the paper's Fig. 2."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.places import kilometres

PAPER_CLUSTERS = 100  # "100 clusters for California"
ITEMS_PER_CLUSTER = 10  # fewer would make the clusters pure by their size alone
MOST_ITEMS = 50_000  # a larger catalogue is sampled
MOST_PAIRS = 200_000


@dataclass(frozen=True)
class Geography:
    """Clusters of the vectors against the map.

    Attributes
    ----------
    n_clusters, n_items : int
        Clusters asked of k-means, and the items it saw: those with a known market.
    market_purity : float or None
        Share of the items that lie in the most frequent market of their cluster.
    chance_purity : float or None
        The same after the clusters were dealt out at random, their sizes kept.
    median_km : float or None
        Median distance between two listings of one market and one cluster.
    chance_km : float or None
        Median distance from the first of these two to any listing of its market.
    n_pairs : int
        Pairs behind the distances.
    insufficient : str or None
        Why a figure is missing.
    """

    n_clusters: int
    n_items: int
    market_purity: float | None
    chance_purity: float | None
    median_km: float | None
    chance_km: float | None
    n_pairs: int = 0
    insufficient: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types."""
        return asdict(self)


def geography(
    unit: npt.NDArray[np.float32],
    markets: npt.NDArray[np.int64],
    places: npt.NDArray[np.float64] | None,
    *,
    n_clusters: int = PAPER_CLUSTERS,
    seed: int = 1,
) -> Geography:
    """Cluster the vectors with k-means and compare the clusters with markets and distances.

    Clustering unit vectors by Euclidean distance groups them by cosine (Grbovic & Cheng 2018, Section 3.1,
    Fig. 2). Places are no part of the training, markets only where it draws market negatives (eq. 5).

    Parameters
    ----------
    unit : ndarray of float32, shape (n_items, d)
        Vectors of length 1.
    markets : ndarray of int64, shape (n_items,)
        Market of each item, −1 unknown; such items are left out.
    places : ndarray of float64, shape (n_items, 2), optional
        Latitude and longitude in degrees, NaN where unknown.
    n_clusters : int
        Clusters; never more than a tenth of the items.
    seed : int
        Seed of k-means, of samples and of the pairs.

    Returns
    -------
    Geography
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(markets >= 0)
    if len(rows) > MOST_ITEMS:
        rows = np.sort(rng.choice(rows, MOST_ITEMS, replace=False))
    n_clusters = min(n_clusters, len(rows) // ITEMS_PER_CLUSTER)
    if n_clusters < 2:
        few = f"insufficient data: {len(rows)} items with a known market; it takes {2 * ITEMS_PER_CLUSTER}"
        return Geography(max(n_clusters, 0), len(rows), None, None, None, None, 0, few)
    clusters = _clusters(unit[rows], n_clusters, seed)
    several = len(np.unique(markets[rows])) > 1
    purity = _purity(clusters, markets[rows]) if several else None
    chance = _purity(rng.permutation(clusters), markets[rows]) if several else None
    near, far = _distances(clusters, markets[rows], None if places is None else places[rows], rng)
    missing = [
        *([] if several else ["one market known; purity takes two"]),
        *([] if len(near) else ["no two listings of a market and a cluster have a latitude and a longitude"]),
    ]
    return Geography(
        n_clusters=n_clusters,
        n_items=len(rows),
        market_purity=purity,
        chance_purity=chance,
        median_km=float(np.median(near)) if len(near) else None,
        chance_km=float(np.median(far)) if len(far) else None,
        n_pairs=len(near),
        insufficient=f"insufficient data: {'; '.join(missing)}" if missing else None,
    )


def _clusters(unit: npt.NDArray[np.float32], n_clusters: int, seed: int) -> npt.NDArray[np.int64]:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(limits=1):  # one thread: the same clusters every time
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct vectors than clusters
        found = KMeans(n_clusters, n_init=1, max_iter=100, random_state=seed).fit_predict(unit)
    return np.asarray(found, np.int64)


def _purity(clusters: npt.NDArray[np.int64], markets: npt.NDArray[np.int64]) -> float:
    pairs, counts = np.unique(np.stack([clusters, markets]), axis=1, return_counts=True)
    most = np.zeros(int(clusters.max()) + 1, np.int64)
    np.maximum.at(most, pairs[0], counts)
    return float(most.sum() / len(clusters))


def _distances(
    clusters: npt.NDArray[np.int64],
    markets: npt.NDArray[np.int64],
    places: npt.NDArray[np.float64] | None,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Measure random pairs of one market: of one cluster, and the same first listings with any other."""
    if places is None:
        return np.zeros(0), np.zeros(0)
    placed = np.flatnonzero(~np.isnan(places).any(axis=1))
    clusters, markets, places = clusters[placed], markets[placed], places[placed]
    both = np.unique(np.stack([clusters, markets]), axis=1, return_inverse=True)[1].ravel()
    first = np.flatnonzero(np.bincount(both, minlength=1)[both] > 1) if len(both) else both
    if not len(first):
        return np.zeros(0), np.zeros(0)
    first = rng.choice(first, min(MOST_PAIRS, 20 * len(first)))
    near = kilometres(places[first], places[_another(first, both, rng)])
    return near, kilometres(places[first], places[_another(first, markets, rng)])


def _another(
    first: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw for each item another one of its group, each with the same chance."""
    order = np.argsort(groups, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    ordered = groups[order]
    start, stop = np.searchsorted(ordered, groups[first]), np.searchsorted(ordered, groups[first], "right")
    drawn = start + rng.integers(0, stop - start - 1)
    others: npt.NDArray[np.int64] = order[drawn + (drawn >= place[first])]  # the item itself is stepped over
    return others
