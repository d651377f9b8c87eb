"""The items of a live recommender: what is known of them, how they change, how an index is built behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import UnknownItemError
from item2vec.index import ItemSet
from item2vec.recommendations.answers import id_list
from item2vec.recommendations.live_listed import Listed
from item2vec.recommendations.live_parts import Parts
from item2vec.recommendations.live_rebuild import rebuilt

if TYPE_CHECKING:
    from item2vec.recommendations.recommender import Recommender
    from item2vec.vocabulary import ItemId


class LiveItems:
    """The half of a :class:`LiveRecommender` that is not asked for lists; see there."""

    def __init__(self, rec: Recommender) -> None:
        self._parts = Parts(rec)
        self._journal: list[Callable[[Parts], Parts]] = []
        self._writing = threading.Lock()
        self._rebuilding: Future[None] | None = None

    def __len__(self) -> int:
        return self._parts.n_items

    def __contains__(self, item_id: object) -> bool:
        return self._parts.has(item_id)

    @property
    def base(self) -> Recommender:
        """The recommender of the last rebuild, or the one it began with."""
        return self._parts.base

    @property
    def changed(self) -> bool:
        """Whether items differ from those of :attr:`base`."""
        parts = self._parts
        return bool(parts.rows) or parts.n_items < len(parts.base.vocabulary)

    def outdated(self) -> list[ItemId]:
        """Return the items of :attr:`base` that were removed or changed since."""
        parts = self._parts
        return parts.base.vocabulary.item_ids(parts.listed.gone)

    def offered(self) -> tuple[Recommender, ItemSet | None]:
        """Return :attr:`base` and those of its items that lists may hold now, both of one moment.

        Returns
        -------
        (base, items) : Recommender, ItemSet or None
            Without the items that were removed, changed or are not available; None for all of them.
        """
        parts = self._parts
        return parts.base, parts.offered

    def offered_to_users(self, where: Mapping[str, Any] | None = None) -> tuple[Recommender, ItemSet | None]:
        """Return :attr:`base` and those of its items that users' lists may hold now, both of one moment.

        Beside those of :meth:`offered` there are the items of which attributes alone changed.

        Parameters
        ----------
        where : mapping, optional
            Conditions on today's attributes.

        Returns
        -------
        (base, items) : Recommender, ItemSet or None
            None for all of them.

        Raises
        ------
        UsageError
            If a condition is wrong.
        """
        parts = self._parts
        return parts.base, parts.offered_to_users(where)

    @property
    def unavailable(self) -> frozenset[ItemId]:
        """Items that no list holds for now."""
        return self._parts.listed.unavailable

    def set_available(self, item_ids: Sequence[ItemId], available: bool) -> None:
        """Keep items out of every list for now, or let them in again; they can be asked about all the same.

        Parameters
        ----------
        item_ids : sequence of ids
            Those that are not listed are remembered, for when they are.
        available : bool
        """
        with self._writing:
            ids = id_list(item_ids, self._parts.base.vocabulary, "item_ids")
            self._change(lambda parts: parts.with_available(ids, available))

    def beside(self) -> list[ItemId]:
        """Return the items in the side buffer."""
        return list(self._parts.rows)

    def attributes_of(self, item_id: ItemId) -> dict[str, Any]:
        """Return what the item table, or whoever put the item, says of an item that is listed now.

        Raises
        ------
        UnknownItemError
            If it is not.
        """
        return _attributes_of(self._parts, item_id)

    def vectors_of(self, item_id: ItemId) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Return the input and output vector, each of shape (d,), of an item that is listed now.

        Raises
        ------
        UnknownItemError
            If it is not.
        """
        parts = self._parts
        return parts.vector(item_id), _context_vector_of(parts, item_id)

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
            self._rebuilding.set_running_or_notify_cancel()  # who gives up waiting stops no rebuild
            self._journal, done = [], self._rebuilding
            arguments = self._parts, done
        threading.Thread(target=self._rebuild, args=arguments, name="item2vec-rebuild", daemon=True).start()
        return done

    def _rebuild(self, parts: Parts, done: Future[None]) -> None:
        try:
            base = rebuilt(parts)
            if "user_lists" in parts.base.__dict__:  # else the next user would wait for what takes a moment
                _ = base.user_lists
            new = Parts(base, listed=Listed.all_of(base, parts.listed.unavailable))
            with self._writing:
                for change in self._journal:
                    new = change(new)
                self._parts = new.prepared()
                self._journal, self._rebuilding = [], None  # who asked may go on holding this by the future
        except BaseException as error:  # the old parts go on answering; who waits is told
            with self._writing:
                self._journal, self._rebuilding = [], None
            done.set_exception(error)
        else:
            done.set_result(None)
        del done  # the error's traceback holds this frame: it would hold itself


def _context_vector_of(parts: Parts, item_id: ItemId) -> npt.NDArray[np.float32] | None:
    """Return the output vector of an item that is listed now; None where the model has none."""
    if item_id in parts.rows:
        return parts.rows[item_id].context_vector
    table = parts.base.vectors.context_vectors
    return None if table is None else np.asarray(table[parts.base.vocabulary.num(item_id)])


def _attributes_of(parts: Parts, item_id: ItemId) -> dict[str, Any]:
    """Return the attributes of an item that is listed now, those that are known.

    Raises
    ------
    UnknownItemError
        If it is not.
    """
    if item_id in parts.rows:
        return dict(parts.rows[item_id].attributes)
    parts.vector(item_id)  # raises where it is gone
    if parts.base.attributes is None:
        return {}
    nums = np.array([parts.base.vocabulary.num(item_id)], np.int32)
    (row,) = parts.base.attributes.rows(nums).to_pylist()
    return {name: value for name, value in row.items() if name != "item_id" and value is not None}
