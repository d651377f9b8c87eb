"""Trained item embeddings and the questions one asks them, in gensim's vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from item2vec.embeddings import queries, vectors_folder, word2vec_format
from item2vec.embeddings.queries import Query
from item2vec.errors import CorruptArtifactError, DataError, UsageError
from item2vec.vocabulary import ItemId, Vocabulary

Rows = npt.NDArray[np.float32]


class ItemVectors:
    """Item embeddings: the input vector of every item and, where kept, its output (context) vector.

    Parameters
    ----------
    vocabulary : Vocabulary
        Row i of the tables belongs to item number i.
    vectors : ndarray of float32, shape (n_items, vector_size)
        Input vectors v; their cosine says which items are alike.
    context_vectors : ndarray of float32, shape (n_items, vector_size), optional
        Output vectors v'; the product v'·v says what follows what.

    Raises
    ------
    DataError
        If the shapes disagree or a value is not finite.
    """

    def __init__(self, vocabulary: Vocabulary, vectors: Rows, context_vectors: Rows | None = None) -> None:
        self.vocabulary = vocabulary
        self.vectors = np.ascontiguousarray(vectors, np.float32)
        self.context_vectors = context_vectors
        if context_vectors is not None:
            self.context_vectors = np.ascontiguousarray(context_vectors, np.float32)
        if self.vectors.ndim != 2 or len(self.vectors) != len(vocabulary) or self.vectors.shape[1] == 0:
            raise DataError(
                f"{len(vocabulary):,} items need as many rows; the vectors are {self.vectors.shape}"
            )
        for name, rows in (("vectors", self.vectors), ("context_vectors", self.context_vectors)):
            if rows is None:
                continue
            if rows.shape != self.vectors.shape:
                raise DataError(f"{name} are {rows.shape}, the vectors {self.vectors.shape}; they must agree")
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(bad):
                item_id = vocabulary.item_ids(bad[:1])[0]
                raise DataError(f"{len(bad):,} rows of {name} are not finite (first: item {item_id!r})")

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

    def save_word2vec_format(
        self, path: str | Path, fvocab: str | Path | None = None, binary: bool = False
    ) -> None:
        """Write the input vectors as word2vec text or binary, which gensim and most tools read.

        With `fvocab`, ``id count`` lines are written there; the vector file itself holds no counts.

        Raises
        ------
        DataError
            If an id is empty or holds white space, which the format cannot express.
        """
        word2vec_format.write(path, self.vocabulary, self.vectors, binary)
        if fvocab is not None:
            word2vec_format.write_counts(fvocab, self.vocabulary)

    @classmethod
    def load_word2vec_format(
        cls,
        path: str | Path,
        fvocab: str | Path | None = None,
        binary: bool = False,
        id_type: str = "string",
    ) -> ItemVectors:
        """Read word2vec text or binary, written by anyone.

        `id_type` is "string" or "int64"; without `fvocab` every count is 0.

        Raises
        ------
        SourceError
            If a file is missing, cut short or not in the format.
        """
        return cls(*word2vec_format.read(path, fvocab, binary, id_type))

    def save(self, path: str | Path) -> None:
        """Write ``vectors.safetensors``, ``items.parquet`` and ``config.json`` into a folder."""
        tensors = {"vectors": self.vectors}
        if self.context_vectors is not None:
            tensors["context_vectors"] = self.context_vectors
        vectors_folder.write(Path(path), self.vocabulary, tensors)

    @classmethod
    def load(cls, path: str | Path) -> ItemVectors:
        """Read what :meth:`save` wrote; needs neither torch nor numba nor pandas.

        Raises
        ------
        CorruptArtifactError
            If a file is missing, damaged or does not agree with the others.
        """
        vocabulary, tensors = vectors_folder.read(Path(path))
        try:
            return cls(vocabulary, tensors["vectors"], tensors.get("context_vectors"))
        except DataError as e:
            raise CorruptArtifactError(f"{path} holds unusable item vectors: {e}; train again") from e


def _unit(rows: Rows) -> Rows:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)
