"""Python functions as tasks of Spark's workers, which need this package; refusals come back as they are."""

from __future__ import annotations

import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyspark.errors import PySparkException

from item2vec.errors import Item2VecError, MissingDependencyError, RunError, of_the_system
from item2vec.spark.errors import plain_errors
from item2vec.spark.session import megabytes

Job = Mapping[str, Any]
_COLUMNS = "job INT, refused STRING, told STRING"
_SCHEMA = pa.schema([("job", pa.int32()), ("refused", pa.string()), ("told", pa.string())])
_LEAST_MB = 256
_ERRORS = vars(sys.modules[Item2VecError.__module__])
_RAISED = re.compile(r"^item2vec\.errors\.(\w+): (.*)$", re.MULTILINE)


def run_tasks(spark: Any, work: Callable[..., Any], jobs: Sequence[Job], **shared: Any) -> list[Any]:
    """Run a function once for each job, a job per task, and return what it returned, in the jobs' order.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
    work : callable
        A function of a module, called with a job's entries and `shared` by name. What it returns and what it
        is given travels as JSON. It may run twice for a job that Spark tries again.
    jobs : sequence of mappings
    shared : Any
        What all jobs are told.

    Raises
    ------
    Item2VecError
        What the first of the jobs that failed raised.
    MissingDependencyError
        If the workers' Python lacks a package.
    RunError
        If Spark fails.
    """
    entries = [json.dumps(job) for job in jobs]

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                refused, told = _run_there(work, {**json.loads(entries[number]), **shared})
                columns = [pa.array([value], field.type) for value, field in
                           zip((number, refused, told), _SCHEMA, strict=True)]  # fmt: skip
                yield pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)

    if not jobs:
        return []
    with workers_errors():
        tasks = spark.range(0, len(jobs), 1, len(jobs))
        rows = tasks.mapInArrow(run, _COLUMNS).toArrow().sort_by("job").to_pylist()
    for row in rows:
        if row["refused"] is not None:
            raise _ERRORS[row["refused"]](json.loads(row["told"]))
    return [json.loads(row["told"]) for row in rows]


def memory_per_task(spark: Any, memory_limit: str) -> str:
    """Return a task's share of what the tasks of one executor may have together, which run at the same time.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
    memory_limit : str
        Such as ``"900MB"``. A share is 256 MB at least, or all of a smaller limit.
    """
    whole = megabytes(memory_limit)
    return f"{max(whole // _tasks_at_once(spark.sparkContext), min(whole, _LEAST_MB))}MB"


def _tasks_at_once(context: Any) -> int:
    """Return how many tasks an executor runs at the same time."""
    settings = context.getConf()
    local = context.master.split("[")[0] == "local"  # the driver is the only executor
    stated = None if local else settings.get("spark.executor.cores")
    # With the driver, which has no tasks on a cluster
    n_executors = context._jsc.sc().getExecutorMemoryStatus().size() - (not local)
    cores = int(stated) if stated else math.ceil(context.defaultParallelism / max(n_executors, 1))
    return max(1, cores // int(settings.get("spark.task.cpus", "1")))


def _run_there(work: Callable[..., Any], job: Job) -> tuple[str | None, str]:
    """Run a job, in a worker; return the class of its refusal and what it returned or said."""
    try:
        return None, json.dumps(work(**job))
    except Item2VecError as error:
        return type(error).__name__, json.dumps(str(error))
    except OSError as error:
        if not of_the_system(error):
            raise
        told = f"a worker of Spark cannot go on: {error}; correct that, then run again"
        return RunError.__name__, json.dumps(told)


@contextmanager
def workers_errors() -> Iterator[None]:
    """Turn what fails in Spark and in its Python workers into this package's errors."""
    try:
        with plain_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of pandas 3, which takes no part in this
            yield
    except RunError as error:
        told = str(error.__cause__)
        if not isinstance(error.__cause__, PySparkException):
            raise
        if "ModuleNotFoundError" in told:
            lacking = told.split("ModuleNotFoundError: ", 1)[1].split("\n", 1)[0]
            raise MissingDependencyError(
                f"Spark's workers: {lacking}; install item2vec there, or set PYSPARK_PYTHON to a Python that"
                " has it"
            ) from error
        if raised := _RAISED.findall(told):
            kind, message = raised[-1]
            raise _ERRORS[kind](message) from error
        raise
