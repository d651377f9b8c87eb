"""What a caller of ``most_similar`` may write, as keys with their weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.vocabulary import ItemId

Key = ItemId | npt.NDArray[Any]
Query = Key | tuple[Key, float]


def weighted_keys(queries: Query | Iterable[Query], sign: float, id_type: str) -> Iterator[tuple[Key, float]]:
    """Yield every id or vector of a query with its weight, which is `sign` where none is given.

    Raises
    ------
    UsageError
        If a tuple is not a key and a finite weight.
    """
    for query in _as_list(queries, id_type):
        if not isinstance(query, tuple):
            yield query, sign
        elif len(query) == 2 and _is_number(query[1]) and math.isfinite(query[1]):
            yield query[0], float(query[1])
        else:
            raise UsageError(f"{query!r} is no weighted key; write (id or vector, finite number)")


def _as_list(queries: Any, id_type: str) -> list[Any]:
    if isinstance(queries, tuple) and len(queries) == 2 and _is_weight(queries[1], id_type):
        return [queries]
    if isinstance(queries, str | np.ndarray) or not isinstance(queries, Iterable):
        return [queries]
    return list(queries)


def _is_weight(value: object, id_type: str) -> bool:
    """Whether a value cannot be an id, only a weight."""
    return _is_number(value) and (id_type == "string" or not isinstance(value, Integral))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
