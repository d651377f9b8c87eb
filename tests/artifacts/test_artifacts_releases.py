"""Stages are skipped when nothing changed; releases are published in one step."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from item2vec.artifacts import (
    Release,
    RunFolder,
    Stage,
    StageEvent,
    StoredObject,
    open_object,
    publish,
    read_release,
    release_ids,
    run_stages,
)
from item2vec.artifacts.manifest import canonical_json, describe_file, digest
from item2vec.errors import CorruptArtifactError, DataError, SourceError, UsageError


def toy_stages(log: Path, **config: int) -> list[Stage]:
    """Return log -> count -> double; and side, which reads the log's count alone."""
    settings = {"offset": 0, "factor": 2, "side": 1, **config}

    def count(inputs: Mapping[str, StoredObject], out_dir: Path) -> dict[str, Any]:
        number = len(log.read_text()) + settings["offset"]
        (out_dir / "n.txt").write_text(str(number))
        return {"n": number}

    def times(factor: int) -> Any:
        def build(inputs: Mapping[str, StoredObject], out_dir: Path) -> dict[str, Any]:
            number = int((inputs["count"].path / "n.txt").read_text()) * factor
            (out_dir / "n.txt").write_text(str(number))
            return {"n": number}

        return build

    return [
        Stage("count", 1, {"offset": settings["offset"]}, count, sources=lambda: [log]),
        Stage("double", 1, {"factor": settings["factor"]}, times(settings["factor"]), ("count",)),
        Stage("side", 1, {"side": settings["side"]}, times(settings["side"]), ("count",)),
    ]


def run(folder: RunFolder, log: Path, **config: int) -> tuple[dict[str, str], Release]:
    """Run and publish; return what happened to each stage, and the release."""
    events: list[StageEvent] = []
    with folder.lock():
        release = publish(folder, run_stages(folder, toy_stages(log, **config), events.append))
    return {event.stage: event.state for event in events}, release


def snapshot(folder: RunFolder) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(folder.path)): (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
        for path in folder.path.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "toy")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.txt"
    path.write_text("abcde")
    return path


def test_the_same_command_again_skips_every_stage_and_changes_nothing(folder: RunFolder, log: Path) -> None:
    states, first = run(folder, log)
    assert set(states.values()) == {"done"}
    before = snapshot(folder)
    states, second = run(folder, log)
    assert set(states.values()) == {"skipped"}
    assert second.id == first.id
    assert snapshot(folder) == before
    assert len(release_ids(folder)) == 1


@pytest.mark.parametrize(
    ("change", "rerun"),
    [({"side": 3}, {"side"}), ({"factor": 3}, {"double"}), ({"offset": 1}, {"count", "double", "side"})],
)
def test_one_setting_reruns_only_what_depends_on_it(
    folder: RunFolder, log: Path, change: dict[str, int], rerun: set[str]
) -> None:
    _, first = run(folder, log)
    states, second = run(folder, log, **change)
    assert {stage for stage, state in states.items() if state == "done"} == rerun
    assert second.id != first.id
    states, third = run(folder, log)
    assert set(states.values()) == {"skipped"}  # the old objects are still there
    assert third.id == first.id == read_release(folder.path).id


def test_a_changed_source_file_reruns_and_a_touched_one_does_not(folder: RunFolder, log: Path) -> None:
    run(folder, log)
    os.utime(log, (0, 0))
    assert set(run(folder, log)[0].values()) == {"skipped"}
    log.write_text("vwxyz")
    states, _ = run(folder, log)
    assert set(states.values()) == {"done"}


def test_a_source_that_changes_while_it_is_read_is_refused(folder: RunFolder, log: Path) -> None:
    def build(inputs: Mapping[str, StoredObject], out_dir: Path) -> dict[str, Any]:
        log.write_text("grown while reading")
        return {}

    stage = Stage("count", 1, {}, build, sources=lambda: [log])
    with folder.lock(), pytest.raises(SourceError, match=r"log\.txt changed while"):
        run_stages(folder, [stage])
    assert not folder.objects.exists()


def test_a_missing_source_is_named(folder: RunFolder, tmp_path: Path) -> None:
    with folder.lock(), pytest.raises(SourceError, match=r"none\.txt"):
        run_stages(folder, toy_stages(tmp_path / "none.txt"))


