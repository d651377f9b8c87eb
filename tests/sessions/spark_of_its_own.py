"""A program without a Spark session: what it meets, one line each. Run by test_sessions_spark.py."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest
from pyspark import SparkContext

from item2vec.errors import ConfigError, MissingDependencyError, RunError
from item2vec.sessions import sessionize
from item2vec.sessions.spark_engine import SparkEngine

LONG = "SELECT COUNT(*) AS n FROM range(1000000000000) WHERE HASH(id) = 1"


def java_process() -> int:
    return SparkContext._gateway.proc.pid


def ended(process: int) -> bool:
    return SparkContext._gateway is None and not os.path.exists(f"/proc/{process}")


log = SimpleNamespace(files=sys.argv[1:], items=None)
handler = signal.getsignal(signal.SIGINT)

home = os.environ.get("JAVA_HOME")
os.environ["JAVA_HOME"] = "/nowhere"
with pytest.raises(MissingDependencyError, match="JAVA_HOME is /nowhere, where there is none"):
    sessionize(log, engine="spark")
del os.environ["JAVA_HOME"]
path, os.environ["PATH"] = os.environ["PATH"], ""
with pytest.raises(MissingDependencyError, match="needs Java 17 or newer, and there is none on the path"):
    sessionize(log, engine="spark")
os.environ["PATH"] = path
if home is not None:
    os.environ["JAVA_HOME"] = home
sys.stdout.write("no java\n")

with pytest.raises(ConfigError, match="memory_limit is '100MB'"):
    sessionize(log, engine="spark", memory_limit="100MB")
sys.stdout.write("little memory\n")

engine = SparkEngine("512MB")
java = java_process()
threading.Timer(1, os.kill, (java, signal.SIGKILL)).start()
with pytest.raises(RunError, match="Java process is gone"):
    engine.create("t", LONG)
engine.close()
assert ended(java)
sys.stdout.write("killed\n")

engine = SparkEngine("512MB")
java = java_process()
threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
with pytest.raises(KeyboardInterrupt):
    engine.create("t", LONG)
engine.close()
assert ended(java)
sys.stdout.write("stopped\n")

sys.stdout.write(f"sessions {len(sessionize(log, engine='spark'))}\n")
assert SparkContext._gateway is None
assert signal.getsignal(signal.SIGINT) is handler
