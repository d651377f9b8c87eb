"""Stages: run what its key does not name yet, skip what is already there and whole."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from item2vec.artifacts.folder import RunFolder
from item2vec.artifacts.manifest import StageKey, StoredObject, fingerprint
from item2vec.artifacts.releases import read_release
from item2vec.errors import CorruptArtifactError, Item2VecError, SourceError

logger = logging.getLogger(__name__)

Objects = Mapping[str, StoredObject]


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Parameters
    ----------
    name : str
        Its name and its folder below ``objects/``.
    version : int
        Raise it when the code changes what the stage writes.
    config : mapping
        The settings that enter the key (JSON values).
    build : callable
        ``build(inputs, out_dir) -> figures``: reads the objects of `inputs`, fills `out_dir`.
    inputs : tuple of str
        The stages it reads, all of them earlier ones.
    sources : callable, optional
        Returns the raw files it reads.
    """

    name: str
    version: int
    config: Mapping[str, Any]
    build: Callable[[Objects, Path], Mapping[str, Any]]
    inputs: tuple[str, ...] = ()
    sources: Callable[[], Iterable[Path]] | None = field(default=None)


@dataclass(frozen=True)
class StageEvent:
    """What happened to a stage: ``started``, ``done`` or ``skipped``."""

    stage: str
    state: Literal["started", "done", "skipped"]
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)


def run_stages(
    folder: RunFolder,
    stages: Iterable[Stage],
    notify: Callable[[StageEvent], None] = lambda _event: None,
) -> dict[str, StoredObject]:
    """Run the stages in their order; the caller holds the lock.

    A stage whose key names an object that verifies is skipped. An object that does not verify, or is not the
    one that the current release was made of, is built again.

    Parameters
    ----------
    folder : RunFolder
        Where the objects lie.
    stages : iterable of Stage
        Every stage's inputs stand before it.
    notify : callable
        Told when a stage starts, ends or is skipped.

    Returns
    -------
    dict of str to StoredObject
        The verified objects in the stages' order.

    Raises
    ------
    SourceError
        If a raw file cannot be read, or changed while it was being read.
    RunError
        If an object cannot be written.
    """
    objects: dict[str, StoredObject] = {}
    released = _released(folder)
    for stage in stages:
        began = time.perf_counter()
        sources = list(stage.sources()) if stage.sources else []
        before = _stamps(sources)
        inputs = {name: objects[name] for name in stage.inputs}
        key = StageKey(
            stage.name,
            stage.version,
            stage.config,
            {name: stored.reference for name, stored in inputs.items()},
            fingerprint(sources),
        )
        found = _find(folder, key, released)
        if found is None:
            notify(StageEvent(stage.name, "started"))
            objects[stage.name] = folder.write(key, _guarded(stage, inputs, sources, before))
        else:
            objects[stage.name] = found
        state: Literal["done", "skipped"] = "skipped" if found else "done"
        notify(StageEvent(stage.name, state, time.perf_counter() - began, objects[stage.name].figures))
    return objects


def _released(folder: RunFolder) -> dict[str, str]:
    """Return the checksums of the manifests that the current release was made of, by object."""
    try:
        stages = read_release(folder.path).body["stages"]
    except Item2VecError:  # none yet, or damaged: publishing deals with that
        return {}
    return {stored["object"]: stored["manifest"] for stored in stages.values()}


def _find(folder: RunFolder, key: StageKey, released: Mapping[str, str]) -> StoredObject | None:
    try:
        found = folder.find(key)
    except CorruptArtifactError as error:
        logger.warning("stage %s is built again: %s", key.stage, error)
        return None
    if found is not None and released.get(found.id, found.manifest["sha256"]) != found.manifest["sha256"]:
        # Whole in itself, yet another one: forged, or rebuilt by a run that did not get to its release.
        logger.warning("stage %s is built again: %s is not what was released", key.stage, found.path)
        return None
    return found


def _guarded(
    stage: Stage, inputs: Objects, sources: list[Path], before: Mapping[Path, tuple[int, int]]
) -> Callable[[Path], Mapping[str, Any]]:
    def build(out_dir: Path) -> Mapping[str, Any]:
        figures = stage.build(inputs, out_dir)
        for path, stamp in _stamps(sources).items():
            if stamp != before[path]:  # the key would name other bytes than the stage read
                raise SourceError(f"{path} changed while it was being read; run again when it is whole")
        return figures

    return build


def _stamps(paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    try:
        return {path: (found.st_size, found.st_mtime_ns) for path in paths for found in [os.stat(path)]}
    except OSError as error:
        raise SourceError(f"cannot read {error.filename}: {error.strerror}; check the path") from error
