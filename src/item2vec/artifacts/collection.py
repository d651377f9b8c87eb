"""Old releases and objects: what nobody can need any more is removed, and only that."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from item2vec.artifacts.durable import fsync_path, remove_tree, walk_files
from item2vec.artifacts.folder import RunFolder
from item2vec.artifacts.manifest import MANIFEST, is_id
from item2vec.artifacts.releases import Release, predecessor, read_release, release_ids
from item2vec.errors import Item2VecError, UsageError

logger = logging.getLogger(__name__)

KEEP = 3
MIN_AGE = timedelta(days=1)


@dataclass(frozen=True)
class Collected:
    """What a collection removed.

    Attributes
    ----------
    releases, objects, checkpoints : int
        Release files, stage outputs, and stages' folders of checkpoints.
    bytes : int
        The sizes of their files together.
    """

    releases: int = 0
    objects: int = 0
    checkpoints: int = 0
    bytes: int = 0


def collect(
    folder: RunFolder,
    keep: int = KEEP,
    min_age: timedelta = MIN_AGE,
    now: datetime | None = None,
    also: Iterable[Path] = (),
) -> Collected:
    """Remove the releases, objects and checkpoints that are no longer needed; the caller holds the lock.

    These releases stay: the current one and those it came from, each the one that the next followed, `keep`
    in all; the newest `keep` by their time of publication; every one younger than `min_age`. The first two
    are the same unless a rollback left newer releases behind: then neither the way back nor what was left is
    lost. Every object that one of them names stays, and so do objects and checkpoints younger than `min_age`.
    A kill in the middle leaves no half object under its name: release files go first, then objects are
    renamed into ``tmp/`` and removed there.

    Parameters
    ----------
    folder : RunFolder
        The run. Nothing is removed from one without a current release.
    keep : int
        Releases that stay whatever their age, back from the current one and back from the newest one.
    min_age : timedelta
        Younger files stay. An object is as old as its manifest or folder, whichever changed last.
    now : datetime, optional
        The time with its offset that ages are counted from; by default the clock's.
    also : iterable of Path
        Objects that stay although no release names them.

    Returns
    -------
    Collected
        If ``CURRENT`` or a release that stays cannot be read, nothing is removed, because nobody knows which
        objects it needs; a warning names the file. What the operating system refuses to remove stays as well,
        with a warning: the next collection tries again.

    Raises
    ------
    UsageError
        If `keep` or `min_age` is negative.
    """
    if keep < 0 or min_age < timedelta(0):
        raise UsageError(f"keep={keep} and min_age={min_age} must not be negative; keep=3 is the default")
    limit = ((now or datetime.now(UTC)) - min_age).timestamp()
    if not release_ids(folder) and not os.path.lexists(folder.current):
        return Collected()
    try:
        kept = _kept_releases(folder, keep, limit)
    except Item2VecError as error:
        logger.warning("nothing old was removed, for it may be needed: %s", error)
        return Collected()
    removal = _Removal(folder)
    try:
        removal.releases([name for name in release_ids(folder) if name not in kept])
        needed = {release.object_path(stage) for release in kept.values() for stage in release.stages}
        needed.update(also)
        old = [path for path in _objects(folder) if path not in needed and _age(path) < limit]
        removal.folders("objects", old)
        old = [path for path in _children(folder.checkpoints) if _newest(path) < limit]
        removal.folders("checkpoints", old)
    except OSError as error:
        logger.warning("old files stay for now: cannot remove %s (%s)", error.filename, error.strerror)
    return removal.done()


def _kept_releases(folder: RunFolder, keep: int, limit: float) -> dict[str, Release]:
    names = release_ids(folder)
    young = [name for name in names if _mtime(folder.releases / f"{name}.json") >= limit]
    kept = {name: read_release(folder.path, name) for name in {*names[:keep], *young}}
    release = read_release(folder.path)
    kept[release.id] = release
    for _ in range(keep - 1):
        before = predecessor(release, names)
        if before not in names:  # there was none, or it was removed on purpose
            break
        release = kept[before] = read_release(folder.path, before)
    return kept


class _Removal:
    """Removes in the order that a crash may interrupt anywhere, and counts."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._counts = {"releases": 0, "objects": 0, "checkpoints": 0, "bytes": 0}

    def done(self) -> Collected:
        return Collected(**self._counts)

    def releases(self, names: list[str]) -> None:
        for name in names:
            path = self._folder.releases / f"{name}.json"
            size = path.stat().st_size
            path.unlink()
            self._count("releases", size)
        if names:  # no release file may come back after a power cut when its objects are gone
            fsync_path(self._folder.releases)

    def folders(self, kind: str, paths: list[Path]) -> None:
        moved = []
        for path in paths:
            aside = self._folder.scratch()
            os.rename(path, aside)
            moved.append(aside)
        for parent in {path.parent for path in paths}:
            fsync_path(parent)
        for path in moved:
            self._count(kind, sum(file.lstat().st_size for file in walk_files(path)))
            remove_tree(path)

    def _count(self, kind: str, size: int) -> None:
        self._counts[kind] += 1
        self._counts["bytes"] += size


def _objects(folder: RunFolder) -> Iterator[Path]:
    for stage in _children(folder.objects):
        yield from (path for path in _children(stage) if is_id(path.name))


def _children(folder: Path) -> list[Path]:
    if not folder.is_dir() or folder.is_symlink():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _mtime(path: Path) -> float:
    return path.stat().st_mtime


def _age(path: Path) -> float:
    manifest = path / MANIFEST
    return max(_mtime(path), _mtime(manifest) if manifest.exists() else 0.0)


def _newest(folder: Path) -> float:
    return max(_mtime(folder), *(path.lstat().st_mtime for path in walk_files(folder)), 0.0)
