"""Listings found by their titles: those of the release, and those that were put since."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from item2vec.serving.explorer.columns import columns_of
from item2vec.serving.names import Texts

if TYPE_CHECKING:
    from item2vec.recommendations import Recommender
    from item2vec.serving.lookups import Lookups
    from item2vec.vocabulary import ItemId


class Titles:
    """The titles of an index's items.

    Parameters
    ----------
    base : Recommender
        Of the release, or of the last rebuild.
    column : str or None
        Where its titles are; None if it has none.
    """

    def __init__(self, base: Recommender, column: str | None) -> None:
        self.column, self._vocabulary = column, base.vocabulary
        titles: list[str | None] = []
        if column is not None and base.attributes is not None:
            nums = np.arange(len(base.vocabulary), dtype=np.int32)
            titles = base.attributes.column(column).objects(nums).tolist()
        self._texts = Texts([_plain(one or "") for one in titles])

    def search(self, text: str, k: int, lookups: Lookups) -> list[ItemId]:
        """Return up to k listed ids whose title holds a text, those put last, then those clicked most."""
        wanted = _plain(text)
        if self.column is None or not wanted:
            return []
        beside = lookups.live.beside()
        found = [one for one in beside if wanted in self._title_of(one, lookups)][:k]
        newer = set(beside)  # the index has the titles that they had before
        for num in self._texts.holding(wanted):
            if len(found) >= k:
                break
            (item_id,) = self._vocabulary.item_ids([num])
            if item_id not in newer and lookups.has(item_id):
                found.append(item_id)
        return found

    def _title_of(self, item_id: ItemId, lookups: Lookups) -> str:
        title = lookups.item(item_id)["attributes"].get(self.column) if lookups.has(item_id) else None
        return _plain(title) if isinstance(title, str) else ""


class TitleSearch:
    """The titles of the indexes that are served, each read once, when one is first searched for."""

    def __init__(self) -> None:
        self._read: WeakKeyDictionary[Recommender, Titles] = WeakKeyDictionary()
        self._lock = asyncio.Lock()

    async def of(self, lookups: Lookups) -> Titles:
        """Return the titles of what answers now; they are read in a thread."""
        base, column = lookups.live.base, columns_of(lookups.conditions.kinds).title
        async with self._lock:
            if base not in self._read:
                self._read[base] = await asyncio.to_thread(Titles, base, column)
            return self._read[base]


def _plain(text: str) -> str:
    """Return a text as it is compared: case and the width of gaps make no difference."""
    return " ".join(text.casefold().split())