def test_a_damaged_object_is_built_again_and_its_readers_are_refused(folder: RunFolder, log: Path) -> None:
    _, release = run(folder, log)
    path = release.object_path("double") / "n.txt"
    path.chmod(0o644)
    path.write_text("77")
    with pytest.raises(CorruptArtifactError, match=str(path)):
        read_release(folder.path).open("double")
    states, again = run(folder, log)
    assert states == {"count": "skipped", "double": "done", "side": "skipped"}
    assert again.id == release.id
    assert (again.open("double").path / "n.txt").read_text() == "10"


def test_an_input_rebuilt_with_other_bytes_reruns_its_readers(folder: RunFolder, log: Path) -> None:
    """A stage on several threads is not bit-reproducible: same id, other content."""

    def noise(inputs: Mapping[str, StoredObject], out_dir: Path) -> dict[str, Any]:
        (out_dir / "n.txt").write_text(os.urandom(8).hex())
        return {}

    def copy(inputs: Mapping[str, StoredObject], out_dir: Path) -> dict[str, Any]:
        (out_dir / "n.txt").write_bytes((inputs["noise"].path / "n.txt").read_bytes())
        return {}

    stages = [Stage("noise", 1, {}, noise), Stage("copy", 1, {}, copy, ("noise",))]
    with folder.lock():
        first = publish(folder, run_stages(folder, stages))
        (first.object_path("noise") / "n.txt").unlink()
        objects = run_stages(folder, stages)
        assert (objects["copy"].path / "n.txt").read_text() == (objects["noise"].path / "n.txt").read_text()
        with pytest.raises(CorruptArtifactError, match="rebuilt"):
            first.open("noise")
        second = publish(folder, objects)
    assert second.id != first.id
    assert second.open("noise").figures == {}


def test_a_forged_object_with_right_checksums_is_built_again(folder: RunFolder, log: Path) -> None:
    _, release = run(folder, log)
    place = release.object_path("double")
    (place / "n.txt").chmod(0o644)
    (place / "n.txt").write_text("99")
    files = {"n.txt": describe_file(place / "n.txt")}
    manifest = json.loads((place / "MANIFEST.json").read_text()) | {"files": files}
    manifest["content"] = digest(canonical_json(manifest["files"]))
    del manifest["sha256"]
    (place / "MANIFEST.json").unlink()
    (place / "MANIFEST.json").write_bytes(
        canonical_json({**manifest, "sha256": digest(canonical_json(manifest))})
    )
    assert open_object(place)  # whole in itself
    with pytest.raises(CorruptArtifactError, match="is not the object that release"):
        read_release(folder.path).open("double")
    states, again = run(folder, log)
    assert states["double"] == "done"
    assert again.id == release.id
    assert (again.open("double").path / "n.txt").read_text() == "10"


@pytest.mark.parametrize("name", ["CURRENT", "release"])
@pytest.mark.parametrize("what", ["folder", "link"])
def test_what_stands_in_the_place_of_a_file_is_refused_and_replaced(
    folder: RunFolder, log: Path, tmp_path: Path, name: str, what: str
) -> None:
    _, release = run(folder, log)
    path = folder.current if name == "CURRENT" else release.path
    path.rename(tmp_path / "elsewhere")
    if what == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptArtifactError, match=path.name):
        read_release(folder.path)
    run(folder, log)
    assert read_release(folder.path).id == release.id
    assert path.is_file()
    assert not path.is_symlink()
    assert not folder.tmp.exists()


def test_a_release_is_read_only_and_says_what_it_holds(folder: RunFolder, log: Path) -> None:
    _, release = run(folder, log)
    assert stat.S_IMODE(release.path.stat().st_mode) == 0o444
    found = read_release(folder.path)
    assert found.id == release.id
    assert found.stages == ("count", "double", "side")
    assert found.figures["double"] == {"n": 10}
    assert read_release(folder.path, release.id[:8]).id == release.id
    with pytest.raises(UsageError, match="no stage 'index'; it has count, double, side"):
        found.open("index")


def test_a_missing_run_names_the_runs_there_are(folder: RunFolder, log: Path) -> None:
    run(folder, log)
    with pytest.raises(UsageError, match=r"holds no release \(runs with one: toy\).*item2vec run"):
        read_release(folder.path.with_name("toi"))
    with pytest.raises(UsageError, match="no release whose id starts with 'ffff'"):
        read_release(folder.path, "ffff")
    run(folder, log, side=9)
    with pytest.raises(UsageError, match="2 releases whose id"):
        read_release(folder.path, "")


