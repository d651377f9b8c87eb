"""The batch table: equal to single answers, bounded, and the same bytes after a kill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from marketplace_cases import attribute_rows, make_catalogue

from item2vec.embeddings import ItemVectors
from item2vec.errors import LockedRunError, UsageError
from item2vec.index import ItemIndex
from item2vec.recommendations import (
    RecommendConfig,
    Recommender,
    parts,
    write_recommendations,
    write_similar_items,
)
from item2vec.recommendations.config import UserTableConfig
from item2vec.vocabulary import Vocabulary

MODES = ("similar", "next")


@pytest.fixture(scope="module")
def rec():
    vectors, items = make_catalogue()
    return Recommender(vectors, items=items)


def folder_bytes(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("id_type", ["string", "int64"])
def test_the_table_holds_what_single_calls_answer(tmp_path, mode, id_type):
    vectors, items = make_catalogue(id_type=id_type)
    rec = Recommender(vectors, items=items)
    summary = write_similar_items(rec, tmp_path, N=7, mode=mode, partition_rows=250)
    parts = sorted(tmp_path.iterdir())
    assert [part.name for part in parts] == [f"part-{number:05d}.parquet" for number in range(3)]
    table = pa.concat_tables([pq.ParquetFile(part).read() for part in parts])
    assert table.schema.remove_metadata() == pa.schema(
        {
            "target_item_id": vectors.vocabulary.ids.type,
            "item_id": vectors.vocabulary.ids.type,
            "score": pa.float32(),
            "rank": pa.int32(),
        }
    )
    assert (summary.n_parts, summary.n_written, summary.n_skipped) == (3, 3, 0)
    assert (summary.n_rows, summary.n_items, summary.n_short, summary.n_empty) == (4200, 600, 0, 0)
    ids, scores = rec.similar_items(vectors.ids, N=7, mode=mode)
    assert table["target_item_id"].to_pylist() == [item for item in vectors.ids for _ in range(7)]
    assert table["item_id"].to_pylist() == ids.ravel().tolist()
    np.testing.assert_array_equal(table["score"].to_numpy(), scores.ravel())
    assert table["rank"].to_pylist() == list(range(1, 8)) * 600


def test_restricted_to_the_targets_market(rec, tmp_path):
    summary = write_similar_items(rec, tmp_path, N=150, partition_rows=200, same_market=True)
    rows = attribute_rows(rec.vectors, make_catalogue()[1])
    market = {item: row.get("market") for item, row in zip(rec.vectors.ids, rows, strict=True)}
    sizes = {name: list(market.values()).count(name) for name in set(market.values())}
    table = pa.concat_tables([pq.ParquetFile(part).read() for part in sorted(tmp_path.iterdir())]).to_pydict()
    for target, item in zip(table["target_item_id"], table["item_id"], strict=True):
        assert market[target] == market[item] is not None
        assert target != item
    found = dict.fromkeys(market, 0)
    for target in table["target_item_id"]:
        found[target] += 1
    assert found == {item: 0 if name is None else min(150, sizes[name] - 1) for item, name in market.items()}
    assert summary.n_empty == sizes[None]
    assert summary.n_short == sum(number < 150 for number in found.values())
    with pytest.raises(UsageError, match="unknown filter column 'city'"):
        write_similar_items(rec, tmp_path / "x", same_market=True, market_column="city")
    with pytest.raises(UsageError, match="item table"):
        write_similar_items(Recommender(rec.vectors), tmp_path / "x", same_market=True)


def test_large_catalogues_go_through_the_index(rec, tmp_path):
    index = ItemIndex.build(rec.vectors, n_trees=20)
    through = Recommender(rec.vectors, index=index)
    write_similar_items(through, tmp_path / "trees", N=5, exact_up_to=10)
    write_similar_items(through, tmp_path / "exact", N=5)
    trees, exact = (
        pq.ParquetFile(tmp_path / name / "part-00000.parquet").read() for name in ("trees", "exact")
    )
    same = np.mean(np.array(trees["item_id"].to_pylist()) == np.array(exact["item_id"].to_pylist()))
    assert same > 0.9
    assert trees.num_rows == exact.num_rows == 3000


def test_running_again_writes_nothing(rec, tmp_path):
    write_similar_items(rec, tmp_path, N=5, partition_rows=100)
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    summary = write_similar_items(rec, tmp_path, N=5, partition_rows=100)
    assert (summary.n_written, summary.n_skipped, summary.n_rows) == (0, 6, 3000)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "flipped": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
    "footer": lambda data: data[:-30] + b"\0" * 30,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_parts_are_written_again(rec, tmp_path, damage):
    write_similar_items(rec, tmp_path, N=5, partition_rows=100)
    good = folder_bytes(tmp_path)
    part = tmp_path / "part-00003.parquet"
    part.write_bytes(DAMAGE[damage](good[part.name]))
    (tmp_path / "part-00001.parquet").unlink()
    (tmp_path / ".part-00005.parquet.tmp").write_bytes(b"half")
    summary = write_similar_items(rec, tmp_path, N=5, partition_rows=100)
    assert (summary.n_written, summary.n_skipped) == (2, 4)
    assert folder_bytes(tmp_path) == good


def test_any_changed_byte_of_the_data_is_noticed(rec, tmp_path):
    write_similar_items(rec, tmp_path, N=5, partition_rows=1000)
    (part,) = tmp_path.iterdir()
    good = part.read_bytes()
    n_data = len(good) - int.from_bytes(good[-8:-4], "little") - 8
    for position in np.random.default_rng(0).integers(4, n_data, 60).tolist():
        part.write_bytes(good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :])
        assert write_similar_items(rec, tmp_path, N=5, partition_rows=1000).n_written == 1
        assert part.read_bytes() == good


@pytest.mark.parametrize("change", ["N", "mode", "partition_rows", "model", "market", "fewer parts"])
def test_parts_of_another_job_stop_the_run(rec, tmp_path, change):
    arguments = {"N": 5, "partition_rows": 100}
    write_similar_items(rec, tmp_path, **arguments)
    before = folder_bytes(tmp_path)
    other = rec
    if change == "model":
        vectors, items = make_catalogue(seed=9)
        other = Recommender(vectors, items=items)
    new = {"N": {"N": 6}, "mode": {"mode": "next"}, "market": {"same_market": True}}.get(change, {})
    if change == "partition_rows":
        new = {"partition_rows": 99}
    if change == "fewer parts":
        new = {"partition_rows": 300}
    with pytest.raises(UsageError, match="another model or other settings"):
        write_similar_items(other, tmp_path, **{**arguments, **new})
    assert folder_bytes(tmp_path) == before


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path):
    """SIGKILL while parts are being written, three times over; then the table is completed."""
    vectors, _ = make_catalogue(4000, seed=3)
    vectors.save(tmp_path / "vectors")
    code = textwrap.dedent(f"""
        import sys, time
        from item2vec.embeddings import ItemVectors
        from item2vec.recommendations import Recommender, parts, write_similar_items
        rec = Recommender(ItemVectors.load({str(tmp_path / "vectors")!r}))
        replace = parts._replace
        def slowly(path, write):  # half of a part lies on disk for a while
            def halves(file):
                file.write(b"half"); file.flush(); time.sleep(0.02); file.seek(0)
                write(file)
            replace(path, halves)
        parts._replace = slowly
        summary = write_similar_items(rec, sys.argv[1], N=20, partition_rows=50)
        print(summary.n_written, summary.n_skipped)
    """)
    target, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    for wanted in (3, 20, 45):
        process = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(list(target.glob("part-*.parquet"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    survivors = {path.name: path.stat().st_mtime_ns for path in target.glob("part-*.parquet")}
    assert 45 <= len(survivors) < 80
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(80 - len(survivors)), str(len(survivors))]
    assert {name: (target / name).stat().st_mtime_ns for name in survivors} == survivors
    write_similar_items(Recommender(vectors), undisturbed, N=20, partition_rows=50)
    assert folder_bytes(target) == folder_bytes(undisturbed)


@pytest.mark.parametrize("bad", [{"N": 0}, {"partition_rows": 0}, {"mode": "x"}, {"partition_rows": 2.5}])
def test_bad_settings_are_refused(rec, tmp_path, bad):
    with pytest.raises(UsageError):
        write_similar_items(rec, tmp_path, **bad)


def test_the_config_has_the_same_keys_and_defaults():
    defaults = dict(write_similar_items.__kwdefaults__)
    assert defaults.pop("show_progress") is False
    assert defaults.pop("format") == "parquet", "a run reads its own table again"
    assert RecommendConfig().model_dump(exclude={"users"}) == defaults
    users = dict(write_recommendations.__kwdefaults__)
    elsewhere = {"decay", "partition_rows", "exact_up_to", "where", "format", "engine", "show_progress"}
    assert UserTableConfig().model_dump() == {key: users[key] for key in users.keys() - elsewhere}


def test_progress_is_shown_on_request(rec, tmp_path, capsys):
    write_similar_items(rec, tmp_path / "a", N=2)
    assert capsys.readouterr().err == ""
    write_similar_items(rec, tmp_path / "b", N=2, show_progress=True)
    assert "similar items" in capsys.readouterr().err


def test_two_jobs_do_not_write_one_folder(rec, tmp_path):
    write_part = parts._Parquet.write
    problems = []

    def meanwhile(path, *rest):
        if not problems:
            with pytest.raises(LockedRunError, match="another process"):
                write_similar_items(rec, path.parent, N=5, partition_rows=100)
            problems.append(1)
        return write_part(path, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts._Parquet, "write", staticmethod(meanwhile))
        write_similar_items(rec, tmp_path, N=5, partition_rows=100)
    assert problems
    again = write_similar_items(rec, tmp_path, N=5, partition_rows=100)
    assert again.n_written == 0
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="choose another folder"):
        write_similar_items(rec, file)


def test_lists_longer_than_the_catalogue_take_no_memory(rec, tmp_path):
    n = len(rec.vocabulary)
    tracemalloc.start()
    summary = write_similar_items(rec, tmp_path, N=900_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert summary.n_rows == n * (n - 1)
    assert summary.n_short == n
    assert peak < 300e6


def test_a_text_with_an_apostrophe_stays_apart_from_a_formula(tmp_path):
    ids = ["=1+1", "'=1+1", "\n=x", "＝1", "plain"]
    vectors = ItemVectors(
        Vocabulary(pa.array(ids), np.ones(5, np.int64)), np.eye(5, dtype=np.float32) + np.float32(0.1)
    )
    write_similar_items(Recommender(vectors), tmp_path, N=4, format="csv")
    with open(tmp_path / "part-00000.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["item_id"] for row in rows} == {"'=1+1", "''=1+1", "'\n=x", "'＝1", "plain"}
    stated = tmp_path / "part-00000.json"
    body = json.loads(stated.read_text())
    del body["n_rows"]
    stated.write_text(json.dumps(body))
    assert write_similar_items(Recommender(vectors), tmp_path, N=4, format="csv").n_written == 1
