"""Which files a path means, what format they have, and how to open them."""

from __future__ import annotations

import glob
import gzip
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
MAX_EXPANSION, EXPANSION_FLOOR = 200, 64 << 20
"""A packed file may become this many times its size, and this many bytes in any case."""
GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "bzip2 data",
    b"\xfd7zX": "xz data",
    b"\x7fELF": "a program",
}


@dataclass(frozen=True)
class Source:
    """One source: its files in path order, their state, their format, and the CSV delimiter."""

    paths: tuple[str, ...]
    format: str
    delimiter: str = ","
    states: tuple[tuple[int, ...], ...] = field(default=(), compare=False)

    def check_unchanged(self) -> None:
        """Make sure that the files are what they were when they were found.

        Raises
        ------
        SourceError
            If one was replaced, written to or removed in the meantime.
        """
        for file, state in zip(self.paths, self.states, strict=True):
            if _state(file) != state:
                raise SourceError(f"{file} changed while it was read; read it when it is complete")


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
        _check_regular(file)
    states = tuple(_state(file) for file in found)
    formats = {file: _format(file, format) for file in found}
    if len(set(formats.values())) > 1:
        kinds = ", ".join(f"{file} ({kind})" for file, kind in list(formats.items())[:4])
        raise SourceError(f"the files are of different formats: {kinds}; read them one format at a time")
    tabs = all(_stem(file).endswith(".tsv") for file in found)
    return Source(tuple(found), formats[found[0]], delimiter or ("\t" if tabs else ","), states)


def check_expansion(file: str, unpacked: int) -> None:
    """Make sure that a packed file does not fill the disk.

    Raises
    ------
    SourceError
        If `unpacked` bytes are out of proportion to the file's size.
    """
    size = os.stat(file).st_size
    if unpacked > max(EXPANSION_FLOOR, MAX_EXPANSION * size):
        raise SourceError(
            f"{file} unpacks to over {MAX_EXPANSION} times its {size:,} bytes; if that is right, unpack it"
            " yourself and read the plain file"
        )


def _state(file: str) -> tuple[int, ...]:
    """Return what changes when a file is written to or replaced."""
    with _named(file):
        found = os.stat(file)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _named(file: str) -> Iterator[None]:
    """Turn what the operating system refuses into an error with the file's name."""
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"{file!r} cannot be opened: {error.strerror or error}; check the path and its permissions"
        ) from None


def _check_regular(file: str) -> None:
    """Refuse what would hang, hold nothing or cannot be named."""
    try:
        file.encode()
    except UnicodeEncodeError:
        raise SourceError(f"the name {file!r} is not UTF-8; rename the file") from None
    with _named(file):
        mode = os.stat(file).st_mode
        if not stat.S_ISREG(mode):
            raise SourceError(f"{file} is not a regular file; copy its content into one")
        if os.stat(file).st_size == 0:
            raise SourceError(f"{file} is empty (0 bytes); export it again or leave it out")


def _expand(path: str) -> list[str]:
    """List the files that one path means."""
    if os.path.isdir(path):
        with _named(path):
            inside = sorted(str(file) for file in _walk(path) if _is_data(file, path))
        if not inside:
            raise SourceError(f"the folder {path} holds no .csv, .jsonl or .parquet file; check the path")
        return inside
    if _is_there(path):
        if not os.path.exists(path):
            raise SourceError(f"{path} is a link that leads nowhere, or no access is granted; check it")
        return [path]
    with _named(path):
        matches = [match for match in _matches(path) if not os.path.isdir(match)]
    if not matches:
        hint = "no file matches this pattern" if glob.has_magic(path) else "no such file or folder"
        raise SourceError(f"{path!r}: {hint}; check the path (the current folder is {Path.cwd()})")
    return matches


def _is_there(path: str) -> bool:
    """Tell whether a file has exactly this name; what forbids to tell is an error."""
    with _named(path):
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def _walk(root: str) -> Iterator[Path]:
    """Yield what lies below a folder, linked folders included, each folder once: links may make loops."""
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise error

    for base, folders, names in os.walk(root, followlinks=True, onerror=refuse):
        real = os.path.realpath(base)
        folders[:] = [] if real in seen else sorted(name for name in folders if name[0] not in "._")
        if real not in seen:
            yield from (Path(base, name) for name in names)
        seen.add(real)


def _matches(pattern: str) -> list[str]:
    """Return what a pattern matches; ``**`` does not follow links, which may make loops."""
    if "**" not in pattern:
        return glob.glob(pattern)
    parts = Path(pattern).parts
    first = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    below = [*parts[first:], *(["*"] if parts[-1] == "**" else [])]
    found = Path(*parts[:first]).glob(os.path.join(*below))
    return [str(path) for path in found if not any(part.startswith(".") for part in path.parts[first:])]


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
    for mark, what in FOREIGN.items():
        if head.startswith(mark):
            raise SourceError(f"{file} is {what}; unpack it and read what is inside")
    return kind


def _head(file: str) -> bytes:
    with _named(file), open(file, "rb") as stream:
        return stream.read(4)


class TextStream:
    """A text file's bytes, unpacked by what its first bytes say it is; its read errors name the file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._unpacked = 0
        head = _head(file)
        self._packed = head.startswith(GZIP) or head == ZSTD
        with _named(file):
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
            If the compressed stream is damaged, cut short, or out of proportion to the file.
        """
        try:
            chunk = bytes(self._stream.read(size))
        except (EOFError, zlib.error, OSError, pa.ArrowException) as error:
            raise SourceError(
                f"{self._file} is damaged or cut short ({error}); copy or export it again"
            ) from None
        self._unpacked += len(chunk)
        if self._packed:
            check_expansion(self._file, self._unpacked)
        return chunk

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
