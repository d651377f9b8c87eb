"""A program for spark-submit that has no session before `sessionize`. Run by test_sessions_spark.py."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

from pyspark.sql import SparkSession

from item2vec.sessions import sessionize

log = SimpleNamespace(files=sys.argv[1:], items=None)
told = [f"sessions {len(sessionize(log, engine='spark', memory_limit='900MB'))}" for _ in range(2)]
spark = SparkSession.builder.getOrCreate()
told += [
    f"master {spark.sparkContext.master}",
    f"memory {spark.conf.get('spark.driver.memory')}",
    f"rows {spark.range(3).count()}",
]
spark.stop()
# Not to standard output: spark-submit mixes the two streams.
Path("told").write_text("\n".join(told))
