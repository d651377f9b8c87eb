"""What a recommender looks things up in: vectors, indexes, attributes, a calendar; lists from all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import UsageError
from item2vec.index import ItemIndex, ItemSet, Neighbours
from item2vec.index.space import Mode
from item2vec.recommendations.answers import Asked, Scores, id_array, id_list, query_infos
from item2vec.recommendations.attributes import ItemAttributes
from item2vec.recommendations.calendar import Calendar
from item2vec.recommendations.filters import AllowedItems, Filters
from item2vec.recommendations.lists import Nums, plain_lists, ruled_lists, spread
from item2vec.recommendations.repeating import repeating_search
from item2vec.recommendations.rules import CompiledRules, ListRules
from item2vec.recommendations.scoring import HistoryScoring, Repeats, check_item_nums, scoring_for
from item2vec.recommendations.unlisted import Provenance, cold_start_of, mean_of, vector_for
from item2vec.recommendations.user_lists import UserLists, UserQuestion

if TYPE_CHECKING:
    from item2vec.embeddings import ColdStart, ItemVectors
    from item2vec.embeddings.types import TypeEmbeddings
    from item2vec.recommendations.explanations import Explanation
    from item2vec.recommendations.neighbour_table import NeighbourTable
    from item2vec.recommendations.user_history import UserHistory
    from item2vec.vocabulary import ItemId, Vocabulary

Answer = tuple[Any, ...]
"""(ids, scores) and, as asked for, the info and the explanations; one of each, or a list."""


class Lookup:
    """The parts of a :class:`~item2vec.Recommender` that its questions share; see there."""

    def __init__(
        self,
        vectors: ItemVectors,
        *,
        items: pa.Table | None = None,
        index: ItemIndex | Mapping[str, ItemIndex] | None = None,
        calendar: pa.Table | None = None,
        neighbours: NeighbourTable | None = None,
        types: TypeEmbeddings | None = None,
        scoring: HistoryScoring | None = None,
    ) -> None:
        indexes: dict[str, ItemIndex] = {}
        indexes.update({index.mode: index} if isinstance(index, ItemIndex) else index or {})
        for mode, one in indexes.items():
            if mode != one.mode:
                raise UsageError(f"the index given for mode {mode!r} was built for mode {one.mode!r}")
            one.check_vectors(vectors)
        reads_next = indexes.get("next")
        self.scoring = scoring_for(scoring, None if reads_next is None else reads_next.popularity)
        self.vectors = vectors
        self.vocabulary: Vocabulary = vectors.vocabulary
        self.attributes = None if items is None else ItemAttributes(items, self.vocabulary)
        self.calendar = calendar
        self._filters = Filters(
            self.vocabulary,
            self.attributes,
            None if calendar is None else Calendar(calendar, self.vocabulary),
        )
        self._indexes = indexes
        if neighbours is not None:
            neighbours.check_index(self.index(neighbours.mode).fingerprint)
        self.neighbours = neighbours
        self.types = types
        if types is not None and self.attributes is None:
            raise UsageError("types need the item table: Recommender(vectors, items=table, types=types)")

    @cached_property
    def user_lists(self) -> UserLists:
        """What recommends for a :class:`UserHistory`; prepared when it is first asked."""
        return UserLists(self, self.types)

    def __repr__(self) -> str:
        return f"Recommender({len(self.vocabulary):,} items, indexes: {', '.join(self._indexes) or 'none'})"

    @property
    def indexes(self) -> dict[str, ItemIndex]:
        """The indexes by mode, as far as they were given or asked."""
        return dict(self._indexes)

    def allowed(
        self,
        where: Mapping[str, Any] | None = None,
        items: Sequence[ItemId] | ItemSet | None = None,
        filter_items: Sequence[ItemId] | None = None,
    ) -> AllowedItems:
        """Return the items that conditions, an allow list and a deny list leave."""
        return self._filters(where, items, filter_items)

    def index(self, mode: Mode) -> ItemIndex:
        """Return the index of a reading; one that was not given is an exact scan, prepared on first use.

        Raises
        ------
        UsageError
            If the mode is unknown or the model has no output vectors.
        """
        if mode not in self._indexes:
            popularity = self.scoring.popularity
            exact = ItemIndex.build(self.vectors, mode=mode, backend="exact", popularity=popularity)
            self._indexes[mode] = exact
        return self._indexes[mode]

    def vector_of(self, item_ids: Sequence[ItemId]) -> npt.NDArray[np.float32]:
        """Return the mean of some items' unit vectors, to ask :meth:`similar_to` with, float32 (d,).

        It is as much longer as the items' own vectors are on average, so one item's is its own.

        Raises
        ------
        UnknownItemError
            If an item is unknown.
        UsageError
            If there is none.
        """
        nums = [self.vocabulary.num(one) for one in id_list(item_ids, self.vocabulary, "item_ids")]
        return mean_of(np.asarray(self.vectors.vectors), np.array(nums, np.int64))

    def vector_for(self, attributes: Mapping[str, Any]) -> tuple[npt.NDArray[np.float32], Provenance]:
        """Return a vector for an item that is not listed yet, by the tiers of :class:`~item2vec.ColdStart`.

        With a place, a market, a listing type and a price: the mean of the nearest listings alike; else of
        those that share the most attributes, numbers within 10 %; else of its market.

        Parameters
        ----------
        attributes : mapping of column to value
            What is known of it, as ``{"market": "Paris", "price": 80}``.

        Returns
        -------
        (vector, provenance) : float32 of shape (d,), Provenance

        Raises
        ------
        UsageError
            If there is no item table, a column is unknown, or no item shares anything.
        """
        return vector_for(attributes, self.attributes, self._cold_start)

    @cached_property
    def _cold_start(self) -> ColdStart | None:
        return None if self.attributes is None else cold_start_of(self.attributes, self.vectors)

    def similar_nums(
        self,
        item_nums: npt.NDArray[np.int32],
        N: int,
        allowed: npt.NDArray[np.bool_] | ItemSet | None = None,
        mode: Mode = "similar",
        *,
        exact: bool = False,
    ) -> Neighbours:
        """Find similar items by item number: what the batch tables are made of.

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
        table = self.neighbours
        if table is not None and table.mode == mode and allowed is None and table.exact >= exact:
            found = table.rows(item_nums, N)
            if found is not None:
                return found
        queries, index = np.asarray(self.vectors.vectors)[item_nums], self.index(mode)

        def search(k: int) -> Neighbours:
            return index.search(queries, k, allowed, exact=exact)

        return plain_lists(search, item_nums[:, None], N, index.n_items)

    def scores(
        self,
        histories: Sequence[npt.NDArray[np.int32]],
        *,
        mode: Mode | None = None,
        decay: float | None = None,
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
            The histories' own items are among them, read as *next* with the probability of coming back.
            −inf throughout for an empty history: it has no answer.
        """
        if mode is None:
            mode = "similar" if self.vectors.context_vectors is None else "next"
        check_item_nums(histories, len(self.vocabulary))
        scoring = self.scoring_with(decay)
        scores = self.index(mode).scores(scoring.queries(histories, self.vectors.vectors))
        repeats = self.repeats_in(mode, scoring)
        if repeats:
            repeats.lift_rows(scores, histories)
        return scores

    def scoring_with(self, decay: float | None) -> HistoryScoring:
        """Return how histories are scored, with another decay where one is given."""
        return self.scoring if decay is None else replace(self.scoring, decay=decay)

    def repeats_in(self, mode: Mode, scoring: HistoryScoring) -> Repeats | None:
        """Return how likely items come back, None in a reading where that does not count."""
        repeats = scoring.repeats(self.vectors.repeats) if mode == "next" else None
        return repeats if repeats else None

    def _lists(
        self,
        queries: npt.NDArray[Any],
        hidden: list[Nums] | Nums,
        asked: Asked,
        mode: Mode,
        rules: ListRules | None,
        coming_back: tuple[Repeats, list[Nums]] | None = None,
    ) -> Neighbours:
        """Search for the queries whose items are known, and keep to the rules."""
        index = self.index(mode)

        def plain(k: int) -> Neighbours:
            return index.search(queries, k, asked.allowed.items)

        search: Callable[[int], Neighbours] = plain
        if coming_back is not None:
            search = repeating_search(plain, index, queries, *coming_back, asked.allowed.items)
        if rules is None:
            return plain_lists(search, hidden, asked.N, index.n_items)
        compiled = CompiledRules(rules, self.vectors, self.attributes)
        return ruled_lists(search, hidden, asked.N, index.n_items, compiled)

    def _answer(
        self,
        found: Neighbours,
        known: npt.NDArray[np.bool_],
        asked: Asked,
        single: bool,
        return_info: bool,
        mode: Mode,
        looked_up: Sequence[bool] | None = None,
    ) -> Answer:
        infos = query_infos(self.index(mode), found, asked, looked_up) if return_info else []
        nums, scores = spread(found, known, asked.N)
        if single:
            length = int(np.count_nonzero(nums[0] >= 0))
            ids, scores = id_array(self.vocabulary, nums[0, :length]), scores[0, :length]
            return (ids, scores, infos[0]) if return_info else (ids, scores)
        ids = id_array(self.vocabulary, nums)
        return (ids, scores, infos) if return_info else (ids, scores)

    def _for_users(
        self, users: Sequence[UserHistory], question: UserQuestion, asked: Asked, explain: bool
    ) -> tuple[Neighbours, Asked, list[list[Explanation]]]:
        """Return the users' lists, what they hide and do not know, and the explanations where asked."""
        lists = self.user_lists
        answers = [lists.answer(user, question) for user in users]
        parts = zip(*(one.found for one in answers), strict=True)
        told = replace(
            asked,
            hidden=[one.hidden for one in answers],
            missing=[one.blend.n_unknown for one in answers],
            future=[one.blend.n_future for one in answers],
        )
        pairs = zip(users, answers, strict=True)
        explanations = [lists.explained(user, one) for user, one in pairs] if explain else []
        return Neighbours(*map(np.concatenate, parts)), told, explanations
