"""Recommendations for all users: equal to single answers, resumable, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from marketplace_cases import make_catalogue

from item2vec.embeddings import ItemVectors
from item2vec.errors import DataError, UsageError
from item2vec.recommendations import Recommender, write_recommendations, write_similar_items
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def rec():
    vectors, items = make_catalogue(n=200)
    return Recommender(vectors, items=items)


def histories(rec, n: int = 57, seed: int = 0) -> dict[str, list[str]]:
    rng = np.random.default_rng(seed)
    ids = [*rec.vectors.ids, "unknown"]
    return {f"u{k:03d}": [ids[i] for i in rng.integers(len(ids), size=rng.integers(0, 9))] for k in range(n)}


def lists(folder) -> dict[str, list[tuple[str, float]]]:
    table = ds.dataset(folder, format="parquet").to_table().to_pylist()
    found: dict[str, list[tuple[str, float]]] = {}
    for row in table:
        found.setdefault(row["user_id"], []).append((row["item_id"], row["score"]))
        assert row["rank"] == len(found[row["user_id"]])
    return found


@pytest.mark.parametrize("filter_seen", [True, False])
@pytest.mark.parametrize("where", [None, {"market": "Paris"}])
def test_the_table_holds_what_single_calls_answer(rec, tmp_path, filter_seen, where):
    users = histories(rec)
    summary = write_recommendations(
        rec, users, tmp_path / "out", N=7, partition_rows=10, filter_seen=filter_seen, where=where
    )
    found = lists(tmp_path / "out")
    for user, clicks in users.items():
        ids, scores = rec.recommend(clicks, N=7, filter_seen=filter_seen, where=where)
        assert found.get(user, []) == list(zip(ids.tolist(), scores.tolist(), strict=True))
    assert list(found) == sorted(found), "users ascend"
    assert (summary.n_parts, summary.n_written, summary.n_items) == (6, 6, 57)
    assert summary.n_empty == 57 - len(found)
    assert summary.n_rows == sum(map(len, found.values()))


def test_only_the_latest_clicks_count(rec, tmp_path):
    ids = rec.vectors.ids
    write_recommendations(rec, {"u": ids[:30]}, tmp_path / "a", N=5, max_clicks=3, filter_seen=False)
    write_recommendations(rec, {"u": ids[27:30]}, tmp_path / "b", N=5, filter_seen=False)
    assert lists(tmp_path / "a") == lists(tmp_path / "b")


def test_sessions_give_each_users_clicks_in_the_order_of_time(rec, tmp_path):
    ids = rec.vectors.ids
    sessions = Sessions.from_lists([ids[0:2], ids[5:8], ids[2:4], ["unknown"]])
    day = 86_400_000_000
    sessions = sessions.__class__(
        **{
            **{f: getattr(sessions, f) for f in sessions.__dataclass_fields__},
            "user_ids": pa.array(["b", "a", "b", "c"]),
            "start_us": np.array([2 * day, day, day, day]),
            "end_us": np.array([2 * day, day, day, day]) + 1,
        }
    )
    write_recommendations(rec, sessions, tmp_path / "a", N=5)
    users = {"b": [*ids[2:4], *ids[0:2]], "a": ids[5:8], "c": []}
    write_recommendations(rec, users, tmp_path / "b", N=5)
    assert lists(tmp_path / "a") == lists(tmp_path / "b")
    assert set(lists(tmp_path / "a")) == {"a", "b"}
    with pytest.raises(UsageError, match="sessions with users"):
        write_recommendations(rec, Sessions.from_lists([ids[:2]]), tmp_path / "c")


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_second_call_writes_only_what_is_missing_or_damaged(rec, tmp_path, form):
    users = histories(rec)

    def write(**settings):
        return write_recommendations(rec, users, tmp_path, partition_rows=10, N=5, format=form, **settings)

    write()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / f"part-00002.{form}").unlink()
    damaged = tmp_path / f"part-00004.{form}"
    body = bytearray(damaged.read_bytes())
    body[len(body) // 3] ^= 0x55
    damaged.write_bytes(bytes(body))
    (tmp_path / f".part-00005.{form}.tmp").write_bytes(b"half")
    summary = write()
    assert (summary.n_written, summary.n_skipped) == (2, 4)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(UsageError, match="another model or other settings"):
        write(decay=0.9)
    users["u000"] = rec.vectors.ids[:4]
    with pytest.raises(UsageError, match="another model or other settings"):
        write()


def test_formulas_are_escaped_in_csv_and_nothing_else_is(tmp_path):
    names = ["=1+1", "+a", "-b", "@c", "\td", 'say "x", y', "plain", "a=b", "ümlaut\n2"]
    rng = np.random.default_rng(0)
    vectors = ItemVectors(
        Vocabulary(pa.array(names), np.ones(len(names), np.int64)),
        rng.standard_normal((9, 4)).astype(np.float32),
    )
    summary = write_similar_items(Recommender(vectors), tmp_path, N=8, format="csv")
    with open(tmp_path / "part-00000.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary.n_rows == 72
    shown = {row["target_item_id"] for row in rows}
    assert shown == {"'=1+1", "'+a", "'-b", "'@c", "'\td", 'say "x", y', "plain", "a=b", "ümlaut\n2"}
    assert min(float(row["score"]) for row in rows) < 0, "numbers keep their sign"
    assert json.loads((tmp_path / "part-00000.json").read_text())["n_rows"] == 72


def test_wrong_calls_are_refused(rec, tmp_path):
    for arguments, error in (
        ({"format": "xml"}, UsageError),
        ({"N": 0}, UsageError),
        ({"partition_rows": 0}, UsageError),
        ({"max_clicks": 0}, UsageError),
        ({"where": {"brand": 1}}, UsageError),
        ({"mode": "sideways"}, UsageError),
        ({"decay": 0}, UsageError),
    ):
        with pytest.raises(error):
            write_recommendations(rec, {"u": rec.vectors.ids[:2]}, tmp_path / "out", **arguments)
    with pytest.raises(UsageError, match="history of 'u'"):
        write_recommendations(rec, {"u": [3]}, tmp_path / "out")
    with pytest.raises(DataError):
        write_recommendations(rec, {"u": [], 3: []}, tmp_path / "out")
    assert write_recommendations(rec, {}, tmp_path / "none").n_rows == 0
