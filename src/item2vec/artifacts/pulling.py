"""From an object store back into a folder: fetched, verified, read like any other run; and the way back."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from item2vec.artifacts.collection import collect
from item2vec.artifacts.durable import fsync_path, fsync_tree, remove_tree, write_file
from item2vec.artifacts.folder import RunFolder
from item2vec.artifacts.manifest import MANIFEST, canonical_json, is_id, open_object
from item2vec.artifacts.object_store import Found, ObjectStore
from item2vec.artifacts.releases import Release, read_release, write_release
from item2vec.artifacts.remote import (
    CURRENT,
    NOTHING,
    current_id,
    listed,
    move_current,
    named_by,
    noted_trail,
    remote_manifest,
    remote_release,
    trail_of,
)
from item2vec.errors import CorruptArtifactError, Item2VecError, LockedRunError, UsageError

CACHE = "ITEM2VEC_CACHE"  # name of a variable
WAIT_SECONDS = 600.0


def pull(url: str, folder: RunFolder, release: str | None = None) -> Release:
    """Copy a release of an object store into a run's folder and make it the current one there.

    What lies there already is kept and verified; every file that is fetched is compared with its manifest.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``.
    folder : RunFolder
        The run's folder; made if there is none. Its lock is taken.
    release : str, optional
        Another release than the store's current one: its id, or the first digits of it.

    Raises
    ------
    UsageError
        If there is no such release, or the folder holds another build of one of its objects.
    CorruptArtifactError
        If a file of the store does not match its manifest; the folder's current release stays.
    LockedRunError
        If another process is writing the folder.
    """
    store = ObjectStore(url)
    pulled = remote_release(store, release, folder)
    with folder.lock():
        for stage in pulled.stages:
            _fetch(store, pulled, stage, replace=False)
        write_release(pulled)
    return pulled


def cached_release(url: str, release: str | None = None, stages: Collection[str] | None = None) -> Release:
    """Fetch what is missing of a release into the cache, verify all of it and return it from there.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``.
    release : str, optional
        Another release than the store's current one. With a whole id that is in the cache, the store is not
        asked at all.
    stages : collection of str, optional
        The stages that are needed; those that the release lacks are left out.

    Returns
    -------
    Release
        It lies below ``$ITEM2VEC_CACHE`` (by default ``~/.cache/item2vec``). Old ones are removed like a
        run's: three stay, and what is younger than a day.

    Raises
    ------
    UsageError, CorruptArtifactError, RunError
        As in :func:`pull`.
    """
    store = ObjectStore(url)
    folder = _cache_of(store)
    if release is not None and is_id(release):
        try:
            return _verified(read_release(folder.path, release), stages)
        except Item2VecError:
            pass  # not there, or not whole
    wanted = remote_release(store, release, folder)
    try:
        return _verified(read_release(folder.path, wanted.id), stages)
    except Item2VecError:
        return _cache(store, wanted, stages)


def _cache_of(store: ObjectStore) -> RunFolder:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = Path(os.environ.get(CACHE) or Path(base) / "item2vec")
    source = f"{store.client.meta.endpoint_url} {store.url}"  # two stores may have a bucket of one name
    return RunFolder(place / hashlib.sha256(source.encode()).hexdigest()[:32])


def _needed(release: Release, stages: Collection[str] | None) -> list[str]:
    return [stage for stage in release.stages if stages is None or stage in stages]


def _verified(release: Release, stages: Collection[str] | None) -> Release:
    for stage in _needed(release, stages):
        release.open(stage)
    return release


def _cache(store: ObjectStore, release: Release, stages: Collection[str] | None) -> Release:
    """Fetch into the cache; processes that start together wait for the first of them."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with release.folder.lock():
                for stage in _needed(release, stages):
                    _fetch(store, release, stage, replace=True)
                write_release(release)
                collect(release.folder)
            return release
        except LockedRunError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _fetch(store: ObjectStore, release: Release, stage: str, *, replace: bool) -> None:
    """Put an object into the folder unless it lies there whole."""
    folder, target = release.folder, release.object_path(stage)
    try:
        found = open_object(target)
    except CorruptArtifactError:
        found = None
    if found is not None:
        if found.manifest["sha256"] == release.body["stages"][stage]["manifest"]:
            return
        if not replace:  # a release of this folder may be made of it
            raise UsageError(
                f"{target} is another build of the object that release {release.id[:12]} of {store.url} is"
                " made of; pull into a new folder"
            )
    place, manifest = remote_manifest(store, release, stage)
    scratch = folder.scratch()
    try:
        _download(store, place, manifest, scratch)
        open_object(scratch, target.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            os.rename(target, folder.scratch())  # removed with tmp/
        os.rename(scratch, target)
        fsync_path(target.parent)
        fsync_path(folder.objects)
    finally:
        remove_tree(scratch)


def _download(store: ObjectStore, place: str, manifest: Mapping[str, Any], scratch: Path) -> None:
    scratch.mkdir()
    for name, wanted in manifest["files"].items():
        store.download(f"{place}/{name}", scratch / name, wanted)
    write_file(scratch / MANIFEST, canonical_json(manifest))
    fsync_tree(scratch)


def remote_rollback(url: str, to: str | None = None) -> tuple[str | None, Release]:
    """Let the store's ``CURRENT`` name an earlier release, after every file of it was read and compared.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``.
    to : str, optional
        The release, or the first digits of its id; by default the one that was current before the current
        one. A second way back leads further, to what was current before that.

    Returns
    -------
    tuple of (str or None, Release)
        The id of what was current (None if ``CURRENT`` was damaged), and what is now.

    Raises
    ------
    UsageError
        If there is no such release, nothing before the current one, or no note of it.
    CorruptArtifactError
        If a file of the release is damaged or missing; ``CURRENT`` stays.
    LockedRunError
        If somebody else moved it meanwhile.
    """
    store = ObjectStore(url)
    folder = _cache_of(store)  # nothing is written there
    found = store.get(CURRENT)
    target = remote_release(store, _before(store, found) if to is None else to, folder)
    for stage in target.stages:
        place, manifest = remote_manifest(store, target, stage)
        for name, wanted in manifest["files"].items():
            if not store.holds(f"{place}/{name}", wanted):
                raise CorruptArtifactError(f"{store.address(f'{place}/{name}')} {store.damage(wanted)}")
    trail = noted_trail(found)
    there = trail.index(target.id) if target.id in trail else None
    beyond = trail_of(store, found, target.id) if there is None else trail[there + 1 :]  # forth or back
    move_current(store, found, target.id, beyond)
    return current_id(found), target


def _before(store: ObjectStore, found: Found | None) -> str:
    current = named_by(store, found)[:12]
    earlier = next(iter(noted_trail(found)), None)
    if earlier == NOTHING:
        raise UsageError(f"{current} is the first release of {store.url}: nothing lies before it")
    if earlier is None:
        raise UsageError(
            f"{store.address(CURRENT)} does not note what was current before {current}; name a release with"
            f" `item2vec rollback {store.url} --to RELEASE` ({listed(store)})"
        )
    return earlier
