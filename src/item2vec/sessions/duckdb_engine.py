"""DuckDB behind the engine's door: one process, bounded memory, spilling to a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from item2vec.artifacts.temporary import temporary_place
from item2vec.errors import RunError, SourceError
from item2vec.events.engine import is_interrupt

_BATCH_ROWS = 250_000


class DuckDBEngine:
    """An in-memory database; see :class:`item2vec.sessions.engine.SqlEngine`.

    Parameters
    ----------
    memory_limit : str
        Such as ``"900MB"``; beyond it DuckDB spills.
    """

    def __init__(self, memory_limit: str) -> None:
        self._spill = tempfile.TemporaryDirectory(prefix="item2vec-sessions-", dir=temporary_place())
        self._connection = duckdb.connect()
        settings = {
            "memory_limit": f"'{memory_limit}'",
            "temp_directory": "'" + self._spill.name.replace("'", "''") + "'",
            # Every result that has an order says so; rows in between may come as they like.
            "preserve_insertion_order": "false",
            "enable_progress_bar": "false",
        }
        for name, value in settings.items():
            self._connection.execute(f"SET {name} = {value}")

    def open_events(self, files: Sequence[str]) -> None:
        """Make the Parquet files readable as the table ``events``."""
        with _plain_errors():
            self._connection.read_parquet(list(files)).create_view("events")

    def put(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under a name."""
        self._connection.register(name, table)

    def create(self, name: str, sql: str) -> int:
        """Store the rows of a query under a name (replacing what it held) and return their number."""
        with _plain_errors():
            row = self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}").fetchone()
        return int(row[0]) if row else 0

    def drop(self, name: str) -> None:
        """Forget a stored table."""
        self._connection.execute(f"DROP TABLE IF EXISTS {name}")

    def fetch(self, sql: str) -> pa.Table:
        """Return the rows of a query, in its order."""
        with _plain_errors():
            return self._connection.sql(sql).to_arrow_reader(_BATCH_ROWS).read_all()

    def close(self) -> None:
        """Free memory and files."""
        self._connection.close()
        self._spill.cleanup()


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        advice = "raise memory_limit or free the temporary disk"
        raise RunError(f"no memory left for the sessions: {_first_line(error)}; {advice}") from error
    except Exception as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from None
        if not isinstance(error, duckdb.Error | OSError):
            raise
        raise SourceError(f"the events cannot be read: {_first_line(error)}; read the log again") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200]
