"""The index users hold: candidates from a backend, scored exactly, filtered, complete, in a fixed order."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import RunError, UsageError
from item2vec.index import storage
from item2vec.index.arguments import POPULARITY, check_settings, check_shares, checked_k, checked_table
from item2vec.index.backends import resolve_backend
from item2vec.index.exact import ExactIndex
from item2vec.index.identity import id_ranks, ids_digest
from item2vec.index.item_set import ItemSet, item_set
from item2vec.index.recall import SAMPLE, K, RecallProbe
from item2vec.index.saved import open_searcher
from item2vec.index.search import Neighbours, Searcher
from item2vec.index.space import Mode, Space
from item2vec.index.tuning import measured_search

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors


class ItemIndex:
    """Nearest neighbours of vectors among the items of one vocabulary.

    Made by :meth:`build` or :meth:`load`. Safe to query from many threads.
    """

    def __init__(self, searcher: Searcher, facts: dict[str, Any]) -> None:
        self._searcher, self._facts = searcher, facts

    @classmethod
    def build(
        cls,
        vectors: ItemVectors,
        mode: Mode = "similar",
        backend: str = "annoy",
        n_trees: int = 50,
        search_k: int | None = None,
        seed: int = 1,
        recall: float = 0.99,
        min_recall: float = 0.9,
        n_links: int = 32,
        popularity: float = POPULARITY,
    ) -> ItemIndex:
        """Index item vectors and measure recall@10 against exact search.

        The effort per query is the least that reaches `recall`; the curve of what was tried is saved with it.

        Parameters
        ----------
        vectors : ItemVectors
            ``vocabulary``, ``vectors`` (n_items, d) and, for ``mode="next"``, ``context_vectors``.
        mode : {"similar", "next"}
            Cosine among input vectors, or product of an input with the output vectors, and popularity.
        backend : {"annoy", "exact", "hnsw"}
            Where candidates come from: trees, a scan, a graph (``pip install item2vec[faiss]``).
        n_trees : int
            Annoy's trees.
        search_k : int, optional
            Effort per query of up to 10 results, more in proportion beyond: Annoy's nodes inspected, or the
            candidates that HNSW has in hand (its ``efSearch``). By default the least that reaches `recall`.
        seed : int
            Of trees, graph, and the sample on which recall is measured.
        recall : float
            Recall@10 to reach, in (0, 1]. Where the effort that it takes costs more than a scan of all items,
            queries are scans.
        min_recall : float
            Least recall@10 that is acceptable.
        n_links : int
            Links per item in HNSW's graph.
        popularity : float
            Read as *next*, a score is the inner product plus `popularity` times log(count), of 1 where there
            is none. With noise in proportion to count^x products tend to log P(b | a) / count(b)^x (Levy &
            Goldberg, NIPS 2014): x makes up for it once training has converged, less before.

        Raises
        ------
        UsageError
            If an argument is out of range or the model has no output vectors.
        DataError
            If vectors are not finite, or zero where cosine is asked.
        RunError
            If recall@10 stays below `min_recall`.
        """
        check_settings(n_trees, n_links, search_k, seed, popularity)
        popularity = 0.0 if mode == "similar" else float(popularity)
        table = checked_table(vectors, mode, popularity)
        check_shares(recall=recall, min_recall=min_recall)
        space = Space.from_table(mode, table, vectors.vocabulary.item_ids, popularity > 0)
        options: dict[str, Any] = {"n_trees": n_trees, "n_links": n_links, "search_k": search_k, "seed": seed}
        built = resolve_backend(backend).build(space.points, **options)
        searcher = Searcher(space, id_ranks(vectors.vocabulary), built, ExactIndex(space.points))
        facts: dict[str, Any] = {"backend": backend, "popularity": popularity}
        facts["ids_sha256"] = ids_digest(vectors.vocabulary)
        sample = 1 if built.exact else SAMPLE
        probe = RecallProbe(cls(searcher, facts), np.asarray(vectors.vectors), sample=sample, seed=seed)
        chosen, facts["recall"] = measured_search(
            built,
            lambda one: probe.recall(cls(replace(searcher, backend=one), facts)),
            recall if search_k is None else None,
        )
        facts["recall"] |= {"k": K, "sample": probe.n_queries}
        index = cls(replace(searcher, backend=chosen), facts)
        if index.recall < min_recall:
            raise RunError(
                f"the {backend} index ({mode}) has recall@{K} {index.recall:.3f}, below {min_recall=};"
                f" raise {'n_links' if backend == 'hnsw' else 'n_trees'} or search_k, or use backend='exact'"
            )
        return index

    @property
    def mode(self) -> Mode:
        """The reading: ``"similar"`` or ``"next"``."""
        return self._searcher.space.mode

    @property
    def backend(self) -> str:
        """Name of the backend that proposes candidates."""
        return str(self._facts["backend"])

    @property
    def settings(self) -> dict[str, Any]:
        """The backend's settings, ``search_k`` as used."""
        return self._searcher.backend.settings

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self._searcher.space.table)

    @property
    def vector_size(self) -> int:
        """Numbers per query vector."""
        return self._searcher.space.vector_size

    @property
    def space(self) -> Space:
        """The table that is searched, and the unit vectors that stand for it."""
        return self._searcher.space

    @property
    def id_rank(self) -> npt.NDArray[np.int32]:
        """Each item's place among the ids in ascending order, which decides between equal scores."""
        return self._searcher.id_rank

    @property
    def popularity(self) -> float:
        """Weight of an item's log(count) in its score."""
        return float(self._facts["popularity"])

    @property
    def recall(self) -> float:
        """Recall@10 measured at build."""
        return float(self._facts["recall"]["value"])

    @property
    def recall_facts(self) -> dict[str, Any]:
        """How: ``k, sample, target, value``, and the ``curve`` of what was tried."""
        return deepcopy(self._facts["recall"])

    @cached_property
    def fingerprint(self) -> str:
        """Digest of ids, vectors, reading and settings: equal for indexes that give equal answers."""
        digest = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self._searcher.space.table).data)
        return digest.hexdigest()

    def __len__(self) -> int:
        return self.n_items

    def __repr__(self) -> str:
        return f"ItemIndex({self.mode}, {self.backend}, {self.n_items:,} items, recall@{K} {self.recall:.3f})"

    def check_vectors(self, vectors: ItemVectors) -> None:
        """Refuse vectors other than those the index was built from.

        Raises
        ------
        UsageError
            If ids or vectors differ.
        """
        table = checked_table(vectors, self.mode, self.popularity)
        same_ids = self._facts["ids_sha256"] == ids_digest(vectors.vocabulary)
        if not (same_ids and np.array_equal(table, self._searcher.space.table)):
            raise UsageError(f"the {self.mode} index was built from other vectors; build it from these")

    def query(
        self,
        query_vectors: npt.NDArray[np.floating[Any]],
        k: int = 10,
        allowed: npt.NDArray[np.bool_] | ItemSet | None = None,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the first two parts of :meth:`search`, (n_queries, k) each."""
        return self.search(query_vectors, k, allowed)[:2]

    def search(
        self,
        query_vectors: npt.NDArray[np.floating[Any]],
        k: int = 10,
        allowed: npt.NDArray[np.bool_] | ItemSet | None = None,
        *,
        exact: bool = False,
    ) -> Neighbours:
        """Find the nearest items of each query vector and say how.

        Every score is computed from the float32 table in float64 and rounded; order is score descending, then
        id ascending. As many items come back as are allowed, up to k: where the backend proposes too few, or
        a tie runs past what it proposed, that query is answered by exact search.

        Parameters
        ----------
        query_vectors : ndarray, shape (n_queries, d)
            Finite and not zero. For ``next`` they are input vectors or sums of them.
        k : int
            Results per query, 1 to 1,000,000; beyond the number of items the rest is padding.
        allowed : ndarray of bool, shape (n_items,), or ItemSet, optional
            Items that may be returned; all by default. A set that is asked again is prepared once.
        exact : bool
            Use exact search for all queries.

        Raises
        ------
        UsageError
            If `k`, a shape or a dtype is wrong.
        DataError
            If a query vector is zero or not finite.
        """
        k = checked_k(k)
        chosen = item_set(allowed, self.n_items)
        queries = self._searcher.space.checked_queries(query_vectors)
        return self._searcher.search(queries, k, chosen, exact)

    def scores(self, query_vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Score all items for vectors (n_queries, d): float32 (n_queries, n_items); a zero one gets −inf."""
        queries = np.asarray(query_vectors)
        scores = np.full((len(queries), self.n_items), -np.inf, np.float32)
        usable = np.flatnonzero(queries.any(axis=1))
        self._searcher.space.all_scores(self._searcher.space.checked_queries(queries[usable]), scores, usable)
        return scores

    def save(self, path: str | Path) -> None:
        """Write the index into a new folder, whole or not at all.

        Raises
        ------
        UsageError
            If the folder exists and is not empty.
        """
        target = Path(path)
        with storage.unpublished(target) as folder:
            storage.write_array(folder / "vectors.npy", self._searcher.space.table)
            storage.write_array(folder / "id_rank.npy", self._searcher.id_rank)
            self._searcher.backend.save(folder)
            storage.publish(folder, target, self._description())

    def _description(self) -> dict[str, Any]:
        return {
            **self._facts,
            "mode": self.mode,
            "n_items": self.n_items,
            "vector_size": self.vector_size,
            "settings": self.settings,
        }

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> ItemIndex:
        """Check a saved index and map it read-only.

        Parameters
        ----------
        path : str or Path
            Folder written by :meth:`save`; it must not change while the index is in use.
        verify : bool
            Compare the files with the checksums beside them. Switch it off only where that was just done;
            sizes, shapes and the structure of the trees are checked in any case.

        Raises
        ------
        SourceError
            If there is no index.
        CorruptArtifactError
            If a file is damaged or belongs to another index.
        """
        folder = Path(path)
        description = storage.read_description(folder, verify)
        if description.get("kind", "index") != "index":
            raise UsageError(f"{folder} holds {description['kind']} and no index")
        facts = {key: description[key] for key in ("backend", "popularity", "ids_sha256", "recall")}
        return cls(open_searcher(folder, description), facts)
