"""Objects: durable, verified, refused by name when one byte is wrong."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest

from item2vec.artifacts import RunFolder, StageKey, StoredObject, fingerprint, open_object
from item2vec.artifacts.durable import remove_tree
from item2vec.artifacts.manifest import MANIFEST, canonical_json, digest
from item2vec.artifacts.temporary import temporary_place
from item2vec.errors import CorruptArtifactError, LockedRunError, RunError, SourceError

KEY = StageKey("toy", 1, {"size": 3})


def build(folder: Path) -> dict[str, float]:
    (folder / "part").mkdir()
    (folder / "part" / "a.bin").write_bytes(bytes(range(256)) * 20)
    (folder / "b.json").write_text('{"x": 1}\n')
    (folder / "empty").touch()
    return {"rows": 5, "nan": float("nan"), "array": np.arange(2)}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "toy")


@pytest.fixture
def stored(folder: RunFolder) -> StoredObject:
    with folder.lock():
        return folder.write(KEY, build)


def test_an_object_is_named_by_its_key_and_lists_every_file(stored: StoredObject) -> None:
    assert stored.path.parts[-3:] == ("objects", "toy", KEY.id)
    assert len(KEY.id) == 32
    assert set(stored.manifest["files"]) == {"part/a.bin", "b.json", "empty"}
    assert stored.manifest["files"]["empty"] == {"bytes": 0, "sha256": digest(b"")}
    assert stored.figures == {"rows": 5, "nan": None, "array": [0, 1]}
    assert stored.manifest["libraries"]["numpy"] == np.__version__
    assert open_object(stored.path) == stored


def test_files_are_read_only_and_nothing_is_left_in_tmp(folder: RunFolder, stored: StoredObject) -> None:
    for path in stored.path.rglob("*"):
        assert path.is_dir() or stat.S_IMODE(path.stat().st_mode) == 0o444
    assert not folder.tmp.exists()


def test_the_manifest_holds_no_clock_and_no_place(tmp_path: Path) -> None:
    bodies = []
    for name in ("one", "two"):
        run = RunFolder(tmp_path / name)
        with run.lock():
            bodies.append((run.write(KEY, build).path / MANIFEST).read_bytes())
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    "other",
    [
        StageKey("toy", 2, {"size": 3}),
        StageKey("toy", 1, {"size": 4}),
        StageKey("toy", 1, {"size": 3, "x": None}),
        StageKey("other", 1, {"size": 3}),
        StageKey("toy", 1, {"size": 3}, {"events": {"object": "a", "content": "b"}}),
        StageKey("toy", 1, {"size": 3}, {}, {"log.csv": {"sha256": "a", "bytes": 1}}),
    ],
)
def test_everything_that_shapes_an_object_changes_its_id(other: StageKey) -> None:
    assert other.id != KEY.id


def test_the_id_depends_on_the_values_not_on_their_order() -> None:
    assert StageKey("s", 1, {"a": 1, "b": (1, 2)}).id == StageKey("s", 1, {"b": [1, 2], "a": 1}).id


def test_find_knows_what_was_written_and_nothing_else(folder: RunFolder, stored: StoredObject) -> None:
    assert folder.find(KEY) == stored
    assert folder.find(StageKey("toy", 1, {"size": 4})) is None


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "one bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "gone": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["part/a.bin", "b.json", MANIFEST])
def test_a_damaged_file_is_refused_by_name(stored: StoredObject, name: str, damage: str) -> None:
    path = stored.path / name
    path.chmod(0o644)
    DAMAGES[damage](path)
    with pytest.raises(CorruptArtifactError, match=name.replace(".", r"\.")):
        open_object(stored.path)


def test_random_corruption_never_passes(stored: StoredObject) -> None:
    """Flip, cut or zero anywhere in any file: 300 of 300 are refused with the file's name."""
    draw = random.Random(1)
    names = ["part/a.bin", "b.json", MANIFEST]
    for _ in range(300):
        path = stored.path / draw.choice(names)
        whole = path.read_bytes()
        place, length = draw.randrange(len(whole)), draw.randrange(1, 64)
        patch = draw.choice([bytes([whole[place] ^ 1 << draw.randrange(8)]), draw.randbytes(length), b""])
        broken = whole[:place] + patch + whole[place + len(patch) :] if patch else whole[:place]
        if broken == whole:
            continue
        path.chmod(0o644)
        path.write_bytes(broken)
        with pytest.raises(CorruptArtifactError, match=path.name.replace(".", r"\.")):
            open_object(stored.path)
        path.write_bytes(whole)
    assert open_object(stored.path) == stored


