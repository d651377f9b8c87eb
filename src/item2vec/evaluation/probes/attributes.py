"""Attributes of the items, brought into the order of the vocabulary and numbered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import DataError, UsageError
from item2vec.vocabulary import Vocabulary

PriceBands = Sequence[float] | Literal["quintiles"]
TRAILING = "all others"


def aligned_attributes(items: pa.Table | None, vocabulary: Vocabulary) -> dict[str, pa.Array]:
    """Return all attributes of the vocabulary's items, in its order, null where an item has none.

    Raises
    ------
    DataError
        If the table has no column ``item_id``, one of another type, or two rows for an item.
    """
    if items is None:
        return {}
    if "item_id" not in items.column_names:
        raise DataError(f"the item table has no column item_id; it has {', '.join(items.column_names[:10])}")
    ids = items["item_id"].combine_chunks()
    if ids.type not in (vocabulary.ids.type, pa.large_string()):
        raise DataError(f"the item table has {ids.type} item ids and the vectors {vocabulary.ids.type} ids")
    ids = ids.cast(vocabulary.ids.type)
    if (twice := len(ids) - len(pc.unique(ids))) > 0:
        raise DataError(f"the item table has {twice} rows too many: give each item_id one row")
    rows = pc.index_in(vocabulary.ids, value_set=ids)
    names = [name for name in items.column_names if name != "item_id"]
    return {name: items[name].combine_chunks().take(rows) for name in names}


def label_codes(
    values: pa.Array | None, n_items: int, max_labels: int | None = None
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Number the distinct values of an attribute, most frequent first.

    Returns
    -------
    codes : ndarray of int64, shape (n_items,)
        Position in `names`, −1 where unknown; beyond `max_labels` labels the rare ones share the last.
    names : list of str
    """
    if values is None:
        return np.full(n_items, -1, np.int64), []
    text = values.cast(pa.string())
    counted = sorted(pc.value_counts(text.drop_null()).to_pylist(), key=lambda c: (-c["counts"], c["values"]))
    names = [entry["values"] for entry in counted]
    if not names:
        return np.full(n_items, -1, np.int64), []
    codes = pc.fill_null(pc.index_in(text, value_set=pa.array(names, pa.string())), -1).to_numpy()
    codes = codes.astype(np.int64)
    if max_labels is not None and len(names) > max_labels:
        codes = np.minimum(codes, max_labels - 1)
        names = [*names[: max_labels - 1], TRAILING]
    return codes, names


def price_codes(
    values: pa.Array | None, markets: npt.NDArray[np.int64], bands: PriceBands
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Number the price bands.

    Returns
    -------
    codes : ndarray of int64, shape (n_items,)
        Position in `names`, −1 where the price is unknown.
    names : list of str

    Raises
    ------
    UsageError
        If the bands are neither ascending limits nor ``"quintiles"``.
    DataError
        If the prices are no numbers.
    """
    limits = _checked_bands(bands)
    if values is None:
        return np.full(len(markets), -1, np.int64), []
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise DataError(f"the item table's price is {values.type}; it must be a number")
    prices = pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy(zero_copy_only=False)
    known = np.isfinite(prices)
    codes = np.full(len(markets), -1, np.int64)
    if limits is None:
        for market in np.unique(markets[known]):
            here = known & (markets == market)
            codes[here] = np.searchsorted(
                np.quantile(prices[here], [0.2, 0.4, 0.6, 0.8]), prices[here], "right"
            )
        return codes, ["cheapest fifth", "2nd", "3rd", "4th", "dearest fifth"]
    codes[known] = np.searchsorted(limits, prices[known], "right")
    edges = [f"{limit:g}" for limit in limits]
    middle = [f"{low}–{high}" for low, high in pairwise(edges)]
    return codes, [f"<{edges[0]}", *middle, f"{edges[-1]}+"]


def _checked_bands(bands: PriceBands) -> npt.NDArray[np.float64] | None:
    """Return the upper limits of the bands, None for quintiles."""
    if isinstance(bands, str) and bands == "quintiles":
        return None
    try:
        limits = np.asarray(bands, np.float64)
    except (TypeError, ValueError):
        limits = np.zeros(0)
    if limits.ndim != 1 or not len(limits) or not np.isfinite(limits).all() or (np.diff(limits) <= 0).any():
        raise UsageError(
            f"price_bands={bands!r}: give ascending upper limits such as [30, 60, 90, 120], or 'quintiles'"
        )
    return limits
