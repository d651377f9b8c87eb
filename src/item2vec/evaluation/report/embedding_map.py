"""The embedding in two dimensions, always the same for the same vectors."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.evaluation.probes.neighbours import unit_rows

MOST_POINTS = 20_000  # a larger catalogue is sampled
TSNE_BY_DEFAULT = 1_000  # "auto" uses t-SNE up to this many items: seconds, where 20,000 take minutes
TSNE_STEPS = 600


def project(
    vectors: npt.NDArray[np.float32],
    method: Literal["auto", "pca", "tsne"] = "auto",
    seed: int = 1,
    max_points: int = MOST_POINTS,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], str]:
    """Project directions (vectors scaled to length 1) onto a plane.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items, d)
        Input vectors.
    method : {"auto", "pca", "tsne"}
        "auto" is t-SNE for small catalogues and PCA above :data:`TSNE_BY_DEFAULT` items.
    seed : int
        Seed of the sample and of t-SNE.
    max_points : int
        Larger catalogues are sampled at random.

    Returns
    -------
    rows : ndarray of int64, shape (n_points,)
        The items on the map, ascending.
    places : ndarray of float64, shape (n_points, 2)
        Coordinates.
    method : str
        ``"pca"`` or ``"tsne"``, as used.
    """
    if method not in ("auto", "pca", "tsne"):
        raise UsageError(f"embedding_map={method!r}: choose auto, pca or tsne")
    n = len(vectors)
    rows = np.arange(n)
    if n > max_points:
        rows = np.sort(np.random.default_rng(seed).choice(n, max_points, replace=False))
    unit = unit_rows(vectors[rows]).astype(np.float64)
    used = method if method != "auto" else ("tsne" if len(rows) <= TSNE_BY_DEFAULT else "pca")
    if len(rows) < 5 or unit.shape[1] < 2:
        used = "pca"
    return rows, _tsne(unit, seed) if used == "tsne" else _principal_plane(unit), used


def _principal_plane(unit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Project on the first two principal components, each signed so that its largest weight is positive."""
    if not len(unit):
        return np.zeros((0, 2))
    centred = unit - unit.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    places = centred @ axes
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))


def _tsne(unit: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    start = _principal_plane(unit)
    spread = start[:, 0].std()
    if spread == 0:  # all vectors are equal: there is nothing to unfold
        return start
    model = TSNE(
        init=start / spread * 1e-4,  # the usual scale of a start
        perplexity=min(30.0, (len(unit) - 1) / 3),
        max_iter=TSNE_STEPS,
        random_state=seed,
    )
    with warnings.catch_warnings(), threadpool_limits(limits=1):  # one thread: the same map every time
        warnings.simplefilter("ignore")  # scikit-learn's deprecations are no news to a reader
        places: npt.NDArray[np.float64] = model.fit_transform(unit).astype(np.float64)
    return places
