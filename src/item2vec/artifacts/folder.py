"""One run's folder: its lock, its scratch space and its objects."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from item2vec.artifacts.durable import fsync_path, fsync_tree, make_folder, remove_tree, write_file
from item2vec.artifacts.manifest import MANIFEST, StageKey, StoredObject, build_manifest, open_object
from item2vec.artifacts.temporary import temporary_files_in
from item2vec.errors import LockedRunError, RunError, of_the_system

_AGAIN = "free some space or check the permissions, then run the same command again"

Build = Callable[[Path], Mapping[str, Any]]


class RunFolder:
    """``runs/<name>/``: ``objects/<stage>/<id>/``, ``releases/``, ``CURRENT`` and scratch space, one lock.

    Parameters
    ----------
    path : Path
        The folder of the run; it is made by :meth:`lock`, the constructor touches nothing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.objects = self.path / "objects"
        self.releases = self.path / "releases"
        self.current = self.path / "CURRENT"
        self.checkpoints = self.path / "checkpoints"
        self.tmp = self.path / "tmp"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for one writer; what a killed writer left in ``tmp/`` is removed.

        Raises
        ------
        LockedRunError
            If another process is writing this run. The kernel frees the lock when a writer dies.
        RunError
            If the folder cannot be made or written, now or while the lock is held.
        """
        try:
            make_folder(self.path)
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(
                f"no writing to {self.path} ({error.strerror}); choose another --runs-dir"
            ) from error
        try:
            self._acquire(handle)
            remove_tree(self.tmp)
            try:
                with temporary_files_in(self.tmp):
                    yield
            finally:
                remove_tree(self.tmp)
        except BrokenPipeError:  # not the folder's: whoever was told about the stages has gone
            raise
        except OSError as error:
            if not of_the_system(error):
                raise
            raise _refused(self.path, error) from error
        finally:
            os.close(handle)  # closing is what frees an flock

    def _acquire(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise LockedRunError(
                f"{self.path} is being written by another process (pid {holder}); wait for it, or give the"
                " run another name with --set run.name=..."
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)

    def scratch(self) -> Path:
        """Return a free name in ``tmp/``, on the same file system as the objects."""
        self.tmp.mkdir(exist_ok=True)
        return self.tmp / uuid.uuid4().hex

    def object_path(self, stage: str, object_id: str) -> Path:
        """Return where an object lies, whether or not it does."""
        return self.objects / stage / object_id

    def find(self, key: StageKey) -> StoredObject | None:
        """Return the object a key names, verified, or None if there is none.

        Raises
        ------
        CorruptArtifactError
            If it is there and damaged.
        """
        path = self.object_path(key.stage, key.id)
        if not os.path.lexists(path):
            return None
        found = open_object(path)
        self._keep_name(path)  # its writer may have been killed before it did
        return found

    def write(self, key: StageKey, build: Build) -> StoredObject:
        """Build an object in private, make it durable, verify it, and only then give it its name.

        Parameters
        ----------
        key : StageKey
            What the object is made from; an object of the same key is replaced (it was found damaged).
        build : callable
            Fills the folder it is given and returns figures (JSON values, no clock).

        Raises
        ------
        RunError
            If the disk is full or refuses to write.
        """
        scratch = self.tmp
        try:
            scratch = self.scratch()
            return self._write(key, build, scratch)
        except OSError as error:
            if not of_the_system(error):
                raise
            raise _refused(scratch, error, f"stage {key.stage!r} failed at ") from error
        finally:
            remove_tree(scratch)

    def _write(self, key: StageKey, build: Build, scratch: Path) -> StoredObject:
        scratch.mkdir()
        figures = build(scratch)
        write_file(scratch / MANIFEST, build_manifest(scratch, key, figures))
        fsync_tree(scratch)
        open_object(scratch, key.id)  # the reader's own check, before anybody can see it
        target = self.object_path(key.stage, key.id)
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            os.rename(target, self.scratch())  # damaged: moved aside, removed with tmp/
        os.rename(scratch, target)
        try:
            self._keep_name(target)
        except OSError:  # a disk that failed once may call the next try a success: build it again
            os.rename(target, scratch)
            raise
        return open_object(target)

    def _keep_name(self, target: Path) -> None:
        fsync_path(target.parent)
        fsync_path(self.objects)


def _refused(place: Path, error: OSError, what: str = "") -> RunError:
    """Say what the operating system refused, where, and what to try."""
    return RunError(f"{what}{error.filename or place}: {error.strerror or error}; {_AGAIN}")
