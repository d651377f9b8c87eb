"""Collection: what is needed or young stays, what is old goes, and a crash leaves nothing half."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from item2vec.artifacts import (
    Collected,
    Release,
    RunFolder,
    Stage,
    StoredObject,
    collect,
    open_object,
    publish,
    read_release,
    release_ids,
    run_stages,
)
from item2vec.errors import UsageError

DAY = 86_400
NOW = 1_900_000_000


def stages(number: int) -> list[Stage]:
    """Return `log`, which all releases share, and `model`, of which each has its own."""

    def build(name: str) -> Any:
        def write(inputs: Mapping[str, StoredObject], out_dir: Path) -> dict[str, Any]:
            (out_dir / "body.bin").write_bytes(name.encode() * 100)
            return {}

        return write

    return [Stage("log", 1, {}, build("log")), Stage("model", 1, {"n": number}, build(f"{number}"), ("log",))]


def age(path: Path, days: float) -> None:
    """Make everything of a path `days` days old at the time `NOW`."""
    for found in [path, *path.rglob("*")]:
        os.utime(found, (NOW - days * DAY, NOW - days * DAY))


def release(folder: RunFolder, number: int, days: float) -> Release:
    """Publish release `number`, `days` days old."""
    made = publish(folder, run_stages(folder, stages(number)))
    age(made.path, days)
    age(made.object_path("model"), days)
    age(made.object_path("log"), 1000)
    return made


def collected(folder: RunFolder, keep: int = 3, **options: Any) -> Collected:
    return collect(folder, keep, now=datetime.fromtimestamp(NOW, UTC), **options)


def models(folder: RunFolder) -> set[str]:
    return {path.name for path in (folder.objects / "model").iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "toy")


@pytest.fixture
def five(folder: RunFolder) -> list[Release]:
    """Five releases, 50, 40, 30, 20 and 10 days old; the last one is current."""
    with folder.lock():
        return [release(folder, number, 50 - 10 * number) for number in range(5)]


def model_ids(releases: list[Release]) -> set[str]:
    return {one.object_path("model").name for one in releases}


def test_the_last_releases_and_what_they_need_stay(folder: RunFolder, five: list[Release]) -> None:
    bodies = [one.path.stat().st_size for one in five[:2]]
    files = sum(path.stat().st_size for one in five[:2] for path in one.object_path("model").iterdir())
    with folder.lock():
        assert collected(folder) == Collected(releases=2, objects=2, bytes=sum(bodies) + files)
        assert collected(folder) == Collected()
    assert set(release_ids(folder)) == {one.id for one in five[2:]}
    assert models(folder) == model_ids(five[2:])
    for one in five[2:]:
        assert [read_release(folder.path, one.id).open(stage).stage for stage in one.stages] == [
            "log",
            "model",
        ]
    assert not folder.tmp.exists()


def test_the_way_back_from_the_current_release_stays(folder: RunFolder) -> None:
    """A, B, C, D; back to A; E follows A: from E the way back is A, which is the oldest of all."""
    follows, made = [None, 0, 1, 2, 0], []
    with folder.lock():
        for number, before in enumerate(follows):
            note = {"follows": None if before is None else made[before].id}
            made.append(publish(folder, run_stages(folder, stages(number)), note))
            for path in (made[-1].path, made[-1].object_path("model")):
                age(path, 50 - 10 * number)
        assert collected(folder).releases == 1
        assert models(folder) == model_ids([made[0], *made[2:]])
        assert collected(folder, keep=1).releases == 3  # whoever keeps one keeps no way back
    assert models(folder) == model_ids(made[4:])


def test_a_way_back_that_was_removed_ends_there(folder: RunFolder) -> None:
    with folder.lock():
        first, second = (
            publish(folder, run_stages(folder, stages(number)), {"follows": before})
            for number, before in enumerate((None, "0" * 32))
        )
        for one in (first, second):
            age(one.path, 50)
        assert collected(folder, keep=2).releases == 0


@pytest.mark.parametrize("keep", range(7))
def test_the_number_that_stays_is_the_setting(folder: RunFolder, five: list[Release], keep: int) -> None:
    with folder.lock():
        collected(folder, keep)
    stay = five[5 - max(keep, 1) :] if keep < 5 else five  # the current one always
    assert models(folder) == model_ids(stay)


def test_the_current_release_stays_however_old_it_is(folder: RunFolder, five: list[Release]) -> None:
    folder.current.write_text(f"{five[0].id}\n")  # as after a rollback
    with folder.lock():
        collected(folder)
    assert models(folder) == model_ids([five[0], *five[2:]])
    assert read_release(folder.path).open("model")


def test_what_is_younger_than_a_day_stays(folder: RunFolder, five: list[Release]) -> None:
    age(five[0].path, 0.9)  # moves it to the front too
    age(five[1].object_path("model"), 0.9)
    with folder.lock():
        assert collected(folder, keep=1).releases == 3
    assert models(folder) == model_ids([five[0], five[1], five[4]])
    with folder.lock():
        assert collected(folder, keep=1, min_age=timedelta(hours=12)).objects == 1
    assert models(folder) == model_ids([five[0], five[4]])


def test_a_young_manifest_or_a_young_folder_is_enough(folder: RunFolder, five: list[Release]) -> None:
    os.utime(five[0].object_path("model") / "MANIFEST.json", (NOW, NOW))
    os.utime(five[1].object_path("model"), (NOW, NOW))
    with folder.lock():
        assert collected(folder).objects == 0


def test_objects_of_runs_that_never_published_go_when_they_are_old(
    folder: RunFolder, five: list[Release]
) -> None:
    with folder.lock():
        found = run_stages(folder, stages(7))["model"]
        age(found.path, 0.5)
        collected(folder)
        assert found.path.exists()
        age(found.path, 1.5)
        collected(folder)
        assert not found.path.exists()


@pytest.mark.parametrize("damage", ["cut", "gone", "forged"])
def test_a_damaged_release_that_stays_stops_the_collection_and_is_named(
    folder: RunFolder, five: list[Release], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = five[4].path if damage == "gone" else five[3].path
    body, when = path.read_bytes(), path.stat().st_mtime
    path.unlink()
    if damage != "gone":
        path.write_bytes(body[:-2] if damage == "cut" else five[2].path.read_bytes())
        os.utime(path, (when, when))
    with folder.lock(), caplog.at_level(logging.WARNING, "item2vec"):
        assert collected(folder) == Collected()
    assert models(folder) == model_ids(five)
    assert "may be needed" in caplog.text
    assert path.name in caplog.text


def test_a_damaged_release_that_goes_takes_nothing_with_it_that_others_need(
    folder: RunFolder, five: list[Release]
) -> None:
    five[0].path.chmod(0o644)
    five[0].path.write_bytes(b"{")
    age(five[0].path, 50)
    with folder.lock():
        assert collected(folder).releases == 2
    assert models(folder) == model_ids(five[2:])


@pytest.mark.parametrize("body", [b"", b"nothing\n", b"0" * 32 + b"\n"])
def test_without_a_readable_current_nothing_is_removed(
    folder: RunFolder, five: list[Release], body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder.current.write_bytes(body)
    with folder.lock():
        assert collected(folder) == Collected()
    assert "may be needed" in caplog.text
    folder.current.unlink()
    caplog.clear()
    with folder.lock():
        assert collected(folder) == Collected()
    assert "CURRENT is missing" in caplog.text
    folder.current.mkdir()
    with folder.lock():
        assert collected(folder) == Collected()
    assert models(folder) == model_ids(five)


def test_foreign_files_are_left_alone(folder: RunFolder, five: list[Release], tmp_path: Path) -> None:
    (folder.objects / "model" / "notes").mkdir()
    (folder.objects / "README").write_text("mine")
    (folder.releases / "notes.json").write_text("mine")
    (folder.objects / "model" / ("0" * 32)).symlink_to(tmp_path)
    (folder.objects / "linked").symlink_to(tmp_path)
    for path in (folder.objects / "model" / "notes", folder.objects / "README", folder.releases):
        age(path, 100)
    with folder.lock():
        assert collected(folder, keep=9) == Collected()
    assert (folder.releases / "notes.json").exists()


def test_old_checkpoints_go_and_young_ones_stay(folder: RunFolder, five: list[Release]) -> None:
    for stage, days in (("embeddings", 2.0), ("holdout", 0.5)):
        place = folder.checkpoints / stage / "key"
        place.mkdir(parents=True)
        (place / "state").write_bytes(b"x" * 10)
        age(folder.checkpoints / stage, 9)
        os.utime(place / "state", (NOW - days * DAY, NOW - days * DAY))
    with folder.lock():
        assert collected(folder, keep=9) == Collected(checkpoints=1, bytes=10)
    assert [path.name for path in folder.checkpoints.iterdir()] == ["holdout"]


def test_what_cannot_be_removed_is_named_and_the_run_is_not_stopped(
    folder: RunFolder, five: list[Release], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(source))

    monkeypatch.setattr("item2vec.artifacts.collection.os.rename", refuse)
    with folder.lock():
        assert collected(folder).objects == 0
    assert "cannot remove" in caplog.text
    assert "Permission denied" in caplog.text
    assert models(folder) == model_ids(five)


def test_negative_settings_are_refused(folder: RunFolder) -> None:
    with pytest.raises(UsageError, match="keep=-1"):
        collect(folder, -1)
    with pytest.raises(UsageError, match="min_age"):
        collect(folder, min_age=timedelta(days=-1))


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
import item2vec.artifacts as module
from item2vec.artifacts import RunFolder

left = int(sys.argv[2])

def counting(name, real):
    def call(*args, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)
    return call

os.unlink = counting("unlink", os.unlink)
os.rename = counting("rename", os.rename)
os.rmdir = counting("rmdir", os.rmdir)
folder = RunFolder(sys.argv[1])
with folder.lock():
    module.collect(folder, now=datetime.fromtimestamp(1_900_000_000, UTC))
"""


