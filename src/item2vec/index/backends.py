"""The narrow door every nearest-neighbour library goes through, and the registry of those we have."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, cast

import numpy as np
import numpy.typing as npt

from item2vec.errors import MissingDependencyError, UsageError

BACKENDS = {
    "annoy": "item2vec.index.annoy:AnnoyIndex",
    "exact": "item2vec.index.exact:ExactIndex",
    "hnsw": "item2vec.index.faiss:HnswIndex",
}
DISTRIBUTIONS = {"faiss": "'item2vec[faiss]'"}
"""What to install where it is not called as the library is."""
SEARCH_K_FOR = 10
"""`search_k` is meant for this many results, an item's own entry besides, and grows with more."""
SURPLUS = 16
"""Candidates beyond the wanted ones: room to see whether a tie runs past the last place."""


class Candidates(NamedTuple):
    """Items proposed for a batch of queries, flat and grouped by query.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        The query each candidate belongs to, ascending.
    nums : ndarray of int32, shape (m,)
        The item number of each candidate, at most once per query.
    """

    rows: npt.NDArray[np.int64]
    nums: npt.NDArray[np.int32]


class Backend(Protocol):
    """Proposes candidates among unit vectors; :class:`~item2vec.index.ItemIndex` scores and orders them."""

    exact: bool
    """Whether :meth:`query` always contains the true nearest neighbours, ties included."""

    @classmethod
    def build(
        cls, points: npt.NDArray[np.float32], *, n_trees: int, n_links: int, search_k: int | None, seed: int
    ) -> Self:
        """Index unit vectors, shape (n_items, d), in item-number order."""

    def query(self, queries: npt.NDArray[np.float32], k: int) -> Candidates:
        """Propose at least `k` items per unit query where it can, and a few more to settle ties."""

    @property
    def search_range(self) -> tuple[int, int]:
        """Least `search_k` that is of use, and the effort from which on a scan is faster."""

    def with_search_k(self, search_k: int) -> Self:
        """Return the same index, searched more or less thoroughly."""

    def save(self, folder: Path) -> None:
        """Write the backend's own files into an existing folder that has none of them yet."""

    @classmethod
    def load(cls, folder: Path, points: npt.NDArray[np.float32], settings: dict[str, Any]) -> Self:
        """Read what :meth:`save` wrote, refusing files that do not fit `points` and `settings`."""

    @property
    def settings(self) -> dict[str, Any]:
        """JSON-able settings that :meth:`load` needs."""


def resolve_backend(name: str) -> type[Backend]:
    """Import the class of a backend.

    Raises
    ------
    UsageError
        If no backend has this name.
    MissingDependencyError
        If its library is not installed.
    """
    if name not in BACKENDS:
        raise UsageError(f"unknown index backend {name!r}; choose one of {', '.join(sorted(BACKENDS))}")
    module, _, attribute = BACKENDS[name].partition(":")
    try:
        return cast("type[Backend]", getattr(import_module(module), attribute))
    except ImportError as error:
        raise MissingDependencyError(
            f"the index backend {name!r} needs the library {error.name!r};"
            f" run: pip install {DISTRIBUTIONS.get(str(error.name), error.name)}"
        ) from error


def effort_for(search_k: int, k: int) -> int:
    """Return how thoroughly to search for `k` results: `search_k` as it is for few, more for many."""
    return -(-search_k * max(k - 1, SEARCH_K_FOR) // SEARCH_K_FOR)
