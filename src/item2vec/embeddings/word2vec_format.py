"""The word2vec exchange format, text and binary, as word2vec.c and gensim write it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import DataError, SourceError, UsageError
from item2vec.vocabulary import ID_TYPES, ItemId, Vocabulary

PathLike = str | os.PathLike[str]
_MAX_KEY_BYTES = 1 << 16  # a longer "key" means that the file is not in this format


def write(path: PathLike, vocabulary: Vocabulary, vectors: npt.NDArray[np.float32], binary: bool) -> None:
    """Write ids and vectors, (n, d) float32; nine digits bring every float32 back exactly."""
    names = [_name(key) for key in vocabulary.ids.to_pylist()]
    if binary:
        _check_lengths(names)
    line = " ".join(["%.9g"] * vectors.shape[1])
    with Path(path).open("wb") as out:
        out.write(b"%d %d\n" % vectors.shape)
        for name, row in zip(names, vectors, strict=True):
            body = row.astype("<f4").tobytes() if binary else (line % tuple(row.tolist()) + "\n").encode()
            out.write(name.encode() + b" " + body)


def write_counts(path: PathLike, vocabulary: Vocabulary) -> None:
    """Write one ``id count`` line per item."""
    counts = zip(vocabulary.ids.to_pylist(), vocabulary.counts.tolist(), strict=True)
    Path(path).write_bytes("".join(f"{_name(key)} {count}\n" for key, count in counts).encode())


def _name(key: ItemId) -> str:
    name = str(key)
    if not name or any(c.isspace() for c in name):
        raise DataError(
            f"item id {name[:64]!r} is empty or holds white space, which the word2vec format cannot express;"
            " use ItemVectors.save_parquet, or map the ids first"
        )
    return name


def _check_lengths(names: Sequence[str]) -> None:
    for name in names:
        if len(name.encode()) >= _MAX_KEY_BYTES:
            raise DataError(
                f"item id {name[:64]!r}… has {len(name.encode()):,} bytes; binary word2vec files are read"
                f" with ids of less than {_MAX_KEY_BYTES:,}: set binary=False, use ItemVectors.save_parquet,"
                " or map the ids first"
            )


def read(
    path: PathLike, fvocab: PathLike | None, binary: bool, id_type: str
) -> tuple[Vocabulary, npt.NDArray[np.float32]]:
    """Return the items, with the counts of `fvocab` or 0, and their vectors, (n, d) float32.

    Raises
    ------
    SourceError
        If a file is missing, cut short, malformed or of the other form; the message names the place.
    """
    if id_type not in ID_TYPES:
        raise UsageError(f"id_type is {id_type!r}; it is one of {', '.join(ID_TYPES)}")
    try:
        with Path(path).open("rb") as source:
            n, d = _read_header(source, path)
            keys, rows = _read_form(source, n, d, path, binary)
    except OSError as e:
        raise SourceError(f"cannot read {path}: {e.strerror}") from e
    counts = np.zeros(n, np.int64) if fvocab is None else _read_counts(fvocab, keys)
    return Vocabulary(_as_ids(keys, id_type, path), counts), rows


def _read_header(source: BinaryIO, path: PathLike) -> tuple[int, int]:
    header = source.readline(256)
    try:
        n, d = (int(part) for part in header.split())
    except ValueError:
        n = d = -1
    size = os.fstat(source.fileno()).st_size
    if n < 1 or d < 1 or n * (2 * d + 1) > size:
        raise SourceError(
            f"{path} does not start with a word2vec header ('items numbers') that fits its {size:,} bytes;"
            f" it starts with {header[:40]!r}"
        )
    return n, d


def _read_form(
    source: BinaryIO, n: int, d: int, path: PathLike, binary: bool
) -> tuple[list[str], npt.NDArray[np.float32]]:
    start = source.tell()
    try:
        return _read_items(source, n, d, path, binary)
    except SourceError as e:
        source.seek(start)
        try:
            _read_items(source, n, d, path, not binary)
        except SourceError:
            raise e from None
        is_, asked = ("text", "binary") if binary else ("binary", "text")
        raise SourceError(f"{path} is word2vec {is_}, not {asked}; set binary={not binary}") from e


def _read_items(
    source: BinaryIO, n: int, d: int, path: PathLike, binary: bool
) -> tuple[list[str], npt.NDArray[np.float32]]:
    keys, rows = (_read_binary if binary else _read_text)(source, n, d, path)
    if len(set(keys)) != len(keys):
        raise SourceError(f"{path} holds an item id twice; each may occur once")
    return keys, rows


def _read_text(source: BinaryIO, n: int, d: int, path: PathLike) -> tuple[list[str], npt.NDArray[np.float32]]:
    keys: list[str] = []
    rows = np.empty((n, d), np.float32)
    for number in range(n):
        parts = source.readline().decode("utf-8", "replace").rstrip().split(" ")
        try:
            if len(parts) != d + 1:
                raise ValueError(f"{len(parts) - 1} numbers")
            rows[number] = [float(part) for part in parts[1:]]
        except ValueError as e:
            raise SourceError(f"{path} line {number + 2} should be an id and {d} numbers: {e}") from e
        keys.append(parts[0])
    return keys, rows


def _read_binary(
    source: BinaryIO, n: int, d: int, path: PathLike
) -> tuple[list[str], npt.NDArray[np.float32]]:
    data = source.read()
    keys: list[str] = []
    rows = np.empty((n, d), np.float32)
    at = 0
    for number in range(n):
        space = data.find(b" ", at, at + _MAX_KEY_BYTES)
        if space < 0 or space + 1 + 4 * d > len(data):
            raise SourceError(f"{path} ends, or is not binary word2vec, at item {number + 1} of {n:,}")
        keys.append(data[at:space].lstrip(b"\n").decode("utf-8", "replace"))
        rows[number] = np.frombuffer(data, "<f4", d, space + 1)
        at = space + 1 + 4 * d
    if data[at:].strip():
        raise SourceError(f"{path} goes on after its {n:,} items, or is not binary word2vec")
    return keys, rows


def _read_counts(path: PathLike, keys: Sequence[str]) -> npt.NDArray[np.int64]:
    try:
        pairs = [line.rsplit(" ", 1) for line in Path(path).read_text("utf-8").splitlines() if line]
        counts = {key: int(count) for key, count in pairs}
        return np.array([counts[key] for key in keys], np.int64)
    except OSError as e:
        raise SourceError(f"cannot read {path}: {e.strerror}") from e
    except (ValueError, KeyError) as e:
        raise SourceError(f"{path} is not one 'id count' line for every item: {e}") from e


def _as_ids(keys: Sequence[str], id_type: str, path: PathLike) -> pa.Array:
    try:
        values: list[str] | list[int] = [int(key) for key in keys] if id_type == "int64" else list(keys)
        return pa.array(values, ID_TYPES[id_type])
    except (ValueError, OverflowError, pa.ArrowException) as e:
        raise SourceError(f"the ids of {path} are not int64: {e}; read them with id_type='string'") from e
