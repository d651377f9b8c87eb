"""A log whose item ids are 64-bit whole numbers, among them the largest, the smallest and negative ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

IDS = [-(2**63), -(2**53) - 1, -7, 0, 7, 2**53 + 1, 2**62, 2**63 - 1, *range(100, 140)]
"""2**53 + 1 and its like are those that a JSON reader with floats would get wrong."""


def write_log(folder: Path) -> dict[str, Any]:
    """Write a log and its item table; return the run's ``events`` section."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(300):
        start = int(rng.integers(len(IDS)))
        for step in range(6):
            place = (start + int(rng.integers(-3, 4))) % len(IDS)
            rows.append((f"u{user}", 1_700_000_000 + user * 3600 + step * 60, "click", IDS[place]))
    users, seconds, kinds, items = zip(*rows, strict=True)
    log = pa.table(
        {
            "user_id": users,
            "ts": pa.array(seconds, pa.int64()),
            "event_type": kinds,
            "item_id": pa.array(items, pa.int64()),
        }
    )
    pq.write_table(log, folder / "log.parquet")
    table = pa.table(
        {
            "item_id": pa.array(IDS, pa.int64()),
            "market": ["even" if place % 2 == 0 else "odd" for place in range(len(IDS))],
            "price": [float(place) for place in range(len(IDS))],
        }
    )
    pq.write_table(table, folder / "items.parquet")
    return {"path": str(folder / "log.parquet"), "items": {"path": str(folder / "items.parquet")}}
