"""Writing the event table and the quarantine, in private until everything is there."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
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


class PartWriter:
    """One Parquet file of the event table: the same bytes in whatever batches its rows arrive."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._writer = open_writer(file, schema)
        self._schema = schema
        self._held: list[pa.RecordBatch] = []
        self._n_held = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows of the file's schema."""
        self._held.append(batch)
        self._n_held += len(batch)
        while self._n_held >= BATCH_ROWS:
            self._write_group(BATCH_ROWS)

    def _write_group(self, n_rows: int) -> None:
        held = pa.Table.from_batches(self._held, self._schema)
        self._writer.write_table(held.slice(0, n_rows).combine_chunks(), row_group_size=n_rows)
        self._held, self._n_held = held.slice(n_rows).to_batches(), self._n_held - n_rows

    def close(self) -> None:
        """Write what is left and the footer."""
        try:
            if self._n_held:
                self._write_group(self._n_held)
        finally:
            self._writer.close()


def write_parts(batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path, bar: Any) -> Counter[str]:
    """Write ordered events in parts of about two million rows, no user over two parts.

    A user belongs to the part that the number of events before theirs tells: ``PART_ROWS`` of them to a part.

    Returns
    -------
    Counter
        Events by type.
    """
    counts: Counter[str] = Counter()
    number, rows, limit, last_user = 0, 0, PART_ROWS, None
    writer = PartWriter(part_file(folder, number), schema)
    try:
        for batch in batches:
            typed = in_schema(batch, schema)
            counts += counted_types(typed)
            bar.update(len(typed))
            while (cut := _next_user(typed["user_id"], max(limit - rows, 0), last_user)) < len(typed):
                writer.write(typed.slice(0, cut))
                writer.close()
                number, rows = number + 1, rows + cut
                limit, typed = (rows // PART_ROWS + 1) * PART_ROWS, typed.slice(cut)
                writer = PartWriter(part_file(folder, number), schema)
            writer.write(typed)
            rows, last_user = rows + len(typed), typed["user_id"][-1].as_py() if len(typed) else last_user
    finally:
        writer.close()
    return counts


def part_file(folder: Path, number: int) -> Path:
    """Return where a part of the event table lies."""
    return folder / f"part-{number:05d}.parquet"


def in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns of a schema, in its types."""
    return pa.RecordBatch.from_arrays(
        [batch.column(field.name).cast(field.type) for field in schema], schema=schema
    )


def counted_types(events: pa.RecordBatch) -> Counter[str]:
    """Count events by type."""
    counted = pc.value_counts(events["event_type"]).to_pylist()
    return Counter({row["values"]: row["counts"] for row in counted})


def _next_user(users: pa.Array, start: int, last_user: str | None) -> int:
    """Return the first row from `start` on with another user than the row before it, which ends a part."""
    if start >= len(users):
        return len(users)
    before = users[start - 1] if start else last_user
    other = pc.index(pc.not_equal(users.slice(start), before), True).as_py()
    return len(users) if other < 0 else start + int(other)


def write_quarantine(batches: Iterable[pa.RecordBatch], file: Path) -> list[str]:
    """Write refused rows (file, line, code, raw) and return the first few, as text for an error message."""
    examples: list[str] = []
    with closing(PartWriter(file, QUARANTINE_SCHEMA)) as writer:
        for batch in batches:
            reasons = [REASONS[code] for code in batch.column(2).to_pylist()]
            table = pa.RecordBatch.from_arrays(
                [batch.column(0), batch.column(1), pa.array(reasons, pa.string()), batch.column(3)],
                schema=QUARANTINE_SCHEMA,
            )
            writer.write(table)
            examples += [
                f"{row['file']}:{row['line']}: {row['reason']}: {str(row['raw'])[:120]}"
                for row in table.slice(0, 3 - len(examples)).to_pylist()
            ]
    return examples
