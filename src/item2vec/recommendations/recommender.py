"""Recommendations from a trained model: similar items and items for a short-term history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.index.arguments import checked_k
from item2vec.index.space import Mode
from item2vec.recommendations.answers import Asked, id_list, is_one_id
from item2vec.recommendations.history import history_vectors, split_histories
from item2vec.recommendations.lookup import DECAY, Answer, Lookup
from item2vec.recommendations.rules import ListRules

if TYPE_CHECKING:
    from item2vec.vocabulary import ItemId

NOTHING = np.zeros(0, np.int32)


class Recommender(Lookup):
    """Answers *similar items* and *items for this history* from vectors, an index and item attributes.

    One query in, one-dimensional arrays out, as long as there are results. A list of queries in,
    two-dimensional arrays out, one row each and exactly N columns: ids are numpy text padded with ``""`` or
    int64 padded with −1, scores float32 padded with −inf. Scores are computed exactly from the float32
    vectors, whichever way candidates were found; equal scores are ordered by id. Exactly N results come back
    where so many are allowed. Safe to ask from many threads.

    Parameters
    ----------
    vectors : ItemVectors
        The trained model.
    items : pyarrow.Table, optional
        ``item_id`` and attributes to filter on.
    index : ItemIndex or dict of mode to ItemIndex, optional
        Indexes built from these vectors. A reading without one is searched exactly.
    calendar : pyarrow.Table, optional
        ``item_id`` and ``date`` of booked nights, for ``where={"available": (check-in, check-out)}``.
    neighbours : NeighbourTable, optional
        Answers of :meth:`similar_items` that were found beforehand, from the index given for its mode.

    Raises
    ------
    UsageError
        If an index was built from other vectors, or the item table, calendar or neighbours do not fit.
    """

    def similar_items(
        self,
        item_id: ItemId | Sequence[ItemId],
        N: int = 10,
        where: Mapping[str, Any] | None = None,
        items: Sequence[ItemId] | None = None,
        filter_items: Sequence[ItemId] | None = None,
        mode: Mode = "similar",
        *,
        rules: ListRules | None = None,
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
            "b"]}``, and on the calendar: ``{"available": ("2026-12-24", "2026-12-27")}``.
        items : sequence of ids, optional
            Allow list; unknown ids in it are ignored and counted. An empty list allows nothing.
        filter_items : sequence of ids, optional
            Deny list.
        mode : {"similar", "next"}
            Cosine of input vectors, or inner product of the item's input vector with output vectors.
        rules : ListRules, optional
            A least score, variety, caps per host or brand, popularity, freshness, no duplicates.
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
        allowed = self._filters(where, items, filter_items)
        known = nums >= 0
        hidden = [nums[row : row + 1] if ok else None for row, ok in enumerate(known)]
        asked = Asked(N, allowed, hidden, (~known).astype(int).tolist(), rules is not None)
        if single and rules is None and self.neighbours is not None and self.neighbours.mode == mode:
            row = self.neighbours.lookup(int(nums[0]), N, allowed.items)
            if row is not None:
                return self._answer(row, known, asked, single, return_info, mode, table=True)
        queries = np.asarray(self.vectors.vectors)[nums[known]]
        found = self._lists(queries, nums[known][:, None], asked, mode, rules)
        return self._answer(found, known, asked, single, return_info, mode)

    def similar_to(
        self,
        query_vectors: npt.NDArray[np.floating[Any]],
        N: int = 10,
        where: Mapping[str, Any] | None = None,
        items: Sequence[ItemId] | None = None,
        filter_items: Sequence[ItemId] | None = None,
        mode: Mode = "similar",
        *,
        rules: ListRules | None = None,
        return_info: bool = False,
    ) -> Answer:
        """Find the items nearest to a vector, or to each of several.

        A vector of several items is :meth:`vector_of`, one of an item that is not listed yet
        :meth:`vector_for`.

        Parameters
        ----------
        query_vectors : ndarray, shape (d,) or (n, d)
            Finite and not zero.
        N, where, items, filter_items, mode, rules, return_info
            As in :meth:`similar_items`.

        Returns
        -------
        (ids, scores) or (ids, scores, info)

        Raises
        ------
        UsageError
            If an argument is wrong.
        DataError
            If a vector is zero or not finite.
        """
        queries = np.asarray(query_vectors)
        single = queries.ndim == 1
        queries = queries[None] if single else queries
        allowed = self._filters(where, items, filter_items)
        n = len(queries)
        asked = Asked(checked_k(N), allowed, [NOTHING] * n, [0] * n, rules is not None)
        found = self._lists(queries, [NOTHING] * n, asked, mode, rules)
        return self._answer(found, np.ones(n, np.bool_), asked, single, return_info, mode)

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
        rules: ListRules | None = None,
        return_info: bool = False,
    ) -> Answer:
        """Recommend items for one click history, or for each of several.

        The query is the sum of the clicked items' input vectors, the latest with weight 1, the one before
        with `decay`, then `decay`², …

        Parameters
        ----------
        histories : sequence of ids, or sequence of such sequences
            Clicked items, oldest first; unknown ones are left out and counted. A flat list is one history.
        N, items, filter_items, where, rules, return_info
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
        seen = [np.unique(one) if filter_seen else NOTHING for one in clicks]
        hidden = [one if ok else None for one, ok in zip(seen, known, strict=True)]
        missing = [len(ids) - len(one) for ids, one in zip(lists, clicks, strict=True)]
        asked = Asked(N, self._filters(where, items, filter_items), hidden, missing, rules is not None)
        found = self._lists(queries[known], [one for one in hidden if one is not None], asked, mode, rules)
        return self._answer(found, known, asked, single, return_info, mode)
