"""What an object is: its key, its manifest, and the check that stands before every read."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from item2vec.artifacts.durable import walk_files
from item2vec.errors import CorruptArtifactError, SourceError

FORMAT = 1
MANIFEST = "MANIFEST.json"
ID_LENGTH = 32  # hex digits: 128 bits
_KEY_FIELDS = ("stage", "stage_version", "config", "inputs", "sources")
_FIELDS = {*_KEY_FIELDS, "format", "id", "files", "content", "libraries", "figures", "sha256"}
_LIBRARIES = ("annoy", "duckdb", "item2vec", "numba", "numpy", "pyarrow", "safetensors", "torch")
_FIX = "run the same `item2vec run` again to rebuild it, or restore the folder from a backup"


def canonical_json(value: Any) -> bytes:
    """Write JSON in its one canonical form: sorted keys, UTF-8, NaN as null, a newline at the end."""
    text = json.dumps(_plain(value), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass") + b"\n"  # file names need not be UTF-8


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def is_id(name: str) -> bool:
    """Say whether a name has the form of an object's or a release's id."""
    return len(name) == ID_LENGTH and not set(name) - set("0123456789abcdef")


def digest(body: bytes) -> str:
    """Return the sha256 of some bytes in hex."""
    return hashlib.sha256(body).hexdigest()


def describe_file(path: Path) -> dict[str, Any]:
    """Return a file's sha256 and its size in bytes."""
    with open(path, "rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
        return {"sha256": sha256, "bytes": handle.tell()}


def fingerprint(paths: Iterable[str | Path]) -> dict[str, dict[str, Any]]:
    """Describe raw source files so that a changed file makes a new key.

    Parameters
    ----------
    paths : iterable of str or Path
        Existing files.

    Returns
    -------
    dict
        ``{path: {"sha256": hex, "bytes": int}}``.

    Raises
    ------
    SourceError
        If a file cannot be read.
    """
    described = {}
    for path in paths:
        try:
            described[str(path)] = describe_file(Path(path))
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror}; check the path") from error
    return described


@cache
def library_versions() -> Mapping[str, str]:
    """Return the versions of the libraries that may shape an object's bytes."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return MappingProxyType(found)


@dataclass(frozen=True)
class StageKey:
    """Everything that decides what a stage writes; its hash names the object.

    Parameters
    ----------
    stage : str
        The stage's name, also its folder below ``objects/``.
    version : int
        Raised whenever the stage's code changes what it writes.
    config : mapping
        The settings that shape the result (JSON values).
    inputs : mapping of str to dict
        For each stage read from: ``{"object": id, "content": sha256 of its files}``. The content is part of
        the key because a rebuilt object of a multi-threaded stage has the same id and other bytes.
    sources : mapping
        The :func:`fingerprint` of the raw files read, if any.
    """

    stage: str
    version: int
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the fields as they stand in the manifest."""
        return {
            "stage": self.stage,
            "stage_version": self.version,
            "config": _plain(self.config),
            "inputs": _plain(self.inputs),
            "sources": _plain(self.sources),
        }

    @property
    def id(self) -> str:
        """The object's name: 32 hex digits of the sha256 of :meth:`body`."""
        return digest(canonical_json(self.body()))[:ID_LENGTH]


@dataclass(frozen=True)
class StoredObject:
    """A verified stage output: a read-only folder and its manifest."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The hash of the object's key."""
        return str(self.manifest["id"])

    @property
    def stage(self) -> str:
        """The stage that wrote it."""
        return str(self.manifest["stage"])

    @property
    def figures(self) -> Mapping[str, Any]:
        """The figures its stage reported."""
        figures: Mapping[str, Any] = self.manifest["figures"]
        return figures

    @property
    def reference(self) -> dict[str, str]:
        """How the key of a later stage names this object."""
        return {"object": self.id, "content": str(self.manifest["content"])}


