"""Filters of one call, combined to the items that may be returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.recommendations.answers import id_list

if TYPE_CHECKING:
    from item2vec.recommendations.attributes import ItemAttributes
    from item2vec.vocabulary import ItemId, Vocabulary


class AllowedItems(NamedTuple):
    """Items that may be returned.

    Attributes
    ----------
    mask : ndarray of bool, shape (n_items,), or None
        None allows all.
    n_allowed : int
        How many that are.
    n_unknown : int
        Listed ids that the model does not know.
    """

    mask: npt.NDArray[np.bool_] | None
    n_allowed: int
    n_unknown: int


def allowed_items(
    vocabulary: Vocabulary,
    attributes: ItemAttributes | None,
    where: Mapping[str, Any] | None,
    items: Sequence[ItemId] | None,
    filter_items: Sequence[ItemId] | None,
) -> AllowedItems:
    """Combine conditions on attributes, an allow list and a deny list.

    Raises
    ------
    UsageError
        If a condition does not fit the item table, there is no item table, or a list holds no ids.
    """
    n_items, n_unknown = len(vocabulary), 0
    mask = None
    if where is not None:
        if attributes is None:
            raise UsageError("where needs the item table: Recommender(vectors, items=table)")
        mask = attributes.mask(where)
    if items is not None:
        nums = vocabulary.nums(id_list(items, vocabulary, "items"))
        listed = np.zeros(n_items, np.bool_)
        listed[nums[nums >= 0]] = True
        mask = listed if mask is None else mask & listed
        n_unknown += int(np.count_nonzero(nums < 0))
    if filter_items is not None:
        nums = vocabulary.nums(id_list(filter_items, vocabulary, "filter_items"))
        mask = np.ones(n_items, np.bool_) if mask is None else mask
        mask[nums[nums >= 0]] = False
        n_unknown += int(np.count_nonzero(nums < 0))
    return AllowedItems(mask, n_items if mask is None else int(np.count_nonzero(mask)), n_unknown)
