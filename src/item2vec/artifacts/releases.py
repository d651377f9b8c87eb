"""Releases: which objects belong together, and which set of them is current."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from item2vec.artifacts.durable import READ_ONLY, fsync_path, replace_file
from item2vec.artifacts.folder import RunFolder
from item2vec.artifacts.manifest import (
    FORMAT,
    ID_LENGTH,
    StoredObject,
    canonical_json,
    digest,
    is_id,
    open_object,
    read_sealed,
)
from item2vec.errors import CorruptArtifactError, UsageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """One finished run: its objects by stage and their figures.

    Attributes
    ----------
    id : str
        32 hex digits, the hash of the release's own content: the same objects make the same release.
    folder : RunFolder
        The run it belongs to.
    body : mapping
        ``stages`` (stage -> object id, content and manifest hash), ``figures`` and ``config`` (stage ->
        figures, settings), and ``gate``, what its publisher noted about it.
    """

    id: str
    folder: RunFolder
    body: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The release's file."""
        return self.folder.releases / f"{self.id}.json"

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages the release holds, in the order they ran."""
        return tuple(self.body["order"])

    @property
    def figures(self) -> Mapping[str, Any]:
        """The figures of every stage."""
        figures: Mapping[str, Any] = self.body["figures"]
        return figures

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of every stage; empty in a release that does not say them."""
        config: Mapping[str, Any] = self.body.get("config", {})
        return config

    @property
    def gate(self) -> Mapping[str, Any]:
        """What was noted at publishing: ``follows``, ``checks``, ``accepted``, …; empty if nothing was."""
        gate: Mapping[str, Any] = self.body.get("gate", {})
        return gate

    @property
    def written_at(self) -> datetime:
        """When its file was written (UTC)."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)

    @property
    def sealed(self) -> bytes:
        """The bytes of its file."""
        return canonical_json({**self.body, "sha256": digest(canonical_json(self.body))})

    def is_made_of(self, objects: Mapping[str, StoredObject]) -> bool:
        """Tell whether these are its objects, to the byte."""
        return bool(self.body["order"] == list(objects) and self.body["stages"] == _references(objects))

    def object_path(self, stage: str) -> Path:
        """Return the folder of a stage's object, unverified."""
        if stage not in self.body["stages"]:
            raise UsageError(
                f"release {self.id[:12]} of {self.folder.path} has no stage {stage!r};"
                f" it has {', '.join(self.stages)}"
            )
        return self.folder.object_path(stage, self.body["stages"][stage]["object"])

    def open(self, stage: str) -> StoredObject:
        """Verify and return a stage's object.

        Raises
        ------
        CorruptArtifactError
            If a file of it does not match, or it is another object than the one released.
        """
        stored = open_object(self.object_path(stage))
        if stored.manifest["sha256"] != self.body["stages"][stage]["manifest"]:
            raise CorruptArtifactError(
                f"{stored.path} is not the object that release {self.id[:12]} was made of: it was rebuilt"
                " afterwards; finish the run that rebuilt it (run the same `item2vec run` again)"
            )
        return stored


def _references(objects: Mapping[str, StoredObject]) -> dict[str, Any]:
    return {
        name: {**stored.reference, "manifest": stored.manifest["sha256"]} for name, stored in objects.items()
    }


def publish(
    folder: RunFolder, objects: Mapping[str, StoredObject], gate: Mapping[str, Any] | None = None
) -> Release:
    """Write the release of these objects and make it the current one; the caller holds the lock.

    Parameters
    ----------
    folder : RunFolder
        The run.
    objects : mapping of str to StoredObject
        The finished stages in their order.
    gate : mapping, optional
        What is noted about the release (JSON values); ``follows`` names the release before it (or None),
        which :func:`rollback` goes back to.

    Returns
    -------
    Release
        Nothing is written when it is the current release already.
    """
    body = {
        "format": FORMAT,
        "order": list(objects),
        "stages": _references(objects),
        "figures": {stage: stored.figures for stage, stored in objects.items()},
        "config": {stage: stored.manifest["config"] for stage, stored in objects.items()},
        **({} if gate is None else {"gate": dict(gate)}),
    }
    release = Release(digest(canonical_json(body))[:ID_LENGTH], folder, MappingProxyType(body))
    write_release(release)
    return release


def write_release(release: Release) -> None:
    """Write the file of a release whose objects are there, and make it current; the caller holds the lock."""
    folder, sealed = release.folder, release.sealed
    folder.releases.mkdir(exist_ok=True)
    if not _holds(release.path, sealed):
        replace_file(release.path, sealed, scratch=folder.scratch(), mode=READ_ONLY)
    make_current(release)


