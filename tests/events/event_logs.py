"""Small logs in every format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def event_row(n: int, **changes: Any) -> dict[str, Any]:
    """One good row, different for every n."""
    row = {
        "user_id": f"u{n % 3}",
        "ts": 1_700_000_000_000_000 + n * 1_000_000,
        "seq": n % 2,
        "event_id": f"e{n:04d}",
        "event_type": ("click", "impression", "booking", "wishlist")[n % 4],
        "item_id": f"i{n % 5}",
        "dwell_seconds": n / 2,
        "market": "Paris" if n % 2 else None,
        "search_id": f"s{n // 4}",
        "position": n % 4 + 1,
    }
    return row | changes


def csv_text(rows: Sequence[dict[str, Any]], delimiter: str = ",") -> str:
    cells = [delimiter.join("" if v is None else str(v) for v in row.values()) for row in rows]
    return "\n".join([delimiter.join(rows[0]), *cells]) + "\n"


def jsonl_text(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_parquet(path: Path, rows: Sequence[dict[str, Any]], **types: pa.DataType) -> Path:
    table = pa.Table.from_pylist(list(rows))
    for name, kind in types.items():
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
    pq.write_table(table, path)
    return path
