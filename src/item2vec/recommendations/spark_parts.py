"""The parts of a batch table, made by Spark's workers: the table goes there as files, the parts come back."""

from __future__ import annotations

import io
import tarfile
import tempfile
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark import SparkFiles
from pyspark.errors import PySparkException

from item2vec.artifacts.temporary import temporary_place
from item2vec.recommendations.batch_tables import BatchTable, open_table
from item2vec.recommendations.parts import Format, MadePart, PartCounts, encoded
from item2vec.spark.errors import plain_errors
from item2vec.spark.session import open_session
from item2vec.spark.tasks import workers_errors

_COLUMNS = "part INT, n_rows BIGINT, n_short BIGINT, n_empty BIGINT, body BINARY"
_SCHEMA = pa.schema(
    [("part", pa.int32()), *((name, pa.int64()) for name in PartCounts._fields), ("body", pa.binary())]
)
_HEAP = "900MB"
_AT_ONCE = 64
"""Parts that may lie in the driver's memory at once, some megabytes each."""


def parts_on_spark(
    table: BatchTable, form: Format, fingerprint: str, missing: list[int]
) -> Generator[MadePart]:
    """Make some parts of a table, one per task.

    The table travels once, as an archive of its files in a broadcast variable: what SparkContext.addFile
    sends can never be taken back, and every executor that is added later would ask for it. A worker process
    unpacks and opens it once. Parts come back as the bytes of their files, a round of tasks at a time, so
    that the driver's memory does not grow with the table.

    Parameters
    ----------
    table : BatchTable
    form : {"parquet", "csv"}
    fingerprint : str
        Of the job; it is written into the parts.
    missing : list of int
        The parts to make.

    Yields
    ------
    tuple of (int, pyarrow.Buffer, PartCounts)

    Raises
    ------
    MissingDependencyError
        If there is no Java, or the workers' Python lacks a package.
    RunError
        If Spark fails.
    """
    if not missing:
        return
    with ExitStack() as closing:
        with plain_errors():
            spark = open_session(_HEAP, closing)
            shipped = spark.sparkContext.broadcast(_packed(table))
            closing.callback(_take_back, shipped)
        name = uuid.uuid4().hex
        step = min(max(1, spark.sparkContext.defaultParallelism), _AT_ONCE)
        for start in range(0, len(missing), step):
            made = _round(spark, (name, shipped), missing[start : start + step], form, fingerprint)
            for row in range(made.num_rows):
                part, *counts = (made[field][row].as_py() for field in _SCHEMA.names[:-1])
                yield part, made["body"][row].as_buffer(), PartCounts(*counts)


def _packed(table: BatchTable) -> bytes:
    """Return the table's files as one archive."""
    body = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="item2vec-parts-", dir=temporary_place()) as place:
        table.save(Path(place) / "table")
        with tarfile.open(fileobj=body, mode="w") as archive:
            archive.add(Path(place) / "table", "table")
    return body.getvalue()


def _take_back(shipped: Any) -> None:
    with suppress(PySparkException, Py4JError, OSError):  # Java may be gone
        shipped.destroy()


def _round(spark: Any, table: tuple[str, Any], parts: list[int], form: Format, fingerprint: str) -> pa.Table:
    """Make some parts at once and fetch them; the table is its name and its archive."""

    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.column(0).to_pylist():
                yield _made_there(*table, parts[row], form, fingerprint)

    with workers_errors():
        tasks = spark.range(0, len(parts), 1, len(parts))
        return tasks.mapInArrow(make, _COLUMNS).toArrow()


_OPEN: dict[str, BatchTable] = {}


def _made_there(name: str, shipped: Any, part: int, form: Format, fingerprint: str) -> pa.RecordBatch:
    """Make a part, in a worker."""
    if name not in _OPEN:
        _OPEN.clear()
        _OPEN[name] = _unpacked(shipped.value)
    table, counts = _OPEN[name].make(part)
    body = encoded(table, form, fingerprint, part, counts)
    columns = [part, *counts, body.to_pybytes()]
    return pa.RecordBatch.from_arrays(
        [pa.array([value], field.type) for value, field in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA
    )


def _unpacked(archive: bytes) -> BatchTable:
    """Open the table from its files, which then lose their names: they last as long as they are mapped."""
    with tempfile.TemporaryDirectory(prefix="item2vec-", dir=SparkFiles.getRootDirectory()) as place:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(place, filter="data")
        return open_table(Path(place) / "table")
