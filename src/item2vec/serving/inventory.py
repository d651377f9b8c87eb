"""Items that come, change and go while the server answers, and how they pass to the next release."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from item2vec.errors import Item2VecError, UnknownItemError, UsageError
from item2vec.serving.limits import MAX_CHANGES
from item2vec.serving.lookups import Lookups
from item2vec.serving.problems import Problem
from item2vec.serving.puts import Put, Vector, merged, vectors_for
from item2vec.serving.rebuilds import Rebuilds

if TYPE_CHECKING:
    from item2vec.vocabulary import ItemId


class Inventory:
    """The changes since the server began, applied to every release it serves.

    They live in this process: a restart begins without them. Of each kind there are so many at most
    (:data:`MAX_CHANGES`); what no release that is served was trained with is forgotten first.

    Its methods may wait for a swap and are called in threads, never on the event loop.

    Parameters
    ----------
    current : callable () -> list of Lookups
        What is served now. It is asked, and replaced, under :attr:`lock` only: no change falls between.
    notify : callable (event, facts), optional
        Told what became of the rebuilds that the changes led to.
    """

    def __init__(
        self,
        current: Callable[[], list[Lookups]],
        notify: Callable[[str, dict[str, Any]], None] = lambda event, facts: None,
    ) -> None:
        self._current, self._rebuilds = current, Rebuilds(notify)
        self.lock = threading.Lock()
        self._puts: dict[ItemId, Put | None] = {}  # None: by a vector, which belongs to this release
        self._removed: dict[ItemId, None] = {}  # in their order
        self._unavailable: dict[ItemId, None] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many items were put, removed, and are not available."""
        return {
            "put": len(self._puts),
            "removed": len(self._removed),
            "unavailable": len(self._unavailable),
        }

    def put(self, item_id: ItemId, put: Put) -> bool:
        """List an item, or change it; return whether it is new.

        Of an item that is listed, what is not given stays as it is.

        Raises
        ------
        Item2VecError
            If it does not fit one of the releases; then none is changed.
        Problem
            409 where too many were put.
        """
        with self.lock:
            several = self._current()
            if item_id not in self._puts:
                _make_room(self._puts, "put", lambda one: False)
            puts = [merged(one, item_id, put) for one in several]
            rows = [vectors_for(one, item_id, own) for one, own in zip(several, puts, strict=True)]
            for one, own in zip(several, puts, strict=True):  # the columns of the two may differ
                if own.attributes and one.loaded.attributes is not None:
                    one.loaded.attributes.as_rows({item_id: own.attributes})
            new = not several[0].has(item_id)
            for one, own, (vector, context) in zip(several, puts, rows, strict=True):
                _place(one, item_id, own, vector, context)
                self._rebuilds.after_change(one)
            self._puts[item_id] = self._to_pass_on(item_id, puts[0])
            self._removed.pop(item_id, None)
            return new

    def _to_pass_on(self, item_id: ItemId, put: Put) -> Put | None:
        """Return what a release to come finds the item's vector from: what it was like it still is."""
        if put.vector is not None:
            return None
        before = self._puts.get(item_id)
        return put if put.like or before is None else replace(put, like=before.like)

    def remove(self, item_id: ItemId) -> None:
        """Take an item out of every answer.

        Raises
        ------
        UnknownItemError
            If no release lists it.
        Problem
            409 where too many were removed.
        """
        with self.lock:
            listing = [one for one in self._current() if one.has(item_id)]
            if not listing:
                raise UnknownItemError("the item is not listed (any more)")
            if not self._is_nobodys(item_id):
                _make_room(self._removed, "removed", self._is_nobodys)
            for one in listing:
                one.live.remove_items([item_id])
                self._rebuilds.after_change(one)
            self._puts.pop(item_id, None)
            if len(self._removed) < MAX_CHANGES:  # a release to come may know what none knows yet
                self._removed[item_id] = None
            self._set_available(item_id, True)

    def set_available(self, item_id: ItemId, available: bool) -> None:
        """Let an item be recommended, or not for now; it stays one that can be asked about.

        Raises
        ------
        UnknownItemError
            If no release lists it.
        Problem
            409 where too many are not available.
        """
        with self.lock:
            if not any(one.has(item_id) for one in self._current()):
                raise UnknownItemError("the item is not listed (any more)")
            self._set_available(item_id, available)

    def _set_available(self, item_id: ItemId, available: bool) -> None:
        if available == (item_id not in self._unavailable):
            return
        if available:
            del self._unavailable[item_id]
        else:
            forgotten = _make_room(self._unavailable, "made unavailable", self._is_unlisted)
            for one in self._current():
                one.live.set_available(forgotten, True)
            self._unavailable[item_id] = None
        for one in self._current():
            one.live.set_available([item_id], available)
            one.forget_replies()

    def _is_nobodys(self, item_id: ItemId) -> bool:
        """Whether no release that is served was trained with an item."""
        return not any(item_id in one.loaded.vocabulary for one in self._current())

    def _is_unlisted(self, item_id: ItemId) -> bool:
        return not any(one.has(item_id) for one in self._current())

    def carry_over(self, lookups: Lookups) -> int:
        """Apply what changed to a release that is about to be served; the caller holds the lock.

        What was removed or made unavailable stays so. An item that was put and that the release was trained
        with is the release's now. Of one that it was not trained with the vector is found anew from its
        attributes or from the items it is like.

        Returns
        -------
        int
            Items that cannot pass: their vectors belong to the release before, or nothing is like them now.
        """
        if gone := [one for one in self._removed if lookups.has(one)]:
            lookups.live.remove_items(gone)
        found, its_own, lost = {}, [], []
        for item_id, put in list(self._puts.items()):
            if lookups.has(item_id):
                its_own.append(item_id)
                continue
            try:
                if put is None:
                    raise UsageError("a vector belongs to the release it was given for")
                found[item_id] = vectors_for(lookups, item_id, put)
            except Item2VecError:
                lost.append(item_id)
        lost += self._placed(lookups, found)
        lookups.live.set_available(list(self._unavailable), False)
        self._rebuilds.after_change(lookups)
        for item_id in its_own + lost:  # last: where this fails the release is refused and they are needed
            del self._puts[item_id]
        return len(lost)

    def _placed(self, lookups: Lookups, found: Mapping[ItemId, tuple[Vector, Vector | None]]) -> list[ItemId]:
        """Place items at once, as every call makes the index beside anew; return those that do not fit."""
        if not found:
            return []
        vectors, contexts = zip(*found.values(), strict=True)
        puts = [self._puts[one] for one in found]
        attributes = [{} if put is None else put.attributes for put in puts]
        try:
            lookups.live.put_items(
                list(found),
                np.stack(vectors),
                None if contexts[0] is None else np.stack(contexts),
                attributes if any(attributes) else None,
            )
        except Item2VecError:  # some do not fit: which?
            if len(found) == 1:
                return list(found)
            ids, half = list(found), len(found) // 2
            return [
                one
                for some in (ids[:half], ids[half:])
                for one in self._placed(lookups, {name: found[name] for name in some})
            ]
        return []


def _make_room(changes: dict[ItemId, Any], what: str, may_go: Callable[[ItemId], bool]) -> list[ItemId]:
    """Forget changes that matter no more where there are too many, and return whose they were.

    Raises
    ------
    Problem
        409 where that makes no room.
    """
    if len(changes) < MAX_CHANGES:
        return []
    forgotten = [one for one in changes if may_go(one)]
    for one in forgotten:
        del changes[one]
    if len(changes) >= MAX_CHANGES:
        raise Problem(409, f"{MAX_CHANGES:,} items were {what} live; publish a release that knows of them.")
    return forgotten


def _place(lookups: Lookups, item_id: ItemId, put: Put, vector: Vector, context: Vector | None) -> None:
    contexts = None if context is None else context[None]
    lookups.live.put_items([item_id], vector[None], contexts, [put.attributes] if put.attributes else None)
