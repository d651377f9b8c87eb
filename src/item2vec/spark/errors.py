"""What Spark, Java and the machine refuse, in this package's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark.errors import AnalysisException, PySparkException

from item2vec.errors import Item2VecError, RunError, SourceError

_UNREADABLE = ("FAILED_READ_FILE", "CANNOT_READ_FILE_FOOTER", "FileNotFoundException")
_OUT_OF_MEMORY = ("OutOfMemoryError", "UNABLE_TO_ACQUIRE_MEMORY", "No space left on device")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what Spark, Java and the machine refuse into this package's errors."""
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
    lines = first_lines(error)
    for signs, refusal in ((_OUT_OF_MEMORY, _no_memory), (_UNREADABLE, unreadable)):
        for line in lines:
            if any(sign in line for sign in signs):
                return refusal(line)
    if isinstance(error, AnalysisException):
        return None
    return RunError(f"Spark failed: {lines[-1][:300]}; look into its log, then run again")


def first_lines(error: Exception) -> list[str]:
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
        f"no memory left in Spark: {line[:300]}; raise memory_limit (or the memory of your own"
        " Spark session) or free the temporary disk"
    )


def unreadable(line: str) -> SourceError:
    """Return the error of event files that cannot be read."""
    return SourceError(f"the events cannot be read: {line[:300]}; read the log again")
