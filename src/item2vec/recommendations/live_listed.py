"""Which items of an index are still listed, and which of these may stand in a list now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.index import ItemSet

if TYPE_CHECKING:
    from item2vec.recommendations.recommender import Recommender
    from item2vec.vocabulary import ItemId


class Listed:
    """Masks over the items of an index; never changed, only replaced, so what searches make of them holds.

    Attributes
    ----------
    items : ItemSet
        Neither removed nor changed since the index was built.
    offered : ItemSet
        Those of them that are available.
    unavailable : frozenset of ids
        Wherever they lie, and whether they are listed or not.
    """

    def __init__(self, items: ItemSet, offered: ItemSet, unavailable: frozenset[ItemId]) -> None:
        self.items, self.offered, self.unavailable = items, offered, unavailable

    @classmethod
    def all_of(cls, base: Recommender, unavailable: frozenset[ItemId] = frozenset()) -> Listed:
        """List all items of an index."""
        everything = ItemSet(np.ones(len(base.vocabulary), np.bool_))
        nums = base.vocabulary.nums(unavailable)
        return cls(everything, everything.without(nums[nums >= 0]), unavailable)

    @property
    def everything(self) -> bool:
        """Whether every item of the index may stand in a list."""
        return len(self.offered) == len(self.offered.mask)

    def has(self, num: int) -> bool:
        """Whether an item of the index is still listed there."""
        return bool(self.items.mask[num])

    @property
    def gone(self) -> npt.NDArray[np.int32]:
        """Numbers of those that are not, int32, ascending."""
        return np.flatnonzero(~self.items.mask).astype(np.int32)

    def without(self, nums: npt.NDArray[np.int32]) -> Listed:
        """Return these items less some; the same where none of them is among these."""
        if not self.items.mask[nums].any():
            return self
        return Listed(self.items.without(nums), self.offered.without(nums), self.unavailable)

    def with_available(self, base: Recommender, item_ids: Sequence[ItemId], available: bool) -> Listed:
        """Return these items with some available, or not."""
        nums = base.vocabulary.nums(item_ids)
        mask = self.offered.mask.copy()
        mask[nums[nums >= 0]] = available
        mask &= self.items.mask
        ids = frozenset(item_ids)
        unavailable = self.unavailable - ids if available else self.unavailable | ids
        return Listed(self.items, ItemSet(mask), unavailable)
