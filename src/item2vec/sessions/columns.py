"""Arrow and numpy columns of sessions: conversions that import no pandas, offsets, item attributes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_numbers, arrow_values, numpy_numbers
from item2vec.errors import DataError

_LISTS_AT_ONCE = 4096
_SIZED = {list, tuple, dict}
_MIXED = "item ids are {}; they must all be strings or all be integers"


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Join the chunks of a column; ``large_string`` becomes ``string``."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column


def offsets_of(lengths: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the running total of lengths with a leading zero, int64."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def gather(
    offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the positions of the chosen ragged rows, one row after the other, and their new offsets."""
    lengths = offsets[rows + 1] - offsets[rows]
    new = offsets_of(lengths)
    return np.arange(new[-1], dtype=np.int64) + np.repeat(offsets[rows] - new[:-1], lengths), new


def align_items(items: pa.Table, item_ids: pa.Array) -> pa.Table:
    """Return the item table with one row per entry of `item_ids`, in that order; unknown items get nulls.

    Raises
    ------
    DataError
        If the table has no ``item_id``, has an id twice, or its ids are of another type.
    """
    if "item_id" not in items.column_names:
        raise DataError(f"the item table has no column item_id, only {', '.join(items.column_names)}")
    theirs = one_array(items["item_id"])
    if theirs.type != item_ids.type:
        raise DataError(
            f"ids are {theirs.type} in the item table and {item_ids.type} in the sessions; cast one"
        )
    if len(pc.unique(theirs)) != len(theirs):
        raise DataError("the item table names an item twice; keep one row per item_id")
    rows = pc.index_in(item_ids, value_set=theirs)
    aligned = items.drop_columns(["item_id"]).take(rows)
    return aligned.add_column(0, "item_id", item_ids)


def item_id_array(ids: list[Any]) -> pa.Array:
    """Return item ids as one Arrow array of strings or of int64.

    Raises
    ------
    DataError
        If ids are of both types, or of any other.
    """
    kinds = set(map(type, ids))
    if all(issubclass(kind, str) for kind in kinds):
        return pa.array(ids, pa.string())
    if all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        return pa.array(ids, pa.int64())
    names = sorted(kind.__name__ for kind in kinds)
    raise DataError(_MIXED.format(" and ".join(names)))


def flatten_ids(
    lists: Iterable[Any], what: str, distinct: bool = False
) -> tuple[list[pa.Array], npt.NDArray[np.int64]]:
    """Return the ids of many lists, one list after the other in arrays of :func:`item_id_array`, and lengths.

    Python objects lie all over the memory: each block of them is fetched once and done with.

    Raises
    ------
    DataError
        If an entry is no list of ids, as a text is none; it is called `what` and its number.
    """
    arrays, lengths = [], [np.zeros(0, np.int64)]
    rest, n_done = iter(lists), 0
    while block := list(islice(rest, _LISTS_AT_ONCE)):
        if not set(map(type, block)) <= _SIZED:
            block = [_sized(ids, what, number) for number, ids in enumerate(block, n_done)]
        if distinct:
            block = _distinct(block)
        lengths.append(np.fromiter(map(len, block), np.int64, len(block)))
        if flat := list(chain.from_iterable(block)):
            arrays.append(item_id_array(flat))
        n_done += len(block)
    return arrays, np.concatenate(lengths)


def _sized(ids: Any, what: str, number: int) -> Any:
    if type(ids) in _SIZED:
        return ids
    try:
        if not isinstance(ids, str | bytes):
            return list(ids)
    except TypeError:  # it cannot be iterated over
        pass
    shown = repr(ids)[:64]
    example = "[]" if ids is None else f"[{shown}]"
    raise DataError(f"{what} {number} is {shown}; give a list per session, [{example}, …]")


def _distinct(block: list[Any]) -> list[Any]:
    try:
        return list(map(dict.fromkeys, block))
    except TypeError:  # an id without a hash, as a list in a list, is none
        item_id_array(list(chain.from_iterable(block)))
        raise


