"""Annoy (random projection trees), fenced in: it never sees a bad argument, a bad vector or a bad file."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path
from typing import Any, Self

import annoy
import numpy as np
import numpy.typing as npt

from item2vec.artifacts.temporary import temporary_place
from item2vec.errors import RunError
from item2vec.index.annoy_file import check_annoy_file
from item2vec.index.backends import SURPLUS, Candidates, effort_for

FILE = "trees.annoy"
WIDEST, ITEMS_PER_NODE = 1 << 12, 16
"""A scan is faster than inspecting this many nodes, or one for so many items in a large catalogue: a node
costs some 90 ns, an item in a scan 2 to 13."""
MOST = 2**31 - 1
"""Largest number that Annoy takes."""
MANY_QUERIES = 256
"""From this many on, a batch is worth a pool of threads, one per core."""


class AnnoyIndex:
    """A forest in a file that is checked before it is mapped and never changed or unloaded afterwards."""

    exact = False

    def __init__(self, file: Path, points: npt.NDArray[np.float32], settings: dict[str, Any]) -> None:
        check_annoy_file(file, points, settings["n_trees"])
        self._file = file
        self._settings = settings
        self._owner: _PrivateFolder | None = None
        self._trees = annoy.AnnoyIndex(points.shape[1], "angular")
        self._trees.load(str(file))

    @classmethod
    def build(
        cls, points: npt.NDArray[np.float32], *, n_trees: int, n_links: int, search_k: int | None, seed: int
    ) -> Self:
        """Grow the trees with one thread and a seed, so that equal input gives equal bytes.

        Annoy unlinks a file before it saves over it, and unloads while it saves; so the forest is saved once,
        into a private folder, and read from there like any other.
        """
        owner = _PrivateFolder()
        file = owner.path / FILE
        trees = annoy.AnnoyIndex(points.shape[1], "angular")
        trees.set_seed(seed)
        for num, point in enumerate(points):
            trees.add_item(num, point)
        trees.build(n_trees, n_jobs=1)
        try:
            trees.save(str(file))
        except OSError as error:
            raise RunError(f"Annoy cannot write {file}: {error}; free disk space there") from error
        settings = {"n_trees": n_trees, "search_k": search_k or n_trees, "seed": seed}
        built = cls(file, points, settings)
        built._owner = owner
        return built

    @property
    def settings(self) -> dict[str, Any]:
        """``n_trees``, ``search_k`` and ``seed``."""
        return dict(self._settings)

    @property
    def search_range(self) -> tuple[int, int]:
        """From a leaf per tree to where a scan is faster, at the latest a full visit.

        Annoy counts an item once per tree that proposes it, so only n_trees · n_items nodes are a full visit.
        """
        most = min(self._full_visit, max(WIDEST, self._trees.get_n_items() // ITEMS_PER_NODE))
        return min(self._settings["n_trees"], most), most

    def with_search_k(self, search_k: int) -> Self:
        """Return the same forest, with so many nodes inspected for up to 10 results."""
        other = copy(self)
        other._settings = {**self._settings, "search_k": search_k}
        return other

    @property
    def _full_visit(self) -> int:
        """Nodes after which every tree has proposed every item."""
        return min(MOST, int(self._settings["n_trees"] * self._trees.get_n_items()))

    def query(self, queries: npt.NDArray[np.float32], k: int) -> Candidates:
        """Propose up to ``k + SURPLUS`` items per unit query, shape (n_queries, d)."""
        effort = min(effort_for(self._settings["search_k"], k), self._full_visit)
        search = self._trees.get_nns_by_vector  # lets go of the interpreter lock while it searches
        points = queries.tolist()
        if len(points) < MANY_QUERIES:
            found = [search(point, k + SURPLUS, effort) for point in points]
        else:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                found = list(pool.map(lambda point: search(point, k + SURPLUS, effort), points))
        counts = np.fromiter(map(len, found), np.int64, len(found))
        nums = np.fromiter((num for row in found for num in row), np.int32, int(counts.sum()))
        return Candidates(np.repeat(np.arange(len(found)), counts), nums)

    def save(self, folder: Path) -> None:
        """Copy the forest's file into `folder`, which must not hold one."""
        target = folder / FILE
        with open(self._file, "rb") as source, open(target, "xb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)

    @classmethod
    def load(cls, folder: Path, points: npt.NDArray[np.float32], settings: dict[str, Any]) -> Self:
        """Check and map the file that :meth:`save` wrote."""
        return cls(folder / FILE, points, settings)


class _PrivateFolder:
    """A temporary folder that disappears with the last index that reads from it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="item2vec-index-", dir=temporary_place()))
        weakref.finalize(self, _remove, self.path, os.getpid())


def _remove(folder: Path, owner: int) -> None:
    """Remove a folder; a forked child, which ends as its parent goes on, leaves it alone."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
