"""The rows of a log on Spark: its workers cut and type them by the package's own code, it compares and sorts.

What is told of one row is SQL of DuckDB, which every worker runs on its part of the files. What goes across
rows is SQL that both engines share, or one SQL statement of an importer, run where all rows of an item are.
The parts of the event table are written by the workers, the bytes that DuckDB's result would be.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql.functions import col, lit, when

from item2vec.errors import RunError
from item2vec.events import publish
from item2vec.events.attributes import write_table
from item2vec.events.config import EventsConfig
from item2vec.events.engine import Engine
from item2vec.events.expressions import quote_text
from item2vec.events.files import Source
from item2vec.events.importers import Importer
from item2vec.events.outcomes import Outcomes, accepted
from item2vec.events.rows import event_columns
from item2vec.events.scan import Scan, parquet_view, quote_files, scan_parquet
from item2vec.events.schema import EVENT_ORDER, event_schema
from item2vec.events.shares import FileShare, by_files, by_rows
from item2vec.events.spark_work import expanded, packed, stage_share, type_share, written
from item2vec.spark.errors import plain_errors
from item2vec.spark.tables import SparkTables
from item2vec.spark.tasks import memory_per_task, run_tasks, workers_errors

_DDL = {"string": "STRING", "int64": "BIGINT", "int32": "INT", "double": "DOUBLE"}


class SparkRows(SparkTables):
    """Rows in files that Spark's workers write and read; see :class:`item2vec.events.rows.Rows`.

    Parameters
    ----------
    engine : Engine
        This process's, for what does not look at every row.
    config : EventsConfig
    private : Path
        A folder that the workers see too.
    """

    hash64 = "xxhash64"

    def __init__(self, engine: Engine, config: EventsConfig, private: Path) -> None:
        self._engine, self._private = engine, private.absolute()
        self._shares: list[dict[str, Any]] = []
        super().__init__(config.memory_limit)
        self._task_memory = memory_per_task(self._spark, config.memory_limit)

    def scan(self, source: Source, bar: Any) -> Scan:
        """Cut text into records, a share of the files per task; look at Parquet's footers only."""
        n_cores = self._spark.sparkContext.defaultParallelism
        if source.format == "parquet":
            scan = scan_parquet(self._engine, source, "source")
            self._shares = [_parquet_share(scan, share) for share in by_rows(scan.row_counts, n_cores)]
            bar.update(scan.rows_in)
            return scan
        from item2vec.events.staged import Staged, merged, scan_of, text_view

        jobs = [
            {"paths": paths, "folder": str(self._private / "staged" / f"{number:05d}")}
            for number, paths in enumerate(by_files(source.paths, n_cores))
        ]
        told = {"format": source.format, "delimiter": source.delimiter}
        shares = [Staged.from_record(share) for share in run_tasks(self._spark, stage_share, jobs, **told)]
        whole = merged(shares)
        scan = scan_of(whole, source)
        self._check_seen(file for share in shares for file in share.files)
        self._shares = [{"source": text_view(share, whole)} for share in shares if share.files]
        self._engine.run(f"CREATE VIEW source AS {self._shares[0]['source']}")
        bar.update(scan.rows_in)
        return scan

    def type(self, scan: Scan, prepare: str, typed: str, read: Collection[str]) -> None:
        """Write ``typed`` as files, one per share."""
        folder = self._private / "typed"
        jobs = [
            {**share, "file": str(folder / f"{number:05d}.parquet")}
            for number, share in enumerate(self._shares)
        ]
        told = {"where": self._engine.where, "memory_limit": self._task_memory}
        run_tasks(self._spark, type_share, jobs, prepare=prepare, typed=typed, read=sorted(read), **told)
        self._check_seen(job["file"] for job in jobs)
        self.read("typed", [str(folder)])

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with plain_errors():
            return [tuple(row) for row in self._spark.sql(sql).collect()]

    store = SparkTables.create

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Yield the result of a query, a partition at a time in memory."""
        with workers_errors():
            for row in self._spark.sql(sql).mapInArrow(packed, "batch BINARY").toLocalIterator():
                yield from pa.ipc.open_stream(row.batch)

    def write_events(
        self, importer: Importer, id_type: str, outcomes: Outcomes, table: Path, bar: Any
    ) -> dict[str, int]:
        """Write the events in their total order, a part per task, and count them by type."""
        schema = event_schema(id_type)
        with workers_errors():
            rows = self._spark.sql(accepted(event_columns(importer, id_type), outcomes))
            rows.createOrReplaceTempView("events")
            n_rows = outcomes.ok
            if importer.expand != Importer.expand:
                make = functools.partial(expanded, importer.expand, id_type, self._task_memory)
                columns = ", ".join(f"{field.name} {_DDL[str(field.type)]}" for field in schema)
                n_rows = self._store("events", rows.repartition("item_id").mapInArrow(make, columns))
            firsts = self._first_users(n_rows)
            rows = self._spark.table("events").withColumn("part", _part(firsts, 0))
            ordered = rows.repartition(len(firsts) + 1, "part").sortWithinPartitions("part", *EVENT_ORDER)
            folder, unfinished = (table / "events").absolute(), self._private / "unfinished"
            write = functools.partial(written, id_type, str(folder), str(unfinished))
            found = (
                ordered.mapInArrow(write, "file STRING, event_type STRING, n BIGINT").toArrow().to_pylist()
            )
        self._check_seen(row["file"] for row in found)
        counts: Counter[str] = Counter()
        for row in found:
            counts[row["event_type"]] += row["n"]
        bar.update(counts.total())
        return dict(sorted(counts.items()))

    def _first_users(self, n_rows: int) -> list[str]:
        """Return the first user of every part of the event table but the first part."""
        if n_rows <= publish.PART_ROWS:
            return []
        before = "SUM(n) OVER (ORDER BY user_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        firsts = self.run(
            f"SELECT MIN(user_id) FROM (SELECT user_id, COALESCE({before}, 0) DIV {publish.PART_ROWS} AS part"
            " FROM (SELECT user_id, COUNT(*) AS n FROM events GROUP BY user_id)) GROUP BY part ORDER BY part"
        )
        return [user for (user,) in firsts[1:]]

    def write_items(self, importer: Importer, id_type: str, outcomes: Outcomes, file: Path) -> None:
        """Write the items that the importer finds in the log, in this process: such a log is a public one."""
        files = quote_files(sorted((self._private / "typed").glob("*.parquet")))
        self._engine.run(f"CREATE VIEW typed AS SELECT * FROM read_parquet([{files}])")
        if outcomes.repeated:
            self._engine.put("repeats", self.fetch("SELECT __file, __line FROM repeats"))
        kept = accepted(event_columns(importer, id_type), outcomes)
        self._engine.run(f"CREATE VIEW accepted AS {kept}")
        write_table(self._engine, f"SELECT * FROM ({importer.items}) ORDER BY item_id", file)

    def _check_seen(self, files: Iterable[str]) -> None:
        """Make sure that what workers wrote is seen here."""
        if lost := next((file for file in files if not Path(file).exists()), None):
            raise RunError(
                f"Spark's workers wrote {lost}, which is not there for this process: with engine = 'spark'"
                " the folder of the events must be on a file system that all machines share; set out (or"
                " --runs-dir) to one"
            )


def _parquet_share(scan: Scan, share: FileShare) -> dict[str, Any]:
    """Return the SELECT of some rows of some files, and what its worker has to decode for a check."""
    files = share.files if scan.alike else tuple(scan.row_counts)
    limits = "" if share.rows is None else " AND __line BETWEEN {} AND {}".format(*share.rows)
    where = f"WHERE __file IN ({', '.join(map(quote_text, share.files))}){limits}"
    return {"source": f"SELECT * FROM ({parquet_view(scan, files)}) {where}", "pages": asdict(share)}


def _part(firsts: list[str], low: int) -> Any:
    """Return the expression of a user's part, by halving: the users in `firsts` begin parts ``low + 1``, …"""
    if not firsts:
        return lit(low)
    middle = len(firsts) // 2
    left, right = _part(firsts[:middle], low), _part(firsts[middle + 1 :], low + middle + 1)
    return when(col("user_id") < lit(firsts[middle]), left).otherwise(right)
