"""Recommendations from a trained model: similar items and items for a short-term history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.index import ItemSet, Neighbours
from item2vec.index.arguments import checked_k
from item2vec.index.space import Mode
from item2vec.recommendations.answers import Asked, id_list, is_one_id
from item2vec.recommendations.centroids import InterestWeights
from item2vec.recommendations.history import split_histories
from item2vec.recommendations.lookup import Answer, Lookup
from item2vec.recommendations.neighbour_table import table_first
from item2vec.recommendations.rules import CompiledRules, ListRules
from item2vec.recommendations.user_history import UserHistory
from item2vec.recommendations.user_lists import Seen, UserQuestion, are_users

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
    types : TypeEmbeddings, optional
        Of users and of these items, for users of whom more is known than clicks.
    scoring : HistoryScoring, optional
        How a click history becomes scores.
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
        items: Sequence[ItemId] | ItemSet | None = None,
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
        items : sequence of ids, or ItemSet, optional
            Allow list; unknown ids in it are ignored and counted. An empty list allows nothing. A set over
            :attr:`vocabulary` that is asked again is prepared once.
        filter_items : sequence of ids, optional
            Deny list.
        mode : {"similar", "next"}
            Cosine of input vectors, or inner product of the item's input vector with output vectors, and
            popularity.
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
        nums = nums[known]

        def search(places: npt.NDArray[np.int64]) -> Neighbours:
            queries = np.asarray(self.vectors.vectors)[nums[places]]
            return self._lists(queries, nums[places][:, None], asked, mode, rules)

        table = self.neighbours
        if rules is not None or (table is not None and table.mode != mode):
            table = None
        found, looked_up = table_first(table, nums, N, allowed.items, search)
        return self._answer(found, known, asked, single, return_info, mode, looked_up)

    def similar_to(
        self,
        query_vectors: npt.NDArray[np.floating[Any]],
        N: int = 10,
        where: Mapping[str, Any] | None = None,
        items: Sequence[ItemId] | ItemSet | None = None,
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
            Finite and not zero. For ``mode="next"`` as long as input vectors are: the longer a query, the
            less popularity counts beside its products.
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
        queries = _numbers(query_vectors)
        single = queries.ndim == 1
        queries = queries[None] if single else queries
        allowed = self._filters(where, items, filter_items)
        n = len(queries)
        asked = Asked(checked_k(N), allowed, [NOTHING] * n, [0] * n, rules is not None)
        found = self._lists(queries, [NOTHING] * n, asked, mode, rules)
        return self._answer(found, np.ones(n, np.bool_), asked, single, return_info, mode)

    def recommend(
        self,
        histories: Sequence[ItemId] | Sequence[Sequence[ItemId]] | UserHistory | Sequence[UserHistory],
        N: int = 10,
        items: Sequence[ItemId] | ItemSet | None = None,
        filter_items: Sequence[ItemId] | None = None,
        filter_seen: Seen = True,
        where: Mapping[str, Any] | None = None,
        mode: Mode = "next",
        *,
        decay: float | None = None,
        weights: InterestWeights | None = None,
        rules: ListRules | None = None,
        explain: bool = False,
        return_info: bool = False,
    ) -> Answer:
        """Recommend items for one click history or one user, or for each of several.

        Of clicked items alone the query is the mean of their input vectors, the latest with weight 1, the one
        before with `decay`, then `decay`², … (:class:`HistoryScoring`). Of a :class:`UserHistory` the score
        blends what the user did lately, market by market, what they passed over, what they booked, their
        type, and what everyone likes, as `weights` has it: a new user gets what suits the type of the
        attributes, an unknown one what is popular among the items allowed.

        Parameters
        ----------
        histories : sequence of ids, UserHistory, or sequence of either
            Clicked items, oldest first; unknown ones are left out and counted. A flat list is one history.
        N, items, filter_items, where, rules, return_info
            As in :meth:`similar_items`.
        filter_seen : bool or "booked"
            Leave the items of the history out of the answer; of a :class:`UserHistory` maybe only those that
            were booked. For what is available ask `where`.
        mode : {"next", "similar"}
            Inner product with output vectors and popularity (what follows these clicks), or cosine with input
            vectors.
        decay : float, optional
            In (0, 1], of clicks alone; by default the recommender's.
        weights : InterestWeights, optional
            Of a :class:`UserHistory`.
        explain : bool
            Of a :class:`UserHistory`: add a list of :class:`Explanation`, or one list per user.

        Returns
        -------
        (ids, scores) and, as asked for, the info and the explanations
            An empty list of clicks, or one without a known item, gets no results.

        Raises
        ------
        UsageError
            If an argument is wrong.
        """
        N = checked_k(N)
        if not (isinstance(filter_seen, bool | np.bool_) or filter_seen == "booked"):
            raise UsageError(f"filter_seen is True, False or 'booked', not {filter_seen!r}")
        if weights is not None and not isinstance(weights, InterestWeights):
            raise UsageError(f"weights are InterestWeights(...), not {type(weights).__name__}")
        users = are_users(histories)
        asked = Asked(N, self._filters(where, items, filter_items), [], [], rules is not None)
        if users is not None:
            compiled = None if rules is None else CompiledRules(rules, self.vectors, self.attributes)
            blended = InterestWeights() if weights is None else weights
            question = UserQuestion(N, asked.allowed.items, mode, blended, compiled, filter_seen)
            found, asked, why = self._for_users(users.users, question, asked, explain)
            everyone = np.ones(len(users.users), np.bool_)
            answer = self._answer(found, everyone, asked, users.single, return_info, mode)
            return (*answer, why[0] if users.single else why) if explain else answer
        if explain or weights is not None or filter_seen == "booked":
            raise UsageError("explain, weights and filter_seen='booked' belong to a UserHistory: ask for one")
        return self._for_clicks(histories, asked, mode, decay, rules, bool(filter_seen), return_info)

    def _for_clicks(
        self,
        histories: Any,
        asked: Asked,
        mode: Mode,
        decay: float | None,
        rules: ListRules | None,
        filter_seen: bool,
        return_info: bool,
    ) -> Answer:
        """Recommend for lists of clicks: one query each."""
        single, lists = split_histories(histories, self.vocabulary)
        nums = [self.vocabulary.nums(ids) for ids in lists]
        clicks = [one[one >= 0] for one in nums]
        scoring = self.scoring_with(decay)
        queries = scoring.queries(clicks, self.vectors.vectors)
        known: npt.NDArray[np.bool_] = np.any(queries != 0.0, axis=1)
        seen = [np.unique(one) if filter_seen else NOTHING for one in clicks]
        hidden = [one if ok else None for one, ok in zip(seen, known, strict=True)]
        missing = [len(ids) - len(one) for ids, one in zip(lists, clicks, strict=True)]
        asked = replace(asked, hidden=hidden, missing=missing)
        repeats = None if filter_seen else self.repeats_in(mode, scoring)
        answered = [one for one, ok in zip(clicks, known, strict=True) if ok]
        found = self._lists(
            queries[known],
            [one for one in hidden if one is not None],
            asked,
            mode,
            rules,
            None if repeats is None else (repeats, answered),
        )
        return self._answer(found, known, asked, single, return_info, mode)


def _numbers(vectors: Any) -> npt.NDArray[Any]:
    """Return vectors as an array of one or two dimensions, or refuse them."""
    try:
        array = np.asarray(vectors)
    except ValueError:  # rows of several lengths
        array = np.zeros((), object)
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise UsageError("give a vector of numbers, or one per row; of ids make one with vector_of(ids)")
    return array