def number_ids(arrays: Sequence[pa.Array]) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """Return the distinct ids of some arrays without nulls, ascending, and the position of each id in them.

    Raises
    ------
    DataError
        If some arrays hold strings and some integers.
    """
    if len({array.type for array in arrays}) > 1:
        raise DataError(_MIXED.format("int and str"))
    kind = arrays[0].type if arrays else pa.string()
    distinct, numbers = _encode(pa.chunked_array(arrays, kind))
    order = pc.sort_indices(distinct)
    positions = np.empty(len(order), np.int32)
    positions[arrow_values(order, np.uint64)] = counter(len(order))
    return distinct.take(order), positions[numbers]


def _encode(ids: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """Return the distinct ids in the order in which they first come, and the number of each id."""
    chunks = pc.dictionary_encode(ids).chunks
    if not chunks:
        return pa.array([], ids.type), np.zeros(0, np.int32)
    distinct = chunks[0].dictionary
    # Arrow's chunks share one dictionary; to unify it with itself would hash all of it once per chunk.
    if not all(chunk.dictionary.equals(distinct) for chunk in chunks):
        chunks = pa.chunked_array(chunks).unify_dictionaries().chunks
        distinct = chunks[0].dictionary
    return distinct, np.concatenate([numpy_numbers(chunk.indices) for chunk in chunks])


def ascending(values: pa.Array) -> pa.Array:
    """Return the distinct values without nulls, ascending (strings by their UTF-8 bytes)."""
    distinct = pc.drop_null(pc.unique(values))
    return distinct.take(pc.sort_indices(distinct))


def token_array(ids: pa.Array | pa.ChunkedArray, item_ids: pa.Array) -> npt.NDArray[np.int32]:
    """Return the position of each id in `item_ids`, −1 where it is missing."""
    return numpy_numbers(pc.index_in(ids, value_set=item_ids), missing=-1)


def counter(length: int) -> npt.NDArray[np.int32]:
    """Return 0, 1, … as int32."""
    return np.arange(length, dtype=np.int32)


def take_or_null(values: pa.ChunkedArray | pa.Array, rows: npt.NDArray[np.int32]) -> pa.Array:
    """Return the values at the given rows, null where a row is −1."""
    values = one_array(values)
    padded = pa.concat_arrays([values, pa.nulls(1, values.type)])
    return padded.take(arrow_numbers(np.where(rows < 0, np.int32(len(values)), rows)))


def market_array(names: Iterable[object]) -> pa.Array:
    """Return market names as strings, a whole number as its digits, None as null.

    Raises
    ------
    DataError
        If a name is of another kind.
    """
    texts = []
    for name in names:
        if name is not None and (isinstance(name, bool) or not isinstance(name, str | int | np.integer)):
            raise DataError(
                f"the market of an item is {name!r}; it is a text or a whole number, and None or no entry"
                " where it is unknown"
            )
        texts.append(None if name is None else str(name))
    return pa.array(texts, pa.string())


def first_known(*columns: pa.Array) -> pa.Array:
    """Return per row the first market name that is neither null nor blank."""
    known = []
    for names in columns:
        names = one_array(names).cast(pa.string())
        blank = pc.equal(pc.utf8_trim_whitespace(names), "")
        known.append(pc.if_else(pc.fill_null(blank, True), pa.scalar(None, pa.string()), names))
    return pc.coalesce(*known)


def encode_markets(names: pa.Array) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    """Number the markets in name order; a null name is −1."""
    market_names = ascending(names)
    return token_array(names, market_names), tuple(market_names.to_pylist())


def put_market(items: pa.Table, names: pa.Array) -> pa.Table:
    """Return the item table with `names` as its column ``market``, right after ``item_id``."""
    rest = [name for name in items.column_names if name not in ("item_id", "market")]
    return pa.Table.from_arrays(
        [one_array(items["item_id"]), names, *(items[name] for name in rest)],
        names=["item_id", "market", *rest],
    )
