"""Tables in parts, each whole or absent; after a kill the same call writes the parts that are missing."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from tqdm import tqdm

from item2vec.errors import LockedRunError, UsageError

Format = Literal["parquet", "csv"]
JOB = b"item2vec.job"
PART = b"item2vec.part"
FORMULA = r"^([=+\-@\t\r\n＝＋－＠'])"
"""What a spreadsheet takes for a formula at the start of a text (OWASP, CSV injection), wide forms too; and
the apostrophe itself, or two texts would become one."""


class PartCounts(NamedTuple):
    """Rows of a part, and its lists that are short or empty."""

    n_rows: int
    n_short: int
    n_empty: int


MadePart = tuple[int, "pa.Buffer", PartCounts]
MadeParts = Callable[[list[int]], Generator[MadePart]]
"""Makes some parts and gives each one's number, file and counts, in any order."""


class PartsJob(NamedTuple):
    """What decides the bytes of all parts.

    Attributes
    ----------
    fingerprint : str
        Digest of the model and all settings.
    n_parts : int
    make : callable (part) -> (table, PartCounts)
    format : {"parquet", "csv"}
    what : str
        For the progress bar.
    made : callable, optional
        Makes the parts elsewhere; by default `make` does, here.
    """

    fingerprint: str
    n_parts: int
    make: Callable[[int], tuple[pa.Table, PartCounts]]
    format: Format
    what: str
    made: MadeParts | None = None


def write_parts(folder: Path, job: PartsJob, show_progress: bool) -> tuple[int, npt.NDArray[np.int64]]:
    """Write the parts that are not there; return how many were written, and the counts of all.

    Raises
    ------
    UsageError
        If the folder holds parts of another job, or is none.
    LockedRunError
        If another process writes there.
    """
    if job.format not in ("parquet", "csv"):
        raise UsageError(f"format is 'parquet' or 'csv', not {job.format!r}")
    with _one_writer(folder):
        return _write_missing(folder, job, show_progress)


@contextmanager
def _one_writer(folder: Path) -> Iterator[None]:
    """Make the folder and hold it; the kernel frees it when a writer dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{folder} is no folder ({error.strerror}); choose another folder") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise LockedRunError(f"{folder} is being written by another process; wait for it") from error
    finally:
        os.close(handle)


def _write_missing(folder: Path, job: PartsJob, show_progress: bool) -> tuple[int, npt.NDArray[np.int64]]:
    door: Any = _Parquet if job.format == "parquet" else _Csv
    _refuse_foreign_parts(folder, job, door)
    totals = np.zeros(len(PartCounts._fields), np.int64)
    places = [folder / _part_name(part, job.format) for part in range(job.n_parts)]
    with tqdm(total=job.n_parts, desc=job.what, unit="part", disable=not show_progress) as bar:
        missing = []
        for part, path in enumerate(places):
            counts = door.intact_counts(path, part)
            if counts is None:
                missing.append(part)
            else:
                totals += counts
                bar.update()
        with closing((job.made or _made_here(job))(missing)) as made:
            for part, body, counts in made:
                door.write(places[part], body, job.fingerprint, {"part": part, **counts._asdict()})
                totals += counts
                bar.update()
    return len(missing), totals


def _made_here(job: PartsJob) -> MadeParts:
    def made(parts: list[int]) -> Generator[MadePart]:
        for part in parts:
            table, counts = job.make(part)
            yield part, encoded(table, job.format, job.fingerprint, part, counts), counts

    return made


def encoded(table: pa.Table, form: Format, fingerprint: str, part: int, counts: PartCounts) -> pa.Buffer:
    """Return the bytes of a part's file."""
    sink = pa.BufferOutputStream()
    if form == "parquet":
        stated = json.dumps({"part": part, **counts._asdict()}).encode()
        table = table.replace_schema_metadata({JOB: fingerprint.encode(), PART: stated})
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    else:
        pacsv.write_csv(_harmless(table), sink)
    return sink.getvalue()


def _part_name(part: int, form: str) -> str:
    return f"part-{part:05d}.{form}"


def _refuse_foreign_parts(folder: Path, job: PartsJob, door: Any) -> None:
    """Clear what a killed run left half-written; stop when a readable part belongs to another job."""
    for path in folder.glob(".part-*.tmp"):
        path.unlink()
    ours = {_part_name(part, job.format) for part in range(job.n_parts)}
    for path in sorted([*folder.glob("part-*.parquet"), *folder.glob("part-*.csv")]):
        stated = door.job_of(path) if path.name in ours else ""
        if stated is not None and stated != job.fingerprint:
            raise UsageError(
                f"{path} belongs to a table of another model or other settings; choose a new folder"
            )


def _replace(path: Path, write: Callable[[Any], None]) -> None:
    """Write a file beside its place, flush it, and rename it."""
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class _Parquet:
    """A part that carries its own description, and checksums of its pages."""

    @staticmethod
    def job_of(path: Path) -> str | None:
        metadata = _Parquet._metadata(path)
        return None if metadata is None else metadata.get(JOB, b"").decode()

    @staticmethod
    def _metadata(path: Path) -> dict[bytes, bytes] | None:
        """Return a part's key-value metadata, None if the file is damaged."""
        try:
            with pq.ParquetFile(path) as file:
                return dict(file.schema_arrow.metadata or {})
        except (OSError, pa.ArrowException):
            return None

    @staticmethod
    def intact_counts(path: Path, part: int) -> PartCounts | None:
        """Return a part's counts if it is whole: readable, page checksums right, rows as stated."""
        metadata = _Parquet._metadata(path) if path.exists() else None
        if metadata is None or PART not in metadata:
            return None
        stated = json.loads(metadata[PART])
        number, counts = stated.pop("part"), PartCounts(**stated)
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                n_rows = sum(batch.num_rows for batch in file.iter_batches(1 << 16))
        except (OSError, pa.ArrowException):
            return None
        return counts if number == part and n_rows == counts.n_rows else None

    @staticmethod
    def write(path: Path, body: pa.Buffer, fingerprint: str, stated: dict[str, int]) -> None:
        _replace(path, lambda file: file.write(body))


class _Csv:
    """A part with its description in a file beside it, which is written last."""

    @staticmethod
    def job_of(path: Path) -> str | None:
        stated = _Csv._stated(path)
        return None if stated is None else str(stated["job"])

    @staticmethod
    def _stated(path: Path) -> dict[str, Any] | None:
        try:
            stated = json.loads(path.with_suffix(".json").read_bytes())
            return stated if isinstance(stated, dict) and "job" in stated else None
        except (OSError, ValueError):
            return None

    @staticmethod
    def intact_counts(path: Path, part: int) -> PartCounts | None:
        stated = _Csv._stated(path)
        try:
            if stated is None or _sha256(path) != stated["sha256"] or stated["part"] != part:
                return None
            return PartCounts(*(stated[name] for name in PartCounts._fields))
        except (OSError, KeyError):
            return None

    @staticmethod
    def write(path: Path, body: pa.Buffer, fingerprint: str, stated: dict[str, int]) -> None:
        path.with_suffix(".json").unlink(missing_ok=True)
        _replace(path, lambda file: file.write(body))
        description = {"job": fingerprint, **stated, "sha256": _sha256(path)}
        _replace(path.with_suffix(".json"), lambda file: file.write(json.dumps(description).encode()))


def _harmless(table: pa.Table) -> pa.Table:
    """Put an apostrophe before texts that a spreadsheet would take for a formula."""
    columns = [
        pc.replace_substring_regex(column, FORMULA, r"'\1") if pa.types.is_string(column.type) else column
        for column in table.columns
    ]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
