"""Baselines without learning: what a model has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from item2vec.errors import EmptyDataError, UsageError
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Histories = Sequence[npt.NDArray[np.int32]]
PAIRS_PER_BLOCK = 20_000_000  # co-occurring pairs formed at once (about 320 MB)


def click_vocabulary(sessions: Sessions) -> tuple[Vocabulary, npt.NDArray[np.int32]]:
    """Count the clicks of the training sessions.

    Returns
    -------
    vocabulary : Vocabulary
        Clicked items, count descending, then by id.
    nums : ndarray of int32, shape (n_items,)
        Item number of each token, −1 for an item that was never clicked.

    Raises
    ------
    EmptyDataError
        If there is no click.
    """
    counts = np.bincount(sessions.tokens, minlength=sessions.n_items)
    if not sessions.n_clicks:
        raise EmptyDataError("no training session has a click; a baseline cannot be fitted")
    vocabulary = Vocabulary.from_counts(sessions.item_ids, counts)
    return vocabulary, vocabulary.nums(sessions.item_ids)


class Popularity:
    """Recommend what is clicked most.

    Parameters
    ----------
    per_market : bool
        Rank only the items of the market of the last clicked item with a known market; without such an item
        all items.

    Attributes
    ----------
    vocabulary : Vocabulary
        Set by :meth:`fit`.
    """

    vocabulary: Vocabulary

    def __init__(self, *, per_market: bool = False) -> None:
        self.per_market = per_market

    def fit(self, sessions: Sessions) -> Self:
        """Count clicks.

        Raises
        ------
        EmptyDataError
            If there is no click, or `per_market` and no item has a market.
        """
        self.vocabulary, nums = click_vocabulary(sessions)
        clicked = nums >= 0
        self._markets = np.full(len(self.vocabulary), -1, np.int32)
        self._markets[nums[clicked]] = sessions.markets[clicked]
        if self.per_market and (self._markets < 0).all():
            raise EmptyDataError("no item has a market; popularity per market needs the items' markets")
        return self

    def scores(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return click counts, shape (len(histories), n_items), float32, ``-inf`` outside the market."""
        counts = self.vocabulary.counts.astype(np.float32)
        rows = np.repeat(counts[None, :], len(histories), axis=0)
        if self.per_market:
            for row, history in enumerate(histories):
                known = self._markets[history]
                known = known[known >= 0]
                if len(known):
                    rows[row, self._markets != known[-1]] = -np.inf
        return rows


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


def fit_baselines(names: Sequence[str], train: Sessions) -> dict[str, Scorer]:
    """Fit baselines by name on the training sessions.

    Parameters
    ----------
    names : sequence of str
        ``"popularity"``, ``"market_popularity"`` (left out where no item has a market), ``"item_knn"`` (last
        item only) or ``"item_knn_decay"`` (whole prefix, each click half the weight of the next).
    train : Sessions
        Training side of the split.

    Returns
    -------
    dict of str to Scorer
        In the order given.

    Raises
    ------
    UsageError
        If a name is unknown.
    """
    makers: dict[str, Callable[[], Popularity | ItemKNN]] = {
        "popularity": Popularity,
        "market_popularity": lambda: Popularity(per_market=True),
        "item_knn": ItemKNN,
        "item_knn_decay": lambda: ItemKNN(decay=0.5),
    }
    unknown = [name for name in names if name not in makers]
    if unknown:
        raise UsageError(f"unknown baseline {unknown[0]!r}; choose from {', '.join(makers)}")
    has_market = bool((train.markets >= 0).any())
    return {name: makers[name]().fit(train) for name in names if has_market or name != "market_popularity"}
