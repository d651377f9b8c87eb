"""Tables by name in a Spark session: beside the caller's where one is active, else in a local one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark import StorageLevel
from pyspark.errors import AnalysisException, PySparkException

from item2vec.spark.errors import first_lines, plain_errors, unreadable
from item2vec.spark.session import open_session

_SETTINGS = {
    # DuckDB's arithmetic: an overflow is an error and does not wrap around.
    "spark.sql.ansi.enabled": "true",
    # Names as DuckDB quotes them.
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    # No event is lost in silence.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    # A checkpoint keeps constraints on columns that it no longer has, on which a UNION of two would fail.
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
}
_GLOB = str.maketrans({sign: f"\\{sign}" for sign in "\\[]{}*?"})


class SparkTables:
    """A Spark session of its own beside the caller's, with stored tables.

    Stored tables are cut off from the queries that made them (local checkpoints): later queries would plan,
    and often run, the earlier ones again. On a cluster an executor that is lost takes its part of them along,
    and the call fails.

    Parameters
    ----------
    memory_limit : str
        Such as ``"900MB"``: the heap of a local Spark. An active session keeps the memory it has.
    sql_only : bool
        Whether SQL is all that will run: then the caller's session may be one of Spark Connect.

    Raises
    ------
    MissingDependencyError
        If there is no Java.
    ConfigError
        If `memory_limit` is less than a local Spark needs.
    """

    def __init__(self, memory_limit: str, sql_only: bool = False) -> None:
        self._tables: dict[str, Any] = {}
        self._open = ExitStack()
        try:
            with plain_errors():
                self._spark = open_session(memory_limit, self._open, sql_only)
                for key, value in _SETTINGS.items():
                    self._spark.conf.set(key, value)
        except BaseException:
            self.close()
            raise

    def read(self, name: str, files: Sequence[str]) -> dict[str, str]:
        """Make Parquet files readable under a name; return their columns and types."""
        with plain_errors():
            try:
                rows = self._spark.read.parquet(*map(_address, files))
            except AnalysisException as error:
                raise unreadable(first_lines(error)[0]) from error
            rows.createOrReplaceTempView(name)
            return dict(rows.dtypes)

    def put(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under a name."""
        with plain_errors():
            self._spark.createDataFrame(table).createOrReplaceTempView(name)

    def create(self, name: str, sql: str) -> int:
        """Store the rows of a query under a name (replacing what it held) and return their number."""
        with plain_errors():
            return self._store(name, self._spark.sql(sql))

    def _store(self, name: str, rows: Any) -> int:
        rows = rows.localCheckpoint(True, StorageLevel.MEMORY_AND_DISK)
        self.drop(name)
        self._tables[name] = rows
        rows.createOrReplaceTempView(name)
        return int(rows.count())

    def drop(self, name: str) -> None:
        """Forget a stored table."""
        with plain_errors():
            self._spark.catalog.dropTempView(name)
            if name in self._tables:
                _free(self._tables.pop(name))

    def fetch(self, sql: str) -> pa.Table:
        """Return the rows of a query, in its order."""
        with plain_errors():
            return self._spark.sql(sql).toArrow()

    def close(self) -> None:
        """Free memory and files, and stop Spark if it was started here."""
        with suppress(
            PySparkException, Py4JError, OSError
        ):  # Java may be gone, and with it all there was to free
            for name in list(self._tables):
                _free(self._tables.pop(name))
        self._open.close()


def _address(file: str) -> str:
    """Return what Spark reads as this one file; without a scheme it would lie in the cluster's store."""
    address = file if "://" in file else f"file://{Path(file).absolute()}"
    return address.translate(_GLOB)


def _free(rows: Any) -> None:
    # The public API frees what was cached by persist(), not a checkpoint. Spark Connect frees it with `rows`.
    if hasattr(rows, "_jdf"):
        rows._jdf.queryExecution().analyzed().rdd().unpersist(False)
