"""The narrow door to the SQL engine that runs the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from item2vec.errors import SourceError

_TEXT, _NUMBER = ("string",), ("bigint",)
_COLUMNS = {  # what the rules read, by Spark's names of the types
    "user_id": _TEXT,
    "ts_us": _NUMBER,
    "seq": _NUMBER,
    "event_id": _TEXT,
    "event_type": _TEXT,
    "item_id": _TEXT + _NUMBER,
    "dwell_seconds": ("double",),
    "market": _TEXT,
}


class SqlEngine(Protocol):
    """What the rules need from an engine: tables by name, and results as Arrow."""

    def open_events(self, files: Sequence[str]) -> None:
        """Make the Parquet files readable as the table ``events``."""

    def put(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under a name."""

    def create(self, name: str, sql: str) -> int:
        """Store the rows of a query under a name (replacing what it held) and return their number."""

    def drop(self, name: str) -> None:
        """Forget a stored table."""

    def fetch(self, sql: str) -> pa.Table:
        """Return the rows of a query, in its order."""

    def close(self) -> None:
        """Free memory and files."""


def check_columns(types: Mapping[str, str]) -> None:
    """Refuse event files that do not have the event schema, before any rule meets them.

    Parameters
    ----------
    types : Mapping
        Column to SQL type, as Spark names it.

    Raises
    ------
    SourceError
        If a column is missing or of another type.
    """
    for name, allowed in _COLUMNS.items():
        if types.get(name) not in allowed:
            found = f"is of type {types[name]}" if name in types else "is missing"
            raise SourceError(
                f"the events cannot be read: the column {name} {found}, and must be {' or '.join(allowed)};"
                " read the log again"
            )
