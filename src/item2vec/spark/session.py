"""The Spark session that the rules run in: beside the caller's, or in a Java process of this call."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException, PySparkRuntimeError
from pyspark.sql import SparkSession

from item2vec.artifacts.temporary import temporary_place
from item2vec.errors import ConfigError, MissingDependencyError, UsageError

_LEAST_MB = 512  # Spark refuses a heap below 450 MiB
# Java's second compiler costs more than it saves in so short a process: at a million events 50 s of CPU time
# against 29.
_ONE_COMPILER = "-XX:TieredStopAtLevel=1"
# What fails comes back as an exception; Java's own account of it would only fill the terminal.
# A file without an appender counts for none.
_QUIET = """rootLogger.level = off
rootLogger.appenderRef.none.ref = none
appender.none.type = Null
appender.none.name = none
"""


def open_session(memory_limit: str, closing: ExitStack, sql_only: bool = False) -> Any:
    """Open a session with its own settings and temporary views.

    Parameters
    ----------
    memory_limit : str
        Such as ``"900MB"``: the heap of Java, if it is started here.
    closing : ExitStack
        Receives what has to be undone in the end.
    sql_only : bool
        Whether SQL is all that will run: that it does over Spark Connect too.

    Returns
    -------
    pyspark.sql.SparkSession
        A new session beside the active one (or the default one), with its settings; else a local one.
        Under spark-submit the program's own session is made first, as submitted, and is left to it.

    Raises
    ------
    MissingDependencyError
        If Spark would have to be started and there is no Java 17 or newer.
    ConfigError
        If `memory_limit` is less than a local Spark needs.
    UsageError
        If the active session is a remote one (Spark Connect) and more than SQL will run.
    """
    try:
        active = SparkSession.active()
    except PySparkRuntimeError:
        if not _submitted():
            return _start(memory_limit, closing)
        # Not to be stopped either: on a cluster that would end the whole program.
        active = SparkSession.builder.getOrCreate()
    if not isinstance(active, SparkSession) and not sql_only:
        raise UsageError(
            "engine='spark' runs in a Spark Connect session for the sessions only; stop it, or use one on the"
            " cluster itself"
        )
    beside = active.newSession()
    for key, value in active.conf.getAll.items():
        if beside.conf.get(key, None) != value:
            beside.conf.set(key, value)
    if not isinstance(active, SparkSession):
        # There a checkpoint becomes a table of the active session, whichever session made it.
        thread = type(active)._active_session
        closing.callback(setattr, thread, "session", active)
        thread.session = beside
        # Else the end of the program would wait for a server that may have ended before.
        closing.callback(beside.client.close)
        closing.callback(beside.client.release_session)
        return beside
    # Whichever session makes a table becomes the active one; the caller's has to be it again.
    closing.callback(active.createDataFrame, [], "nothing INT")
    return beside


def _submitted() -> bool:
    """Tell whether spark-submit started this program: its Java, master and memory are the program's."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _start(memory_limit: str, closing: ExitStack) -> SparkSession:
    _check_java()
    folder = closing.enter_context(
        tempfile.TemporaryDirectory(prefix="item2vec-spark-", dir=temporary_place())
    )
    if (
        threading.current_thread() is threading.main_thread()
    ):  # Spark puts its own in the place of Ctrl-C's handler
        closing.callback(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT) or signal.SIG_DFL)
    if SparkContext._gateway is None:
        closing.callback(_end_java)
    builder = SparkSession.builder
    for key, value in _local_settings(_heap(memory_limit), Path(folder).absolute()).items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise MissingDependencyError(
            f"Spark did not start ({error}); it needs Java 17 or newer, by JAVA_HOME or on the path"
        ) from error
    closing.callback(_stop, session)
    if "PYSPARK_PYTHON" not in os.environ:  # else its workers run whatever python3 is first on the path
        session.sparkContext.pythonExec = sys.executable
    return session


def _local_settings(heap: str, folder: Path) -> dict[str, str]:
    logging = folder / "log4j2.properties"
    logging.write_text(_QUIET, "utf-8")
    return {
        "spark.master": "local[*]",
        "spark.app.name": "item2vec",
        "spark.driver.memory": heap,
        "spark.driver.maxResultSize": "0",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={logging.as_uri()} {_ONE_COMPILER}",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder),
        # Spark's 200 are for clusters: here they are 200 tasks one after the other.
        "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }


def megabytes(memory_limit: str) -> int:
    """Return how many megabytes a limit such as ``"900MB"`` or ``"2GB"`` is."""
    number, unit = re.fullmatch(r"(\d+)(MB|GB)", memory_limit).groups()  # type: ignore[union-attr]
    return int(number) * (1 if unit == "MB" else 1000)


def _heap(memory_limit: str) -> str:
    if megabytes(memory_limit) < _LEAST_MB:
        raise ConfigError(
            f"memory_limit is {memory_limit!r}; with engine='spark' it must be {_LEAST_MB}MB at least"
        )
    return memory_limit.removesuffix("B").lower()


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else shutil.which("java")
    if java is None or not Path(java).exists():
        where = f"JAVA_HOME is {home}, where there is none" if home else "there is none on the path"
        raise MissingDependencyError(
            f"engine='spark' needs Java 17 or newer, and {where}: apt-get install openjdk-17-jre-headless"
        )


def _stop(session: SparkSession) -> None:
    with suppress(PySparkException, Py4JError, OSError):  # Java may be gone
        session.stop()


def _forget() -> None:
    """Forget a Spark whose Java is gone; PySpark would ask it whether it is still there."""
    SparkContext._active_spark_context = SparkContext._gateway = SparkContext._jvm = None
    SparkSession._instantiatedSession = SparkSession._activeSession = None


def _end_java() -> None:
    """End the Java process, which PySpark would keep, heap and all, for as long as this process lives."""
    gateway = SparkContext._gateway
    _forget()
    if gateway is None:
        return
    with suppress(Py4JError, OSError):
        gateway.shutdown()
    gateway.proc.stdin.close()  # the end of its input is its sign to leave
    try:
        gateway.proc.wait(30)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()
