"""Spark behind the engine's door: beside the caller's session where one is active, else a local one."""

from __future__ import annotations

from collections.abc import Sequence

from item2vec.sessions.engine import check_columns
from item2vec.spark.tables import SparkTables


class SparkEngine(SparkTables):
    """A Spark session of its own beside the caller's; see :class:`item2vec.sessions.engine.SqlEngine`."""

    def __init__(self, memory_limit: str) -> None:
        super().__init__(memory_limit, sql_only=True)

    def open_events(self, files: Sequence[str]) -> None:
        """Make the Parquet files readable as the table ``events``."""
        check_columns(self.read("events", files))
