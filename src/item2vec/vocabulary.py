"""The one map between an item's id (theirs) and its dense number (ours)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import repeat

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_numbers, numpy_numbers
from item2vec.errors import DataError, EmptyDataError, UnknownItemError

ItemId = str | int
ID_TYPES = {"string": pa.string(), "int64": pa.int64()}
FEW_IDS = 256
"""So many ids are sooner read from a list than taken by Arrow."""
_CASTABLE = {  # to an id type without a loss
    "string": {pa.string(), pa.large_string()},
    "int64": {pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()},
}


class Vocabulary:
    """Item ids in their fixed order, with their counts.

    Ids are of one type, never mixed: the number 1, the text ``"1"``, ``True`` and ``1.0`` are four things;
    only what has the type of the vocabulary can be an item of it.

    Parameters
    ----------
    ids : pyarrow.Array of string or int64, shape (n,)
        Distinct item ids; the position of an id is its ``item_num``.
    counts : ndarray of int64, shape (n,)
        How often each item occurred in the training sessions.

    Raises
    ------
    DataError
        If the ids are of another type, null or repeated, or the lengths differ.
    """

    def __init__(self, ids: pa.Array, counts: npt.NDArray[np.int64]) -> None:
        if isinstance(ids, pa.ChunkedArray):
            ids = ids.combine_chunks()
        if pa.types.is_large_string(ids.type):
            ids = ids.cast(pa.string())
        if ids.type not in ID_TYPES.values():
            raise DataError(f"item ids are {ids.type}; they must all be strings or all be int64")
        if ids.null_count or len(pc.unique(ids)) != len(ids):
            raise DataError("a vocabulary holds each item id once and no null")
        if len(ids) != len(counts):
            raise DataError(f"{len(ids)} item ids but {len(counts)} counts")
        self.ids = ids
        self.counts = np.ascontiguousarray(counts, np.int64)
        self._id_kinds: tuple[type, ...] = (str,) if self.id_type == "string" else (int, np.integer)

    @classmethod
    def from_counts(cls, ids: pa.Array, counts: npt.NDArray[np.int64], min_count: int = 1) -> Vocabulary:
        """Order items by count descending, then by id, and drop those below `min_count`."""
        table = pa.table([ids, np.asarray(counts, np.int64)], names=["item_id", "count"])
        table = table.filter(pc.greater_equal(table["count"], min_count))
        if table.num_rows == 0:
            raise EmptyDataError(f"no item occurs min_count={min_count} times; lower min_count")
        table = table.sort_by([("count", "descending"), ("item_id", "ascending")])
        return cls(table["item_id"].combine_chunks(), table["count"].to_numpy())

    @property
    def id_type(self) -> str:
        """``"string"`` or ``"int64"``."""
        return "string" if pa.types.is_string(self.ids.type) else "int64"

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, item_id: object) -> bool:
        return self._is_id(type(item_id)) and item_id in self._nums

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return bool(self.ids.equals(other.ids)) and bool(np.array_equal(self.counts, other.counts))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} {self.id_type} items)"

    @cached_property
    def _nums(self) -> dict[ItemId, int]:
        return {item_id: num for num, item_id in enumerate(self.ids.to_pylist())}

    @cached_property
    def _listed(self) -> list[ItemId]:
        """The ids that are Python's already, without another copy of them."""
        return list(self._nums)

    def _is_id(self, kind: type) -> bool:
        """Whether values of a Python type can be ids here: Python says 1 == True == 1.0, ids do not."""
        return issubclass(kind, self._id_kinds) and kind is not bool

    def num(self, item_id: ItemId) -> int:
        """Return the number of one item.

        Raises
        ------
        UnknownItemError
            If the item was never seen in training (or has another id type).
        """
        if item_id not in self:
            shown = repr(item_id[:64]) if isinstance(item_id, str) else repr(item_id)[:64]
            raise UnknownItemError(
                f"unknown item {shown}: not among the {len(self):,} trained items"
                f" (ids are of type {self.id_type})"
            )
        return self._nums[item_id]

    def nums(self, item_ids: Iterable[ItemId] | pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int32]:
        """Return the numbers of many items, shape (n,), int32, −1 where an item is unknown.

        A Python value of another type than the vocabulary's is unknown; an Arrow array of another type, which
        can only be the wrong column, is refused (large strings and integers that fit into int64 are not).

        Raises
        ------
        DataError
            If an Arrow array is of another id type.
        """
        if isinstance(item_ids, pa.Array | pa.ChunkedArray):
            found = pc.index_in(self._as_ids(item_ids), value_set=self.ids)
            return numpy_numbers(found, missing=-1)
        wanted = list(item_ids)
        others = {kind for kind in set(map(type, wanted)) if not self._is_id(kind)}
        if others:
            wanted = [None if type(item_id) in others else item_id for item_id in wanted]
        return np.fromiter(map(self._nums.get, wanted, repeat(-1)), np.int32, len(wanted))

    def _as_ids(self, values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Bring an Arrow array to the type of the ids, if that loses nothing."""
        kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if kind not in _CASTABLE[self.id_type] and not pa.types.is_null(kind):
            raise DataError(
                f"the item ids looked up are {kind}, those of the vocabulary {self.id_type};"
                " read both with the same id_type"
            )
        return values.cast(self.ids.type)

    def item_ids(self, item_nums: Sequence[int] | npt.NDArray[np.integer]) -> list[ItemId]:
        """Return the ids of the given numbers, in their order."""
        if len(item_nums) <= FEW_IDS and "_nums" in self.__dict__:
            return [self._listed[num] for num in item_nums]
        ids: list[ItemId] = self.ids.take(arrow_numbers(np.asarray(item_nums, np.int64))).to_pylist()
        return ids

    def to_table(self) -> pa.Table:
        """Return the columns ``item_id`` and ``count`` in item-number order."""
        return pa.Table.from_arrays([self.ids, arrow_numbers(self.counts)], names=["item_id", "count"])

    @classmethod
    def from_table(cls, table: pa.Table) -> Vocabulary:
        """Rebuild a vocabulary from :meth:`to_table`.

        Raises
        ------
        DataError
            If the columns are not as :meth:`to_table` writes them.
        """
        if table["count"].type != pa.int64():
            raise DataError(f"the counts are {table['count'].type}; they must be int64")
        return cls(table["item_id"].combine_chunks(), numpy_numbers(table["count"]))
