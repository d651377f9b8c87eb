"""Items that come, change and go while a recommender answers: a side buffer, tombstones, a rebuild behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.index.arguments import checked_k
from item2vec.index.space import Mode
from item2vec.recommendations.answers import Ids, Scores, id_list, is_one_id
from item2vec.recommendations.history import split_histories
from item2vec.recommendations.live_items import LiveItems
from item2vec.recommendations.merging import Question, as_ids, lists_of_each, merged_lists

if TYPE_CHECKING:
    from item2vec.recommendations.rules import ListRules
    from item2vec.vocabulary import ItemId


class LiveRecommender(LiveItems):
    """Answers like a :class:`~item2vec.Recommender` while items are added, changed and removed.

    What was added or changed since the last rebuild lies in a side buffer that is searched exactly; what was
    removed or changed is left out of the index. A call sees the items as they were at one moment, however
    many changes arrive meanwhile. Answers are those of a recommender that was built from today's items.

    Parameters
    ----------
    rec : Recommender
        The items to start with. It is not changed.

    Examples
    --------
    >>> live = LiveRecommender(rec)                                        # doctest: +SKIP
    >>> live.put_items(["new"], vectors[None], attributes=[{"market": "Paris"}])  # doctest: +SKIP
    >>> live.remove_items(["old"])                                         # doctest: +SKIP
    >>> live.rebuild().result()                                            # doctest: +SKIP
    """

    def __repr__(self) -> str:
        parts = self._parts
        return f"LiveRecommender({len(self):,} items, {len(parts.rows):,} of them beside the index)"

    def similar_items(
        self,
        item_id: ItemId,
        N: int = 10,
        where: Mapping[str, Any] | None = None,
        items: Sequence[ItemId] | None = None,
        filter_items: Sequence[ItemId] | None = None,
        mode: Mode = "similar",
        *,
        rules: ListRules | None = None,
    ) -> tuple[Ids, Scores]:
        """Find the items most similar to one item; see :meth:`Recommender.similar_items`.

        Raises
        ------
        UnknownItemError
            If the item is not listed (any more).
        """
        parts = self._parts
        if not is_one_id(item_id):
            raise UsageError("give one item id; ask for several with similar_items_of")
        (one,) = id_list([item_id], parts.base.vocabulary, "item_id")
        question = Question(checked_k(N), where, items, filter_items, mode, rules, one)
        return merged_lists(parts, parts.vector(one), question, (one,))

    def similar_items_of(
        self,
        item_ids: Sequence[ItemId],
        N: int = 10,
        where: Mapping[str, Any] | None = None,
        items: Sequence[ItemId] | None = None,
        filter_items: Sequence[ItemId] | None = None,
        mode: Mode = "similar",
        *,
        rules: ListRules | None = None,
    ) -> dict[ItemId, tuple[Ids, Scores]]:
        """Find the items most similar to each of several: the answers of :meth:`similar_items` at one moment.

        Items that are not listed (any more) are left out. All are searched for at once, unless there are
        rules.
        """
        parts = self._parts
        question = Question(checked_k(N), where, items, filter_items, mode, rules)
        return lists_of_each(parts, id_list(item_ids, parts.base.vocabulary, "item_ids"), question)

    def similar_to(
        self,
        query_vector: npt.NDArray[np.floating[Any]],
        N: int = 10,
        where: Mapping[str, Any] | None = None,
        items: Sequence[ItemId] | None = None,
        filter_items: Sequence[ItemId] | None = None,
        mode: Mode = "similar",
        *,
        rules: ListRules | None = None,
    ) -> tuple[Ids, Scores]:
        """Find the items nearest to a vector, shape (d,); see :meth:`Recommender.similar_to`."""
        question = Question(checked_k(N), where, items, filter_items, mode, rules)
        return merged_lists(self._parts, np.asarray(query_vector), question, ())

    def recommend(
        self,
        history: Sequence[ItemId],
        N: int = 10,
        items: Sequence[ItemId] | None = None,
        filter_items: Sequence[ItemId] | None = None,
        filter_seen: bool = True,
        where: Mapping[str, Any] | None = None,
        mode: Mode = "next",
        *,
        decay: float | None = None,
        rules: ListRules | None = None,
    ) -> tuple[Ids, Scores]:
        """Recommend items for one click history; see :meth:`Recommender.recommend`.

        Clicks on items that are not listed any more are left out.
        """
        parts = self._parts
        question = Question(checked_k(N), where, items, filter_items, mode, rules)
        parts.base.allowed(where, items, filter_items)  # refuses what does not fit before anything is empty
        single, histories = split_histories(history, parts.base.vocabulary)
        if not single:
            raise UsageError("give one history; ask for several one after the other")
        clicks = [one for one in histories[0] if parts.has(one)]
        scoring = parts.base.scoring_with(decay)
        query = parts.history_vector(clicks, scoring)
        if not query.any():
            return as_ids([], parts), np.zeros(0, np.float32)
        repeats = None if filter_seen else parts.base.repeats_in(mode, scoring)
        if repeats is not None:
            question = question._replace(lifted=parts.lifted_scores(query, clicks, repeats))
        return merged_lists(parts, query, question, tuple(clicks), hide=filter_seen)
