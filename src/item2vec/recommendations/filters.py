"""Filters of one call, combined to the items that may be returned; conditions are compiled once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from item2vec.errors import UsageError
from item2vec.index import ItemSet
from item2vec.index.item_set import item_set
from item2vec.recommendations.answers import id_list

if TYPE_CHECKING:
    from item2vec.recommendations.attributes import ItemAttributes
    from item2vec.recommendations.calendar import Calendar
    from item2vec.vocabulary import ItemId, Vocabulary

AVAILABLE = "available"
"""The condition that asks the calendar and not the item table."""
FILTERS_KEPT = 64
"""Compiled conditions that are kept; each holds a mask, and a table of its items if they are few."""


class AllowedItems(NamedTuple):
    """Items that may be returned.

    Attributes
    ----------
    items : ItemSet or None
        None allows all.
    n_allowed : int
        How many that are.
    n_unknown : int
        Listed ids that the model does not know.
    """

    items: ItemSet | None
    n_allowed: int
    n_unknown: int


class Filters:
    """Turns conditions and lists of ids into sets of items.

    Parameters
    ----------
    vocabulary : Vocabulary
    attributes : ItemAttributes, optional
    calendar : Calendar, optional
    """

    def __init__(
        self, vocabulary: Vocabulary, attributes: ItemAttributes | None, calendar: Calendar | None
    ) -> None:
        self.vocabulary, self.attributes, self.calendar = vocabulary, attributes, calendar
        self._kept: OrderedDict[Any, ItemSet] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(
        self,
        where: Mapping[str, Any] | None,
        items: Sequence[ItemId] | ItemSet | None,
        filter_items: Sequence[ItemId] | None,
    ) -> AllowedItems:
        """Combine conditions, an allow list and a deny list.

        Raises
        ------
        UsageError
            If a condition does not fit the item table or the calendar, one of them is missing, or a list
            holds no ids.
        """
        allowed = None if where is None else self.compiled(where)
        n_items, n_unknown = len(self.vocabulary), 0
        if isinstance(items, ItemSet):
            chosen = item_set(items, n_items)
            assert chosen is not None
            allowed = chosen if allowed is None else allowed.within(chosen)
        elif items is not None:
            nums = self.vocabulary.nums(id_list(items, self.vocabulary, "items"))
            listed = np.zeros(n_items, np.bool_)
            listed[nums[nums >= 0]] = True
            allowed = ItemSet(listed if allowed is None else allowed.mask & listed)
            n_unknown += int(np.count_nonzero(nums < 0))
        if filter_items is not None:
            nums = self.vocabulary.nums(id_list(filter_items, self.vocabulary, "filter_items"))
            denied = nums[nums >= 0]
            if len(denied):
                allowed = (ItemSet(np.ones(n_items, np.bool_)) if allowed is None else allowed).without(
                    denied
                )
            n_unknown += int(np.count_nonzero(nums < 0))
        return AllowedItems(allowed, n_items if allowed is None else len(allowed), n_unknown)

    def compiled(self, where: Mapping[str, Any]) -> ItemSet:
        """Return the items that meet all conditions; those of conditions that were asked lately are kept."""
        if not isinstance(where, Mapping):
            raise UsageError(f"where is a mapping of column to condition, not {type(where).__name__}")
        key = _key(where)
        with self._lock:
            if key is not None and key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self._compile(where)
        if key is not None:
            with self._lock:
                self._kept[key] = found
                while len(self._kept) > FILTERS_KEPT:
                    self._kept.popitem(last=False)
        return found

    def _compile(self, where: Mapping[str, Any]) -> ItemSet:
        conditions = dict(where)
        mask = np.ones(len(self.vocabulary), np.bool_)
        if self.calendar is not None and AVAILABLE in conditions:
            mask &= self.calendar.free(conditions.pop(AVAILABLE))
        if conditions:
            if self.attributes is None:
                hint = "; availability needs calendar=table" if AVAILABLE in conditions else ""
                raise UsageError(f"where needs the item table: Recommender(vectors, items=table){hint}")
            mask &= self.attributes.mask(conditions)
        return ItemSet(mask)


def _key(where: Mapping[str, Any]) -> Any:
    """Return conditions as something to look up by, None where they cannot be; 1, 1.0 and True stay apart."""
    try:
        key = tuple(sorted((name, _frozen(condition)) for name, condition in where.items()))
        hash(key)
    except TypeError:  # names that are no texts, values without a hash or an order
        return None
    return key


def _frozen(condition: Any) -> tuple[Any, ...]:
    if isinstance(condition, tuple | list | set | frozenset | np.ndarray):
        values = (
            condition if isinstance(condition, tuple | list | np.ndarray) else sorted(condition, key=repr)
        )
        kind = type(condition).__name__ if isinstance(condition, tuple | list) else "set"
        return (kind, *((type(value).__name__, repr(value)) for value in values))
    return (type(condition).__name__, repr(condition))
