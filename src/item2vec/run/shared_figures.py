"""Where the workers of a server join their figures: a folder that goes with it, or with the next to start."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX, LOCK = "item2vec-metrics-", "lock"


@contextmanager
def figures_folder() -> Iterator[Path]:
    """Make a temporary folder, remove it at the end, and those of servers that were killed at the beginning.

    A folder belongs to whoever has the lock in it: the server, and workers that were forked from it.
    """
    _remove_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with open(folder / f"{LOCK}.new", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.replace(lock.name, folder / LOCK)  # so nobody sees it without its owner
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_left_behind() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError):  # another user's, or at work
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent)
            finally:
                os.close(descriptor)
