"""What cold start is given, refused in words where it is something else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import numpy_numbers
from item2vec.embeddings.cold_start.features import plain
from item2vec.errors import ConfigError, DataError, UsageError

ASKED = ("market_column", "type_column", "price_column")
PLACES = ("latitude_column", "longitude_column")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise a ConfigError that names the first hyper-parameter out of its range."""
    for name, most in (("n_nearest", 1000), ("n_price_buckets", 1000)):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ConfigError(f"{name} is {value!r}; it must be a whole number from 1 to {most:,}")
    miles = settings["max_miles"]
    if not _is_number(miles) or not 0 < miles < math.inf:
        raise ConfigError(f"max_miles is {miles!r}; it must be a number of miles above 0")
    for name in (*ASKED, *PLACES):
        value = settings[name]
        if not isinstance(value, str) and not (value is None and name in ASKED):
            raise ConfigError(f"{name} is {value!r}; it must be the name of a column")
    edges = settings["price_edges"]
    if edges is not None and not _are_edges(edges):
        raise ConfigError(
            f"price_edges is {edges!r}; give ascending numbers such as (30, 60, 90), or None for quantiles"
        )
    names = settings["attributes"]
    if names is not None and (isinstance(names, str) or not all(isinstance(one, str) for one in names)):
        raise ConfigError(f"attributes is {names!r}; give a list of column names, or None for all")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_edges(edges: Any) -> bool:
    if isinstance(edges, str | bytes) or not hasattr(edges, "__iter__"):
        return False
    edges = [edge.item() if isinstance(edge, np.generic) else edge for edge in edges]
    if not edges or not all(_is_number(edge) and math.isfinite(edge) for edge in edges):
        return False
    return all(low < high for low, high in pairwise(edges))


def check_vectors(vectors: Any) -> None:
    """Raise a UsageError if these are no vectors."""
    if not hasattr(vectors, "vocabulary") or not hasattr(vectors, "context_vectors"):
        raise UsageError(
            f"cold start takes ItemVectors, not {type(vectors).__name__}; a model has them as item_vectors_"
        )


def item_ids(items: Any, kind: pa.DataType) -> pa.Array:
    """Return the ids of an item table.

    Raises
    ------
    UsageError
        If this is no Arrow table.
    DataError
        If ids are missing, repeated or of another type.
    """
    if not isinstance(items, pa.Table):
        raise UsageError(f"the items are given as {type(items).__name__}; pass a pyarrow.Table")
    if "item_id" not in items.column_names:
        raise DataError(
            f"the item table has no column item_id; it has {', '.join(items.column_names) or 'none'}"
        )
    ids = plain(items["item_id"])
    if ids.type != kind:
        raise DataError(
            f"item_id is {ids.type} in the item table and {kind} in the vectors;"
            " read both with the same id_type"
        )
    if ids.null_count:
        raise DataError(f"{ids.null_count} rows of the item table have no item_id; leave them out")
    distinct = pc.unique(ids)
    if len(distinct) != len(ids):
        counted = pc.value_counts(ids)
        twice = counted.filter(pc.greater(counted.field("counts"), 1))[0]["values"].as_py()
        raise DataError(f"the item table has several rows for item {twice!r}; keep one row per item")
    return ids


def whole(array: pa.Array) -> npt.NDArray[np.int64]:
    """Return an Arrow array of int64 as numpy."""
    return np.asarray(numpy_numbers(array), np.int64)
