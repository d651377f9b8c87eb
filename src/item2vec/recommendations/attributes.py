"""The item table as columns in item-number order, and filters over them compiled to one mask."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_array, arrow_floats, arrow_numbers, arrow_texts, arrow_values
from item2vec.errors import DataError, UsageError
from item2vec.vocabulary import ItemId, Vocabulary

TEXT, NUMBER, TIME, FLAG = "text", "a number", "a date", "true or false"
EPOCH = dt.datetime(1970, 1, 1)


class ItemAttributes:
    """Attributes of the items of one vocabulary.

    Parameters
    ----------
    items : pyarrow.Table
        ``item_id`` and any further columns, at most one row per item, in any order; rows of items the
        vocabulary does not hold are left out, items without a row have no attributes and meet no filter.
    vocabulary : Vocabulary

    Raises
    ------
    UsageError
        If there is no ``item_id`` column or its type differs from the vocabulary's.
    DataError
        If an item has two rows.
    """

    def __init__(self, items: pa.Table, vocabulary: Vocabulary) -> None:
        if "item_id" not in items.column_names:
            raise UsageError(f"the item table has no column item_id, only {', '.join(items.column_names)}")
        ids = _one_array(items["item_id"])
        if ids.type != vocabulary.ids.type:
            raise UsageError(
                f"item_id is {ids.type} in the item table and {vocabulary.ids.type} in the model;"
                " read both with the same id_type"
            )
        if len(pc.unique(ids)) != len(ids):
            twice = Counter(ids.to_pylist()).most_common(1)[0][0]
            raise DataError(f"the item table has several rows for item {twice!r}; keep one row per item")
        self._rows = pc.index_in(vocabulary.ids, value_set=ids)
        self._ids = vocabulary.ids
        self._items = items
        self._columns: dict[str, Column] = {}
        self.n_items = len(vocabulary)

    @property
    def names(self) -> list[str]:
        """The columns one can filter on."""
        return [name for name in self._items.column_names if name != "item_id"]

    @property
    def table(self) -> pa.Table:
        """The item table as it was given."""
        return self._items

    def column(self, name: str) -> Column:
        """Return a column in item-number order, prepared for filtering.

        Raises
        ------
        UsageError
            If there is no such column or its type cannot be filtered.
        """
        if name not in self.names:
            known = ", ".join(self.names) or "none"
            raise UsageError(f"unknown filter column {name!r}; the item table has: {known}")
        if name not in self._columns:
            self._columns[name] = _prepare(name, _one_array(self._items[name]).take(self._rows))
        return self._columns[name]

    def rows(self, nums: npt.NDArray[np.int32]) -> pa.Table:
        """Return the item table's rows of some items, all columns, in their order; nulls for one without."""
        found = self._items.take(self._rows.take(arrow_numbers(nums)))
        ids = self._ids.take(arrow_numbers(nums))
        return found.set_column(found.column_names.index("item_id"), "item_id", ids)

    def as_rows(self, rows: Mapping[ItemId, Mapping[str, Any]]) -> pa.Table:
        """Return further items and their attributes as a table like this one.

        Raises
        ------
        UsageError
            If a column is unknown or a value does not fit it.
        """
        for item_id, row in rows.items():
            unknown = sorted(set(row) - set(self.names))
            if unknown:
                known = ", ".join(self.names) or "none"
                raise UsageError(f"unknown attribute {unknown[0]!r} of item {item_id!r}; there are: {known}")
        try:
            whole = [{"item_id": item_id, **row} for item_id, row in rows.items()]
            schema = self._items.schema
            columns = [arrow_array([row.get(one.name) for row in whole], one.type) for one in schema]
            return pa.Table.from_arrays(columns, schema=schema)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"an attribute does not fit its column: {error}") from error

    def mask(self, where: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
        """Compile a filter to a mask, bool (n_items,): True where every condition holds.

        Parameters
        ----------
        where : mapping of column name to condition
            A value (equal), a tuple ``(lo, hi)`` (between, both ends included, None leaves an end open), or a
            list or set of values (any of them; an empty one holds for no item). An unknown attribute meets
            nothing.

        Raises
        ------
        UsageError
            If a column is unknown or a condition does not fit its type.
        """
        if not isinstance(where, Mapping):
            raise UsageError(f"where is a mapping of column to condition, not {type(where).__name__}")
        mask = np.ones(self.n_items, np.bool_)
        for name, condition in where.items():
            mask &= self.column(name).holds(condition)
        return mask


class Column:
    """Values in item-number order with a mask of the known ones; texts as codes."""

    def __init__(
        self,
        name: str,
        kind: str,
        values: npt.NDArray[Any],
        known: npt.NDArray[np.bool_],
        codes: dict[str, int],
        width: type[np.floating[Any]] | None = None,
    ) -> None:
        self.width = width  # of numbers that were rounded: a condition is rounded as they were
        self.name, self.kind, self.values, self.known, self.codes = name, kind, values, known, codes
        self._texts = list(codes)  # in the order of their codes

    @cached_property
    def n_values(self) -> int:
        """Distinct known values."""
        return len(np.unique(self.values[self.known]))

    @cached_property
    def n_unknown(self) -> int:
        """Items without a value."""
        return int(np.count_nonzero(~self.known))

    def objects(self, nums: npt.NDArray[np.int32]) -> npt.NDArray[np.object_]:
        """Return the values of some items as they compare with those of other tables; None where unknown."""
        values = np.full(len(nums), None, object)
        known = self.known[nums]
        found = self.values[nums][known].tolist()
        if self.kind == TEXT:
            found = [self._texts[code] for code in found]
        values[known] = found
        return values

    def holds(self, condition: Any) -> npt.NDArray[np.bool_]:
        """Return where the condition is met."""
        if isinstance(condition, tuple):
            return self.known & self._between(condition)
        met: npt.NDArray[np.bool_]
        if isinstance(condition, list | set | frozenset | np.ndarray):
            wanted = [self._value(value) for value in condition]
            if self.kind != NUMBER:
                met = self.known & np.isin(self.values, np.array(wanted, self.values.dtype))
                return met
            met = np.zeros(
                len(self.values), np.bool_
            )  # one by one: isin would round 10.5 to an integer column's 10
            for value in wanted:
                met |= self.values == value
            return self.known & met
        met = self.known & (self.values == self._value(condition))
        return met

    def one(self, value: Any) -> pa.Array:
        """Return a value as a column of one row, numbers as float64; refused as a condition would be."""
        own = self._value(value)
        if self.kind == TEXT:
            return arrow_texts([value])
        if self.kind == TIME:
            return arrow_numbers(np.array([own], np.int64)).cast(pa.timestamp("us"))
        if self.kind == FLAG:
            return arrow_numbers(np.array([own], np.int32)).cast(pa.bool_())
        return arrow_floats(np.array([max(-1e308, min(own, 1e308))], np.float64))  # Python's go further

    def _between(self, ends: tuple[Any, ...]) -> npt.NDArray[np.bool_]:
        if self.kind not in (NUMBER, TIME):
            raise UsageError(
                f"{self.name} is {self.kind}: a range needs numbers or dates; give a list of values"
            )
        if len(ends) != 2:
            raise UsageError(f"a range for {self.name} is a tuple (lo, hi), not {ends!r}")
        low, high = (None if end is None else self._value(end) for end in ends)
        if low is not None and high is not None and low > high:
            raise UsageError(f"the range {ends!r} for {self.name} is empty: lo is above hi")
        met = np.ones(len(self.values), np.bool_)
        if low is not None:
            met &= self.values >= low
        if high is not None:
            met &= self.values <= high
        return met

    def _value(self, value: Any) -> Any:
        """Convert a value of a condition to the column's own, or refuse it."""
        if isinstance(value, np.generic):
            value = value.item()
        if self.kind == TEXT and isinstance(value, str):
            return self.codes.get(value, -1)
        if self.kind == FLAG and isinstance(value, bool):
            return value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.kind == NUMBER and is_number and value == value:
            return value if self.width is None else float(self.width(value))
        if self.kind == TIME and isinstance(value, dt.date):
            return _microseconds(value)
        raise UsageError(f"{self.name} is {self.kind} and cannot be compared with {value!r}")


def _prepare(name: str, array: pa.Array) -> Column:
    """Turn an Arrow column into numpy, without the conversions that import pandas."""
    kind = array.type
    known = arrow_values(pc.is_valid(array).cast(pa.uint8()), np.uint8).astype(np.bool_)
    codes: dict[str, int] = {}
    if pa.types.is_string(kind):
        encoded = array.dictionary_encode()
        codes = {text: code for code, text in enumerate(encoded.dictionary.to_pylist())}
        return Column(name, TEXT, np.where(known, arrow_values(encoded.indices, np.int32), -2), known, codes)
    if pa.types.is_boolean(kind):
        return Column(
            name, FLAG, arrow_values(array.cast(pa.uint8()), np.uint8).astype(np.bool_), known, codes
        )
    if pa.types.is_signed_integer(kind) or kind in (pa.uint8(), pa.uint16(), pa.uint32()):
        return Column(name, NUMBER, arrow_values(array.cast(pa.int64()), np.int64), known, codes)
    if pa.types.is_unsigned_integer(kind):
        return Column(name, NUMBER, arrow_values(array, np.uint64), known, codes)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = arrow_values(array.cast(pa.float64()), np.float64)
        width = np.float32 if kind == pa.float32() else np.float16 if kind == pa.float16() else None
        return Column(name, NUMBER, numbers, known & ~np.isnan(numbers), codes, width)
    if pa.types.is_temporal(kind) and (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
        moments = arrow_values(array.cast(pa.timestamp("us"), safe=False), np.int64)
        return Column(name, TIME, moments, known, codes)
    raise UsageError(
        f"the column {name} is {kind}, which cannot be filtered; use text, numbers, dates or booleans"
    )


def _microseconds(value: dt.date) -> int:
    """Return a date or moment as microseconds since 1970 in UTC; a moment without a zone is taken as UTC."""
    moment = value if isinstance(value, dt.datetime) else dt.datetime(value.year, value.month, value.day)
    if moment.tzinfo is not None:
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """Join the chunks; plain strings instead of large ones or dictionaries."""
    array = column.combine_chunks()
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    return (
        array.cast(pa.string())
        if pa.types.is_large_string(array.type) or "view" in str(array.type)
        else array
    )
