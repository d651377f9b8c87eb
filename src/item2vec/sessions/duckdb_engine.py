"""DuckDB behind the engine's door: one process, bounded memory, spilling to a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from item2vec.artifacts.temporary import temporary_place
from item2vec.errors import RunError, SourceError
from item2vec.events.engine import first_line, is_interrupt, silence
from item2vec.sessions.engine import check_columns

_BATCH_ROWS = 250_000
_SPILL = "item2vec-sessions-"
_SPARKS_NAMES = {"VARCHAR": "string"}


class DuckDBEngine:
    """An in-memory database; see :class:`item2vec.sessions.engine.SqlEngine`.

    Parameters
    ----------
    memory_limit : str
        Such as ``"900MB"``; beyond it DuckDB spills.
    """

    def __init__(self, memory_limit: str) -> None:
        self._spill = tempfile.TemporaryDirectory(prefix=_SPILL, dir=temporary_place())
        self._connection = duckdb.connect()
        settings = {
            "memory_limit": f"'{memory_limit}'",
            "temp_directory": "'" + self._spill.name.replace("'", "''") + "'",
            # Every result that has an order says so; rows in between may come as they like.
            "preserve_insertion_order": "false",
        }
        for name, value in settings.items():
            self._connection.execute(f"SET {name} = {value}")
        silence(self._connection)

    def open_events(self, files: Sequence[str]) -> None:
        """Make the Parquet files readable as the table ``events``."""
        with _plain_errors():
            events = self._connection.read_parquet(list(files))
            types = [str(each) for each in events.types]
            named = [_SPARKS_NAMES.get(each, each.lower()) for each in types]
            check_columns(dict(zip(events.columns, named, strict=True)))
            events.create_view("events")

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
    except Exception as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from None
        line = first_line(error)
        if isinstance(error, duckdb.OutOfMemoryException) or (
            isinstance(error, duckdb.IOException) and _SPILL in line
        ):
            advice = "raise memory_limit or free the temporary disk"
            raise RunError(f"no memory left for the sessions: {line}; {advice}") from error
        if not _is_of_the_files(error):
            raise
        raise SourceError(f"the events cannot be read: {line}; read the log again") from error


def _is_of_the_files(error: Exception) -> bool:
    # DuckDB gives most damage in a Parquet file its base class; SQL at fault comes as a class of its own.
    return type(error) is duckdb.Error or isinstance(error, duckdb.IOException | duckdb.InvalidInputException)
