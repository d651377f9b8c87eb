"""Batch tables on a real local Spark: the same files as without it, to the byte."""

from __future__ import annotations

import hashlib
import shlex
import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
from marketplace_cases import make_catalogue

from item2vec.config import RunConfig
from item2vec.errors import MissingDependencyError, UsageError
from item2vec.index import ItemIndex
from item2vec.recommendations import (
    HistoryScoring,
    NeighbourTable,
    Recommender,
    parts,
    write_recommendations,
    write_similar_items,
)
from item2vec.run import run_pipeline

pytestmark = pytest.mark.spark
PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"


@pytest.fixture(scope="module")
def rec():
    vectors, items = make_catalogue(n=300)
    index = ItemIndex.build(vectors, mode="similar", backend="annoy", n_trees=10)
    scoring = HistoryScoring(decay=0.7, repeat_last=0.2, repeat_earlier=0.1)
    return Recommender(vectors, items=items, index=index, scoring=scoring)


@pytest.fixture(scope="module")
def clicks(rec):
    rng = np.random.default_rng(3)
    ids = [*rec.vectors.ids, "unknown"]
    return {f"ü{k:03d}": [ids[i] for i in rng.integers(len(ids), size=k % 9)] for k in range(90)}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


SIMILAR = {
    "defaults": {},
    "same market": {"same_market": True},
    "through the trees, read as next, in CSV": {"exact_up_to": 0, "format": "csv"},
    "next": {"mode": "next"},
}
USERS = {
    "defaults": {},
    "filtered, decayed": {"where": {"market": ["Paris", "Rome"]}, "decay": 0.5, "mode": "similar"},
    "with what comes back, in CSV": {"filter_seen": False, "format": "csv", "max_clicks": 3},
}


@pytest.mark.parametrize("name", SIMILAR)
def test_similar_items_are_the_same_files(spark, rec, tmp_path, name):
    keys = {"N": 12, "partition_rows": 70, **SIMILAR[name]}
    here = write_similar_items(rec, tmp_path / "here", **keys)
    there = write_similar_items(rec, tmp_path / "there", **keys, engine="spark")
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert (there, there.n_parts, there.n_written) == (here, 5, 5)


@pytest.mark.parametrize("name", USERS)
def test_recommendations_are_the_same_files(spark, rec, clicks, tmp_path, name):
    keys = {"N": 6, "partition_rows": 40, **USERS[name]}
    here = write_recommendations(rec, clicks, tmp_path / "here", **keys)
    there = write_recommendations(rec, clicks, tmp_path / "there", **keys, engine="spark")
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert there == here
    assert there.n_empty >= 10


def test_numbers_as_ids_and_neighbours_found_beforehand(spark, tmp_path):
    """A table of exact neighbours answers where the index alone would be asked through its trees."""
    vectors, items = make_catalogue(n=200, id_type="int64")
    index = ItemIndex.build(vectors, mode="similar", backend="annoy", n_trees=1, seed=1)
    plain = Recommender(vectors, items=items, index=index)
    rec = Recommender(vectors, index=index, neighbours=NeighbourTable.build(plain, 30))
    keys = {"N": 20, "partition_rows": 60, "exact_up_to": 0}
    write_similar_items(rec, tmp_path / "here", **keys)
    write_similar_items(rec, tmp_path / "there", **keys, engine="spark")
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_after_a_kill_only_the_missing_parts_are_made(spark, rec, tmp_path, monkeypatch):
    """In rounds: what came back before the end stays, the rest is asked for, by either engine."""
    from item2vec.recommendations import spark_parts

    asked = []
    one_round = spark_parts._round

    def counted(spark, name, wanted, *rest):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(wanted)
        return one_round(spark, name, wanted, *rest)

    keys = {"N": 5, "partition_rows": 50}
    with monkeypatch.context() as patched:
        patched.setattr(spark_parts, "_round", counted)
        with pytest.raises(KeyboardInterrupt):
            write_similar_items(rec, tmp_path / "there", **keys, engine="spark")
    assert asked == [[0, 1], [2, 3]]  # two cores
    assert len(files(tmp_path / "there")) == 4
    (tmp_path / "there" / "part-00001.parquet").write_bytes(b"damaged")
    summary = write_similar_items(rec, tmp_path / "there", **keys, engine="spark")
    assert (summary.n_written, summary.n_skipped) == (3, 3)
    write_similar_items(rec, tmp_path / "here", **keys)
    assert files(tmp_path / "there") == files(tmp_path / "here")
    monkeypatch.setattr(spark_parts, "open_session", None)  # nothing is missing: nobody starts a Spark
    assert write_similar_items(rec, tmp_path / "there", **keys, engine="spark").n_written == 0


