"""Releases on an object store: the same protocol, with ``CURRENT`` moved by a conditional put.

``objects/<stage>/<id>/<sha256 of its manifest>/…``, ``releases/<id>.json`` and ``CURRENT`` below one prefix.
The manifest's hash is part of the name, as a rebuilt object of a multi-threaded stage has the same id and
other bytes: whatever was written once stays what it was. Files go first, an object's manifest after its
files, the release's file after all objects, ``CURRENT`` last and only if nobody moved it since the start.
What was current before is noted on ``CURRENT`` itself, in the same put: nothing else tells what the way back
is, as pushes may be lost, killed or repeated, and not every release of a run is pushed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from item2vec.artifacts.folder import RunFolder
from item2vec.artifacts.manifest import MANIFEST, StoredObject, check_sealed, describe_file, is_id
from item2vec.artifacts.object_store import Found, ObjectStore
from item2vec.artifacts.releases import Release, read_release, release_of
from item2vec.errors import CorruptArtifactError, LockedRunError, RunError, UsageError

CURRENT = "CURRENT"
NOTHING = "nothing"
"""What ends a trail that is known to its begin."""
_FOLLOWS = "follows"
_MOST_NOTED = 50  # of 33 characters each: Amazon keeps 2 KB of notes on an object
_NOBODY = '"00000000000000000000000000000000"'


class Pushed(NamedTuple):
    """What a push did.

    Attributes
    ----------
    release : Release
        The current one of the store now.
    before : str or None
        The id of the one before; None if there was none (or ``CURRENT`` was damaged).
    files, bytes : int
        What was sent; the rest was there.
    """

    release: Release
    before: str | None
    files: int
    bytes: int


def push(folder: RunFolder, url: str, release: str | None = None) -> Pushed:
    """Copy a release to an object store and make it the current one there.

    A kill at any moment leaves the store's current release as it was, and the same push goes on. Every file
    of the release is read back and compared, those that were there too; damaged ones are written again.

    Parameters
    ----------
    folder : RunFolder
        The run.
    url : str
        ``s3://bucket/prefix``; the bucket exists.
    release : str, optional
        Another release than the run's current one: its id, or the first digits of it.

    Raises
    ------
    UsageError
        If there is no such release or bucket, or the store refuses the credentials.
    CorruptArtifactError
        If a file of the release does not match here.
    LockedRunError
        If another process moved the store's ``CURRENT`` meanwhile: exactly one of two wins.
    RunError
        If the store does not answer, gives back other bytes, or keeps no conditions.
    """
    store = ObjectStore(url)
    pushed = read_release(folder.path, release)
    objects = [pushed.open(stage) for stage in pushed.stages]
    found = store.get(CURRENT)  # before the first put: whoever moves it from now on is seen
    sent = [_send(store, stored) for stored in objects]
    _send_release(store, pushed)
    move_current(store, found, pushed.id, trail_of(store, found, pushed.id))
    n_files, n_bytes = (sum(numbers) for numbers in zip(*sent, strict=True))
    return Pushed(pushed, current_id(found), n_files, n_bytes)


def _send(store: ObjectStore, stored: StoredObject) -> tuple[int, int]:
    """Write what is missing of an object, its manifest last; return the files and bytes sent."""
    place = _place(stored.stage, {"object": stored.id, "manifest": stored.manifest["sha256"]})
    n_files = n_bytes = 0
    for name in (*stored.manifest["files"], MANIFEST):
        key, wanted = f"{place}/{name}", describe_file(stored.path / name)
        if store.holds(key, wanted):
            continue
        store.upload(key, stored.path / name)
        if not store.holds(key, wanted):
            raise RunError(f"{store.address(key)} came back with other bytes than were sent; push again")
        n_files, n_bytes = n_files + 1, n_bytes + wanted["bytes"]
    return n_files, n_bytes


def _send_release(store: ObjectStore, release: Release) -> None:
    """Write the release's file, and find out whether the store keeps conditions."""
    key, body = release_key(release.id), release.sealed
    found = store.get(key)
    if found is None or found.body != body:
        store.put(key, body, over=None if found is None else found.tag)
        found = store.get(key)
    if found is None or found.body != body:
        raise RunError(f"{store.address(key)} came back with other bytes than were sent; push again")
    # The same bytes again, under conditions that do not hold: a store that takes them would let two win.
    if store.put(key, body, over=None) or store.put(key, body, over=_NOBODY):
        raise RunError(
            f"the store of {store.url} ignores If-None-Match or If-Match, so two pushes at once could undo"
            " each other; use a store that keeps them"
        )


