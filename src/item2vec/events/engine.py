"""One private DuckDB connection: limits, views, and errors in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from item2vec.errors import RunError, SourceError

BATCH_ROWS = 131_072


class Engine:
    """A DuckDB connection that spills into a folder of its own.

    Parameters
    ----------
    spill : Path
        Folder for what does not fit into memory; created when needed.
    memory_limit : str
        What DuckDB may hold in memory, e.g. ``"900MB"``.
    where : str
        How to name the source in an error.
    threads : int, optional
        By default one for each core.
    """

    hash64 = "hash"
    """What the SQL function is called that makes 64 bits of a text."""

    def __init__(self, spill: Path, memory_limit: str, where: str, threads: int | None = None) -> None:
        self.where = where
        settings: dict[str, Any] = {
            "memory_limit": memory_limit,
            "temp_directory": str(spill),
            # Nothing is fetched
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
        }
        self._connection = duckdb.connect(config=settings | ({"threads": threads} if threads else {}))
        silence(self._connection)
        # A time as text enters the ids of rows: the machine's zone must not
        self._connection.execute("SET TimeZone = 'UTC'")

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self._translated():
            return self._connection.execute(sql).fetchall()

    def store(self, name: str, sql: str) -> int:
        """Keep the rows of a query under a name and return their number."""
        return int(self.run(f"CREATE TEMP TABLE {name} AS {sql}")[0][0])

    def drop(self, name: str) -> None:
        """Forget a stored table."""
        self.run(f"DROP TABLE {name}")

    def put(self, name: str, table: Any) -> None:
        """Make an Arrow table, or a reader of batches that is read once, readable under a name."""
        self._connection.register(name, table)

    def stream(self, sql: str) -> Iterator[Any]:
        """Run a query and yield its result as Arrow record batches."""
        with self._translated():
            yield from self._connection.sql(sql).to_arrow_reader(BATCH_ROWS)

    def types(self, relation: str) -> dict[str, str]:
        """Return the columns of a view or table and their SQL types."""
        return {row[0]: row[1] for row in self.run(f"DESCRIBE {relation}")}

    def schema(self, sql: str) -> Any:
        """Return the Arrow schema of a query's result."""
        with self._translated():
            return self._connection.sql(sql).limit(0).to_arrow_reader(1).schema

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise RunError(
                f"memory and spill space ran out while reading {self.where} ({first_line(error)});"
                " free disk space or raise memory_limit"
            ) from None
        except Exception as error:
            if is_interrupt(error):
                raise KeyboardInterrupt from None
            if not isinstance(error, duckdb.Error):
                raise
            raise SourceError(
                f"{self.where} cannot be read: {first_line(error)}; export it again or fix the mapping"
            ) from None


def silence(connection: duckdb.DuckDBPyConnection) -> None:
    """Switch DuckDB's own progress bar off: it would land on standard output, between a caller's lines."""
    # A notebook without ipywidgets has no bar, and there DuckDB refuses the setting itself
    if connection.execute("SELECT current_setting('enable_progress_bar')").fetchall() != [(False,)]:
        connection.execute("SET enable_progress_bar = false")


def is_interrupt(error: Exception) -> bool:
    """Tell whether DuckDB stopped at Ctrl-C, which it reports as an error of its own or a plain one."""
    if isinstance(error, duckdb.InterruptException):
        return True
    return any(words in str(error) for words in ("Query interrupted", "INTERRUPT Error"))


def first_line(error: Exception) -> str:
    """Return the first line of a library's message."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
