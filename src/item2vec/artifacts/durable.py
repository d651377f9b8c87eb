"""Bytes that survive a power cut: fsync the file, rename it into place, fsync its folder."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

READ_ONLY = 0o444

logger = logging.getLogger(__name__)


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield everything below `folder` that is not a folder, in the order of the names."""
    for base, folders, names in os.walk(folder):
        for name in list(folders):
            if os.path.islink(os.path.join(base, name)):  # a linked folder is a foreign file, not a part
                folders.remove(name)
                names.append(name)
        folders.sort()
        for name in sorted(names):
            yield Path(base, name)


def fsync_path(path: Path) -> None:
    """Ask the disk to keep a file's bytes, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Make every file below `folder` read-only and durable, then the folders' names."""
    for path in walk_files(folder):
        os.chmod(path, READ_ONLY)
        fsync_path(path)
    for base, _, _ in os.walk(folder, topdown=False):
        fsync_path(Path(base))


def make_folder(path: Path) -> None:
    """Make a folder and the missing ones above it, and make their names durable."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for place in missing:
        fsync_path(place.parent)


def write_file(path: Path, body: bytes) -> None:
    """Write a new file and make it durable."""
    with open(path, "xb") as handle:
        handle.write(body)
        handle.flush()
        os.fsync(handle.fileno())


def replace_file(path: Path, body: bytes, *, scratch: Path, mode: int | None = None) -> None:
    """Put `body` under the name `path` in one step: readers see the old file or the new one.

    Parameters
    ----------
    path : Path
        The final name; its folder exists.
    body : bytes
        The whole content.
    scratch : Path
        A free name on the same file system.
    mode : int, optional
        Permission bits of the new file.
    """
    write_file(scratch, body)
    if mode is not None:
        os.chmod(scratch, mode)
    if path.is_dir() and not path.is_symlink():  # damage: a rename puts no file over a folder
        os.rename(path, scratch.with_name(f"{scratch.name}.old"))
    os.replace(scratch, path)
    fsync_path(path.parent)


def remove_tree(path: Path) -> None:
    """Remove a folder that nobody needs any more; what cannot be removed stays, and a warning names it."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        logger.warning("%s cannot be removed; remove it by hand if the next run does not", path)
