"""Where the rows of a log are typed, compared and put in order: in this process, or by Spark's workers."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from item2vec.events.attributes import write_table
from item2vec.events.config import EventsConfig
from item2vec.events.engine import Engine
from item2vec.events.files import Source
from item2vec.events.importers import Importer
from item2vec.events.outcomes import Outcomes, Typed, accepted
from item2vec.events.publish import write_parts
from item2vec.events.scan import Scan, check_pages
from item2vec.events.schema import EVENT_ORDER, event_schema
from item2vec.events.sources import scan_source
from item2vec.spark import import_for_spark


class Rows(Typed, Protocol):
    """The steps of a read that look at every row."""

    def scan(self, source: Source, bar: Any) -> Scan:
        """Create the view ``source`` in this process's engine, over some of the rows at least."""

    def type(self, scan: Scan, prepare: str, typed: str, read: Collection[str]) -> None:
        """Make ``typed`` of ``source``, by way of ``prepared``; `read` are the columns that count."""

    def write_events(
        self, importer: Importer, id_type: str, outcomes: Outcomes, table: Path, bar: Any
    ) -> dict[str, int]:
        """Write the events in their total order and count them by type."""

    def write_items(self, importer: Importer, id_type: str, outcomes: Outcomes, file: Path) -> None:
        """Write the items that the importer finds in the log."""

    def close(self) -> None:
        """Free memory and files."""


def open_rows(config: EventsConfig, engine: Engine, private: Path) -> Rows:
    """Open what the settings name; Spark is not loaded for DuckDB.

    Raises
    ------
    MissingDependencyError
        If PySpark or Java is not installed.
    """
    if config.engine == "duckdb":
        return LocalRows(engine, private)
    rows: Rows = import_for_spark("item2vec.events.spark_rows").SparkRows(engine, config, private)
    return rows


def event_columns(importer: Importer, id_type: str) -> str:
    """Return the columns of ``accepted``, which `importer` makes events of."""
    return ", ".join((*event_schema(id_type).names, *importer.carry))


class LocalRows:
    """All rows in this process's DuckDB; see :class:`Rows`."""

    def __init__(self, engine: Engine, private: Path) -> None:
        self._engine, self._private = engine, private
        self.hash64 = engine.hash64
        self.run, self.store, self.drop, self.stream = engine.run, engine.store, engine.drop, engine.stream

    def scan(self, source: Source, bar: Any) -> Scan:
        """Create the view ``source``."""
        return scan_source(self._engine, source, "source", self._private / "staged", bar)

    def type(self, scan: Scan, prepare: str, typed: str, read: Collection[str]) -> None:
        """Create the view ``typed``, over that of the preparation."""
        check_pages(scan, read)
        self.run(f"CREATE VIEW typed AS {typed}")

    def write_events(
        self, importer: Importer, id_type: str, outcomes: Outcomes, table: Path, bar: Any
    ) -> dict[str, int]:
        """Write the events in their total order and count them by type."""
        schema = event_schema(id_type)
        self.run(f"CREATE VIEW accepted AS {accepted(event_columns(importer, id_type), outcomes)}")
        query = f"SELECT {', '.join(schema.names)} FROM ({importer.expand}) ORDER BY {', '.join(EVENT_ORDER)}"
        return dict(sorted(write_parts(self.stream(query), schema, table / "events", bar).items()))

    def write_items(self, importer: Importer, id_type: str, outcomes: Outcomes, file: Path) -> None:
        """Write the items that the importer finds in the log."""
        write_table(self._engine, f"SELECT * FROM ({importer.items}) ORDER BY item_id", file)

    def close(self) -> None:
        """Leave the engine to whom it belongs."""
