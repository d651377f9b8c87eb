"""A program with a session of Spark Connect: sessions by either engine, then the program's own session.

Run by test_sessions_spark.py.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyspark.sql import SparkSession

from item2vec.errors import UsageError
from item2vec.events import read_events
from item2vec.sessions import sessionize

log = SimpleNamespace(files=sys.argv[2:], items=None)
settings = (
    "ui.enabled=false",
    "driver.bindAddress=127.0.0.1",
    "driver.host=127.0.0.1",
    "log.level=OFF",
    "sql.shuffle.partitions=2",
)
builder = SparkSession.builder.remote("local[2]")
for setting in settings:
    builder = builder.config(*f"spark.{setting}".split("="))
spark = builder.getOrCreate()
spark.sql("SELECT 7 AS seven").createOrReplaceTempView("events")

for engine in ("duckdb", "spark"):
    out = Path(sys.argv[1]) / engine
    sessionize(log, min_dwell_seconds=30, engine=engine, out=out)
    whole = hashlib.sha256()
    for file in sorted(file for file in out.rglob("*") if file.is_file()):
        whole.update(str(file.relative_to(out)).encode() + file.read_bytes())
    sys.stdout.write(f"{whole.hexdigest()}\n")
with pytest.raises(UsageError, match="runs in a Spark Connect session for the sessions only"):
    read_events(log.files, columns={"ts": "ts_us"}, engine="spark")
assert SparkSession.active() is spark
assert spark.sql("SELECT seven FROM events").collect()[0].seven == 7
spark.stop()
