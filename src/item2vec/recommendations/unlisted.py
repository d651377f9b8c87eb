"""A vector for an item that is not listed yet, as cold start gives one to a listing without clicks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import UsageError
from item2vec.recommendations.attributes import NUMBER

if TYPE_CHECKING:
    from item2vec.embeddings import ColdStart, ItemVectors
    from item2vec.recommendations.attributes import ItemAttributes
    from item2vec.vocabulary import ItemId


@dataclass(frozen=True)
class Provenance:
    """Where a vector comes from; see :class:`~item2vec.ColdStart` for the tiers.

    Attributes
    ----------
    tier : str
        ``"nearest"``, ``"attributes"`` or ``"market"``.
    n_items : int
        Items it is the mean of.
    shared : tuple of str
        The attributes that all of these share with the item, in the order they were given.
    n_attributes : int
        Attributes that were given.
    donors : tuple of ids
        The items: all of the nearest, the first ten by id that share most attributes, none for a market.
    farthest_miles : float or None
        Distance of the farthest; of the nearest only.
    """

    tier: str
    n_items: int
    shared: tuple[str, ...]
    n_attributes: int
    donors: tuple[ItemId, ...] = ()
    farthest_miles: float | None = None


def vector_for(
    attributes: Mapping[str, Any], items: ItemAttributes | None, cold_start: ColdStart | None
) -> tuple[npt.NDArray[np.float32], Provenance]:
    """Return the vector that cold start gives an item of which some attributes are known.

    Parameters
    ----------
    attributes : mapping of column to value
        What is known of the item.
    items : ItemAttributes or None
    cold_start : ColdStart or None
        Fitted on the same items.

    Returns
    -------
    (vector, provenance) : float32 of shape (d,), Provenance

    Raises
    ------
    UsageError
        If there is no item table, nothing is given, a column is unknown, a value does not fit it, or no item
        shares anything.
    """
    if items is None or cold_start is None:
        raise UsageError("attributes need the item table: Recommender(vectors, items=table)")
    if not isinstance(attributes, Mapping) or not attributes:
        raise UsageError("give what is known of the item, as {'market': 'Paris', 'price': 80}")
    columns = {name: _one_value(items, name, value) for name, value in attributes.items()}
    found = cold_start.embed(pa.table(columns))
    (row,) = found.provenance.to_pylist()
    if row["tier"] == "none":
        raise UsageError(
            f"no item shares any of {dict(attributes)!r}; there is nothing to take a vector from"
        )
    shared = tuple(name for name in attributes if name in row["shared"])
    miles, donors = row["farthest_miles"], tuple(row["donors"])
    return found.vectors[0], Provenance(row["tier"], row["n_donors"], shared, len(attributes), donors, miles)


def cold_start_of(items: ItemAttributes, vectors: ItemVectors) -> ColdStart:
    """Return cold start, fitted; a price or a coordinate that is no number is an attribute like others."""
    from item2vec.embeddings import ColdStart

    numbers = ("price", "latitude", "longitude")
    is_number = {name: name in items.names and items.column(name).kind == NUMBER for name in numbers}
    columns = {f"{name}_column": name if is_number[name] else "" for name in numbers}
    return ColdStart(**columns).fit(vectors, items.table)


def mean_of(table: npt.NDArray[np.float32], nums: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the mean direction of some rows, as long as these are on average, float32 (d,).

    Each row counts alike in the direction. The length matters where popularity is added to a product: one row
    is answered as its item is.

    Raises
    ------
    UsageError
        If there is no row.
    """
    if not len(nums):
        raise UsageError("a mean needs at least one item")
    rows = table[nums].astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    direction = (rows / np.maximum(norms, 1e-30)).mean(axis=0)
    mean: npt.NDArray[np.float32] = (direction * norms.mean()).astype(np.float32)
    return mean


def _one_value(items: ItemAttributes, name: str, value: Any) -> pa.Array:
    column = items.column(name)
    if isinstance(value, tuple | list | set | frozenset | np.ndarray):
        raise UsageError(f"{name} is one value of the item, not {value!r}")
    return column.one(value)
