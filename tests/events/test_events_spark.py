"""Events on Spark against DuckDB: the same folder to the byte, the same refusals to the word."""

from __future__ import annotations

import functools
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import test_bad_input_mixes
from bad_input import case as bad_input_case
from bad_input.case import Refused, texts
from bad_input.table import all_cases
from event_logs import csv_text, event_row, jsonl_text, write_parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_bad_input_mixes import BAD, KINDS, bad_row, written

from item2vec.errors import Item2VecError, RunError
from item2vec.events import publish, read_events, shares
from item2vec.marketplace import simulate
from item2vec.sessions import sessionize

pytestmark = pytest.mark.spark


def digests(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def check_same(*args, **keys):
    """Read with both engines; return the events, or the error."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for engine in ("duckdb", "spark"):
            out, refused = Path(folder) / engine, Path(folder) / "refused"
            try:
                events = read_events(*args, **keys, engine=engine, out=out, quarantine=refused)
                found[engine] = (digests(out), digests(refused), events.reconciliation)
            except Item2VecError as error:
                events = error
                found[engine] = (type(error), str(error), digests(refused) if refused.exists() else None)
            if engine == "spark" and found["spark"] != found["duckdb"] and not isinstance(events, Exception):
                there = read_events(*args, **keys)
                assert events.to_table().to_pylist() == there.to_table().to_pylist()
                assert events.quarantine().to_pylist() == there.quarantine().to_pylist()
            if not isinstance(events, Exception):
                rows, events = events.to_table(), events.reconciliation
    assert found["spark"] == found["duckdb"]
    return events if isinstance(events, Exception) else (rows, events)


@pytest.fixture
def small_shares(monkeypatch):
    """Every text file of a few rows is a task of its own, and a Parquet file is cut."""
    for name, value in {"LEAST_BYTES": 1, "MOST_BYTES": 900, "LEAST_ROWS": 1, "MOST_ROWS": 20}.items():
        monkeypatch.setattr(shares, name, value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_odd_row_is_judged_alike(spark, small_shares, tmp_path, monkeypatch, kind):
    """The rows of the whole bad-input table in three files, with good ones, repeats and conflicts."""
    bad = [bad_row(case, kind, number) for number, case in enumerate(BAD[kind])]
    good = [texts(event_row(number)) for number in range(60)]
    again = [
        good[3],
        {**good[5], "item_id": "other"},
        {**good[6], "ts": str(1_600_000_000_000_000)},
        good[59],
    ]
    rows = [*good[:30], *bad, *good[30:], *again]
    for at, part in enumerate((rows[40:], rows[:20], rows[20:40])):
        written(part, kind, tmp_path / f"{at}.{kind}")
    monkeypatch.setattr(publish, "PART_ROWS", 20)
    table, account = check_same(tmp_path, max_quarantined=1)
    assert table.num_rows == 60
    assert account.duplicate >= 2
    assert account.quarantined["event_id repeated with another body"] >= 2
    assert len(account.quarantined) > (5 if kind == "parquet" else 15)


def test_shares_that_know_other_keys_columns_and_types(spark, small_shares, tmp_path):
    """What one share of the files holds must not count for how another is read."""
    rows = [{k: v for k, v in event_row(n).items() if k != "event_id"} for n in range(40)]
    (tmp_path / "a").mkdir()
    keys = (
        {},
        {"Zeta": 1, "extra": {"b": [1, 2]}},
        {"extra": "x", "zeta": None},
        {"ZETA": "y", "Item_ID": 3},
    )
    for number, more in enumerate(keys):
        part = [{**more, **row} if number % 2 else {**row, **more} for row in rows[number * 10 :][:10]]
        (tmp_path / "a" / f"{number}.jsonl").write_text(jsonl_text([*part, part[0]]) + "{}\nno object\n\n")
    (tmp_path / "a" / "4.jsonl").write_text("nothing here\n")
    table, account = check_same(tmp_path / "a", max_quarantined=1)
    assert (table.num_rows, account.duplicate) == (40, 4)
    (tmp_path / "b").mkdir()
    for number, more in enumerate(({}, {"more": "m"}, {"other": "o", "more": ""})):
        part = [{**row, **more} for row in rows[number * 10 :][:10]]
        (tmp_path / "b" / f"{number}.csv").write_text(csv_text([*part, part[0]]))
    assert check_same(tmp_path / "b")[1].duplicate == 3
    (tmp_path / "c").mkdir()
    numbers = [{**row, "item_id": n, "dwell_seconds": None, "more": n} for n, row in enumerate(rows)]
    write_parquet(tmp_path / "c" / "0.parquet", numbers[:10], item_id=pa.int32(), more=pa.float32())
    write_parquet(tmp_path / "c" / "1.parquet", numbers[10:30], dwell_seconds=pa.float64())
    write_parquet(tmp_path / "c" / "2.parquet", [*numbers[30:], numbers[2]])
    table, account = check_same(tmp_path / "c")
    assert (table.num_rows, account.duplicate) == (40, 1)
    assert table.schema.field("item_id").type == pa.int64()


def test_one_large_parquet_file_is_read_in_ranges(spark, small_shares, tmp_path, monkeypatch):
    """One user's events fill several parts; none is spread over two."""
    rows = [event_row(n, user_id="b" if 30 <= n < 90 else f"u{n % 7}") for n in range(140)]
    pq.write_table(pa.Table.from_pylist([*rows, rows[0]]), tmp_path / "a.parquet", row_group_size=16)
    monkeypatch.setattr(publish, "PART_ROWS", 25)
    table, account = check_same(tmp_path / "a.parquet")
    assert (table.num_rows, account.duplicate) == (140, 1)
    damaged = bytearray((tmp_path / "a.parquet").read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 40] = bytes(40)
    (tmp_path / "a.parquet").write_bytes(damaged)
    assert "it is damaged" in str(check_same(tmp_path / "a.parquet"))


REFUSED = {
    "too many rows": (
        {"a.csv": csv_text([event_row(n) for n in range(5)]) + "short\n"},
        {"max_quarantined": 0.0},
    ),
    "ids of two kinds": (
        {"a.jsonl": jsonl_text([event_row(0)]), "b.jsonl": jsonl_text([event_row(1, item_id=7)])},
        {},
    ),
    "the first of two damaged files": (
        {"a.csv": csv_text([event_row(0)]), "b.csv": b"\xff\xfeu\0", "c.csv": b"\xff\xfeu\0"},
        {},
    ),
    "a column that one file lacks": (
        {"a.csv": csv_text([event_row(0)]), "b.csv": "user_id,ts\nu,1\n"},
        {},
    ),
    "types nobody knows": ({"a.csv": csv_text([event_row(n, event_type="buy") for n in range(5)])}, {}),
    "no row": ({"a.csv": "user_id,ts,item_id,event_type\n"}, {}),
    "no object": ({"a.jsonl": "x\n", "b.jsonl": "y\n"}, {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_the_same_words(spark, small_shares, write, tmp_path, name):
    files, keys = REFUSED[name]
    for file, content in files.items():
        write(f"log/{file}", content)
    assert isinstance(check_same(tmp_path / "log", **keys), Item2VecError)


@pytest.fixture(scope="module")
def marketplace(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("market"), n_users=150, n_listings=60, n_markets=3, seed=2)


def test_a_simulated_log_with_its_tables(spark, marketplace, monkeypatch):
    monkeypatch.setattr(publish, "PART_ROWS", 4000)
    items, users = (marketplace / f"{name}.parquet" for name in ("items", "users"))
    table, _ = check_same(marketplace / "events", items=items, users=users)
    assert table.num_rows > 12_000


LOGS = {"trivago": "trivago_rs19/events", "google_merch": "google_merch/product_events"}


@pytest.mark.real_data
@pytest.mark.parametrize("importer", LOGS)
def test_cuts_of_the_real_logs(spark, real_data, tmp_path, monkeypatch, importer):
    monkeypatch.setattr(publish, "PART_ROWS", 5000)
    monkeypatch.setattr(shares, "LEAST_ROWS", 1000)  # an item's rows lie in several shares
    source = next((real_data / LOGS[importer]).parent.glob(f"{Path(LOGS[importer]).name}*"))
    with pq.ParquetFile(source) as file:
        rows = pa.Table.from_batches([next(file.iter_batches(12_000))])
    for at in (0, 6000):
        pq.write_table(rows.slice(at, 6000), tmp_path / f"{at}.parquet")
    table, _ = check_same(str(tmp_path / "*.parquet"), importer=importer, max_quarantined=1)
    assert table.num_rows > 5000


def test_many_small_files_are_few_tasks(spark, tmp_path, monkeypatch):
    from item2vec.events import spark_rows

    tasks = []

    def counted(session, work, jobs, **shared):
        tasks.append((work.__name__, len(jobs)))
        return run_tasks(session, work, jobs, **shared)

    run_tasks = spark_rows.run_tasks
    monkeypatch.setattr(spark_rows, "run_tasks", counted)
    for number in range(300):
        (tmp_path / f"{number:03d}.csv").write_text(csv_text([event_row(number), event_row(number + 1)]))
    table, account = check_same(tmp_path)
    assert (table.num_rows, account.duplicate) == (301, 299)
    assert tasks == [("stage_share", 1), ("type_share", 1)]


def test_a_second_try_leaves_what_the_first_staged(java, tmp_path, monkeypatch):
    """Spark starts a slow task twice, and forgets some that go on: others read the files meanwhile."""
    from item2vec.events import staging
    from item2vec.events.spark_work import stage_share

    log = tmp_path / "log.csv"
    log.write_text(csv_text([event_row(n) for n in range(50)]))
    job = {
        "paths": [str(log)],
        "folder": str(tmp_path / "staged" / "00000"),
        "format": "csv",
        "delimiter": ",",
    }
    told = stage_share(**job)
    (file,) = map(Path, told["files"])
    state, body, seen = file.stat(), file.read_bytes(), []

    def looked(*arguments):
        writer = open_writer(*arguments)
        seen.append(pq.read_table(file).num_rows)  # while the second try writes
        return writer

    open_writer = staging.open_writer
    monkeypatch.setattr(staging, "open_writer", looked)
    assert stage_share(**job) == told
    assert seen == [50]
    assert (file.stat().st_ino, file.read_bytes()) == (state.st_ino, body)
    assert [path.name for path in (tmp_path / "staged").iterdir()] == ["00000"]


KILLED = """
import os, signal, sys
import pyarrow as pa
from item2vec.events.schema import event_schema
from item2vec.events.spark_work import written

def batches():
    yield pa.RecordBatch.from_pylist([], event_schema("string").append(pa.field("part", pa.int32())))
    yield pa.RecordBatch.from_pylist([{"part": 0, **dict.fromkeys(event_schema("string").names)}],
        pa.schema([*event_schema("string"), ("part", pa.int32())]))
    os.kill(os.getpid(), signal.SIGKILL)

list(written("string", *sys.argv[1:], batches()))
"""


def test_a_killed_worker_leaves_nothing_among_the_parts(java, tmp_path):
    """What lies in the folder of the event table is published, whoever wrote it."""
    folders = tmp_path / "table" / "events", tmp_path / "unfinished"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *folders], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert os.listdir(folders[0]) == []
    assert len(os.listdir(folders[1])) == 1


@pytest.mark.parametrize(
    ("master", "settings", "parallelism", "n_known", "share"),
    [
        ("local[2]", {"spark.executor.cores": "1"}, 2, 1, "2000MB"),
        ("local[*]", {}, 64, 1, "256MB"),
        ("yarn", {"spark.executor.cores": "8", "spark.task.cpus": "2"}, 80, 11, "1000MB"),
        ("spark://driver:7077", {}, 40, 11, "1000MB"),
        ("k8s://here", {}, 2, 1, "2000MB"),  # no executor yet
    ],
)
def test_the_tasks_of_an_executor_share_its_memory(java, master, settings, parallelism, n_known, share):
    from item2vec.spark.tasks import memory_per_task

    known = SimpleNamespace(sc=lambda: SimpleNamespace(getExecutorMemoryStatus=lambda: java_map))
    java_map = SimpleNamespace(size=lambda: n_known)
    context = SimpleNamespace(
        master=master, getConf=lambda: settings, defaultParallelism=parallelism, _jsc=known
    )
    assert memory_per_task(SimpleNamespace(sparkContext=context), "4GB") == share
    assert memory_per_task(SimpleNamespace(sparkContext=context), "100MB") == "100MB"


def test_a_task_is_told_its_share_of_the_memory(spark, tmp_path, monkeypatch):
    from item2vec.events import spark_rows

    def told(session, work, jobs, **shared):
        limits.append(shared.get("memory_limit"))
        return run_tasks(session, work, jobs, **shared)

    limits, run_tasks = [], spark_rows.run_tasks
    monkeypatch.setattr(spark_rows, "run_tasks", told)
    path = write_parquet(tmp_path / "a.parquet", [event_row(0)])
    read_events(path, engine="spark", memory_limit="900MB")
    assert limits == ["450MB"]  # the session has two cores


def test_files_are_shared_out_by_size(tmp_path, monkeypatch):
    monkeypatch.setattr(shares, "LEAST_BYTES", 10)
    files = []
    for number, size in enumerate((4, 4, 4, 30, 1, 9, 10, 100)):
        files.append(tmp_path / str(number))
        files[-1].write_bytes(bytes(size))
    found = shares.by_files(files, n_cores=10)
    assert [[int(file.name) for file in share] for share in found] == [[0, 1], [2], [3], [4, 5], [6], [7]]
    monkeypatch.setattr(shares, "LEAST_ROWS", 10)
    counts = {"a": 4, "b": 5, "c": 0, "d": 19, "e": 41, "f": 1}
    found = [(*share.files, share.rows) for share in shares.by_rows(counts, n_cores=10)]
    ranges = [("e", (first, last)) for first, last in ((1, 10), (11, 20), (21, 30), (31, 40), (41, 41))]
    assert found == [("a", "b", "c", None), ("d", None), *ranges, ("f", None)]
    assert shares.by_rows({"a": 0}, n_cores=2) == [shares.FileShare(("a",))]


def test_a_folder_that_the_workers_do_not_share_is_named(spark, tmp_path, monkeypatch):
    """What a worker wrote on a disk of its own is not there for this process."""
    from item2vec.events import spark_rows

    monkeypatch.setattr(spark_rows, "type_share", lambda **job: 0)
    path = write_parquet(tmp_path / "a.parquet", [event_row(0)])
    with pytest.raises(RunError, match=r"on a file system that all machines share; set out"):
        read_events(path, engine="spark")


def skewed(folder, n_events, n_others):
    """One user with nearly all events, all of them in one market."""
    draw = np.random.default_rng(4)
    n = n_events + n_others
    user = np.where(np.arange(n) < n_events, "robot", np.char.add("u", (np.arange(n) % 97).astype(str)))
    rows = {
        "user_id": pa.array(user),
        "ts": 1_700_000_000_000_000 + draw.integers(0, 10**13, n),
        "event_id": pa.array(np.char.add("e", np.arange(n).astype(str))),
        "event_type": pa.array(draw.choice(["click", "impression", "booking"], n, p=[0.6, 0.39, 0.01])),
        "item_id": pa.array(np.char.add("i", draw.integers(0, 500, n).astype(str))),
        "market": pa.array(np.where(draw.random(n) < 0.98, "Paris", "Rome")),
    }
    pq.write_table(pa.table(rows), folder / "skewed.parquet")
    return folder / "skewed.parquet"


def test_a_user_with_most_of_the_events_fills_a_part_alone(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "PART_ROWS", 3000)
    table, _ = check_same(skewed(tmp_path, 30_000, 5_000))
    assert table.num_rows == 35_000


@pytest.mark.long
def test_a_user_with_a_million_events_and_a_hot_market(spark, tmp_path):
    log = skewed(tmp_path, 1_000_000, 50_000)
    table, _ = check_same(log)
    assert table.num_rows == 1_050_000
    events, found = read_events(log), {}
    for engine in ("duckdb", "spark"):
        sessionize(events, engine=engine, out=tmp_path / engine)
        found[engine] = digests(tmp_path / engine)
    assert found["spark"] == found["duckdb"]


@pytest.mark.long
def test_files_that_are_bad_as_a_whole_have_their_declared_outcome(spark, tmp_path, monkeypatch):
    """The bad-input table's damaged, foreign and contradictory files and tables."""
    on_spark = functools.partial(read_events, engine="spark")
    monkeypatch.setattr(bad_input_case, "read_events", on_spark)
    for number, case in enumerate(all_cases()):
        for kind in case.formats if isinstance(case.outcome, Refused) else ():
            folder = tmp_path / f"{number}-{kind}"
            folder.mkdir()
            bad_input_case.run(case, kind, folder)


@pytest.mark.long
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_mixes_of_bad_rows(spark, small_shares, tmp_path_factory, data):
    with pytest.MonkeyPatch.context() as patched:
        on_spark = functools.partial(read_events, engine="spark")
        patched.setattr(test_bad_input_mixes, "read_events", on_spark)
        test_bad_input_mixes.check_mix(data, tmp_path_factory.mktemp("mix"))


@pytest.mark.long
@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["trivago_rs19", "google_merch", "airbnb_reviews"])
def test_the_real_logs(spark, real_data, folder):
    table, _ = check_same(real_data / folder, importer=folder.removesuffix("_rs19"))
    assert table.num_rows > 50_000
