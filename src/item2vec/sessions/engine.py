"""The narrow door to the SQL engine that runs the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa


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
