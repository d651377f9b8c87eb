"""A vector for an item that is not listed yet: the mean of those it shares most with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.recommendations.attributes import NUMBER

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors
    from item2vec.recommendations.attributes import ItemAttributes

NEAR = 0.1
"""Two numbers agree when they differ by less than this share."""


@dataclass(frozen=True)
class Provenance:
    """Where a vector comes from.

    Attributes
    ----------
    n_items : int
        Items it is the mean of.
    shared : tuple of str
        The attributes that all of these share with the item, in the order they were given.
    n_attributes : int
        Attributes that were given.
    """

    n_items: int
    shared: tuple[str, ...]
    n_attributes: int


def vector_for(
    attributes: Mapping[str, Any], items: ItemAttributes | None, vectors: ItemVectors
) -> tuple[npt.NDArray[np.float32], Provenance]:
    """Return the mean of the unit vectors of the items that share the most attributes.

    Parameters
    ----------
    attributes : mapping of column to value
        What is known of the item; numbers agree within 10 %.
    items : ItemAttributes or None
    vectors : ItemVectors

    Returns
    -------
    (vector, provenance) : float32 of shape (d,), Provenance

    Raises
    ------
    UsageError
        If there is no item table, nothing is given, a column is unknown, or no item shares anything.
    """
    if items is None:
        raise UsageError("attributes need the item table: Recommender(vectors, items=table)")
    if not isinstance(attributes, Mapping) or not attributes:
        raise UsageError("give what is known of the item, as {'market': 'Paris', 'price': 80}")
    agrees = np.stack([_agrees(items, name, value) for name, value in attributes.items()])
    n_shared = agrees.sum(axis=0)
    most = int(n_shared.max())
    if most == 0:
        raise UsageError(
            f"no item shares any of {dict(attributes)!r}; there is nothing to take a vector from"
        )
    like = np.flatnonzero(n_shared == most)
    shared = tuple(name for name, same in zip(attributes, agrees, strict=True) if same[like].all())
    return mean_of(np.asarray(vectors.vectors), like), Provenance(len(like), shared, len(attributes))


def mean_of(table: npt.NDArray[np.float32], nums: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the mean of some rows, each brought to length 1, float32 (d,).

    Raises
    ------
    UsageError
        If there is no row.
    """
    if not len(nums):
        raise UsageError("a mean needs at least one item")
    rows = table[nums].astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    mean: npt.NDArray[np.float32] = (rows / np.maximum(norms, 1e-30)).mean(axis=0).astype(np.float32)
    return mean


def _agrees(items: ItemAttributes, name: str, value: Any) -> npt.NDArray[np.bool_]:
    column = items.column(name)
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if column.kind == NUMBER and is_number:
        near = NEAR * abs(float(value))
        return column.holds((float(value) - near, float(value) + near))
    return column.holds(value)
