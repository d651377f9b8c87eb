"""A saved index: a folder whose JSON describes every other file in it, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from item2vec.artifacts.durable import fsync_path
from item2vec.errors import CorruptArtifactError, SourceError, UsageError

FORMAT = "item2vec-index"
VERSION = 2
DESCRIPTION = "index.json"


def new_folder(target: Path) -> Path:
    """Create a private folder beside `target`, which must be missing or empty.

    Raises
    ------
    UsageError
        If `target` holds anything: an index that may be mapped by a reader is never written over.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists already; save the index to a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent / f".{target.name}-{uuid4().hex}"
    folder.mkdir()
    return folder


def publish(folder: Path, target: Path, description: dict[str, Any]) -> None:
    """Describe the files in `folder`, flush everything and give it its final name."""
    files = {file.name: _file_entry(file) for file in sorted(folder.iterdir())}
    body = {"format": FORMAT, "version": VERSION, **description, "files": files}
    text = json.dumps({**body, "digest": _digest(body)}, indent=1, sort_keys=True)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        fsync_path(path)
    folder.rename(target)
    fsync_path(target.parent)


@contextmanager
def unpublished(target: Path) -> Iterator[Path]:
    """Give a private folder to fill and to publish as `target`; it goes where that fails."""
    folder = new_folder(target)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def read_description(folder: Path, verify: bool) -> dict[str, Any]:
    """Read ``index.json`` and compare the files beside it with what it says.

    Raises
    ------
    SourceError
        If the folder holds no index.
    CorruptArtifactError
        If the description or a file is damaged; the message names the file.
    """
    path = folder / DESCRIPTION
    try:
        body = json.loads(path.read_bytes())
        digest = body.pop("digest")
    except FileNotFoundError:
        raise SourceError(f"no index in {folder}: {DESCRIPTION} is missing") from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise CorruptArtifactError(f"{path} is damaged ({error}); build the index again") from error
    if body.get("format") != FORMAT or digest != _digest(body):
        raise CorruptArtifactError(f"{path} is not an intact index description; build the index again")
    if body["version"] != VERSION:
        raise CorruptArtifactError(
            f"{path} has format version {body['version']}, not {VERSION}; build the index again"
        )
    for name, entry in body["files"].items():
        _check_file(folder / name, entry, verify)
    result: dict[str, Any] = body
    return result


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write a ``.npy`` file without pickle."""
    with open(path, "xb") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)


def map_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Map a ``.npy`` file read-only and check its type and shape."""
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorruptArtifactError(f"{path} is damaged ({error}); build the index again") from error
    if array.dtype != dtype or array.shape != shape:
        raise CorruptArtifactError(
            f"{path} holds {array.dtype} of shape {array.shape}, not {np.dtype(dtype)} of shape {shape};"
            " build the index again"
        )
    return array


def _file_entry(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": _sha256(file)}


def _check_file(file: Path, entry: dict[str, Any], verify: bool) -> None:
    try:
        size = file.stat().st_size
        if size != entry["bytes"]:
            raise CorruptArtifactError(
                f"{file} has {size} bytes instead of {entry['bytes']}; build the index again"
            )
        if verify and _sha256(file) != entry["sha256"]:
            raise CorruptArtifactError(f"{file} differs from its checksum; build the index again")
    except OSError as error:
        raise CorruptArtifactError(
            f"cannot read the index file {file}: {error}; build the index again"
        ) from error


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