def test_kill_9_at_every_step_leaves_what_readers_need_and_the_next_collection_finishes(
    tmp_path: Path,
) -> None:
    """Old objects are whole or out of sight after a kill at any unlink, rename or rmdir."""
    ended, steps = 0, 0
    while not ended:
        folder = RunFolder(tmp_path / f"run{steps}")
        with folder.lock():
            five = [release(folder, number, 50 - 10 * number) for number in range(5)]
        command = [sys.executable, "-c", KILLED, str(folder.path), str(steps)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.returncode in (0, -signal.SIGKILL), found.stderr
        ended = found.returncode == 0
        for path in folder.objects.glob("*/*"):
            assert open_object(path)  # what has its name is whole
        for name in release_ids(folder):
            one = read_release(folder.path, name)
            assert [one.open(stage) for stage in one.stages]  # a release file never outlives its objects
        with folder.lock():
            collected(folder)
        assert models(folder) == model_ids(five[2:])
        assert not folder.tmp.exists()
        steps += 1
    assert steps > 8


def test_ages_count_from_the_clock_by_default(folder: RunFolder, five: list[Release]) -> None:
    for one in five:
        for path in (one.path, one.object_path("model"), one.object_path("model") / "MANIFEST.json"):
            os.utime(path, (time.time() - 3600, time.time() - 3600))
    with folder.lock():
        assert collect(folder) == Collected()
