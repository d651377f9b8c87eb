"""The ids of a release, searched by what one remembers of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    from item2vec.recommendations import Recommender
    from item2vec.serving.lookups import Lookups
    from item2vec.vocabulary import ItemId, Vocabulary

_BETWEEN = "\n"


class Texts:
    """Texts in one long one, which is searched as fast as memory is read.

    Parameters
    ----------
    texts : sequence of str, length n
        Case-folded; without line feeds.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._whole = _BETWEEN + _BETWEEN.join(texts) + _BETWEEN
        self._starts = np.fromiter(accumulate((len(one) + 1 for one in texts), initial=0), np.int64)

    def holding(self, wanted: str) -> Iterator[int]:
        """Yield the places, ascending, of the texts that hold another, which is not empty."""
        at = self._whole.find(wanted)
        while at >= 0:
            yield int(np.searchsorted(self._starts, at + 1)) - 1
            at = self._whole.find(wanted, self._whole.find(_BETWEEN, at + 1))


class ItemNames:
    """Finds ids that begin with a text, then those that hold it; upper and lower case are one.

    Parameters
    ----------
    vocabulary : Vocabulary

    Attributes
    ----------
    ids : list of ids
        In the order of their numbers.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.ids: list[ItemId] = vocabulary.ids.to_pylist()
        names = sorted((str(one).casefold(), num) for num, one in enumerate(self.ids))
        self._names = [name for name, _ in names]
        self._nums = np.array([num for _, num in names], np.int32)
        self._texts = Texts(self._names)
        self._put: WeakKeyDictionary[Recommender, list[ItemId]] = WeakKeyDictionary()

    def search(self, text: str, k: int, lookups: Lookups) -> list[ItemId]:
        """Return up to k listed ids; for an empty text those clicked most."""
        wanted, live = text.casefold(), lookups.live
        changed = live.changed or live.base is not lookups.loaded
        put = [*live.beside(), *self._rebuilt(lookups)] if changed else []
        found = dict.fromkeys([one for one in put if wanted in str(one).casefold() and lookups.has(one)][:k])
        for num in self._most_clicked(k, changed) if not wanted else self._matches(wanted):
            if len(found) >= k:
                break
            if not changed or lookups.has(self.ids[num]):
                found[self.ids[num]] = None
        return list(found)

    def _rebuilt(self, lookups: Lookups) -> list[ItemId]:
        """Return the items in today's index that were put since the release."""
        base = lookups.live.base
        if base is lookups.loaded:
            return []
        if base not in self._put:
            ours = pc.is_in(base.vocabulary.ids, value_set=lookups.loaded.vocabulary.ids)
            self._put[base] = base.vocabulary.ids.filter(pc.invert(ours)).to_pylist()
        return self._put[base]

    def _most_clicked(self, k: int, changed: bool) -> range:
        return range(len(self.ids) if changed else min(k, len(self.ids)))

    def _matches(self, wanted: str) -> Iterator[int]:
        place = bisect_left(self._names, wanted)
        while place < len(self._names) and self._names[place].startswith(wanted):
            yield int(self._nums[place])
            place += 1
        for place in self._texts.holding(wanted):
            if not self._names[place].startswith(wanted):
                yield int(self._nums[place])
