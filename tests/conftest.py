"""Fixtures shared by every test folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# One test's Java with the quick compiler only: the short queries of small logs never pay back the slow one.
CALLERS_SETTINGS = {
    "spark.master": "local[2]",
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "OFF",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.ansi.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the public logs; tests that need it are skipped, saying so, when it is missing."""
    path = Path(os.environ.get("ITEM2VEC_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"the public logs are not at {path}; set ITEM2VEC_REAL_DATA to their folder")
    return path


@pytest.fixture(scope="session")
def java():
    """Skip, or fail where Spark is required, without PySpark or Java."""
    missing = [] if importlib.util.find_spec("pyspark") else ["PySpark (pip install 'item2vec[spark]')"]
    missing += [] if os.environ.get("JAVA_HOME") or shutil.which("java") else ["Java 17"]
    if missing:
        told = f"Spark is not tested: {' and '.join(missing)} missing"
        (pytest.fail if os.environ.get("ITEM2VEC_REQUIRE_SPARK") else pytest.skip)(told)


@pytest.fixture(scope="session")
def spark(java, tmp_path_factory):
    """The caller's session, one for all tests: they run beside it."""
    from pyspark.sql import SparkSession

    from item2vec.spark.session import _end_java

    folder = str(tmp_path_factory.mktemp("spark"))
    builder = SparkSession.builder
    for key, value in {
        **CALLERS_SETTINGS,
        "spark.local.dir": folder,
        "spark.sql.warehouse.dir": folder,
    }.items():
        builder = builder.config(key, value)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYSPARK_PYTHON", sys.executable)  # as a cluster's administrator would
        session = builder.getOrCreate()
    yield session
    session.stop()
    _end_java()
