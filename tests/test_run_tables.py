"""What a run writes for look-ups and jobs besides similar items: neighbours beforehand, every user's list."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import item2vec as i2v
from item2vec.cli import app
from item2vec.run import RunResult
from item2vec.sessions import Sessions
from test_run_pipeline import run

CHANGES: dict[str, Any] = {
    "index": {"neighbours": 12},
    "recommend": {"N": 5, "partition_rows": 4, "users": {"N": 3, "max_clicks": 2}},
    "scoring": {"decay": 0.7},
}
KILLED = """
import os, signal, sys
from pathlib import Path
from item2vec.recommendations import parts
import test_run_pipeline as tests

write_part = parts._Parquet.write

def killing(path, table, fingerprint, stated):
    if path.parent.name == "users" and stated["part"] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return write_part(path, table, fingerprint, stated)

parts._Parquet.write = killing
tests.run(Path(sys.argv[1]), CHANGES)
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(tmp_path_factory.mktemp("tables"), CHANGES)[1]


def table_of(folder: Path) -> list[dict[str, Any]]:
    """Read the parts of a table in their order."""
    return [row for part in sorted(folder.glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()]


def test_every_user_who_clicked_gets_what_the_recommender_says(result: RunResult) -> None:
    rec = i2v.load(result.folder)
    sessions = Sessions.load(result.objects["sessions"].path)
    clicks: dict[str, list[str]] = {}
    order = sorted(range(len(sessions)), key=lambda row: sessions.start_us[row])
    for row in order:
        tokens = sessions.tokens[sessions.offsets[row] : sessions.offsets[row + 1]]
        items = sessions.item_ids.take(tokens).to_pylist()
        clicks.setdefault(sessions.user_ids[row].as_py(), []).extend(items)
    expected = []
    for user in sorted(clicks):
        ids, scores = rec.recommend(clicks[user][-2:], N=3, decay=0.7)
        for place, (item, score) in enumerate(zip(ids.tolist(), scores.tolist(), strict=True)):
            expected.append({"user_id": user, "item_id": item, "score": score, "rank": place + 1})
    tables = result.objects["recommendations"]
    assert table_of(tables.path / "users") == expected
    assert tables.figures["users"] == len(clicks)
    assert tables.figures["user_rows"] == len(expected)


def test_the_tables_of_a_run_killed_among_the_users_go_on(result: RunResult, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED.replace("CHANGES", repr(CHANGES)), str(tmp_path)]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert found.returncode == -signal.SIGKILL, found.stderr
    ready = list((tmp_path / "tiny" / "checkpoints" / "recommendations").glob("*/users/part-*.parquet"))
    assert len(ready) == 4
    stamps = {path.name: path.stat().st_ino for path in ready}
    resumed = run(tmp_path, CHANGES)[1].objects["recommendations"]
    assert resumed.manifest["files"] == result.objects["recommendations"].manifest["files"]
    assert {name: (resumed.path / "users" / name).stat().st_ino for name in stamps} == stamps


def test_neighbours_found_beforehand_answer_and_change_no_table(result: RunResult, tmp_path: Path) -> None:
    rec = i2v.load(result.folder)
    assert rec.neighbours is not None
    assert rec.neighbours.width == 12
    one = rec.vocabulary.item_ids([0])[0]
    *_, info = rec.similar_items(one, N=5, return_info=True)
    assert info.path == "table"
    *_, info = rec.similar_items(one, N=13, return_info=True)
    assert info.path != "table", "the rows do not reach so far"
    _, plain = run(tmp_path, {"recommend": {"N": 5, "partition_rows": 4}})
    assert i2v.load(plain.folder).neighbours is None
    assert not (plain.objects["recommendations"].path / "users").exists()
    folders = [one.objects["recommendations"].path / "similar_items" for one in (result, plain)]
    assert table_of(folders[0]) == table_of(folders[1])


def test_show_names_the_table_of_users(result: RunResult) -> None:
    shown = CliRunner().invoke(app, ["show", "tiny", "--runs-dir", str(result.folder.parent)])
    assert shown.exit_code == 0, shown.output
    assert "users " in shown.output
    assert str(result.objects["recommendations"].path / "users") in shown.output.replace("\n", "")