def make_current(release: Release) -> None:
    """Let ``CURRENT`` name a release, in one step; the caller holds the lock."""
    folder = release.folder
    line = f"{release.id}\n".encode()
    fsync_path(folder.releases)  # whoever wrote the release may have been killed before
    if _holds(folder.current, line):
        fsync_path(folder.path)  # as may whoever named it
    else:
        replace_file(folder.current, line, scratch=folder.scratch())


def _holds(path: Path, body: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == body


def release_ids(folder: RunFolder) -> list[str]:
    """Return the ids of all releases of a run, the newest first."""
    files = [path for path in folder.releases.glob("*.json") if is_id(path.stem)]
    return [path.stem for path in sorted(files, key=lambda path: (-path.stat().st_mtime_ns, path.stem))]


def read_release(path: str | Path, release_id: str | None = None) -> Release:
    """Open a release of a run; its objects are verified when they are opened.

    Parameters
    ----------
    path : str or Path
        The run's folder, such as ``runs/demo``.
    release_id : str, optional
        The release, or the first digits of its id; by default the one ``CURRENT`` names.

    Raises
    ------
    UsageError
        If there is no such run or release.
    CorruptArtifactError
        If ``CURRENT`` or the release's file is damaged. A missing ``CURRENT`` is a damaged one as soon as
        there is a release file.
    """
    folder = RunFolder(path)
    if _is_bare(folder):
        others = _neighbours(folder.path)
        raise UsageError(f"{folder.path} holds no release{others}; make one with `item2vec run TOML`")
    found = _current_id(folder) if release_id is None else _full_id(folder, release_id)
    path = folder.releases / f"{found}.json"
    return release_of(read_sealed(path), found, folder, str(path))


def release_of(document: Mapping[str, Any], release_id: str, folder: RunFolder, where: str) -> Release:
    """Return the release that a sealed document describes.

    Raises
    ------
    CorruptArtifactError
        If it describes another one; the message says `where` it lies.
    """
    body = {key: value for key, value in document.items() if key != "sha256"}
    if digest(canonical_json(body))[:ID_LENGTH] != release_id:
        raise CorruptArtifactError(f"{where} holds another release; restore it")
    return Release(release_id, folder, MappingProxyType(body))


def latest_release(folder: RunFolder) -> Release | None:
    """Return what a new release follows: the current one, or the newest readable one if it is damaged.

    Returns
    -------
    Release or None
        None if the run has never had one: there is neither ``CURRENT`` nor a release file.
    """
    if _is_bare(folder):
        return None
    for release_id in (None, *release_ids(folder)):
        try:
            return read_release(folder.path, release_id)
        except CorruptArtifactError as error:
            logger.warning("a damaged release is passed over: %s", error)
    return None


def predecessor(release: Release, known: Sequence[str]) -> str | None:
    """Name the release that was current before this one, None for the first; it may be removed by now.

    Parameters
    ----------
    release : Release
    known : sequence of str
        All releases, the newest first; one whose publisher noted nothing goes by their time.
    """
    if not release.gate:
        return next(iter(known[known.index(release.id) + 1 :]), None)
    earlier: str | None = release.gate["follows"]
    return earlier


def _is_bare(folder: RunFolder) -> bool:
    return not os.path.lexists(folder.current) and not release_ids(folder)


def _current_id(folder: RunFolder) -> str:
    plain = folder.current.is_file() and not folder.current.is_symlink()
    line = folder.current.read_bytes().decode("ascii", "replace") if plain else ""
    found = line.removesuffix("\n")
    if found == line or not is_id(found):
        state = "damaged: it names no release" if os.path.lexists(folder.current) else "missing"
        raise CorruptArtifactError(
            f"{folder.current} is {state}; repeat `item2vec run`, or name one with `item2vec rollback"
            f" {folder.path} --to RELEASE` (`item2vec show {folder.path} --releases` lists them)"
        )
    return found


def _full_id(folder: RunFolder, start: str) -> str:
    matches = [known for known in release_ids(folder) if known.startswith(start)]
    if len(matches) != 1 or not start:
        state = {0: "no release", 1: "1 release"}.get(len(matches), f"{len(matches)} releases")
        raise UsageError(
            f"{folder.path} has {state} whose id starts with {start!r}; see `item2vec show"
            f" {folder.path} --releases`"
        )
    return matches[0]


def _neighbours(path: Path) -> str:
    """Name the runs that do exist, because most such errors are a mistyped name."""
    runs = (
        sorted(found.parent.name for found in path.parent.glob("*/CURRENT"))[:8]
        if path.parent.is_dir()
        else []
    )
    return f" (runs with one: {', '.join(runs)})" if runs else ""
