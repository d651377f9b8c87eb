"""Items that may be returned: a mask, and what searches make of it, made once however often it is asked."""

from __future__ import annotations

from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError

FEW_GATHERED = 25_000
"""So many rows are worth a table of their own, and the memory."""


class ItemSet:
    """Some items of a vocabulary, as searches need them; nothing of it changes, so threads may share one.

    Parameters
    ----------
    mask : ndarray of bool, shape (n_items,)
        Kept, not copied: do not write to it afterwards.
    """

    def __init__(self, mask: npt.NDArray[np.bool_]) -> None:
        self.mask = mask
        self._within: WeakKeyDictionary[ItemSet, ItemSet] = WeakKeyDictionary()
        self._gathered: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None

    @cached_property
    def nums(self) -> npt.NDArray[np.int32]:
        """The items' numbers, ascending, int32 (n,)."""
        return np.flatnonzero(self.mask).astype(np.int32)

    def __len__(self) -> int:
        return len(self.nums)

    def __repr__(self) -> str:
        return f"ItemSet({len(self):,} of {len(self.mask):,} items)"

    def rows_of(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the items' rows of a table, one after the other; those of the last table are kept if few.

        So a filter that is asked again and again, as a market is, has a small table of its own to scan.
        """
        if len(self) > FEW_GATHERED:
            return points[self.nums]
        kept = self._gathered
        if kept is None or kept[0] is not points:
            kept = self._gathered = (points, points[self.nums])
        return kept[1]

    def within(self, other: ItemSet) -> ItemSet:
        """Return the items that are in both sets; made once for a set that is asked again."""
        both = self._within.get(other)
        if both is None:
            both = self._within[other] = ItemSet(self.mask & other.mask)
        return both

    def without(self, nums: npt.NDArray[np.int32]) -> ItemSet:
        """Return this set less some items."""
        mask = self.mask.copy()
        mask[nums] = False
        return ItemSet(mask)

    def with_items(self, nums: npt.NDArray[np.int32]) -> ItemSet:
        """Return this set and some items more."""
        mask = self.mask.copy()
        mask[nums] = True
        return ItemSet(mask)


def item_set(allowed: npt.NDArray[np.bool_] | ItemSet | None, n_items: int) -> ItemSet | None:
    """Return a mask over all items as a set, or refuse it.

    Raises
    ------
    UsageError
        If it is no bool array of shape (n_items,).
    """
    if allowed is None:
        return None
    array = allowed.mask if isinstance(allowed, ItemSet) else np.asarray(allowed)
    if array.dtype != np.bool_ or array.shape != (n_items,):
        raise UsageError(
            f"allowed has shape {array.shape} and dtype {array.dtype};"
            f" it must be a bool array of shape ({n_items},), one entry per item"
        )
    return allowed if isinstance(allowed, ItemSet) else ItemSet(array)
