"""Spark behind the engine's door: beside the caller's session where one is active, else a local one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark import StorageLevel
from pyspark.errors import AnalysisException, PySparkException

from item2vec.errors import Item2VecError, RunError, SourceError
from item2vec.sessions.engine import check_columns
from item2vec.sessions.spark_session import open_session

_SETTINGS = {
    # DuckDB's arithmetic: an overflow is an error and does not wrap around.
    "spark.sql.ansi.enabled": "true",
    # No event is lost in silence.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    # A checkpoint keeps constraints on columns that it no longer has, on which a UNION of two would fail.
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
}
_UNREADABLE = ("FAILED_READ_FILE", "CANNOT_READ_FILE_FOOTER", "FileNotFoundException")
_OUT_OF_MEMORY = ("OutOfMemoryError", "UNABLE_TO_ACQUIRE_MEMORY", "No space left on device")
_GLOB = str.maketrans({sign: f"\\{sign}" for sign in "\\[]{}*?"})


class SparkEngine:
    """A Spark session of its own beside the caller's; see :class:`item2vec.sessions.engine.SqlEngine`.

    Stored tables are cut off from the queries that made them (local checkpoints): later queries would plan,
    and often run, the earlier ones again. On a cluster an executor that is lost takes its part of them along,
    and the call fails.

    Parameters
    ----------
    memory_limit : str
        Such as ``"900MB"``: the heap of a local Spark. An active session keeps the memory it has.

    Raises
    ------
    MissingDependencyError
        If there is no Java.
    ConfigError
        If `memory_limit` is less than a local Spark needs.
    """

    def __init__(self, memory_limit: str) -> None:
        self._tables: dict[str, Any] = {}
        self._open = ExitStack()
        try:
            with _plain_errors():
                self._spark = open_session(memory_limit, self._open)
                for key, value in _SETTINGS.items():
                    self._spark.conf.set(key, value)
        except BaseException:
            self.close()
            raise

    def open_events(self, files: Sequence[str]) -> None:
        """Make the Parquet files readable as the table ``events``."""
        with _plain_errors():
            try:
                events = self._spark.read.parquet(*map(_address, files))
            except AnalysisException as error:
                raise _unreadable(_lines(error)[0]) from error
            check_columns(dict(events.dtypes))
            events.createOrReplaceTempView("events")

    def put(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under a name."""
        with _plain_errors():
            self._spark.createDataFrame(table).createOrReplaceTempView(name)

    def create(self, name: str, sql: str) -> int:
        """Store the rows of a query under a name (replacing what it held) and return their number."""
        with _plain_errors():
            rows = self._spark.sql(sql).localCheckpoint(True, StorageLevel.MEMORY_AND_DISK)
            self.drop(name)
            self._tables[name] = rows
            rows.createOrReplaceTempView(name)
            return int(rows.count())

    def drop(self, name: str) -> None:
        """Forget a stored table."""
        with _plain_errors():
            self._spark.catalog.dropTempView(name)
            if name in self._tables:
                _free(self._tables.pop(name))

    def fetch(self, sql: str) -> pa.Table:
        """Return the rows of a query, in its order."""
        with _plain_errors():
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
    # The public API frees what was cached by persist(), not a checkpoint.
    rows._jdf.queryExecution().analyzed().rdd().unpersist(False)


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except (PySparkException, Py4JError, OSError) as error:
        told = _plain(error)
        if told is None:
            raise
        raise told from error


def _plain(error: Exception) -> Item2VecError | None:
    """Say it in plain words; None where the SQL is at fault, which no other input would mend."""
    if isinstance(error, Py4JNetworkError | ConnectionError):
        return RunError(
            "Spark's Java process is gone (killed, or out of memory); start again, with a larger memory_limit"
        )
    if isinstance(error, OSError):
        return RunError(f"Spark cannot work on this machine: {error}; correct that, then run again")
    lines = _lines(error)
    for signs, refusal in ((_OUT_OF_MEMORY, _no_memory), (_UNREADABLE, _unreadable)):
        for line in lines:
            if any(sign in line for sign in signs):
                return refusal(line)
    if isinstance(error, AnalysisException):
        return None
    return RunError(f"Spark failed: {lines[-1][:300]}; look into its log, then run again")


def _lines(error: Exception) -> list[str]:
    """Return the first line of what failed and of each of its causes."""
    if isinstance(error, Py4JJavaError):
        found, cause = [], error.java_exception
        while cause is not None:
            found.append(str(cause.toString()))
            cause = cause.getCause()
    else:
        found = [str(error)]
    return [text.strip().split("\n", 1)[0] or type(error).__name__ for text in found]


def _no_memory(line: str) -> RunError:
    return RunError(
        f"no memory left for the sessions: {line[:300]}; raise memory_limit (or the memory of your own"
        " Spark session) or free the temporary disk"
    )


def _unreadable(line: str) -> SourceError:
    return SourceError(f"the events cannot be read: {line[:300]}; read the log again")
