"""The way back: an earlier release becomes the current one again."""

from __future__ import annotations

from item2vec.artifacts.folder import RunFolder
from item2vec.artifacts.releases import Release, make_current, predecessor, read_release, release_ids
from item2vec.errors import CorruptArtifactError, UsageError


def rollback(folder: RunFolder, to: str | None = None) -> tuple[Release | None, Release]:
    """Let ``CURRENT`` name an earlier release, in one step, after every file of it was verified.

    Parameters
    ----------
    folder : RunFolder
        The run; its lock is taken.
    to : str, optional
        The release, or the first digits of its id. By default the one that the current release followed: what
        was current when it was published.

    Returns
    -------
    tuple of (Release or None, Release)
        What was current (None if ``CURRENT`` is damaged), and what is now; the same twice if `to` was
        current already.

    Raises
    ------
    UsageError
        If there is no such run, release, or nothing before the current one.
    CorruptArtifactError
        If a file of the release is damaged or missing; ``CURRENT`` stays as it was.
    LockedRunError
        If another process is writing the run.
    """
    if not folder.releases.is_dir() or not release_ids(folder):
        read_release(folder.path)  # says which runs there are
    with folder.lock():
        try:
            before: Release | None = read_release(folder.path)
        except (CorruptArtifactError, UsageError):  # no reason not to go to a named one
            if to is None:
                raise
            before = None
        target = read_release(folder.path, _before(folder, before) if to is None else to)
        for stage in target.stages:
            target.open(stage)
        make_current(target)
    return before, target


def _before(folder: RunFolder, current: Release | None) -> str:
    """Name the release that was current before this one."""
    assert current is not None
    known = release_ids(folder)
    earlier = predecessor(current, known)
    if earlier is None:
        raise UsageError(f"{current.id[:12]} is the first release of {folder.path}: nothing lies before it")
    if earlier not in known:
        raise UsageError(
            f"release {earlier[:12]}, which {current.id[:12]} followed, was removed by now; choose another"
            f" with --to, see `item2vec show {folder.path} --releases`"
        )
    return earlier
