"""The batch table inside a run: killed half-way, it goes on with the parts that are there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from item2vec.errors import UsageError
from item2vec.recommendations import parts
from item2vec.run import run_pipeline
from test_run_pipeline import run, settings

PARTS = {"recommend": {"N": 5, "partition_rows": 4}}
KILLED = """
import os, signal, sys
from pathlib import Path
from item2vec.recommendations import parts
import test_run_pipeline as tests

write_part = parts._Parquet.write

def killing(path, table, fingerprint, stated):
    if stated["part"] == 4:
        path.with_name(f".{path.name}.tmp").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return write_part(path, table, fingerprint, stated)

parts._Parquet.write = killing
tests.run(Path(sys.argv[1]), CHANGES)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(tmp_path_factory.mktemp("undisturbed"), PARTS)[1].objects["recommendations"]


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A runs folder whose run was killed in the fifth part of the table."""
    command = [sys.executable, "-c", KILLED.replace("CHANGES", repr(PARTS)), str(tmp_path)]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert found.returncode == -signal.SIGKILL, found.stderr
    return tmp_path


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the parts that this process writes."""
    numbers: list[int] = []
    write_part = parts._Parquet.write

    def noting(path: Path, table: Any, fingerprint: str, stated: dict[str, int]) -> None:
        numbers.append(stated["part"])
        write_part(path, table, fingerprint, stated)

    monkeypatch.setattr(parts._Parquet, "write", noting)
    return numbers


def finished_parts(runs: Path) -> dict[str, tuple[int, int]]:
    """Return the parts that lie ready for a run, each with its inode and time."""
    parts = (runs / "tiny" / "checkpoints" / "recommendations").glob("*/similar_items/part-*.parquet")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in parts}


def test_the_parts_of_a_killed_run_are_not_written_again(
    killed: Path, undisturbed: Any, written: list[int]
) -> None:
    ready = finished_parts(killed)
    assert sorted(ready) == [f"part-{number:05d}.parquet" for number in range(4)]
    done, result = run(killed, PARTS)
    table = result.objects["recommendations"]
    assert "recommendations" in done
    assert written[0] == 4
    assert written == list(range(4, undisturbed.figures["items"] // 4 + 1))
    for name, stamp in ready.items():
        found = (table.path / "similar_items" / name).stat()
        assert (found.st_ino, found.st_mtime_ns) == stamp
    assert dict(table.manifest) == dict(undisturbed.manifest)
    for name in undisturbed.manifest["files"]:
        assert (table.path / name).read_bytes() == (undisturbed.path / name).read_bytes()
    assert not (killed / "tiny" / "checkpoints").exists()


def test_a_run_stopped_after_the_table_keeps_no_second_copy(killed: Path) -> None:
    run_pipeline(settings(PARTS), killed, until="recommendations")
    assert finished_parts(killed) == {}


def test_other_settings_start_a_table_of_their_own(
    killed: Path, undisturbed: Any, written: list[int]
) -> None:
    _, other = run(killed, {"recommend": {"N": 3, "partition_rows": 4}})
    assert written[:5] == [0, 1, 2, 3, 4]
    assert other.objects["recommendations"].id != undisturbed.id
    assert max(other.objects["recommendations"].figures["rows"], 1) < undisturbed.figures["rows"]


def test_a_foreign_part_is_no_dead_end(killed: Path, undisturbed: Any, written: list[int]) -> None:
    (folder,) = (killed / "tiny" / "checkpoints" / "recommendations").glob("*/similar_items")
    (folder / "part-00099.parquet").write_bytes(b"what is this")
    _, result = run(killed, PARTS)
    assert written[0] == 0
    assert result.objects["recommendations"].manifest["files"] == undisturbed.manifest["files"]


def test_without_hard_links_the_parts_are_copied(
    tmp_path: Path, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    _, result = run(tmp_path, PARTS)
    assert result.objects["recommendations"].manifest["files"] == undisturbed.manifest["files"]


def test_a_wrong_setting_is_said_and_not_tried_for_ever(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown filter column 'city'"):
        run(tmp_path, {"recommend": {"same_market": True, "market_column": "city"}})
