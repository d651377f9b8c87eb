"""Folders that a server writes into, tried before it starts: a worker that ends says little to who called."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from item2vec.errors import UsageError


def check_served_log(folder: Path) -> None:
    """Make the folder of a served log, or refuse it.

    Raises
    ------
    UsageError
        If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _try_to_write(folder)
    except OSError as error:
        raise UsageError(
            f"{folder} is no folder for a served log: {error.strerror}; give another --served-log"
        ) from error


def check_history(url: str) -> None:
    """Refuse a history store in a file that cannot be made; other stores are asked when they are opened.

    Raises
    ------
    UsageError
        If the file is a folder, or nothing can be written beside it.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or not parts.path[1:]:
        return
    path = Path(url.removeprefix("sqlite:///"))
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        _try_to_write(path.parent)
    except OSError as error:
        raise UsageError(
            f"{path} is no file for a history store: {error.strerror}; give another --history"
        ) from error


def _try_to_write(folder: Path) -> None:
    """Make a file and remove it: what the rights say is not all, on a full or a read-only disk."""
    probe = folder / f".{os.getpid()}.probe"
    probe.touch()
    probe.unlink()
