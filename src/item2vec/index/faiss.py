"""HNSW, a graph of neighbours (Malkov & Yashunin 2018), from faiss; its links are checked before use."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from item2vec.errors import CorruptArtifactError, RunError
from item2vec.index.backends import SURPLUS, Candidates, effort_for

FILE = "graph.faiss"
hnsw_library: Any = faiss  # what the type stubs of faiss leave out
EF_CONSTRUCTION = 200
"""Candidates held while an item is linked: more make a better graph, in proportionally more time."""
WIDEST, ITEMS_PER_CANDIDATE = 256, 256
"""A scan is faster than holding this many candidates, or one for so many items in a large catalogue."""


class HnswIndex:
    """A navigable graph over unit vectors, compared by inner product."""

    exact = False

    def __init__(self, graph: Any, settings: dict[str, Any]) -> None:
        self._graph = graph
        self._settings = settings

    @classmethod
    def build(
        cls, points: npt.NDArray[np.float32], *, n_trees: int, n_links: int, search_k: int | None, seed: int
    ) -> Self:
        """Link the items one by one, in one thread and with a seed, so that equal input gives equal bytes."""
        graph = hnsw_library.IndexHNSWFlat(points.shape[1], n_links, hnsw_library.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = EF_CONSTRUCTION
        graph.hnsw.rng = hnsw_library.RandomGenerator(seed)
        with threadpool_limits(1):
            graph.add(np.ascontiguousarray(points))
        return cls(graph, {"n_links": n_links, "search_k": search_k or n_links, "seed": seed})

    @property
    def settings(self) -> dict[str, Any]:
        """``n_links``, ``search_k`` and ``seed``."""
        return dict(self._settings)

    @property
    def search_range(self) -> tuple[int, int]:
        """From a node and its links to where a scan is faster, at the latest a full visit."""
        n_items = int(self._graph.ntotal)
        return min(16, n_items), min(n_items, max(WIDEST, n_items // ITEMS_PER_CANDIDATE))

    def with_search_k(self, search_k: int) -> Self:
        """Return the same graph, searched with so many candidates in hand for up to 10 results."""
        other = copy(self)
        other._settings = {**self._settings, "search_k": search_k}
        return other

    def query(self, queries: npt.NDArray[np.float32], k: int) -> Candidates:
        """Propose up to ``k + SURPLUS`` items per unit query, shape (n_queries, d)."""
        wanted = min(k + SURPLUS, self._graph.ntotal)
        effort = min(max(wanted, effort_for(self._settings["search_k"], k)), self._graph.ntotal)
        parameters = hnsw_library.SearchParametersHNSW(efSearch=effort)
        _, nums = self._graph.search(np.ascontiguousarray(queries), wanted, params=parameters)
        rows, places = np.nonzero(nums >= 0)
        return Candidates(rows, nums[rows, places].astype(np.int32))

    def save(self, folder: Path) -> None:
        """Write the graph into `folder`, which must not hold one."""
        try:
            faiss.write_index(self._graph, str(folder / FILE))
        except RuntimeError as error:
            raise RunError(f"faiss cannot write {folder / FILE}: {error}; free disk space there") from error

    @classmethod
    def load(cls, folder: Path, points: npt.NDArray[np.float32], settings: dict[str, Any]) -> Self:
        """Read and check the file that :meth:`save` wrote."""
        file = folder / FILE
        try:
            graph = faiss.read_index(str(file))
        except RuntimeError as error:
            raise CorruptArtifactError(f"{file} is damaged ({error}); build the index again") from error
        problem = _problem(graph, points)
        if problem:
            raise CorruptArtifactError(f"{file} {problem}; build the index again")
        return cls(graph, settings)


def _problem(graph: Any, points: npt.NDArray[np.float32]) -> str | None:
    """Say what is wrong with a graph that was read: faiss follows every link without looking."""
    n_items, dimensions = points.shape
    if not isinstance(graph, faiss.IndexHNSWFlat):
        return f"holds a {type(graph).__name__}, not an HNSW graph"
    if (graph.ntotal, graph.d) != (n_items, dimensions) or graph.metric_type != faiss.METRIC_INNER_PRODUCT:
        return f"is a graph of {graph.ntotal} × {graph.d} numbers, not of {n_items} × {dimensions}"
    links, offsets = (faiss.vector_to_array(getattr(graph.hnsw, name)) for name in ("neighbors", "offsets"))
    levels = faiss.vector_to_array(graph.hnsw.levels)
    if len(levels) != n_items or len(offsets) != n_items + 1 or levels.min(initial=1) < 1:
        return "has no level for some items"
    ordered = offsets[0] == 0 and (np.diff(offsets.astype(np.int64)) >= 0).all() and offsets[-1] == len(links)
    if not ordered or links.min(initial=-1) < -1 or links.max(initial=-1) >= n_items:
        return "links to items that are not there"
    if not 0 <= graph.hnsw.entry_point < n_items or not 0 <= graph.hnsw.max_level < levels.max(initial=1):
        return "has no entry"
    stored = faiss.downcast_index(graph.storage)
    if stored.ntotal != n_items or not np.array_equal(stored.reconstruct_n(0, n_items), points):
        return "was built from other vectors"
    return None
