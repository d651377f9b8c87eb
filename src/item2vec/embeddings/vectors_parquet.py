"""Item vectors as one Parquet file: what Spark, DuckDB, polars and pandas read without us."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from item2vec.arrow import arrow_numbers, arrow_values, numpy_numbers
from item2vec.errors import DataError, SourceError
from item2vec.vocabulary import Vocabulary

Rows = npt.NDArray[np.float32]
_COLUMNS = {"vectors": "vector", "context_vectors": "context_vector"}  # a table's name → a row's
_INTEGERS = (pa.types.is_signed_integer, pa.types.is_unsigned_integer)


def write(path: Path, vocabulary: Vocabulary, tensors: Mapping[str, Rows]) -> None:
    """Write ``item_id``, ``count`` and a fixed-size list of float32 per table, a row per item."""
    table = vocabulary.to_table()
    for name, rows in tensors.items():
        lists = pa.FixedSizeListArray.from_arrays(arrow_numbers(rows.reshape(-1)), rows.shape[1])
        table = table.append_column(_COLUMNS[name], lists)
    pq.write_table(table, path, write_page_checksum=True)


def read(path: Path) -> tuple[Vocabulary, Rows, Rows | None]:
    """Return the items, the vectors and the context vectors, if there are any.

    Raises
    ------
    SourceError
        If the file or a column is not as :func:`write` would write it; the message names it.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = set(file.schema_arrow.names)
            for name in ("item_id", "vector"):
                if name not in names:
                    raise DataError(f"has no column {name}, only {', '.join(file.schema_arrow.names)}")
            table = file.read([n for n in ("item_id", "count", *_COLUMNS.values()) if n in names])
        vectors = _rows(table, "vector")
        context = _rows(table, "context_vector") if "context_vector" in names else None
        return Vocabulary(_ids(table["item_id"]), _counts(table)), vectors, context
    except FileNotFoundError as e:
        raise SourceError(f"cannot read {path}: no such file") from e
    except DataError as e:
        raise SourceError(f"{path} holds no item vectors: it {e}") from e
    except Exception as e:  # damage in the file's own description comes as whatever trips over it
        raise SourceError(f"cannot read {path} as Parquet: {e}") from e


def _ids(column: pa.ChunkedArray) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    wanted = pa.int64() if any(is_kind(kind) for is_kind in _INTEGERS) else pa.string()
    if wanted == pa.string() and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"has item ids of type {kind}; they are strings or integers")
    ids = column.cast(wanted).combine_chunks()
    if ids.null_count or len(pc.unique(ids)) != len(ids):
        raise DataError("has an item_id that is null or occurs twice; each occurs once")
    return ids


def _counts(table: pa.Table) -> npt.NDArray[np.int64]:
    if "count" not in table.column_names:
        return np.zeros(table.num_rows, np.int64)
    column = table["count"]
    if column.null_count or not any(is_kind(column.type) for is_kind in _INTEGERS):
        raise DataError(
            f"has counts of type {column.type} with {column.null_count:,} nulls; they are integers"
        )
    return numpy_numbers(column.cast(pa.int64()))


def _rows(table: pa.Table, name: str) -> Rows:
    column = table[name]
    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not (lists and pa.types.is_floating(kind.value_type)):
        raise DataError(f"has a column {name} of type {kind}; it must be lists of float32 or float64")
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        raise DataError(f"has a column {name} with lists of the lengths {sorted(map(str, lengths))[:9]}; they"
                        " must be of one length, none null or empty")  # fmt: skip
    rows = np.empty((table.num_rows, lengths[0]), np.float32)
    at = 0
    for chunk in column.chunks:
        values = chunk.flatten()
        if values.null_count:
            raise DataError(f"has nulls among the numbers of column {name}")
        numbers = arrow_values(values.cast(pa.float32(), safe=False), np.float32)
        rows[at : at + len(chunk)] = numbers.reshape(len(chunk), -1)
        at += len(chunk)
    return rows
