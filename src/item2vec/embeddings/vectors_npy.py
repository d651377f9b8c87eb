"""Item vectors as ``.npy`` files: one array per file, rows in the same order, nothing pickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import DataError, SourceError
from item2vec.vocabulary import Vocabulary

Rows = npt.NDArray[np.float32]
NAMES = ("counts.npy", "context_vectors.npy", "vectors.npy", "ids.npy")  # ids last: all need them
MAX_IDS_BYTES = 1 << 30  # numpy pads every id to the longest one


def write(folder: Path, vocabulary: Vocabulary, tensors: Mapping[str, Rows]) -> None:
    """Write the ids, the counts and each table into a folder that exists.

    Raises
    ------
    DataError
        If numpy's text cannot hold the ids.
    """
    arrays = {"ids": _as_text(vocabulary), "counts": vocabulary.counts, **tensors}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def _as_text(vocabulary: Vocabulary) -> npt.NDArray[Any]:
    ids = vocabulary.ids.to_pylist()
    if vocabulary.id_type == "int64":
        return np.array(ids, np.int64)
    longest = max(ids, key=len)
    size = 4 * len(longest) * len(ids)
    if size > MAX_IDS_BYTES:
        raise DataError(
            f"ids.npy would take {size / 1e9:.1f} GB: numpy pads all {len(ids):,} ids to the {len(longest):,}"
            f" characters of {longest[:40]!r}…; use Parquet, or map the ids first"
        )
    for item_id in ids:
        if item_id.endswith("\0"):
            raise DataError(f"item id {item_id!r} ends in a NUL, which numpy's text drops; use Parquet")
    return np.array(ids, np.str_)


def read(folder: Path) -> tuple[Vocabulary, Rows, Rows | None]:
    """Return the items, the vectors and the context vectors, if there are any.

    Raises
    ------
    SourceError
        If a file is missing or damaged, or its array has another shape or type; the message names it.
    """
    ids = _load(folder / "ids.npy", "UiuS", 1, None)
    if ids.dtype.kind == "S":
        raise SourceError(f"{folder / 'ids.npy'} holds bytes; write the ids as text or integers")
    vectors = _load(folder / "vectors.npy", "f", 2, len(ids))
    counts, context = np.zeros(len(ids), np.int64), None
    if (folder / "counts.npy").exists():
        counts = _load(folder / "counts.npy", "iu", 1, len(ids)).astype(np.int64)
    if (folder / "context_vectors.npy").exists():
        context = _as_float32(_load(folder / "context_vectors.npy", "f", 2, len(ids)))
    try:
        known = pa.array(ids.tolist(), pa.string() if ids.dtype.kind == "U" else pa.int64())
        return Vocabulary(known, counts), _as_float32(vectors), context
    except (DataError, OverflowError, ValueError, pa.ArrowException) as e:
        raise SourceError(f"the ids in {folder / 'ids.npy'} cannot be used: {e}") from e


def _as_float32(rows: npt.NDArray[Any]) -> Rows:
    with np.errstate(over="ignore"):  # what is too large becomes inf, which ItemVectors refuses by its item
        return rows.astype(np.float32)


def _load(path: Path, kinds: str, n_axes: int, n: int | None) -> npt.NDArray[Any]:
    """Read one array and check it; `kinds` are numpy's letters for types, `n` the rows it must have."""
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError as e:
        raise SourceError(f"cannot read {path}: no such file") from e
    except Exception as e:  # numpy parses the header as Python: damage comes as a tokenizer's errors too
        raise SourceError(f"cannot read {path} as .npy: {e}") from e
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds or array.ndim != n_axes:
        kind, shape = getattr(array, "dtype", type(array).__name__), getattr(array, "shape", "unknown")
        raise SourceError(f"{path} holds {kind} of shape {shape}; see ItemVectors.save_npy for what it holds")
    if n is not None and len(array) != n:
        raise SourceError(f"{path} has {len(array):,} rows, ids.npy {n:,}; they must agree")
    return array
