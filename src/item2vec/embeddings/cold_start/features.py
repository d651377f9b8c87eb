"""The item table as numbers: shards, cells, places and attributes, coded as the donors' table is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import numpy_numbers
from item2vec.embeddings.places import coordinates, numbers
from item2vec.errors import DataError, UsageError

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Features:
    """What is compared of some items; −1 and NaN are unknown, and unknown agrees with nothing.

    Attributes
    ----------
    markets : ndarray of int64, shape (n,)
    cells : ndarray of int64, shape (n,)
        Market, type and price bucket together.
    places : ndarray of float64, shape (n, 2)
        Latitude and longitude in degrees.
    attributes : dict of str to ndarray, shape (n,)
        Numbers as float64, everything else as int64 codes.
    """

    markets: Codes
    cells: Codes
    places: npt.NDArray[np.float64]
    attributes: dict[str, npt.NDArray[Any]]


class Encoder:
    """Codes of one table's values, by which further tables are read.

    Parameters
    ----------
    items : pyarrow.Table
        The donors.
    settings : mapping
        The hyper-parameters of :class:`~item2vec.ColdStart`.

    Raises
    ------
    UsageError
        If a named attribute is no column, or cannot be compared.
    DataError
        If a price or a coordinate is no number.
    """

    def __init__(self, items: pa.Table, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._attributes = _attribute_columns(items, settings)
        kinds = {settings["market_column"], settings["type_column"]}
        names = [name for name in (*self._attributes, *kinds) if name in items.column_names]
        # An attribute that is a number is compared as one; a market or a type never is.
        self._labels = {
            name: Labels(items[name]) for name in names if name in kinds or not _is_number(items[name].type)
        }
        self.edges = self._price_edges(items)

    def encode(self, items: pa.Table) -> Features:
        """Read a table; columns it does not have are unknown throughout."""
        places = coordinates(*(self._column(items, f"{one}_column") for one in ("latitude", "longitude")))
        if places is None:
            places = np.full((items.num_rows, 2), np.nan)
        attributes = {name: self._attribute(items, name) for name in self._attributes}
        markets = self._codes(items, "market_column")
        kinds, buckets = self._codes(items, "type_column"), self._buckets(items, markets)
        n_kinds = 1 + len(self._labels.get(self._settings["type_column"], ()))
        cells = (markets * n_kinds + kinds) * (1 + self.edges.shape[1]) + buckets
        unknown = (markets < 0) | (kinds < 0) | (buckets < 0)
        return Features(markets, np.where(unknown, -1, cells), places, attributes)

    @property
    def market_names(self) -> list[Any]:
        """The donors' markets, by code."""
        labels = self._labels.get(self._settings["market_column"])
        return [] if labels is None else labels.names.to_pylist()

    def _column(self, items: pa.Table, setting: str) -> pa.Array | None:
        name = self._settings[setting]
        return plain(items[name]) if name in items.column_names else None

    def _codes(self, items: pa.Table, setting: str) -> Codes:
        name = self._settings[setting]
        if name is None:  # not asked: all alike
            return np.zeros(items.num_rows, np.int64)
        return self._labelled(items, name)

    def _labelled(self, items: pa.Table, name: str) -> Codes:
        if name not in self._labels or name not in items.column_names:
            return np.full(items.num_rows, -1, np.int64)
        return self._labels[name].codes(name, items[name])

    def _attribute(self, items: pa.Table, name: str) -> npt.NDArray[Any]:
        if name in self._labels:
            return self._labelled(items, name)
        if name not in items.column_names:
            return np.full(items.num_rows, np.nan)
        return _numbers(name, items[name])

    def _prices(self, items: pa.Table) -> npt.NDArray[np.float64]:
        name = self._settings["price_column"]
        if name not in items.column_names:
            return np.full(items.num_rows, np.nan)
        prices = _numbers(name, items[name])
        return np.where(np.isfinite(prices) & (prices >= 0), prices, np.nan)

    def _price_edges(self, items: pa.Table) -> npt.NDArray[np.float64]:
        """Return the inner edges of the buckets, one row per market: given, or quantiles of its prices."""
        markets = self._codes(items, "market_column")
        n_markets = max(1, int(markets.max(initial=0)) + 1)
        given = self._settings["price_edges"]
        if self._settings["price_column"] is None:
            return np.zeros((n_markets, 0))
        if given is not None:
            return np.tile(np.asarray(given, np.float64), (n_markets, 1))
        prices, n_buckets = self._prices(items), self._settings["n_price_buckets"]
        edges = np.full((n_markets, n_buckets - 1), np.inf)
        known = np.flatnonzero((markets >= 0) & ~np.isnan(prices))
        known = known[np.argsort(markets[known], kind="stable")]
        found, starts = np.unique(markets[known], return_index=True)
        shares = np.arange(1, n_buckets) / n_buckets
        for market, rows in zip(found, np.split(known, starts[1:]) if len(found) else (), strict=True):
            edges[market] = np.quantile(prices[rows], shares)
        return edges

    def _buckets(self, items: pa.Table, markets: Codes) -> Codes:
        if self._settings["price_column"] is None:
            return np.zeros(items.num_rows, np.int64)
        prices = self._prices(items)
        buckets = (prices[:, None] >= self.edges[np.maximum(markets, 0)]).sum(axis=1)
        return np.where(np.isnan(prices), -1, buckets)


class Labels:
    """The distinct values of a column: texts, flags, dates, whole numbers."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.names = pc.unique(plain(column).drop_null())

    def __len__(self) -> int:
        return len(self.names)

    def codes(self, name: str, column: pa.ChunkedArray) -> Codes:
        """Return the position of each value, −1 where it is unknown or none of the donors'."""
        values = plain(column)
        if not len(self.names):  # maybe of the type null, which nothing can be cast to
            return np.full(len(values), -1, np.int64)
        if values.type != self.names.type:
            try:
                values = values.cast(self.names.type)
            except pa.ArrowException as error:
                raise DataError(
                    f"{name} is {values.type} here and {self.names.type} in the table fitted; cast one"
                ) from error
        return numpy_numbers(pc.index_in(values, value_set=self.names), missing=-1).astype(np.int64)


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Join the chunks of a column; every kind of text becomes ``string``, dictionaries are looked up."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    is_text = pa.types.is_large_string(array.type) or "string_view" in str(array.type)
    return array.cast(pa.string()) if is_text else array


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _numbers(name: str, column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    if not _is_number(column.type) and not pa.types.is_null(column.type):
        raise DataError(f"the item table's {name} is {column.type}; it must be a number")
    return numbers(plain(column))


def _attribute_columns(items: pa.Table, settings: Mapping[str, Any]) -> list[str]:
    """Name the columns that the second tier compares."""
    aside = {"item_id", *(settings[f"{one}_column"] for one in ("market", "latitude", "longitude"))}
    given = settings["attributes"]
    if given is None:
        return [f.name for f in items.schema if f.name not in aside and _is_comparable(f.type)]
    for name in given:
        if name not in items.column_names or not _is_comparable(items.schema.field(name).type):
            known = ", ".join(items.column_names) or "none"
            raise UsageError(
                f"attribute {name!r} is no column that can be compared; the item table has {known}"
            )
    return [name for name in given if name not in aside]


def _is_comparable(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) and not pa.types.is_dictionary(kind))