def test_a_foreign_file_is_refused_by_name(stored: StoredObject) -> None:
    (stored.path / "part" / "b.bin").touch()
    with pytest.raises(CorruptArtifactError, match=r"part/b\.bin is not in the manifest"):
        open_object(stored.path)


def test_a_link_is_refused_even_if_its_target_is_whole(stored: StoredObject, tmp_path: Path) -> None:
    shutil.move(stored.path / "b.json", tmp_path / "b.json")
    (stored.path / "b.json").symlink_to(tmp_path / "b.json")
    with pytest.raises(CorruptArtifactError, match=r"b\.json is not a plain file"):
        open_object(stored.path)
    (stored.path / "b.json").unlink()
    shutil.move(tmp_path / "b.json", stored.path / "b.json")
    (stored.path / "more").symlink_to(tmp_path)
    with pytest.raises(CorruptArtifactError, match="more is not in the manifest"):
        open_object(stored.path)


def test_an_object_under_another_name_is_refused(stored: StoredObject) -> None:
    moved = stored.path.rename(stored.path.with_name("0" * 32))
    with pytest.raises(CorruptArtifactError, match="another object"):
        open_object(moved)


@pytest.mark.parametrize("forged", [{}, [], {"format": 1}, {"format": 99}])
def test_a_forged_manifest_is_refused(stored: StoredObject, forged: object) -> None:
    path = stored.path / MANIFEST
    path.chmod(0o644)
    sealed = {**forged, "sha256": digest(canonical_json(forged))} if isinstance(forged, dict) else forged
    path.write_bytes(canonical_json(sealed))
    with pytest.raises(CorruptArtifactError, match=MANIFEST):
        open_object(stored.path)


def test_a_damaged_object_is_replaced_by_a_whole_one(folder: RunFolder, stored: StoredObject) -> None:
    (stored.path / "b.json").unlink()
    with folder.lock():
        assert folder.write(KEY, build) == stored
    assert not folder.tmp.exists()


def test_a_failed_build_leaves_nothing(folder: RunFolder) -> None:
    def fail(out_dir: Path) -> dict[str, int]:
        (out_dir / "half").touch()
        raise ValueError("a bug")

    with folder.lock():
        with pytest.raises(ValueError, match="a bug"):
            folder.write(KEY, fail)
        assert list(folder.tmp.iterdir()) == []
    assert folder.find(KEY) is None


def test_a_full_disk_is_named_with_the_next_step(folder: RunFolder) -> None:
    def fail(out_dir: Path) -> dict[str, int]:
        raise OSError(28, os.strerror(28), str(out_dir / "a.bin"))

    with (
        folder.lock(),
        pytest.raises(RunError, match=r"'toy' failed at .*a\.bin: No space left.*free some"),
    ):
        folder.write(KEY, fail)


def test_a_short_write_of_numpy_is_no_bug(folder: RunFolder) -> None:
    def fail(out_dir: Path) -> dict[str, int]:
        raise OSError("116 requested and 0 written")  # what ndarray.tofile says: without a number

    with folder.lock(), pytest.raises(RunError, match=r"'toy' failed at .*116 requested.*free some"):
        folder.write(KEY, fail)


