"""Item-kNN: items of the same sessions as the last clicks."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.evaluation.arguments import check_share, check_whole, is_number
from item2vec.evaluation.baselines.click_matrix import (
    Histories,
    as_scores,
    click_counts,
    weighted_histories,
)
from item2vec.evaluation.baselines.popularity import click_vocabulary
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_array

PAIRS_PER_BLOCK = 20_000_000  # co-occurring pairs formed at once (about 320 MB)


class ItemKNN:
    """Recommend what was clicked in the same sessions as the last clicks.

    The item-to-item predictor that the session-based literature reports beside its models (Hidasi et al.,
    "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016, and the tables of NARM, STAMP
    and SR-GNN): the similarity of i and j is ``c_ij / sqrt((n_i + λ)(n_j + λ))``, where ``c_ij`` counts the
    clicks on i in sessions that hold j, ``n_i`` all clicks on i, and the regularisation λ = 20 keeps chance
    meetings of rare items down. An item is no neighbour of itself. λ = 0 is a plain cosine where no session
    repeats an item.

    Parameters
    ----------
    n_neighbors : int
        Neighbours kept per item.
    decay : float
        Weight of a click relative to the next one, in [0, 1]: 0 uses the last click alone, as the literature
        does.
    regularization : float
        λ, in clicks, at least 0.

    Attributes
    ----------
    vocabulary : Vocabulary
        Set by :meth:`fit`.
    similarities : scipy.sparse.csr_array of float32, shape (n_items, n_items)
        Set by :meth:`fit`; row i holds the neighbours of item i.

    Raises
    ------
    UsageError
        If a parameter is out of its range.
    """

    vocabulary: Vocabulary
    similarities: csr_array

    def __init__(self, *, n_neighbors: int = 500, decay: float = 0.0, regularization: float = 20.0) -> None:
        check_whole("n_neighbors", n_neighbors, 1, "at least one neighbour")
        check_share("decay", decay)
        if not is_number(regularization) or not 0 <= regularization < float("inf"):
            raise UsageError(f"regularization={regularization!r}: give a finite number from 0")
        self.n_neighbors = n_neighbors
        self.decay = decay
        self.regularization = regularization

    def fit(self, sessions: Sessions) -> Self:
        """Count co-occurrences, a block of items at a time.

        Raises
        ------
        EmptyDataError
            If there is no click.
        """
        from scipy import sparse

        self.vocabulary, nums = click_vocabulary(sessions)
        clicks = click_counts(sessions, nums, len(self.vocabulary))
        by_item = clicks.T.tocsr()
        clicks.data[:] = 1.0  # whether, not how often: a click on i meets j once
        norms = np.sqrt(self.vocabulary.counts + self.regularization)
        pairs = (by_item > 0) @ np.diff(clicks.indptr)
        blocks = [
            _neighbours(by_item[start:stop] @ clicks, start, norms, self.n_neighbors)
            for start, stop in _blocks(pairs)
        ]
        self.similarities = sparse.vstack(blocks, format="csr")
        return self

    def scores(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return summed similarities, shape (len(histories), n_items), float32.

        ``-inf`` where an item shares no session with the history, so an unknown history has an empty answer.
        """
        return as_scores(weighted_histories(histories, self.decay, len(self.vocabulary)) @ self.similarities)


def _blocks(pairs: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Cut the items into runs that form at most :data:`PAIRS_PER_BLOCK` pairs (or are one item)."""
    bounds = [0]
    total = 0.0
    for item, count in enumerate(pairs.tolist()):
        if total + count > PAIRS_PER_BLOCK and item > bounds[-1]:
            bounds.append(item)
            total = 0.0
        total += count
    bounds.append(len(pairs))
    return list(pairwise(bounds))


def _neighbours(counts: csr_array, start: int, norms: npt.NDArray[np.float64], n_neighbors: int) -> csr_array:
    """Turn co-occurrence counts of items from `start` on into their nearest neighbours."""
    from scipy import sparse

    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    columns = counts.indices
    others = columns != rows + start
    rows, columns = rows[others], columns[others]
    similarities = (counts.data[others] / (norms[rows + start] * norms[columns])).astype(np.float32)
    order = np.lexsort((columns, -similarities, rows))
    rows, columns, similarities = rows[order], columns[order], similarities[order]
    first = np.searchsorted(rows, np.arange(counts.shape[0]))
    near = np.arange(len(rows)) - first[rows] < n_neighbors
    return sparse.csr_array((similarities[near], (rows[near], columns[near])), shape=counts.shape)
