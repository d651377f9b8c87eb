"""An item as it is put live: what is merged over what is known of it, and where its vector comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import DataError, UsageError

if TYPE_CHECKING:
    from item2vec.serving.lookups import Lookups
    from item2vec.vocabulary import ItemId

Vector = npt.NDArray[np.floating[Any]]
_DONORS = 10


@dataclass(frozen=True)
class Put:
    """An item as it was put.

    Attributes
    ----------
    attributes : mapping
    vector, context_vector : list of float, or None
        In the space of one release; they do not pass to another.
    like : tuple of ids
    """

    attributes: Mapping[str, Any] = field(default_factory=dict)
    vector: list[float] | None = None
    context_vector: list[float] | None = None
    like: tuple[ItemId, ...] = ()


def merged(lookups: Lookups, item_id: ItemId, put: Put) -> Put:
    """Return an item as it is put, with the attributes that are known of it and not given.

    Raises
    ------
    UsageError
        If it is listed and nothing is given.
    """
    if not lookups.has(item_id):
        return put
    if put == Put():
        raise UsageError("nothing to change: give attributes, a vector, or items that it is like")
    return replace(put, attributes={**lookups.live.attributes_of(item_id), **put.attributes})


def vectors_for(lookups: Lookups, item_id: ItemId, put: Put) -> tuple[Vector, Vector | None]:
    """Return the input and output vector of an item as it is put, each of shape (d,).

    Raises
    ------
    Item2VecError
        If none is given and nothing is like the item.
    """
    rec = lookups.live.base
    given = put.context_vector
    context: Vector | None = None
    if given is not None and "next" in lookups.modes:
        context = np.array(given, np.float64)
    vector: Vector
    if put.vector is not None:
        vector = np.array(put.vector, np.float64)
    elif put.like:
        vector = rec.vector_of(put.like)
    elif lookups.has(item_id):  # only its attributes change
        own, of_context = lookups.live.vectors_of(item_id)
        return own, of_context if context is None else context
    elif put.attributes:
        vector, _ = rec.vector_for(put.attributes)
    else:
        raise UsageError("a new item needs attributes, a vector, or items that it is like")
    size = rec.vectors.vectors.shape[1]
    if vector.shape != (size,) or (context is not None and context.shape != (size,)):
        raise UsageError(f"the vectors of this release have {size} numbers")
    if not np.isfinite(vector).all() or not vector.any():
        raise DataError("the vector is zero or not finite")
    if context is None and rec.vectors.context_vectors is not None:
        # Of the base alone: where many items like this one were put, the nearest of all are only those.
        near, _ = rec.similar_to(vector, _DONORS, mode="similar")
        context = np.asarray(rec.vectors.context_vectors)[rec.vocabulary.nums(near.tolist())].mean(axis=0)
    return vector, context
