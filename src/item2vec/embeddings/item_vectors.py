"""Trained item embeddings and the questions one asks them, in gensim's vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from item2vec.embeddings import queries
from item2vec.embeddings.queries import Query
from item2vec.embeddings.vector_files import Rows, VectorFiles
from item2vec.errors import UsageError
from item2vec.vocabulary import ItemId


class ItemVectors(VectorFiles):
    """Item embeddings: the input vector of every item and, where kept, its output (context) vector.

    Parameters
    ----------
    vocabulary : Vocabulary
        Row i of the tables belongs to item number i.
    vectors : ndarray of float32, shape (n_items, vector_size)
        Input vectors v; their cosine says which items are alike.
    context_vectors : ndarray of float32, shape (n_items, vector_size), optional
        Output vectors v'; the product v'·v says what follows what.
    repeats : RepeatRates, optional
        How often the training sessions came back to an item. The formats of other tools do not keep it.

    Raises
    ------
    DataError
        If the shapes disagree or a value is not finite.
    """

    @property
    def ids(self) -> list[ItemId]:
        """Item ids in the order of the rows (count descending, then id)."""
        return self.index_to_key

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Clicks per item in the training sessions, shape (n_items,), int64."""
        return self.vocabulary.counts

    @property
    def vector_size(self) -> int:
        """Numbers per vector."""
        return int(self.vectors.shape[1])

    @cached_property
    def index_to_key(self) -> list[ItemId]:
        """Item ids by row (gensim's name for `ids`)."""
        ids: list[ItemId] = self.vocabulary.ids.to_pylist()
        return ids

    @cached_property
    def key_to_index(self) -> dict[ItemId, int]:
        """Row by item id."""
        return {item_id: row for row, item_id in enumerate(self.index_to_key)}

    def __len__(self) -> int:
        return len(self.vectors)

    def __contains__(self, key: object) -> bool:
        return key in self.vocabulary

    def __repr__(self) -> str:
        context = "with" if self.context_vectors is not None else "without"
        return f"ItemVectors({len(self):,} items × {self.vector_size}, {context} context vectors)"

    def __getitem__(self, key: ItemId | Sequence[ItemId]) -> Rows:
        """Return the vector of one id, (vector_size,), or of a list of ids, (n, vector_size)."""
        if isinstance(key, str) or not isinstance(key, Iterable):
            return self.get_vector(key)
        return self.vectors[[self.vocabulary.num(k) for k in key]]

    def get_vector(self, key: ItemId, norm: bool = False) -> Rows:
        """Return the input vector of one item, shape (vector_size,); with `norm`, scaled to length 1.

        Raises
        ------
        UnknownItemError
            If the item has no vector (it is a ``KeyError`` too).
        """
        row = self.vocabulary.num(key)
        vector: Rows = (self.get_normed_vectors() if norm else self.vectors)[row]
        return vector

    def get_normed_vectors(self) -> Rows:
        """Return all input vectors scaled to length 1 (zero vectors stay zero), (n_items, vector_size)."""
        return self._normed

    @cached_property
    def _normed(self) -> Rows:
        return _unit(self.vectors)

    def get_mean_vector(
        self,
        keys: Sequence[ItemId | npt.NDArray[Any]],
        weights: Sequence[float] | None = None,
        pre_normalize: bool = True,
        post_normalize: bool = False,
        ignore_missing: bool = True,
    ) -> Rows:
        """Return the weighted mean of some items' vectors, shape (vector_size,).

        Parameters
        ----------
        keys : sequence of ids or vectors
        weights : sequence of float, optional
            One per key; default 1.
        pre_normalize, post_normalize : bool
            Scale the vector of each id, or the mean, to length 1; given vectors are taken as they are.
        ignore_missing : bool
            Skip unknown ids instead of raising.

        Raises
        ------
        UnknownItemError, UsageError
        """
        weights = [1.0] * len(keys) if weights is None else weights
        if len(weights) != len(keys):
            raise UsageError(f"{len(keys)} keys but {len(weights)} weights; give one weight per key")
        total, mass = np.zeros(self.vector_size, np.float64), 0.0
        for key, weight in zip(keys, weights, strict=True):
            if ignore_missing and not isinstance(key, np.ndarray) and key not in self:
                continue
            total += weight * self._query_vector(key, pre_normalize)
            mass += abs(weight)
        if mass == 0:
            raise UsageError("no mean of nothing: none of the keys is known, or every weight is 0")
        mean = (total / mass).astype(np.float32)
        return _unit(mean) if post_normalize else mean

    def _query_vector(self, key: ItemId | npt.NDArray[Any], norm: bool) -> Rows:
        if not isinstance(key, np.ndarray):
            return self.get_vector(key, norm)
        vector = np.asarray(key, np.float32)
        if vector.shape != (self.vector_size,) or not np.isfinite(vector).all():
            raise UsageError(f"a query vector is {self.vector_size} finite numbers; got shape {vector.shape}")
        return vector

    def similarity(self, key1: ItemId, key2: ItemId) -> float:
        """Return the cosine of two items' vectors."""
        return float(self.get_vector(key1, norm=True) @ self.get_vector(key2, norm=True))

    def most_similar(
        self,
        positive: Query | Iterable[Query] = (),
        negative: Query | Iterable[Query] = (),
        topn: int = 10,
        restrict_vocab: int | None = None,
    ) -> list[tuple[ItemId, float]]:
        """Return the items nearest to the mean of `positive` minus `negative`, by cosine.

        Parameters
        ----------
        positive, negative : id, vector, (id or vector, weight), or an iterable of these
            In an iterable a tuple is always a key and its weight. A tuple on its own is one where its second
            member is a number that cannot be an id (any number where ids are strings, a float where they are
            int64), so ``(5, 2)`` is two int64 ids, as in gensim; write ``[(5, 2)]`` for id 5 twice.
        topn : int
            How many; the given ids themselves are never among them.
        restrict_vocab : int, optional
            Look only at this many most frequent items.

        Returns
        -------
        list of (id, cosine), best first, ties by item number

        Raises
        ------
        UnknownItemError, UsageError
        """
        keys: list[ItemId | npt.NDArray[Any]] = []
        weights: list[float] = []
        for given, sign in ((positive, 1.0), (negative, -1.0)):
            for key, weight in queries.weighted_keys(given, sign, self.vocabulary.id_type):
                keys.append(key)
                weights.append(weight)
        if not keys:
            raise UsageError("most_similar needs at least one id or vector in positive or negative")
        mean = self.get_mean_vector(keys, weights, post_normalize=True, ignore_missing=False)
        own = [self.vocabulary.num(key) for key in keys if not isinstance(key, np.ndarray)]
        return self._nearest(mean, topn, restrict_vocab, own)

    def similar_by_vector(
        self, vector: npt.NDArray[Any], topn: int = 10, restrict_vocab: int | None = None
    ) -> list[tuple[ItemId, float]]:
        """Return the items nearest to a vector, shape (vector_size,), as :meth:`most_similar` does."""
        return self.most_similar([np.asarray(vector)], topn=topn, restrict_vocab=restrict_vocab)

    def similar_by_key(
        self, key: ItemId, topn: int = 10, restrict_vocab: int | None = None
    ) -> list[tuple[ItemId, float]]:
        """Return the items nearest to an item, without itself: [(id, cosine)]."""
        return self.most_similar([key], topn=topn, restrict_vocab=restrict_vocab)

    def _nearest(
        self, unit: Rows, topn: int, restrict_vocab: int | None, excluded: list[int]
    ) -> list[tuple[ItemId, float]]:
        if topn < 1:
            raise UsageError(f"topn is {topn}; ask for at least 1 item")
        scores = self.get_normed_vectors()[:restrict_vocab] @ unit
        scores[[row for row in excluded if row < len(scores)]] = -np.inf
        order = np.argsort(-scores, kind="stable")[:topn]
        order = order[np.isfinite(scores[order])]
        return list(zip(self.vocabulary.item_ids(order), scores[order].tolist(), strict=True))


def _unit(rows: Rows) -> Rows:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)
