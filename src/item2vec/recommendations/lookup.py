"""What a recommender looks things up in: vectors, indexes, attributes, a calendar; lists from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import UsageError
from item2vec.index import ItemIndex, ItemSet, Neighbours
from item2vec.index.space import Mode
from item2vec.recommendations.answers import Asked, Ids, QueryInfo, Scores, id_array, id_list, query_infos
from item2vec.recommendations.attributes import ItemAttributes
from item2vec.recommendations.calendar import Calendar
from item2vec.recommendations.filters import AllowedItems, Filters
from item2vec.recommendations.history import history_vectors
from item2vec.recommendations.lists import Nums, plain_lists, ruled_lists, spread
from item2vec.recommendations.rules import CompiledRules, ListRules
from item2vec.recommendations.unlisted import Provenance, mean_of, vector_for

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors
    from item2vec.recommendations.neighbour_table import NeighbourTable
    from item2vec.vocabulary import ItemId, Vocabulary

Answer = tuple[Ids, Scores] | tuple[Ids, Scores, QueryInfo] | tuple[Ids, Scores, list[QueryInfo]]
DECAY = 0.5


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

    def __repr__(self) -> str:
        return f"Recommender({len(self.vocabulary):,} items, indexes: {', '.join(self._indexes) or 'none'})"

    @property
    def indexes(self) -> dict[str, ItemIndex]:
        """The indexes by mode, as far as they were given or asked."""
        return dict(self._indexes)

    def allowed(
        self,
        where: Mapping[str, Any] | None = None,
        items: Sequence[ItemId] | None = None,
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
            self._indexes[mode] = ItemIndex.build(self.vectors, mode=mode, backend="exact")
        return self._indexes[mode]

    def vector_of(self, item_ids: Sequence[ItemId]) -> npt.NDArray[np.float32]:
        """Return the mean of some items' unit vectors, float32 (d,), to ask :meth:`similar_to` with.

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
        """Return a vector for an item that is not listed yet, the mean of those that share most with it.

        Parameters
        ----------
        attributes : mapping of column to value
            What is known of it, as ``{"market": "Paris", "price": 80}``; numbers agree within 10 %.

        Returns
        -------
        (vector, provenance) : float32 of shape (d,), Provenance

        Raises
        ------
        UsageError
            If there is no item table, a column is unknown, or no item shares anything.
        """
        return vector_for(attributes, self.attributes, self.vectors)

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
        queries, index = np.asarray(self.vectors.vectors)[item_nums], self.index(mode)

        def search(k: int) -> Neighbours:
            return index.search(queries, k, allowed, exact=exact)

        return plain_lists(search, item_nums[:, None], N, index.n_items)

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

    def _lists(
        self,
        queries: npt.NDArray[Any],
        hidden: list[Nums] | Nums,
        asked: Asked,
        mode: Mode,
        rules: ListRules | None,
    ) -> Neighbours:
        """Search for the queries whose items are known, and keep to the rules."""
        index = self.index(mode)

        def search(k: int) -> Neighbours:
            return index.search(queries, k, asked.allowed.items)

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
        table: bool = False,
    ) -> Answer:
        infos = query_infos(self.index(mode), found, asked, table) if return_info else []
        nums, scores = spread(found, known, asked.N)
        if single:
            length = int(np.count_nonzero(nums[0] >= 0))
            ids, scores = id_array(self.vocabulary, nums[0, :length]), scores[0, :length]
            return (ids, scores, infos[0]) if return_info else (ids, scores)
        ids = id_array(self.vocabulary, nums)
        return (ids, scores, infos) if return_info else (ids, scores)
