"""The event table as searches: who asked when, what was listed and clicked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from item2vec.errors import DataError, UsageError
from item2vec.events.schema import event_schema

if TYPE_CHECKING:
    from item2vec.events import Events
    from item2vec.sessions.duckdb_engine import DuckDBEngine

    Log: TypeAlias = Events | pa.Table | str | os.PathLike[str]

# A search belongs to its user: two users' searches may carry the same id. Its time is that of its first event
# of any kind, so that nothing that happened in it lies before it, whatever the clocks say.
SEARCHES = """
SELECT user_id, search_id, min(ts_us) AS as_of_us
FROM events
WHERE search_id IS NOT NULL
GROUP BY user_id, search_id
HAVING count(*) FILTER (WHERE event_type = 'impression') > 0
"""
# Each listing of a page at its first place, and when it was first clicked there.
PAGES = """
SELECT
    user_id,
    search_id,
    item_id,
    coalesce(min(position) FILTER (WHERE event_type = 'impression'), min(position)) AS place,
    min(ts_us) FILTER (WHERE event_type = 'click') AS clicked_us,
    count(*) FILTER (WHERE event_type = 'impression') > 0 AS shown
FROM events
WHERE search_id IS NOT NULL AND event_type IN ('impression', 'click')
GROUP BY user_id, search_id, item_id
"""


@contextmanager
def opened_log(events: Log, memory_limit: str) -> Iterator[DuckDBEngine]:
    """Open an event table as ``events``, with its ``searches`` and ``pages``.

    Parameters
    ----------
    events : Events, pyarrow.Table, or path
        A path is a folder that ``read_events`` wrote, a Parquet file, or a glob of them.
    memory_limit : str
        What DuckDB may hold in memory; beyond it, it spills.

    Raises
    ------
    UsageError
        If it is something else.
    DataError
        If it does not have the columns of an event table.
    """
    from item2vec.sessions.duckdb_engine import DuckDBEngine

    engine = DuckDBEngine(memory_limit)
    try:
        if isinstance(events, pa.Table):
            engine.put("events", _typed(events))
        else:
            engine.open_events(_files(events))
        engine.create("searches", SEARCHES)
        engine.create("pages", PAGES)
        yield engine
    finally:
        engine.close()


def _files(events: Any) -> list[str]:
    if hasattr(events, "files"):
        return list(events.files)
    if not isinstance(events, str | os.PathLike):
        raise UsageError(
            f"the events are {type(events).__name__}; give Events from read_events(...), a pyarrow.Table of"
            " typed events, or the path of such Parquet files"
        )
    from item2vec.events import Events

    return Events.open(Path(events)).files if Path(events).is_dir() else [os.fspath(events)]


def _typed(events: pa.Table) -> pa.Table:
    """Refuse a table that is no event table."""
    lacking = [name for name in event_schema("string").names if name not in events.column_names]
    if lacking:
        raise DataError(
            f"the events have no column {', '.join(lacking)}; an event table has"
            f" {', '.join(event_schema('string').names)}"
        )
    id_type = "int64" if pa.types.is_integer(events.schema.field("item_id").type) else "string"
    schema = event_schema(id_type)
    try:
        return events.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"the events are no event table: {error}") from error
