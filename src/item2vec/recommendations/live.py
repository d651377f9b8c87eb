"""Items that come, change and go while a recommender answers: a side buffer, tombstones, a rebuild behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import UnknownItemError, UsageError
from item2vec.index.arguments import checked_k
from item2vec.index.space import Mode
from item2vec.recommendations.answers import Ids, Scores, id_list, is_one_id
from item2vec.recommendations.history import split_histories
from item2vec.recommendations.live_parts import Parts, rebuilt
from item2vec.recommendations.lookup import DECAY
from item2vec.recommendations.merging import Question, as_ids, merged_lists

if TYPE_CHECKING:
    from item2vec.recommendations.recommender import Recommender
    from item2vec.recommendations.rules import ListRules
    from item2vec.vocabulary import ItemId


class LiveRecommender:
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

    def __init__(self, rec: Recommender) -> None:
        self._parts = Parts(rec)
        self._journal: list[Callable[[Parts], Parts]] = []
        self._writing = threading.Lock()
        self._rebuilding: Future[None] | None = None

    def __len__(self) -> int:
        return self._parts.n_items

    def __contains__(self, item_id: object) -> bool:
        return self._parts.has(item_id)

    def __repr__(self) -> str:
        parts = self._parts
        return f"LiveRecommender({len(self):,} items, {len(parts.rows):,} of them beside the index)"

    @property
    def n_beside(self) -> int:
        """Items in the side buffer; some thousands are searched in no time, then call :meth:`rebuild`."""
        return len(self._parts.rows)

    def put_items(
        self,
        item_ids: Sequence[ItemId],
        vectors: npt.NDArray[np.floating[Any]],
        context_vectors: npt.NDArray[np.floating[Any]] | None = None,
        attributes: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Add items, or give those that are there new vectors and attributes.

        Parameters
        ----------
        item_ids : sequence of ids
            Each once.
        vectors : ndarray, shape (n, d)
        context_vectors : ndarray, shape (n, d), optional
            Needed where the model has them.
        attributes : sequence of mappings, optional
            One per item; columns that the item table does not have are refused.

        Raises
        ------
        UsageError
            If ids, shapes or attributes do not fit the model.
        DataError
            If a vector is not finite, or zero where cosine is asked.
        """
        with self._writing:
            rows = self._parts.checked_rows(item_ids, vectors, context_vectors, attributes)
            self._change(lambda parts: parts.with_rows(rows))

    def remove_items(self, item_ids: Sequence[ItemId]) -> None:
        """Remove items; none of them comes back from the next call on.

        Raises
        ------
        UnknownItemError
            If one is not there; then none is removed.
        """
        with self._writing:
            ids = id_list(item_ids, self._parts.base.vocabulary, "item_ids")
            for one in ids:
                if not self._parts.has(one):
                    raise UnknownItemError(f"unknown item {str(one)[:64]!r}: it is not listed (any more)")
            self._change(lambda parts: parts.without(ids))

    def _change(self, change: Callable[[Parts], Parts]) -> None:
        """Change what answers, and remember how while a rebuild works on the items of before."""
        self._parts = change(self._parts).prepared()
        if self._rebuilding is not None and not self._rebuilding.done():
            self._journal.append(change)

    def rebuild(self) -> Future[None]:
        """Build indexes of today's items in a thread, then answer from them; changes meanwhile are kept.

        Returns
        -------
        Future
            Done when the new indexes answer. A second call while one is at work gets the same.
        """
        with self._writing:
            if self._rebuilding is not None and not self._rebuilding.done():
                return self._rebuilding
            self._rebuilding = Future()
            self._journal = []
            arguments = self._parts, self._rebuilding
        threading.Thread(target=self._rebuild, args=arguments, name="item2vec-rebuild", daemon=True).start()
        return self._rebuilding

    def _rebuild(self, parts: Parts, done: Future[None]) -> None:
        try:
            new = Parts(rebuilt(parts))
            with self._writing:
                for change in self._journal:
                    new = change(new)
                self._parts, self._journal = new.prepared(), []
        except BaseException as error:  # the old parts go on answering; who waits is told
            done.set_exception(error)
        else:
            done.set_result(None)

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
            raise UsageError("give one item id; ask for several one after the other")
        (one,) = id_list([item_id], parts.base.vocabulary, "item_id")
        question = Question(checked_k(N), where, items, filter_items, mode, rules, one)
        return merged_lists(parts, parts.vector(one), question, (one,))

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
        decay: float = DECAY,
        rules: ListRules | None = None,
    ) -> tuple[Ids, Scores]:
        """Recommend items for one click history; see :meth:`Recommender.recommend`.

        Clicks on items that are not listed any more are left out.
        """
        parts = self._parts
        single, histories = split_histories(history, parts.base.vocabulary)
        if not single:
            raise UsageError("give one history; ask for several one after the other")
        clicks = [one for one in histories[0] if parts.has(one)]
        query = parts.history_vector(clicks, decay)
        if not query.any():
            return as_ids([], parts), np.zeros(0, np.float32)
        question = Question(checked_k(N), where, items, filter_items, mode, rules)
        return merged_lists(parts, query, question, tuple(clicks), hide=filter_seen)