@pytest.mark.parametrize("body", [b"", b"../../etc\n", b"\xff\n", b"0" * 31 + b"\n"])
def test_a_damaged_current_is_refused_and_mended_by_the_next_run(
    folder: RunFolder, log: Path, body: bytes
) -> None:
    run(folder, log)
    folder.current.write_bytes(body)
    with pytest.raises(CorruptArtifactError, match="CURRENT"):
        read_release(folder.path)
    run(folder, log)
    assert read_release(folder.path)


def test_a_damaged_release_file_is_refused_and_mended_by_the_next_run(folder: RunFolder, log: Path) -> None:
    _, release = run(folder, log)
    release.path.chmod(0o644)
    release.path.write_bytes(release.path.read_bytes().replace(b"double", b"bouble", 1))
    with pytest.raises(CorruptArtifactError, match=release.id):
        read_release(folder.path)
    run(folder, log)
    assert read_release(folder.path).id == release.id


def test_a_release_file_under_another_name_is_refused(folder: RunFolder, log: Path) -> None:
    _, release = run(folder, log)
    (folder.releases / f"{'0' * 32}.json").write_bytes(release.path.read_bytes())
    with pytest.raises(CorruptArtifactError, match="holds another release"):
        read_release(folder.path, "0" * 32)


def test_releases_are_listed_newest_first(folder: RunFolder, log: Path) -> None:
    ids = []
    for side in (1, 2, 3):
        ids.append(run(folder, log, side=side)[1].id)
        os.utime(folder.releases / f"{ids[-1]}.json", ns=(side, side))
    assert release_ids(folder) == ids[::-1]


def test_an_error_inside_a_stage_keeps_the_finished_stages(folder: RunFolder, log: Path) -> None:
    def fail(inputs: Mapping[str, StoredObject], out_dir: Path) -> dict[str, Any]:
        raise DataError("bad rows")

    first, *_ = toy_stages(log)
    with folder.lock(), pytest.raises(DataError, match="bad rows"):
        run_stages(folder, [first, Stage("late", 1, {}, fail, ("count",))])
    assert not folder.current.exists()
    assert run(folder, log)[0]["count"] == "skipped"


KILLED = """
import os, sys, time
from pathlib import Path
from item2vec.artifacts import RunFolder, Stage, publish, run_stages

def build(name):
    def write(inputs, out_dir):
        for part in range(4):
            (out_dir / f"{part}.bin").write_bytes(name.encode() * 5000)
            print(name, part, flush=True)
            time.sleep(0.002)
        return {}
    return write

names = [f"stage{number}" for number in range(5)]
folder = RunFolder(sys.argv[1])
with folder.lock():
    inputs = [tuple(names[max(at - 1, 0):at]) for at in range(5)]
    stages = [Stage(name, 1, {}, build(name), before) for name, before in zip(names, inputs)]
    print("release", publish(folder, run_stages(folder, stages)).id, flush=True)
"""


@pytest.mark.parametrize("lines", [0, 1, 4, 9, 13, 20])
def test_kill_9_leaves_no_half_object_and_the_next_run_finishes(tmp_path: Path, lines: int) -> None:
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(KILLED))
    whole = RunFolder(tmp_path / "whole")
    subprocess.run([sys.executable, script, whole.path], check=True, capture_output=True)

    folder = RunFolder(tmp_path / "killed")
    with subprocess.Popen([sys.executable, script, folder.path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        while not (folder.path / ".lock").exists():
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    for path in folder.objects.glob("*/*"):
        assert open_object(path).id == path.name  # what has its name is whole
    subprocess.run([sys.executable, script, folder.path], check=True, capture_output=True)
    contents = [{name: body for name, (_, _, body) in snapshot(run).items()} for run in (whole, folder)]
    assert contents[0] == contents[1]
    assert not list(folder.tmp.glob("*"))


def test_a_published_release_gets_the_fsync_that_its_killed_writer_owed(
    folder: RunFolder, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, log)
    seen = []
    monkeypatch.setattr("os.fsync", lambda handle: seen.append(os.readlink(f"/proc/self/fd/{handle}")))
    run(folder, log)
    assert seen[-2:] == [str(folder.releases), str(folder.path)]
