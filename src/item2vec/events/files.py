"""Which files a path means, what format they have, and how to open them."""

from __future__ import annotations

import glob
import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from item2vec.errors import SourceError

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSED = (".gz", ".gzip", ".zst", ".zstd")
GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"


@dataclass(frozen=True)
class Source:
    """One source: its files in path order, their format, and the CSV delimiter."""

    paths: tuple[str, ...]
    format: str
    delimiter: str = ","


def find_source(paths: Sequence[str], format: str = "auto", delimiter: str | None = None) -> Source:
    """Resolve files, globs and folders into the files of one source.

    The files are sorted by path, so the order in which they are named does not matter.

    Raises
    ------
    SourceError
        If nothing is there, a file is empty, or the formats are unknown or differ.
    """
    found = sorted({file for path in paths for file in _expand(path)})
    if not found:
        raise SourceError("no path given; name a file, a glob or a folder")
    for file in found:
        if not Path(file).is_file():
            raise SourceError(f"{file} is not a regular file; copy its content into one")
        if Path(file).stat().st_size == 0:
            raise SourceError(f"{file} is empty (0 bytes); export it again or leave it out")
    formats = {file: _format(file, format) for file in found}
    if len(set(formats.values())) > 1:
        kinds = ", ".join(f"{file} ({kind})" for file, kind in list(formats.items())[:4])
        raise SourceError(f"the files are of different formats: {kinds}; read them one format at a time")
    tabs = all(_stem(file).endswith(".tsv") for file in found)
    return Source(tuple(found), formats[found[0]], delimiter or ("\t" if tabs else ","))


def _expand(path: str) -> list[str]:
    """List the files that one path means."""
    if Path(path).is_dir():
        inside = [
            str(file) for file in sorted(Path(path).rglob("*")) if file.is_file() and _is_data(file, path)
        ]
        if not inside:
            raise SourceError(f"the folder {path} holds no .csv, .jsonl or .parquet file; check the path")
        return inside
    if Path(path).exists():
        return [path]
    matches = [match for match in glob.glob(path, recursive=True) if not Path(match).is_dir()]
    if not matches:
        hint = "no file matches this pattern" if glob.has_magic(path) else "no such file or folder"
        raise SourceError(f"{path}: {hint}; check the path (the current folder is {Path.cwd()})")
    return matches


def _is_data(file: Path, root: str) -> bool:
    """Leave out hidden files, Spark's ``_SUCCESS`` and everything that is not data by its name."""
    parts = file.relative_to(root).parts
    return not any(part[0] in "._" for part in parts) and Path(_stem(str(file))).suffix in FORMATS


def _stem(file: str) -> str:
    """Return the lower-case name without a compression suffix."""
    name = Path(file).name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return name


def _format(file: str, declared: str) -> str:
    """Tell a file's format by declaration, else by name; its first bytes must not contradict."""
    kind = FORMATS.get(Path(_stem(file)).suffix) if declared == "auto" else declared
    if kind is None:
        raise SourceError(
            f"{file}: the name does not tell the format; set format to 'csv', 'jsonl' or 'parquet'"
        )
    head = _head(file)
    if (head == PARQUET) != (kind == "parquet"):
        looks = "is a Parquet file" if head == PARQUET else "is not a Parquet file (its first bytes differ)"
        raise SourceError(f"{file} is read as {kind} but {looks}; set the right format or export it again")
    return kind


def _head(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(4)
    except OSError as error:
        raise SourceError(f"{file} cannot be opened: {error.strerror}; check its permissions") from None


class TextStream:
    """A text file's bytes, unpacked by what its first bytes say it is; its read errors name the file."""

    def __init__(self, file: str) -> None:
        self._file = file
        head = _head(file)
        if head.startswith(GZIP):
            self._stream: Any = gzip.open(file)  # noqa: SIM115
        elif head == ZSTD:
            self._stream = pa.CompressedInputStream(pa.OSFile(file), "zstd")
        else:
            self._stream = open(file, "rb")  # noqa: SIM115

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes, fewer only at the end.

        Raises
        ------
        SourceError
            If the compressed stream is damaged or cut short.
        """
        try:
            return bytes(self._stream.read(size))
        except (EOFError, zlib.error, OSError, pa.ArrowException) as error:
            raise SourceError(
                f"{self._file} is damaged or cut short ({error}); copy or export it again"
            ) from None

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