def test_a_file_that_changes_between_build_and_rename_is_caught(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader's own check runs before the object gets its name."""
    monkeypatch.setattr("item2vec.artifacts.folder.fsync_tree", lambda path: (path / "empty").write_text("x"))
    with folder.lock(), pytest.raises(CorruptArtifactError, match="empty"):
        folder.write(KEY, build)
    assert folder.find(KEY) is None


def test_what_the_system_refuses_under_the_lock_is_a_failed_run_with_the_path(folder: RunFolder) -> None:
    def fail(out_dir: Path) -> dict[str, int]:
        raise AssertionError("not reached")

    with pytest.raises(RunError, match=r"CURRENT: Permission denied; free some space"), folder.lock():
        raise PermissionError(13, os.strerror(13), str(folder.current))
    with folder.lock():
        pass  # the lock was freed
    with folder.lock():
        folder.tmp.touch()  # in the way of the scratch space
        with pytest.raises(RunError, match=r"stage 'toy' failed at .*tmp: File exists"):
            folder.write(KEY, fail)
    with pytest.raises(BrokenPipeError), folder.lock():
        raise BrokenPipeError(32, "Broken pipe")  # from whoever was told about a stage


def test_a_lock_that_the_system_refuses_is_not_called_another_writer(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(37, os.strerror(37))

    monkeypatch.setattr("item2vec.artifacts.folder.fcntl.flock", refuse)
    with pytest.raises(RunError, match="No locks available") as caught, folder.lock():
        pass
    assert not isinstance(caught.value, LockedRunError)


def test_after_a_failed_fsync_of_a_folder_the_object_is_built_again(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it failed, a later fsync may succeed without having written anything: nothing is trusted."""
    real = os.fsync

    def refuse(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("/objects/toy"):
            raise OSError(5, os.strerror(5))
        real(handle)

    with folder.lock():
        monkeypatch.setattr("os.fsync", refuse)
        with pytest.raises(RunError, match="Input/output error"):
            folder.write(KEY, build)
        monkeypatch.undo()
        assert folder.find(KEY) is None
        assert folder.write(KEY, build)


def test_a_found_object_gets_the_fsync_that_its_killed_writer_owed(
    folder: RunFolder, stored: StoredObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr("os.fsync", lambda handle: seen.append(os.readlink(f"/proc/self/fd/{handle}")))
    assert folder.find(KEY) == stored
    assert seen == [str(folder.objects / "toy"), str(folder.objects)]


def test_temporary_folders_lie_in_the_run_while_it_is_written(folder: RunFolder) -> None:
    assert temporary_place() is None
    with folder.lock():
        assert temporary_place() == folder.tmp
        kept = tempfile.mkdtemp(dir=temporary_place())
    assert temporary_place() is None
    assert not os.path.exists(kept)


@pytest.mark.parametrize("what", ["link", "folder"])
def test_a_manifest_that_is_no_plain_file_is_refused(stored: StoredObject, tmp_path: Path, what: str) -> None:
    path = stored.path / MANIFEST
    path.rename(tmp_path / MANIFEST)
    if what == "link":
        path.symlink_to(tmp_path / MANIFEST)
    else:
        path.mkdir()
    with pytest.raises(CorruptArtifactError, match=rf"{MANIFEST} is not a plain file"):
        open_object(stored.path)


def test_a_broken_link_in_the_place_of_an_object_is_replaced(
    folder: RunFolder, stored: StoredObject, tmp_path: Path
) -> None:
    shutil.rmtree(stored.path)
    stored.path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(CorruptArtifactError, match=MANIFEST):
        folder.find(KEY)
    with folder.lock():
        assert folder.write(KEY, build) == stored


def test_what_cannot_be_removed_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    remove_tree(tmp_path / "file")  # no folder: nothing that this may remove
    assert f"{tmp_path / 'file'} cannot be removed" in caplog.text
    remove_tree(tmp_path / "none")
    assert "none" not in caplog.text


def test_two_writers_are_kept_apart(folder: RunFolder) -> None:
    with folder.lock():
        with pytest.raises(LockedRunError, match=rf"pid {os.getpid()}\).*run\.name"), folder.lock():
            pass
        assert folder.write(KEY, build)  # the refused writer did not wipe the first one's tmp
    with folder.lock():
        assert folder.find(KEY)


def test_leftovers_of_a_killed_writer_are_removed_under_the_lock(folder: RunFolder) -> None:
    (folder.tmp / "half").mkdir(parents=True)
    (folder.tmp / "half" / "a.bin").touch()
    with folder.lock():
        assert not folder.tmp.exists()


def test_a_run_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="--runs-dir"), RunFolder(tmp_path / "file" / "run").lock():
        pass


def test_fingerprint_sees_content_and_names_a_missing_file(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("a\n")
    first = fingerprint([log])
    assert first == {str(log): {"sha256": digest(b"a\n"), "bytes": 2}}
    log.write_text("b\n")
    assert fingerprint([log]) != first
    with pytest.raises(SourceError, match=r"none\.csv"):
        fingerprint([tmp_path / "none.csv"])


def test_canonical_json_survives_a_round_trip() -> None:
    value = {"b": [1, 2.5, None, True], "a": {"é": "\udcff"}, "path": Path("x")}
    body = canonical_json(value)
    assert canonical_json(json.loads(body)) == body
    assert body.startswith(b'{\n "a"')
