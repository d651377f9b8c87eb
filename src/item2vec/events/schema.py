"""The event table: its columns, their types and their order."""

from __future__ import annotations

import pyarrow as pa

from item2vec.errors import UsageError

EVENT_TYPES = ("impression", "click", "wishlist", "inquiry", "booking", "rejection")
EVENT_ORDER = ("user_id", "ts_us", "seq", "event_id")
ID_TYPES = {"string": pa.string(), "int64": pa.int64()}


def event_schema(id_type: str) -> pa.Schema:
    """Return the schema of the event table.

    Parameters
    ----------
    id_type : {"string", "int64"}
        The type of ``item_id``, one for the whole run.

    Returns
    -------
    pyarrow.Schema
        ``user_id`` string, ``ts_us`` int64 (microseconds since 1970, UTC), ``seq`` int64, ``event_id``
        string, ``event_type`` string (one of :data:`EVENT_TYPES`), ``item_id``, and, nullable,
        ``dwell_seconds`` float64, ``market`` string, ``search_id`` string, ``position`` int32.

    Raises
    ------
    UsageError
        If `id_type` is neither of the two.
    """
    if id_type not in ID_TYPES:
        raise UsageError(f"id_type is {id_type!r}; it must be 'string' or 'int64'")
    return pa.schema(
        [
            pa.field("user_id", pa.string(), nullable=False),
            pa.field("ts_us", pa.int64(), nullable=False),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("event_id", pa.string(), nullable=False),
            pa.field("event_type", pa.string(), nullable=False),
            pa.field("item_id", ID_TYPES[id_type], nullable=False),
            pa.field("dwell_seconds", pa.float64()),
            pa.field("market", pa.string()),
            pa.field("search_id", pa.string()),
            pa.field("position", pa.int32()),
        ]
    )
