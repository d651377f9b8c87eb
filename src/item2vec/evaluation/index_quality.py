"""How many of the true nearest neighbours the index finds, and how fast."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from item2vec.errors import DataError
from item2vec.evaluation.arguments import check_whole
from item2vec.evaluation.probes.neighbours import SCORE_BYTES, unit_rows

BATCH = 100  # queries at once
TOLERANCE = 1e-5  # scores this close, relative to the largest, are a tie: either item is right


class Index(Protocol):
    """The part of :class:`~item2vec.index.ItemIndex` that is measured."""

    @property
    def mode(self) -> str:
        """``"similar"`` or ``"next"``."""

    @property
    def popularity(self) -> float:
        """Weight of log(count) in a score, read as *next*."""

    def query(
        self, query_vectors: npt.NDArray[np.float32], k: int = 10
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Find the nearest items of each query vector."""


@runtime_checkable
class ChecksVectors(Protocol):
    """An index that knows what it was built from."""

    def check_vectors(self, vectors: Any) -> None:
        """Refuse other vectors than those."""


class IndexedVectors(Protocol):
    """The vectors an index was built from."""

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """Input vectors, shape (n_items, d)."""

    @property
    def context_vectors(self) -> npt.NDArray[np.float32] | None:
        """Output vectors, shape (n_items, d)."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Clicks per item, shape (n_items,)."""


@dataclass(frozen=True)
class IndexRecall:
    """Figures of :func:`index_recall`.

    Attributes
    ----------
    mode : str
        Reading of the index.
    k : int
        Neighbours asked for.
    recall : float or None
        Share in [0, 1] of the true k nearest that were found; None without a query.
    queries_per_second : float or None
        On one thread, in batches of 100 queries: for larger ones a backend may take threads of its own.
    n_queries, n_items : int
        Sampled items and size of the index.
    """

    mode: str
    k: int
    recall: float | None
    queries_per_second: float | None
    n_queries: int
    n_items: int

    def to_json(self) -> dict[str, str | int | float | None]:
        """Return the figures as JSON types."""
        return asdict(self)


def index_recall(
    index: Index, vectors: IndexedVectors, *, k: int = 10, n_queries: int = 1000, seed: int = 1
) -> IndexRecall:
    """Compare the index with exact search, which is computed here and not by the index.

    Parameters
    ----------
    index : ItemIndex
        Built from `vectors`.
    vectors : ItemVectors
        Queries are the input vectors of a random sample of items. An item is no neighbour of itself in mode
        ``"similar"``; in mode ``"next"`` it may follow itself.
    k : int
        Neighbours per query.
    n_queries : int
        Size of the sample.
    seed : int
        Seed of the sample.

    Returns
    -------
    IndexRecall

    Raises
    ------
    UsageError
        If `k` is below 1, another number is out of its range, or the index was built from other vectors.
    DataError
        If the index is of mode ``"next"`` and there are no context vectors.
    """
    from threadpoolctl import threadpool_limits

    check_whole("k", k, 1, "ask for a whole number of neighbours, at least one")
    check_whole("n_queries", n_queries, 0, "a sample is a whole number of items")
    check_whole("seed", seed, 0, "a seed is a whole number from 0")
    n_items = len(vectors.vectors)
    rows = np.random.default_rng(seed).permutation(n_items)[:n_queries]
    similar = index.mode == "similar"
    queries = np.ascontiguousarray(vectors.vectors[rows])
    table = vectors.vectors if similar else vectors.context_vectors
    if table is None:
        raise DataError("an index of mode 'next' ranks context vectors, and these vectors have none")
    if isinstance(index, ChecksVectors):
        index.check_vectors(vectors)
    if not similar and index.popularity:
        offsets = index.popularity * np.log(np.maximum(vectors.counts, 1))
        table = np.column_stack([table, offsets.astype(np.float32)])
    if similar:
        queries, table = unit_rows(queries), unit_rows(table)
    with threadpool_limits(limits=1):
        started = time.perf_counter()
        parts = [
            index.query(queries[start : start + BATCH], k + 1 if similar else k)[0]
            for start in range(0, len(queries), BATCH)
        ]
        seconds = time.perf_counter() - started
    found = np.concatenate(parts) if parts else np.zeros((0, k), np.int32)
    itself = rows if similar else np.full(len(rows), -1)
    ones = np.ones((len(queries), table.shape[1] - queries.shape[1]), np.float32)
    recall = _recall(np.hstack([queries, ones]), table, found, itself, k)
    speed = len(rows) / seconds if len(rows) and seconds > 0 else None
    return IndexRecall(index.mode, k, recall, speed, len(rows), n_items)


def _recall(
    queries: npt.NDArray[np.float32],
    table: npt.NDArray[np.float32],
    found: npt.NDArray[np.int32],
    itself: npt.NDArray[np.int64],
    k: int,
) -> float | None:
    """Count found items that score as high as the k-th true neighbour, without the query itself."""
    hits = wanted = 0
    batch = max(1, SCORE_BYTES // (4 * max(len(table), 1)))
    for start in range(0, len(queries), batch):
        scores = queries[start : start + batch] @ table.T
        own = itself[start : start + batch]
        scores[np.flatnonzero(own >= 0), own[own >= 0]] = -np.inf
        n = min(k, len(table) - int(own[0] >= 0))
        if n == 0:
            continue
        last = np.partition(scores, len(table) - n, axis=1)[:, len(table) - n]
        slack = TOLERANCE * np.abs(np.where(np.isfinite(scores), scores, 0)).max(axis=1)
        for row, items in enumerate(found[start : start + batch]):
            others = items[(items >= 0) & (items != own[row])][:k]
            others = np.unique(others)  # an item found twice is one
            hits += int((scores[row, others] >= last[row] - slack[row]).sum())
            wanted += n
    return hits / wanted if wanted else None
