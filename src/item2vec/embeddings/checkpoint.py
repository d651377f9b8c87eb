"""After each epoch: everything that is needed to go on as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from item2vec.artifacts.durable import replace_file
from item2vec.errors import CorruptArtifactError, TrainingError, UsageError

NAME = "checkpoint.json"


@dataclass
class TrainingState:
    """Where a training stands: finished epochs, their figures, the tables and the best tables so far."""

    epochs_done: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0  # 0 when nothing is validated
    tensors: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


def fingerprint(params: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return a SHA-256 of everything that decides the result of a training."""
    digest = hashlib.sha256(json.dumps(dict(params), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def open_folder(path: str | Path) -> Path:
    """Make the folder of the checkpoints where there is none, before a training starts that would need it.

    Raises
    ------
    UsageError
        If none can be there: a file is in the way, say, or nothing may be written.
    TrainingError
        If the disk fails or is full.
    """
    try:
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError, TypeError) as e:
        raise UsageError(f"checkpoint_dir {path!r} cannot be a folder: {e}; choose another path") from e
    except OSError as e:
        raise TrainingError(
            f"the folder of the checkpoints cannot be made in {path}: {e}; free the disk, or choose another"
            " checkpoint_dir"
        ) from e
    return folder


def write_checkpoint(folder: Path, key: str, state: TrainingState) -> None:
    """Write the tables, then replace the file that names them, then remove older tables.

    Raises
    ------
    TrainingError
        If the disk does not take them; the checkpoint before is still there.
    """
    try:
        _write(folder, key, state)
    except OSError as e:
        raise TrainingError(
            f"the checkpoint of epoch {state.epochs_done} cannot be written to {folder}: {e}; free the disk,"
            " or choose another checkpoint_dir"
        ) from e


def _write(folder: Path, key: str, state: TrainingState) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    body = save(state.tensors)
    name = f"epoch-{state.epochs_done:05d}.safetensors"
    _write_durably(folder / name, body)
    record = {
        "format": "item2vec.checkpoint",
        "version": 1,
        "fingerprint": key,
        "file": name,
        "sha256": hashlib.sha256(body).hexdigest(),
        "epochs_done": state.epochs_done,
        "best_epoch": state.best_epoch,
        "history": state.history,
    }
    _write_durably(folder / NAME, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink()


def _write_durably(path: Path, body: bytes) -> None:
    scratch = path.with_name(path.name + ".tmp")
    scratch.unlink(missing_ok=True)  # a killed training may have left one
    replace_file(path, body, scratch=scratch)


def read_checkpoint(folder: Path, key: str) -> TrainingState | None:
    """Return the state to resume from, or None where the folder holds no checkpoint.

    Raises
    ------
    UsageError
        If the checkpoint belongs to other data or other hyper-parameters.
    CorruptArtifactError
        If it is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        if record["fingerprint"] != key:
            raise UsageError(
                f"{folder} holds the checkpoint of another training (other sessions, start vectors or"
                " hyper-parameters, or one with validate and one without); choose another checkpoint_dir or"
                " delete the folder"
            )
        body = (folder / record["file"]).read_bytes()
        if hashlib.sha256(body).hexdigest() != record["sha256"]:
            raise ValueError(f"{record['file']} does not match its SHA-256")
        return TrainingState(record["epochs_done"], record["history"], record["best_epoch"], load(body))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as e:
        raise CorruptArtifactError(f"{path} cannot be resumed: {e}; delete the folder to train afresh") from e
