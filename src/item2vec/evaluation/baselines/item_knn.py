"""Item-kNN: items of the same sessions as the last clicks."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.evaluation.baselines.popularity import Histories, click_vocabulary
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_array

PAIRS_PER_BLOCK = 20_000_000  # co-occurring pairs formed at once (about 320 MB)


class ItemKNN:
    """Recommend what was clicked in the same sessions as the last clicks.

    The similarity of two items is the cosine of their columns in the (sessions × items) matrix of zeros and
    ones: ``n_ij / sqrt(n_i n_j)``. An item is no neighbour of itself.

    Parameters
    ----------
    n_neighbors : int
        Neighbours kept per item.
    decay : float
        Weight of a click relative to the next one, in [0, 1]: 0 uses the last click alone.

    Attributes
    ----------
    vocabulary : Vocabulary
        Set by :meth:`fit`.
    similarities : scipy.sparse.csr_array of float32, shape (n_items, n_items)
        Set by :meth:`fit`; row i holds the neighbours of item i.
    """

    vocabulary: Vocabulary
    similarities: csr_array

    def __init__(self, *, n_neighbors: int = 500, decay: float = 0.0) -> None:
        if n_neighbors < 1 or not 0 <= decay <= 1:
            raise UsageError(
                f"n_neighbors={n_neighbors}, decay={decay}: at least one neighbour, decay in [0, 1]"
            )
        self.n_neighbors = n_neighbors
        self.decay = decay

    def fit(self, sessions: Sessions) -> Self:
        """Count co-occurrences, a block of items at a time.

        Raises
        ------
        EmptyDataError
            If there is no click.
        """
        from scipy import sparse

        self.vocabulary, nums = click_vocabulary(sessions)
        n_items = len(self.vocabulary)
        clicks = sparse.csr_array(
            (np.ones(sessions.n_clicks, np.float32), nums[sessions.tokens], sessions.offsets),
            shape=(len(sessions), n_items),
            copy=True,  # the next line works in place, and the offsets belong to the sessions
        )
        clicks.sum_duplicates()
        clicks.data[:] = 1.0  # a session counts once, however often it clicked the item
        by_item = clicks.T.tocsr()
        norms = np.sqrt(np.diff(by_item.indptr)).astype(np.float32)
        pairs = by_item @ np.diff(clicks.indptr)
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
        found = _weighted_histories(histories, self.decay, len(self.vocabulary)) @ self.similarities
        dense = np.full(found.shape, -np.inf, np.float32)
        dense[np.repeat(np.arange(found.shape[0]), np.diff(found.indptr)), found.indices] = found.data
        return dense


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


def _neighbours(counts: csr_array, start: int, norms: npt.NDArray[np.float32], n_neighbors: int) -> csr_array:
    """Turn co-occurrence counts of items from `start` on into their nearest neighbours by cosine."""
    from scipy import sparse

    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    columns = counts.indices
    cosines = counts.data / (norms[rows + start] * norms[columns])
    others = columns != rows + start
    rows, columns, cosines = rows[others], columns[others], cosines[others]
    order = np.lexsort((columns, -cosines, rows))
    rows, columns, cosines = rows[order], columns[order], cosines[order]
    first = np.searchsorted(rows, np.arange(counts.shape[0]))
    near = np.arange(len(rows)) - first[rows] < n_neighbors
    return sparse.csr_array(
        (cosines[near], (rows[near], columns[near])), shape=counts.shape, dtype=np.float32
    )


def _weighted_histories(histories: Histories, decay: float, n_items: int) -> csr_array:
    """Weigh the clicks of each history by ``decay ** (clicks after it)``."""
    from scipy import sparse

    if decay == 0:
        histories = [history[-1:] for history in histories]
    lengths = np.fromiter((len(history) for history in histories), np.int64, len(histories))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = np.concatenate(histories) if len(histories) else np.zeros(0, np.int32)
    age = np.repeat(offsets[1:], lengths) - 1 - np.arange(len(items))
    weights = np.power(np.float32(decay), age.astype(np.float32))
    return sparse.csr_array((weights, items, offsets), shape=(len(histories), n_items))
