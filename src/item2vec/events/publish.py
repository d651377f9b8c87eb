"""Writing the event table and the quarantine, in private until everything is there."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from item2vec.artifacts.durable import fsync_path, walk_files
from item2vec.errors import UsageError
from item2vec.events.engine import BATCH_ROWS
from item2vec.events.reasons import REASONS

PART_ROWS = 2_000_000
QUARANTINE_SCHEMA = pa.schema(
    [("file", pa.string()), ("line", pa.int64()), ("reason", pa.string()), ("raw", pa.string())]
)


class TemporaryFolder:
    """A folder that goes when its last owner goes, without the warning of ``tempfile.TemporaryDirectory``."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@contextmanager
def private_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` (so that the final rename is atomic), removed in the end.

    Raises
    ------
    UsageError
        If `out` exists and is not an empty folder, or cannot be made where it should lie.
    """
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} already exists; choose another folder for the events or remove it")
    make_folder(out.parent)
    with _possible(out):
        private = Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=".tmp", dir=out.parent))
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make sure that a folder exists.

    Raises
    ------
    UsageError
        If it cannot: a file is in the way, or nothing may be written there.
    """
    with _possible(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _possible(folder: Path) -> Iterator[None]:
    """Tell a place where no folder can be from a disk that fails."""
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{folder} cannot be a folder: a file is in the way; name another folder") from None
    except (FileNotFoundError, PermissionError) as error:
        raise UsageError(f"{folder} cannot be made ({error.strerror}); name another folder") from None


def publish_folder(private: Path, target: Path, *, durable: bool) -> None:
    """Give a finished folder its name; `durable` only when its bytes will survive a power cut."""
    if durable:
        for path in walk_files(private):
            fsync_path(path)
        for folder in sorted({path.parent for path in walk_files(private)} | {private}, reverse=True):
            fsync_path(folder)
    os.rename(private, target)
    if durable:
        fsync_path(target.parent)


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file with page checksums, so that readers can notice damage."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {"event_id"} & set(schema.names)  # distinct in every row: a dictionary would only cost time
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        write_page_checksum=True,
        use_dictionary=[name for name in schema.names if name not in plain],
    )


def write_parts(batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path, bar: Any) -> Counter[str]:
    """Write ordered events in parts of about two million rows, no user over two parts.

    Returns
    -------
    Counter
        Events by type.
    """
    counts: Counter[str] = Counter()
    number, rows, last_user = 0, 0, None
    writer = open_writer(folder / "part-00000.parquet", schema)
    try:
        for batch in batches:
            typed = pa.RecordBatch.from_arrays(
                [batch.column(field.name).cast(field.type) for field in schema], schema=schema
            )
            counts.update(
                {row["values"]: row["counts"] for row in pc.value_counts(typed["event_type"]).to_pylist()}
            )
            bar.update(len(typed))
            if rows >= PART_ROWS and (cut := _next_user(typed["user_id"], last_user)) < len(typed):
                writer.write_batch(typed.slice(0, cut), row_group_size=BATCH_ROWS)
                writer.close()
                number, rows, typed = number + 1, 0, typed.slice(cut)
                writer = open_writer(folder / f"part-{number:05d}.parquet", schema)
            writer.write_batch(typed, row_group_size=BATCH_ROWS)
            rows += len(typed)
            last_user = typed["user_id"][-1].as_py() if len(typed) else last_user
    finally:
        writer.close()
    return counts


def _next_user(users: pa.Array, last_user: str | None) -> int:
    """Return the first row of another user than the last one written."""
    other = pc.index(pc.not_equal(users, last_user), True).as_py()
    return len(users) if other < 0 else int(other)


def write_quarantine(batches: Iterable[pa.RecordBatch], file: Path) -> list[str]:
    """Write refused rows (file, line, code, raw) and return the first few, as text for an error message."""
    examples: list[str] = []
    with open_writer(file, QUARANTINE_SCHEMA) as writer:
        for batch in batches:
            reasons = [REASONS[code] for code in batch.column(2).to_pylist()]
            table = pa.RecordBatch.from_arrays(
                [batch.column(0), batch.column(1), pa.array(reasons, pa.string()), batch.column(3)],
                schema=QUARANTINE_SCHEMA,
            )
            writer.write_batch(table)
            examples += [
                f"{row['file']}:{row['line']}: {row['reason']}: {str(row['raw'])[:120]}"
                for row in table.slice(0, 3 - len(examples)).to_pylist()
            ]
    return examples
