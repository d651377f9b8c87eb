"""Items, their vectors and attributes as files that other stores load: Qdrant, Milvus, pgvector, faiss."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import pyarrow as pa

from item2vec.embeddings.vector_files import new_file, new_files
from item2vec.errors import MissingDependencyError, UsageError
from item2vec.index.space import Mode, Space

if TYPE_CHECKING:
    from item2vec.recommendations.recommender import Recommender

POINTS_PER_LINE = 500
"""Of a Qdrant request."""
_SQL_TYPES = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_integer, "bigint"),
    (pa.types.is_floating, "double precision"),
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "timestamptz"),
)


def save_qdrant(rec: Recommender, path: str | Path, mode: Mode = "similar") -> None:
    """Write requests for Qdrant's ``PUT /collections/NAME/points``, one per line, 500 points each.

    A point has the item's number as its id, a unit vector (distance *Dot*), and ``item_id`` and the
    attributes as its payload. The query of ``mode="next"`` is an input vector (or a weighted mean of some)
    with a 1 and a 0 behind it, or with the 0 alone where the recommender's scoring has a popularity of 0.

    Parameters
    ----------
    rec : Recommender
    path : str or Path
        Replaced when it is whole.
    mode : {"similar", "next"}
        The reading whose vectors are written.
    """
    with new_file(path) as temporary, open(temporary, "w", encoding="utf-8") as out:
        rows = _rows(rec, mode)
        while some := list(islice(rows, POINTS_PER_LINE)):
            points = [{"id": num, "vector": vector, "payload": row} for num, vector, row in some]
            out.write(json.dumps({"points": points}, ensure_ascii=False, allow_nan=False) + "\n")


def save_milvus(rec: Recommender, path: str | Path, mode: Mode = "similar") -> None:
    """Write one JSON file for Milvus' bulk import: ``{"rows": [{"item_num", "vector", "item_id", …}]}``.

    Vectors are as in :func:`save_qdrant` (metric *IP*).
    """
    _check_names(rec)
    with new_file(path) as temporary, open(temporary, "w", encoding="utf-8") as out:
        out.write('{"rows": [')
        for num, vector, row in _rows(rec, mode):
            out.write(",\n" if num else "\n")
            body = {"item_num": num, "vector": vector, **row}
            out.write(json.dumps(body, ensure_ascii=False, allow_nan=False))
        out.write("\n]}\n")


def save_pgvector(rec: Recommender, folder: str | Path, mode: Mode = "similar", table: str = "items") -> None:
    """Write ``schema.sql`` and ``items.csv`` for PostgreSQL with pgvector.

    ``schema.sql`` creates the table, with one column per attribute and an HNSW index by inner product; then
    ``\\copy items FROM 'items.csv' CSV HEADER``, and ask with ``ORDER BY vector <#> '[…]' LIMIT 10``.

    Parameters
    ----------
    rec : Recommender
    folder : str or Path
    mode : {"similar", "next"}
    table : str
        Name of the table.
    """
    columns = _sql_columns(rec)
    width = _space(rec, mode).points.shape[1]
    quoted = _sql_name(table)
    lines = ",\n".join(
        [
            "  item_num integer PRIMARY KEY",
            f"  item_id {'text' if rec.vocabulary.id_type == 'string' else 'bigint'} UNIQUE NOT NULL",
            f"  vector vector({width}) NOT NULL",
            *(f"  {_sql_name(name)} {kind}" for name, kind in columns.items()),
        ]
    )
    with new_files(folder, ("schema.sql", "items.csv")) as temporary:
        (temporary / "schema.sql").write_text(
            f"CREATE EXTENSION IF NOT EXISTS vector;\nCREATE TABLE {quoted} (\n{lines}\n);\n"
            f"CREATE INDEX ON {quoted} USING hnsw (vector vector_ip_ops);\n",
            encoding="utf-8",
        )
        with open(temporary / "items.csv", "w", encoding="utf-8", newline="") as out:
            _write_csv(out, rec, mode, list(columns))


def _write_csv(out: TextIO, rec: Recommender, mode: Mode, columns: list[str]) -> None:
    """Write what COPY … CSV reads: nothing between two commas is a null, a text has quotes."""
    out.write(",".join(map(_cell, ["item_num", "item_id", "vector", *columns])) + "\n")
    for num, vector, row in _rows(rec, mode):
        cells = [num, row["item_id"], json.dumps(vector), *(row.get(name) for name in columns)]
        out.write(",".join(map(_cell, cells)) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return '"' + value.replace('"', '""') + '"' if isinstance(value, str) else str(value)


def save_faiss(rec: Recommender, folder: str | Path, mode: Mode = "similar") -> None:
    """Write ``index.faiss``, by faiss' ``write_index``, and ``ids.json`` with the item of each of its rows.

    The index is flat (exact) by inner product over unit vectors, as in :func:`save_qdrant`;
    ``faiss.index_cpu_to_all_gpus`` or an ``IndexHNSWFlat`` can be made of it.

    Raises
    ------
    MissingDependencyError
        If faiss is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError("this needs faiss; run: pip install 'item2vec[faiss]'") from error
    points = np.ascontiguousarray(_space(rec, mode).points)
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    with new_files(folder, ("index.faiss", "ids.json")) as temporary:
        faiss.write_index(index, str(temporary / "index.faiss"))
        ids = json.dumps(rec.vocabulary.ids.to_pylist(), ensure_ascii=False)
        (temporary / "ids.json").write_text(ids, encoding="utf-8")


def _space(rec: Recommender, mode: Mode) -> Space:
    return rec.index(mode).space


def _rows(rec: Recommender, mode: Mode) -> Iterator[tuple[int, list[float], dict[str, Any]]]:
    """Yield each item's number, unit vector, and id with the attributes that are known."""
    points = _space(rec, mode).points
    ids = rec.vocabulary.ids.to_pylist()
    step = 10_000
    for start in range(0, len(ids), step):
        nums = np.arange(start, min(start + step, len(ids)), dtype=np.int32)
        rows = [{} for _ in nums] if rec.attributes is None else rec.attributes.rows(nums).to_pylist()
        for num, row in zip(nums.tolist(), rows, strict=True):
            known = {name: _plain(value) for name, value in row.items() if name != "item_id"}
            known = {name: value for name, value in known.items() if value is not None}
            vector = [float(np.format_float_positional(x, unique=True)) for x in points[num]]
            yield num, vector, {"item_id": ids[num], **known}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; NaN is unknown, what JSON does not know is text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.date | dt.datetime | dt.time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _check_names(rec: Recommender) -> None:
    """Refuse attributes that are called as the export's own columns."""
    taken = {"item_num", "vector"} & set(() if rec.attributes is None else rec.attributes.names)
    if taken:
        name = min(taken)
        raise UsageError(f"the item table has a column {name}, as the exported one does; rename it")


def _sql_columns(rec: Recommender) -> dict[str, str]:
    if rec.attributes is None:
        return {}
    _check_names(rec)
    schema = rec.attributes.rows(np.zeros(0, np.int32)).schema
    columns = {}
    for name in rec.attributes.names:
        kind = schema.field(name).type
        if pa.types.is_nested(kind):
            continue
        columns[name] = next((sql for is_kind, sql in _SQL_TYPES if is_kind(kind)), "text")
    return columns


def _sql_name(name: str) -> str:
    if "\0" in name or not name:
        raise UsageError(f"{name!r} is no name of a table or a column")
    return '"' + name.replace('"', '""') + '"'