def test_workers_without_the_package_are_told(spark, rec, tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n')
    bare.chmod(0o755)
    context = spark.sparkContext
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(context, "pythonExec", str(bare))
        with pytest.raises(MissingDependencyError, match=r"No module named '\w+'; install item2vec there"):
            write_similar_items(rec, tmp_path / "there", engine="spark")
    assert not list((tmp_path / "there").iterdir())


def test_a_failure_in_a_worker_is_a_plain_error(spark, rec, tmp_path, monkeypatch):
    from item2vec.errors import RunError
    from item2vec.recommendations import batch_tables

    save = batch_tables.SimilarItems.save

    def broken(table, folder):
        save(table, folder)
        (folder / batch_tables.TABLE).write_text("{}")

    monkeypatch.setattr(batch_tables.SimilarItems, "save", broken)
    with pytest.raises(RunError, match="Spark failed"):
        write_similar_items(rec, tmp_path / "there", engine="spark")


def test_another_engine_is_refused(rec, tmp_path):
    with pytest.raises(UsageError, match="engine is 'local' or 'spark', not 'ray'"):
        write_similar_items(rec, tmp_path, engine="ray")


def ordered_rows(files):
    table = ds.dataset(files, format="parquet").to_table()
    digest = hashlib.sha256(str(table.schema.remove_metadata()).encode())
    for column in table.columns:
        digest.update(repr(column.to_pylist()).encode())
    return table.num_rows, digest.hexdigest()


def test_the_demo_on_spark_gives_the_same_tables(spark, tmp_path):
    small = [
        *("simulate.n_users=200", "simulate.n_listings=80", "simulate.n_markets=2", "simulate.days=8"),
        *("train.epochs=1", "train.workers=1", "train.vector_size=8", "types.enabled=false"),
        *("recommend.users.N=10", "recommend.partition_rows=60"),
    ]
    found = {}
    for name in ("demo", "spark"):
        config = RunConfig.from_toml(PIPELINES / f"{name}.toml", small)
        result = run_pipeline(config, tmp_path, until="recommendations")
        tables = {}
        for stage in ("events", "sessions", "recommendations"):
            place = result.objects[stage].path
            for file in sorted(place.rglob("*.parquet")):
                tables.setdefault(f"{stage}/{file.relative_to(place).parts[0]}", []).append(str(file))
        rows = {table: ordered_rows(files) for table, files in tables.items()}
        found[name] = (rows, {stage: one.id for stage, one in result.objects.items()})
    assert found["spark"] == found["demo"]
    large = ("events/events", "sessions/clicks", "recommendations/similar_items", "recommendations/users")
    assert all(found["demo"][0][table][0] > 100 for table in large)


def test_the_demo_on_spark_differs_in_the_engines_only():
    demo, on_spark = (tomllib.loads((PIPELINES / f"{name}.toml").read_text()) for name in ("demo", "spark"))
    assert on_spark.pop("recommend") == {"engine": "spark", "partition_rows": 250}
    assert on_spark["sessions"].pop("engine") == "spark"
    assert on_spark.pop("events") == {"engine": "spark"}
    assert on_spark.pop("run") == {"name": "spark"}
    del demo["run"]
    assert on_spark == demo


def test_a_part_is_the_bytes_of_its_file(rec, tmp_path):
    """What travels back is what is written here without Spark."""
    from item2vec.recommendations.batch_tables import SimilarItems, open_table

    table = SimilarItems(rec, 5, 100, "similar", True)
    table.save(tmp_path / "saved")
    again = open_table(tmp_path / "saved")
    assert again.n_targets == 300
    for part in range(3):
        one, other = table.make(part), again.make(part)
        assert one[0].equals(other[0])
        assert one[1] == other[1]
        assert parts.encoded(*one[:1], "parquet", "f", part, one[1]).equals(
            parts.encoded(*other[:1], "parquet", "f", part, other[1])
        )