def move_current(store: ObjectStore, found: Found | None, release_id: str, trail: Sequence[str]) -> None:
    """Let the store's ``CURRENT`` name a release if it is still what was found, and note what was before.

    Raises
    ------
    LockedRunError
        If somebody else moved it.
    """
    line = f"{release_id}\n".encode()
    if found is None or found.body != line:
        notes = {_FOLLOWS: ",".join(trail[:_MOST_NOTED])} if trail else {}
        if store.put(CURRENT, line, over=None if found is None else found.tag, notes=notes):
            return
    now = store.get(CURRENT)
    # Named before already, or by our own put, sent twice, or by another's of the same release
    if now is not None and now.body == line:
        return
    other = current_id(now)
    raise LockedRunError(
        f"{store.address(CURRENT)} was moved by another process meanwhile, to"
        f" {'no release' if other is None else f'release {other[:12]}'}; that stays, and the files of"
        f" {release_id[:12]} lie there: look at it (`item2vec pull {store.url} RUN`), then run the same"
        " command again to replace it, or leave it"
    )


def current_id(found: Found | None) -> str | None:
    """Return the release that a ``CURRENT`` names; None if there is none or it is damaged."""
    line = "" if found is None else found.body.decode("ascii", "replace")
    name = line.removesuffix("\n")
    return name if name != line and is_id(name) else None


def trail_of(store: ObjectStore, found: Found | None, release_id: str) -> list[str]:
    """Return what lies before a release that replaces what a ``CURRENT`` names, the newest first."""
    if found is None:  # the first release, or a ``CURRENT`` that was lost
        return [] if set(remote_ids(store)) - {release_id} else [NOTHING]
    current = current_id(found)
    return noted_trail(found) if current is None else [current, *noted_trail(found)]


def noted_trail(found: Found | None) -> list[str]:
    """Return what was current before what a ``CURRENT`` names, the newest first.

    `NOTHING` ends it, but not if it was cut, or begins in the middle as somebody else wrote ``CURRENT``.
    """
    noted = "" if found is None else found.notes.get(_FOLLOWS, "")
    return [name for name in noted.split(",") if name == NOTHING or is_id(name)]


def remote_release(store: ObjectStore, start: str | None, folder: RunFolder) -> Release:
    """Read the file of a release, the current one or one that is named by its first digits.

    Raises
    ------
    UsageError
        If there is no such release.
    CorruptArtifactError
        If ``CURRENT`` or the file is damaged.
    """
    release_id = named_by(store, store.get(CURRENT)) if start is None else full_id(store, start)
    key = release_key(release_id)
    found = store.get(key)
    if found is None:
        raise CorruptArtifactError(f"{store.address(key)} {store.damage(None)}")
    where, mend = store.address(key), f"mend it by `item2vec push RUN {store.url}`"
    return release_of(check_sealed(found.body, where, mend), release_id, folder, where)


def remote_manifest(store: ObjectStore, release: Release, stage: str) -> tuple[str, Mapping[str, Any]]:
    """Read an object's manifest; return its place in the store and the manifest.

    Raises
    ------
    CorruptArtifactError
        If it is missing, damaged, another one, or names files outside its folder.
    """
    reference = release.body["stages"][stage]
    place = _place(stage, reference)
    key = f"{place}/{MANIFEST}"
    found = store.get(key)
    if found is None:
        raise CorruptArtifactError(f"{store.address(key)} {store.damage(None)}")
    manifest = check_sealed(found.body, store.address(key), f"mend it by `item2vec push RUN {store.url}`")
    if manifest["sha256"] != reference["manifest"] or not all(map(_inside, (place, *manifest["files"]))):
        raise CorruptArtifactError(f"{store.address(key)} {store.damage({})}")
    return place, manifest


def named_by(store: ObjectStore, found: Found | None) -> str:
    """Return the release that a ``CURRENT`` names.

    Raises
    ------
    UsageError
        If the store is empty.
    CorruptArtifactError
        If there is no ``CURRENT``, or it is damaged.
    """
    release_id = current_id(found)
    if release_id is not None:
        return release_id
    if found is None and not store.names("releases"):
        raise UsageError(f"{store.url} holds no release; make one with `item2vec push RUN {store.url}`")
    raise CorruptArtifactError(
        f"{store.address(CURRENT)} {'is missing' if found is None else 'names no release'}; name one with"
        f" `item2vec rollback {store.url} --to RELEASE` ({listed(store)})"
    )


def full_id(store: ObjectStore, start: str) -> str:
    """Return the one release of the store whose id starts with some digits."""
    matches = [name for name in remote_ids(store) if name.startswith(start)]
    if len(matches) != 1 or not start:
        state = {0: "no release", 1: "1 release"}.get(len(matches), f"{len(matches)} releases")
        raise UsageError(f"{store.url} has {state} whose id starts with {start!r}; {listed(store)}")
    return matches[0]


def remote_ids(store: ObjectStore) -> list[str]:
    """Return the ids of the releases of a store, the newest first."""
    names = [name.removesuffix(".json") for name, _ in store.names("releases") if name.endswith(".json")]
    return [name for name in names if is_id(name)]


def listed(store: ObjectStore) -> str:
    """Say which releases a store has, the newest ones."""
    return f"there are {', '.join(name[:12] for name in remote_ids(store)[:8]) or 'none'}"


def release_key(release_id: str) -> str:
    """Return the name of a release's file."""
    return f"releases/{release_id}.json"


def _place(stage: str, reference: Mapping[str, str]) -> str:
    return f"objects/{stage}/{reference['object']}/{reference['manifest']}"


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name
