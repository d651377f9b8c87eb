"""Recommendations from a trained model: similar items and items for a short-term history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import UsageError
from item2vec.index import ItemIndex, Neighbours
from item2vec.index.arguments import checked_k
from item2vec.index.space import Mode
from item2vec.recommendations.answers import Ids, QueryInfo, Scores, id_array, id_list, is_one_id, query_infos
from item2vec.recommendations.attributes import ItemAttributes
from item2vec.recommendations.filters import allowed_items
from item2vec.recommendations.history import drop, history_vectors, split_histories

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors
    from item2vec.vocabulary import ItemId, Vocabulary

Answer = tuple[Ids, Scores] | tuple[Ids, Scores, QueryInfo] | tuple[Ids, Scores, list[QueryInfo]]
DECAY = 0.5


class Recommender:
    """Answers *similar items* and *items for this history* from vectors, an index and item attributes.

    One query in, one-dimensional arrays out, as long as there are results. A list of queries in,
    two-dimensional arrays out, one row each and exactly N columns: ids are numpy text padded with ``""`` or
    int64 padded with −1, scores float32 padded with −inf. Scores are computed exactly from the float32
    vectors, whichever way candidates were found; equal scores are ordered by id.

    Parameters
    ----------
    vectors : ItemVectors
        The trained model.
    items : pyarrow.Table, optional
        ``item_id`` and attributes to filter on.
    index : ItemIndex or dict of mode to ItemIndex, optional
        Indexes built from these vectors. A reading without one is searched exactly.

    Raises
    ------
    UsageError
        If an index was built from other vectors, or the item table does not fit.
    """

    def __init__(
        self,
        vectors: ItemVectors,
        *,
        items: pa.Table | None = None,
        index: ItemIndex | Mapping[str, ItemIndex] | None = None,
    ) -> None:
        indexes: dict[str, ItemIndex] = {}
        indexes.update({index.mode: index} if isinstance(index, ItemIndex) else index or {})
        for mode, one in indexes.items():
            if mode != one.mode:
                raise UsageError(f"the index given for mode {mode!r} was built for mode {one.mode!r}")
            one.check_vectors(vectors)
        self.vectors = vectors
        self.vocabulary: Vocabulary = vectors.vocabulary
        self.attributes = None if items is None else ItemAttributes(items, self.vocabulary)
        self._indexes = indexes

    def __repr__(self) -> str:
        return f"Recommender({len(self.vocabulary):,} items, indexes: {', '.join(self._indexes) or 'none'})"

    def index(self, mode: Mode) -> ItemIndex:
        """Return the index of a reading; one that was not given is an exact scan, prepared on first use.

        Raises
        ------
        UsageError
            If the mode is unknown or the model has no output vectors.
        """
        if mode not in self._indexes:
            self._indexes[mode] = ItemIndex.build(self.vectors, mode=mode, backend="exact")
        return self._indexes[mode]

    def similar_items(
        self,
        item_id: ItemId | Sequence[ItemId],
        N: int = 10,
        where: Mapping[str, Any] | None = None,
        items: Sequence[ItemId] | None = None,
        filter_items: Sequence[ItemId] | None = None,
        mode: Mode = "similar",
        *,
        return_info: bool = False,
    ) -> Answer:
        """Find the items most similar to an item, or to each of several; never the item itself.

        Parameters
        ----------
        item_id : id or sequence of ids
            One id, or a list (repeats allowed, each answered).
        N : int
            Results per item.
        where : mapping, optional
            Conditions on item attributes: ``{"market": "Paris", "price": (50, 90), "room_type": ["a",
            "b"]}``.
        items : sequence of ids, optional
            Allow list; unknown ids in it are ignored and counted. An empty list allows nothing.
        filter_items : sequence of ids, optional
            Deny list.
        mode : {"similar", "next"}
            Cosine of input vectors, or inner product of the item's input vector with output vectors.
        return_info : bool
            Add a :class:`QueryInfo`, or one per item for a list.

        Returns
        -------
        (ids, scores) or (ids, scores, info)

        Raises
        ------
        UnknownItemError
            If a single `item_id` is unknown. In a list it gives a row of padding, and the info says so.
        UsageError
            If an argument is wrong.
        """
        N = checked_k(N)
        single = is_one_id(item_id)
        if single:
            (one,) = id_list([item_id], self.vocabulary, "item_id")
            nums = np.array([self.vocabulary.num(one)], np.int32)
        else:
            nums = self.vocabulary.nums(id_list(item_id, self.vocabulary, "item_id"))
        allowed = allowed_items(self.vocabulary, self.attributes, where, items, filter_items)
        known = nums >= 0
        found = self.similar_nums(nums[known], N, allowed.mask, mode)
        hidden = [nums[row : row + 1] if ok else None for row, ok in enumerate(known)]
        infos = (
            query_infos(self.index(mode), found, N, allowed, hidden, (~known).astype(int).tolist())
            if return_info
            else []
        )
        return self._answer(_spread(found, known, N), infos, single, return_info)

    def similar_nums(
        self,
        item_nums: npt.NDArray[np.int32],
        N: int,
        allowed: npt.NDArray[np.bool_] | None = None,
        mode: Mode = "similar",
        *,
        exact: bool = False,
    ) -> Neighbours:
        """Find similar items by item number: what :meth:`similar_items` and the batch tables are made of.

        Parameters
        ----------
        item_nums : ndarray of int32, shape (n,)
            Known items.
        N, allowed, mode, exact
            As in :meth:`ItemIndex.search`.

        Returns
        -------
        Neighbours
            Without the item itself, padded to N columns.
        """
        queries = np.asarray(self.vectors.vectors)[item_nums]
        found = self.index(mode).search(queries, min(N + 1, len(self.vocabulary)), allowed, exact=exact)
        return drop(found, item_nums[:, None], N)

    def recommend(
        self,
        histories: Sequence[ItemId] | Sequence[Sequence[ItemId]],
        N: int = 10,
        items: Sequence[ItemId] | None = None,
        filter_items: Sequence[ItemId] | None = None,
        filter_seen: bool = True,
        where: Mapping[str, Any] | None = None,
        mode: Mode = "next",
        *,
        decay: float = DECAY,
        return_info: bool = False,
    ) -> Answer:
        """Recommend items for one click history, or for each of several.

        The query is the sum of the clicked items' input vectors, the latest with weight 1, the one before
        with `decay`, then `decay`², …

        Parameters
        ----------
        histories : sequence of ids, or sequence of such sequences
            Clicked items, oldest first; unknown ones are left out and counted. A flat list is one history.
        N, items, filter_items, where, return_info
            As in :meth:`similar_items`.
        filter_seen : bool
            Leave the items of the history out of the answer.
        mode : {"next", "similar"}
            Inner product with output vectors (what follows these clicks), or cosine with input vectors.
        decay : float
            In (0, 1].

        Returns
        -------
        (ids, scores) or (ids, scores, info)
            An empty history, or one without a known item, gets no results.

        Raises
        ------
        UsageError
            If an argument is wrong.
        """
        N = checked_k(N)
        single, lists = split_histories(histories, self.vocabulary)
        nums = [self.vocabulary.nums(ids) for ids in lists]
        clicks = [one[one >= 0] for one in nums]
        queries = history_vectors(clicks, self.vectors.vectors, decay)
        known: npt.NDArray[np.bool_] = np.any(queries != 0.0, axis=1)
        allowed = allowed_items(self.vocabulary, self.attributes, where, items, filter_items)
        seen = [np.unique(one) if filter_seen else one[:0] for one in clicks]
        surplus = max(map(len, seen), default=0)
        found = self.index(mode).search(queries[known], min(N + surplus, len(self.vocabulary)), allowed.mask)
        found = drop(found, [one for one, ok in zip(seen, known, strict=True) if ok], N)
        hidden = [one if ok else None for one, ok in zip(seen, known, strict=True)]
        missing = [len(ids) - len(one) for ids, one in zip(lists, clicks, strict=True)]
        infos = query_infos(self.index(mode), found, N, allowed, hidden, missing) if return_info else []
        return self._answer(_spread(found, known, N), infos, single, return_info)

    def scores(
        self, histories: Sequence[npt.NDArray[np.int32]], *, mode: Mode | None = None, decay: float = DECAY
    ) -> Scores:
        """Score every item for each history, exactly: the protocol the evaluation ranks with.

        Parameters
        ----------
        histories : sequence of ndarray of int32
            Item numbers of :attr:`vocabulary`, oldest first.
        mode : {"next", "similar"}, optional
            ``next`` where the model has output vectors, else ``similar``.
        decay : float
            As in :meth:`recommend`.

        Returns
        -------
        ndarray of float32, shape (len(histories), n_items)
            −inf throughout for an empty history: it has no answer.
        """
        if mode is None:
            mode = "similar" if self.vectors.context_vectors is None else "next"
        queries = history_vectors(histories, self.vectors.vectors, decay)
        return self.index(mode).scores(queries)

    def _answer(
        self, padded: tuple[Any, Scores], infos: list[QueryInfo], single: bool, return_info: bool
    ) -> Answer:
        nums, scores = padded
        if single:
            length = int(np.count_nonzero(nums[0] >= 0))
            ids, scores = id_array(self.vocabulary, nums[0, :length]), scores[0, :length]
            return (ids, scores, infos[0]) if return_info else (ids, scores)
        ids = id_array(self.vocabulary, nums)
        return (ids, scores, infos) if return_info else (ids, scores)


def _spread(
    found: Neighbours, known: npt.NDArray[np.bool_], N: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Put the answers of known queries back among the unknown ones."""
    nums = np.full((len(known), N), -1, np.int32)
    scores = np.full((len(known), N), -np.inf, np.float32)
    nums[known], scores[known] = found.item_nums, found.scores
    return nums, scores
