"""The folders of a distributed training, asked before it starts: nobody trains for what cannot be kept."""

from __future__ import annotations

import re
from pathlib import Path

from item2vec.artifacts.durable import make_folder, remove_tree
from item2vec.errors import RunError, UsageError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")  # a Path has one slash of two


def taken(folder: str | Path) -> UsageError:
    """Return what is said where something lies at the place of the vectors."""
    return UsageError(f"there is a {folder} already; choose another name for the vectors, or remove it")


def scratch_of(vectors: Path) -> Path:
    """Return where vectors are written before they get their name."""
    return vectors.with_name(f".{vectors.name}.part")


def check_folders(sessions: Path, vectors: Path, checkpoints: Path | None, figures: Path | None) -> None:
    """Refuse places that would only fail when training is over.

    Raises
    ------
    UsageError
        If there are no sessions, one place lies within another, or a place is no folder of this machine.
    """
    for path in (sessions, vectors, checkpoints):
        if path is not None and _ADDRESS.match(str(path)):
            raise UsageError(
                f"{path} is an address; workers read and write folders that all of them see (item2vec pull"
                " brings a release there, item2vec push takes one away)"
            )
    if not (sessions / "funnel.json").is_file():
        what = "holds no sessions" if sessions.exists() else "does not exist"
        raise UsageError(
            f"{sessions} {what}; give the folder of a sessions artifact: what Sessions.save makes, or"
            " runs/NAME/objects/sessions/ID of a run"
        )
    inner = vectors.resolve()
    if inner.is_relative_to(sessions.resolve()):
        raise UsageError(f"the vectors would lie in the sessions, {sessions}; choose another place")
    if checkpoints is not None and checkpoints.resolve().is_relative_to(inner):
        raise UsageError(f"the checkpoints would lie in the vectors, {vectors}; choose another folder")
    if figures is not None and not figures.resolve().parent.is_dir():
        raise UsageError(f"--figures {figures}: there is no folder {figures.parent}; make it first")


def check_writable(vectors: Path) -> None:
    """Make the place where vectors are written, and take it away again.

    Raises
    ------
    RunError
        If that does not work.
    """
    try:
        make_folder(vectors.parent)
        remove_tree(scratch_of(vectors))  # a killed worker may have left one
        scratch_of(vectors).mkdir()
        scratch_of(vectors).rmdir()
    except OSError as error:
        raise RunError(f"no vectors can be written as {vectors}: {error}; choose another place") from error