def build_manifest(folder: Path, key: StageKey, figures: Mapping[str, Any]) -> bytes:
    """Describe the files of `folder` as the canonical bytes of a manifest (no clock, no host)."""
    files = {path.relative_to(folder).as_posix(): describe_file(path) for path in walk_files(folder)}
    body = {
        "format": FORMAT,
        "id": key.id,
        **key.body(),
        "files": files,
        "content": digest(canonical_json(files)),
        "libraries": dict(library_versions()),
        "figures": _plain(figures),
    }
    return canonical_json({**body, "sha256": digest(canonical_json(body))})


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a JSON file that carries the sha256 of its own body.

    Raises
    ------
    CorruptArtifactError
        If the file is missing, is not JSON, or one byte of it changed.
    """
    if path.is_symlink() or path.is_dir():
        raise CorruptArtifactError(f"{path} is not a plain file; {_FIX}")
    try:
        return check_sealed(path.read_bytes(), str(path), _FIX)
    except OSError as error:
        raise CorruptArtifactError(f"{path} cannot be read ({error.strerror}); {_FIX}") from error


def check_sealed(raw: bytes, where: str, fix: str) -> dict[str, Any]:
    """Read the bytes of a JSON file that carries the sha256 of its own body.

    Parameters
    ----------
    raw : bytes
    where, fix : str
        Where the bytes come from, and what to do if they are damaged.

    Raises
    ------
    CorruptArtifactError
        If they are no JSON, or one of them changed.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CorruptArtifactError(f"{where} is damaged: it is not JSON; {fix}") from error
    body = dict(document) if isinstance(document, dict) else {}
    if body.pop("sha256", None) != digest(canonical_json(body)) or raw != canonical_json(document):
        raise CorruptArtifactError(f"{where} is damaged: its checksum does not match; {fix}")
    if body.get("format") != FORMAT:
        raise CorruptArtifactError(
            f"{where} has format {body.get('format')}, this version reads format {FORMAT}; {fix}"
        )
    return {**body, "sha256": document["sha256"]}


def open_object(path: Path, expected_id: str | None = None) -> StoredObject:
    """Verify an object, file by file, and only then hand it out.

    Parameters
    ----------
    path : Path
        The object's folder.
    expected_id : str, optional
        The id it must have; by default the folder's name.

    Raises
    ------
    CorruptArtifactError
        If the manifest is missing or damaged, a file is missing, foreign, of another size or of other
        content; the message names the file.
    """
    manifest = read_sealed(path / MANIFEST)
    if manifest.keys() != _FIELDS:
        raise CorruptArtifactError(f"{path / MANIFEST} lacks fields or has foreign ones; {_FIX}")
    key = StageKey(*(manifest[name] for name in _KEY_FIELDS))
    if not manifest["id"] == key.id == (expected_id or path.name):
        raise CorruptArtifactError(f"{path / MANIFEST} describes another object; {_FIX}")
    present = {found.relative_to(path).as_posix(): found for found in walk_files(path)}
    del present[MANIFEST]
    for name in sorted(manifest["files"].keys() - present.keys()):
        raise CorruptArtifactError(f"{path / name} is missing; {_FIX}")
    for name in sorted(present.keys() - manifest["files"].keys()):
        raise CorruptArtifactError(f"{path / name} is not in the manifest; remove it, or {_FIX}")
    for name, wanted in manifest["files"].items():
        _verify_file(present[name], wanted)
    return StoredObject(path, MappingProxyType(manifest))


def _verify_file(path: Path, wanted: Mapping[str, Any]) -> None:
    if path.is_symlink() or not path.is_file():
        raise CorruptArtifactError(f"{path} is not a plain file; {_FIX}")
    try:
        size = os.path.getsize(path)
        found = describe_file(path) if size == wanted["bytes"] else {}
    except OSError as error:
        raise CorruptArtifactError(f"{path} cannot be read ({error.strerror}); {_FIX}") from error
    if not found:
        raise CorruptArtifactError(f"{path} has {size:,} bytes instead of {wanted['bytes']:,}; {_FIX}")
    if found != wanted:
        raise CorruptArtifactError(f"{path} is damaged: its sha256 does not match its manifest; {_FIX}")
