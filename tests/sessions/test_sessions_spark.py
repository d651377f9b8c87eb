"""Spark against DuckDB, on a real local Spark: the same sessions to the byte, failures in plain words."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sessions_referee import Event, write_events
from test_sessionize_referee import event_tables, rule_sets

from item2vec.config import RunConfig
from item2vec.errors import EmptyDataError, Item2VecError, RunError, SourceError
from item2vec.events import read_events
from item2vec.run import run_pipeline
from item2vec.sessions import SessionsConfig, sessionize

pytestmark = pytest.mark.spark

S = 1_000_000
HOUR = 3600 * S
DAY = 24 * HOUR
CONFIGS = {
    "defaults": {},
    "dwell and collapse": {"min_dwell_seconds": 30, "repeats": "collapse", "min_length": 1},
    "caps and unique": {
        "max_session_length": 9,
        "max_clicks_per_user_day": 12,
        "repeats": "unique",
        "booking_window_hours": 1,
    },
    "guards": {
        "pairs_once_per_day": True,
        "max_session_length": 100,
        "max_sessions_per_user_item": 3,
        "min_users_per_item": 3,
        "booked_weight": 2,
    },
    "half a minute": {"gap_minutes": 0.5, "booking_window_hours": 0},
    "booking sequences": {"kind": "booking"},
    "guarded booking sequences": {
        "kind": "booking",
        "repeats": "collapse",
        "min_length": 1,
        "max_session_length": 8,
        "max_clicks_per_user_day": 5,
        "min_users_per_item": 2,
    },
}


def digests(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def fields(sessions):
    """Every column with its type, for a difference that can be read."""
    shown = {}
    for name, value in vars(sessions).items():
        if isinstance(value, np.ndarray):
            value = (str(value.dtype), value.tolist())
        elif isinstance(value, pa.Array | pa.Table):
            value = (str(value.type if isinstance(value, pa.Array) else value.schema), value.to_pylist())
        shown[name] = value
    return shown


def check_same(table, keys):
    """Build with both engines; return the sessions, or what was refused."""
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for engine in ("duckdb", "spark"):
            try:
                sessions = sessionize(table, **keys, engine=engine, out=Path(folder) / engine)
                found[engine] = (fields(sessions), digests(Path(folder) / engine))
            except EmptyDataError as error:
                sessions, found[engine] = None, str(error)
    assert found["spark"] == found["duckdb"]
    return sessions


# Ids whose order differs by UTF-16, by language and by numbers; "é" in its two Unicode forms.
NAMES = [
    "a",
    "B",
    "Z",
    "b",
    "ä",
    "é",
    "e\u0301",
    "z",
    "10",
    "9",
    "北京",
    "\ufffd",
    "\U0001f600",
    "a b",
    "'",
    "{",
    "\\",
]
NUMBERS = [2**63 - 1, -(2**63), 2**53, 2**53 + 1, 0, -1, 7, 10]
MARKETS = [None, None, "", " ", "\t", "\u00a0", "\u2003", "Köln", "Bern", "bern", "\U0001f600", "\ufffd"]
KINDS = ["click"] * 6 + ["booking", "booking", "wishlist", "inquiry", "impression", "rejection"]
STEPS = [0, 0, 1, 10 * S, 20 * S, 30 * S - 1, 30 * S, 1800 * S - 1, 1800 * S, 1800 * S + 1, 9 * HOUR, DAY]
SEQS = [0, 0, 1, -1, -(2**63), 2**63 - 1]


def edge_log(items):
    """Ties, exact gaps and window ends, odd ids and robots, users with one event: drawn and planted."""
    draw = random.Random(5)
    events = []

    def add(user, ts_us, kind, item, seq=0, dwell=None):
        name = f"{draw.choice('aZä')}{len(events)}"
        events.append(Event(user, ts_us, kind, item, seq, name, dwell, draw.choice(MARKETS)))

    for number in range(120):
        user = f"{draw.choice(NAMES)}{number % 100}"
        now = draw.choice([0, -5 * S, DAY - S, 1_470_000_000 * S])
        for _ in range(draw.choice([1, 2, 5, 14, 30])):
            now += draw.choice(STEPS)
            item = draw.choice(items)
            add(
                user,
                now,
                draw.choice(KINDS),
                item,
                draw.choice(SEQS),
                draw.choice([None, None, 0.0, 29.9, 30.0]),
            )
    first, second, third = items[:3]
    for user, gap in {"gap-": 1800 * S - 1, "gap": 1800 * S, "gap+": 1800 * S + 1}.items():
        for n in range(4):
            add(user, n * gap, "click", items[n])
    for user, late in {"window-": 24 * HOUR - 1, "window": 24 * HOUR, "window+": 24 * HOUR + 1}.items():
        add(user, -1, "booking", first)
        add(user, 0, "click", first)
        add(user, S, "click", second)
        add(user, S + late, "booking", first)
        add(user, S + late, "booking", third)
    for n, seq in enumerate((2**63 - 1, -(2**63), 0, -1)):
        add("ties", 5 * S, "click", items[n], seq)
    for n in range(300):
        add("robot", n * S, "click", items[n % 5])
    for n in range(300):  # a market without a name, the most frequent of an item whose market nobody knows
        add("blank", n * S, "impression", second)
        events[-1].market = "\u00a0"
    draw.shuffle(events)
    return events


def write_log(folder, items):
    known = pa.table({"item_id": items[:6], "market": ["Köln", None, " ", "\u00a0", "Bern", "Aarau"]})
    table = write_events(folder, edge_log(items), known)
    table.files.append(str(folder / "part-2.parquet"))
    pq.write_table(pq.read_schema(table.files[0]).empty_table(), table.files[-1])
    return table


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("log") / "a folder [1] {with}, *signs* = ü?", NAMES)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_setting_gives_the_same_sessions(spark, log, name):
    sessions = check_same(log, CONFIGS[name])
    assert len(sessions) > 20
    assert len(sessions.booked) > 4 or sessions.kind == "booking"


@pytest.mark.parametrize("name", ["guards", "guarded booking sequences"])
def test_integer_ids_give_the_same_sessions(spark, tmp_path, name):
    sessions = check_same(write_log(tmp_path, NUMBERS), CONFIGS[name])
    assert sessions.item_ids.type == pa.int64()
    assert len(sessions) > 20


def test_no_setting_is_left_out():
    named = {key for keys in CONFIGS.values() for key in keys}
    assert named == set(SessionsConfig.model_fields) - {"engine", "memory_limit"}


def check_logs(logs, rules):
    """Drawn logs as one: a query on Spark costs the same for one user and for hundreds."""
    for number, events in enumerate(logs):
        for event in events:
            event.user_id += f"-{number}"
    with tempfile.TemporaryDirectory() as folder:
        check_same(write_events(Path(folder), [event for events in logs for event in events]), vars(rules))


DRAWN = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate),
}


@settings(max_examples=2, derandomize=True, **DRAWN)
@given(logs=st.lists(event_tables(), min_size=5, max_size=10), rules=rule_sets)
def test_drawn_logs_give_the_same_sessions(spark, logs, rules):
    check_logs(logs, rules)


@pytest.mark.long
@settings(max_examples=40, **DRAWN)
@given(logs=st.lists(event_tables(), min_size=5, max_size=10), rules=rule_sets)
def test_many_drawn_logs_give_the_same_sessions(spark, logs, rules):
    check_logs(logs, rules)


REAL = {
    ("google_merch", "google_merch"): {
        "min_dwell_seconds": 30,
        "repeats": "collapse",
        "max_session_length": 300,
        "min_users_per_item": 2,
        "pairs_once_per_day": True,
    },
    ("trivago_rs19", "trivago"): {"repeats": "collapse", "min_length": 1},
    ("airbnb_reviews", "airbnb_reviews"): {"kind": "booking", "repeats": "unique"},
}


@pytest.mark.real_data
@pytest.mark.parametrize(("folder", "importer"), REAL)
def test_the_real_logs_give_the_same_sessions(spark, real_data, tmp_path, folder, importer):
    events = read_events(real_data / folder, importer=importer, out=tmp_path / "events")
    assert len(check_same(events, REAL[folder, importer])) > 3_000


def test_a_run_names_its_object_the_same_and_writes_the_same_bytes(spark, log, tmp_path):
    sections = {
        "run": {"name": "r"},
        "events": {
            "path": log.files[:2],
            "format": "parquet",
            "columns": {"ts": "ts_us"},
            "max_quarantined": 1.0,
        },
    }
    found = []
    for engine in ("duckdb", "spark"):
        config = RunConfig.from_sections({**sections, "sessions": {"engine": engine}})
        result = run_pipeline(config, tmp_path / engine, until="sessions")
        stored = result.objects["sessions"]
        found.append((stored.path.name, digests(stored.path)))
    assert found[0] == found[1]


@pytest.fixture
def engine(spark):
    from item2vec.sessions.spark_engine import SparkEngine

    engine = SparkEngine("900MB")
    yield engine
    engine.close()


def test_a_stored_table_is_computed_once(engine, tmp_path):
    from pyspark.errors import AnalysisException

    table = write_events(tmp_path / "log", [Event("u", n, "click", "a") for n in range(5)])
    engine.open_events(table.files)
    assert engine.create("kept", "SELECT ts_us, item_id FROM events") == 5
    shutil.rmtree(tmp_path / "log")
    assert engine.create("kept", "SELECT ts_us + 1 AS ts_us FROM kept WHERE ts_us > 2") == 2
    assert engine.fetch("SELECT ts_us FROM kept ORDER BY ts_us DESC").to_pydict() == {"ts_us": [5, 4]}
    engine.drop("kept")
    engine.drop("never there")
    with pytest.raises(AnalysisException, match="kept"):
        engine.fetch("SELECT * FROM kept")


def test_tables_come_back_as_they_were_put(engine):
    for numbers in ([2**63 - 1, -(2**63), None, 2**53 + 1], []):
        table = pa.table({"id": pa.array(numbers, pa.int64()), "n": pa.array([7] * len(numbers), pa.int32())})
        engine.put("put", table)
        assert engine.fetch("SELECT id, n FROM put").equals(table)
    engine.put("names", pa.table({"name": NAMES}))
    by_bytes = sorted(NAMES, key=str.encode)
    assert engine.fetch("SELECT name FROM names ORDER BY name")["name"].to_pylist() == by_bytes


def test_the_caller_s_session_stays_as_it_was(spark, log):
    from pyspark.sql import SparkSession

    before = spark.conf.getAll
    spark.sql("SELECT 7 AS seven").createOrReplaceTempView("events")
    sessionize(log, engine="spark")
    assert SparkSession.active() is spark or SparkSession.active()._jsparkSession.equals(spark._jsparkSession)
    assert SparkSession.active().sql("SELECT * FROM events").collect()[0].seven == 7
    assert [view.name for view in spark.catalog.listTables()] == ["events"]
    assert spark.conf.getAll == before
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == 0


def test_settings_of_the_caller_s_session_count(spark, engine):
    from item2vec.sessions.spark_engine import SparkEngine

    spark.conf.set("spark.sql.shuffle.partitions", "3")
    other = SparkEngine("900MB")
    assert [e._spark.conf.get("spark.sql.shuffle.partitions") for e in (engine, other)] == ["2", "3"]
    assert other._spark.conf.get("spark.sql.ansi.enabled") == "true"
    other.close()
    spark.conf.set("spark.sql.shuffle.partitions", "2")


def damaged(file):
    file.write_bytes(file.read_bytes()[:40])


def flipped(file):
    whole = bytearray(file.read_bytes())
    whole[4:200] = bytes(196)
    file.write_bytes(whole)


BAD_FILES = {
    "missing": (Path.unlink, "part-"),
    "cut": (damaged, "part-"),
    "other bytes": (flipped, "part-"),
    "no Parquet": (lambda file: file.write_text("user_id,ts_us\n" * 9), "part-"),
    "another type": (
        lambda file: pq.write_table(
            pa.table(
                {**(rows := pq.ParquetFile(file).read()).to_pydict(), "ts_us": rows["ts_us"].cast("string")}
            ),
            file,
        ),
        "ts_us is of type string",
    ),
    "without a column": (
        lambda file: pq.write_table(pq.ParquetFile(file).read().drop_columns(["event_type"]), file),
        "event_type",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_cannot_be_read(spark, tmp_path, name):
    spoil, named = BAD_FILES[name]
    table = write_events(tmp_path, [Event("u", n * S, "click", "a") for n in range(9)])
    for file in table.files:
        spoil(Path(file))
    with pytest.raises(SourceError, match=rf"events cannot be read: .*{named}.*; read the log again"):
        sessionize(table, engine="spark")


def test_what_else_can_fail_is_said_in_plain_words(engine):
    with pytest.raises(RunError, match=r"Spark failed: .*overflow"):
        engine.fetch("SELECT 9223372036854775807 + n AS n FROM (SELECT 1 AS n)")


def test_sql_at_fault_stays_a_bug(engine, tmp_path):
    from pyspark.errors import AnalysisException, ParseException

    engine.open_events(write_events(tmp_path, [Event("u", 0, "click", "a")]).files)
    for sql, error in {
        "SELECT ts_us FRO M": ParseException,
        "SELECT no FROM events": AnalysisException,
    }.items():
        for run in (engine.fetch, lambda sql: engine.create("t", sql)):
            with pytest.raises(error):
                run(sql)


def test_what_the_machine_refuses_is_named(tmp_path, monkeypatch):
    pytest.importorskip("pyspark")
    from item2vec.sessions import spark_engine
    from item2vec.spark import tables

    def refused(memory_limit, closing, sql_only):
        closing.enter_context(tempfile.TemporaryDirectory(dir=tmp_path / "nowhere"))

    monkeypatch.setattr(tables, "open_session", refused)
    with pytest.raises(
        RunError, match=r"No such file or directory: .*nowhere.*; correct that, then run again"
    ):
        spark_engine.SparkEngine("900MB")


def test_memory_and_lost_processes_are_told_apart():
    pytest.importorskip("pyspark")
    from py4j.protocol import Py4JNetworkError
    from pyspark.errors import PySparkException

    from item2vec.spark.errors import _plain

    for text in (
        "java.lang.OutOfMemoryError: Java heap space",
        "java.io.IOException: No space left on device",
    ):
        told = _plain(PySparkException(f"Job aborted: Lost task 0.0: {text}\n\tat org.apache.spark.X"))
        assert isinstance(told, RunError)
        assert text in str(told)
        assert "raise memory_limit" in str(told)
    for error in (Py4JNetworkError("Answer from Java side is empty"), ConnectionRefusedError(111, "refused")):
        assert "Java process is gone" in str(_plain(error))
    assert isinstance(_plain(PySparkException("odd")), Item2VecError)


def test_where_changes_are_tested_spark_is_too_and_nobody_else_has_to_install_it():
    root = Path(__file__).resolve().parents[2]
    ci = (root / ".ci" / "run").read_text()
    extras = "report,test,spark,connect,e2e"
    assert f"export EXTRAS={extras} ITEM2VEC_REQUIRE_SPARK=1\n" in ci[: ci.index("make test")]
    assert "EXTRAS ?= report,test\n" in (root / "Makefile").read_text()


OWN_JAVA = Path(__file__).with_name("spark_of_its_own.py")
SUBMITTED = Path(__file__).with_name("spark_submitted.py")
CONNECTED = Path(__file__).with_name("spark_connected.py")


@pytest.mark.long
def test_spark_connect_gives_the_same_sessions(java, log, tmp_path):
    if not (find_spec("grpc") or os.environ.get("ITEM2VEC_REQUIRE_SPARK")):
        pytest.skip("Spark Connect is not installed: pip install 'item2vec[connect]'")
    result = subprocess.run(
        [sys.executable, CONNECTED, tmp_path, *log.files],
        env={**os.environ, "PYSPARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    with_duckdb, with_spark = result.stdout.split()
    assert with_spark == with_duckdb


@pytest.mark.long
def test_a_submitted_program_keeps_its_master_and_its_spark(java, tmp_path):
    """By spark-submit, without a session of its own yet: twice sessions, then the program's own Spark."""
    import pyspark

    log = write_events(tmp_path / "log", [Event("u", n * S, "click", f"i{n}") for n in range(3)])
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    settings = ("ui.enabled=false", "driver.bindAddress=127.0.0.1", "sql.shuffle.partitions=2")
    options = [word for setting in settings for word in ("--conf", f"spark.{setting}")]
    result = subprocess.run(
        [submit, "--master", "local[1]", "--driver-memory", "600m", *options, SUBMITTED, *log.files],
        cwd=tmp_path,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    told = ["sessions 1", "sessions 1", "master local[1]", "memory 600m", "rows 3"]
    assert (tmp_path / "told").read_text().splitlines() == told


@pytest.mark.long
def test_a_spark_of_its_own_is_ended_whatever_happens(java, tmp_path):
    """Without Java, on too little memory, killed under way, stopped by Ctrl-C, and a whole run after that."""
    log = write_events(tmp_path / "log", [Event("u", n * S, "click", f"i{n}") for n in range(3)])
    (tmp_path / "tmp").mkdir()
    result = subprocess.run(
        [sys.executable, "-W", "error", OWN_JAVA, *log.files],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.split("\n") == ["no java", "little memory", "killed", "stopped", "sessions 1", ""]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "tmp"]
    assert not [path.name for path in (tmp_path / "tmp").iterdir() if path.name.startswith("item2vec")]
