"""What Spark's workers do with a share of a log; each has one core and a folder of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import SparkFiles
from tqdm import tqdm

from item2vec.events.engine import Engine
from item2vec.events.expressions import quote_text
from item2vec.events.files import Source
from item2vec.events.publish import PartWriter, counted_types, in_schema, part_file
from item2vec.events.scan import check_rows
from item2vec.events.schema import event_schema

Batches = Iterator[pa.RecordBatch]
_WRITTEN = pa.schema([("file", pa.string()), ("event_type", pa.string()), ("n", pa.int64())])


def stage_share(paths: Sequence[str], folder: str, format: str, delimiter: str) -> dict[str, Any]:
    """Cut text files into records, as Parquet files in `folder`."""
    from item2vec.events.staging import stage_text

    source, final = Source(tuple(paths), format, delimiter), Path(folder)
    # Spark may try twice at once: what others may be reading already stays, the rows in it are the same
    scratch = final.with_name(f".{final.name}-{uuid.uuid4().hex}")
    try:
        staged = stage_text(source, scratch, "source", tqdm(disable=True))
        try:
            os.rename(scratch, final)
        except OSError:
            if not final.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    files = tuple(str(final / Path(file).name) for file in staged.files)
    return replace(staged, files=files).to_record()


def type_share(
    source: str,
    prepare: str,
    typed: str,
    file: str,
    where: str,
    memory_limit: str,
    read: Sequence[str],
    pages: dict[str, Any] | None = None,
) -> int:
    """Type the rows of a share and write them to a file; return their number.

    Parameters
    ----------
    source, prepare, typed : str
        The SELECT of the share's rows, the importer's over it, and that of the typed rows over that.
    file : str
    where : str
        How to name the source in an error.
    memory_limit : str
    read : sequence of str
        Columns that count.
    pages : dict, optional
        For Parquet, the rows whose pages have to be checked: ``files``, and ``rows`` of the only file.
    """
    for one in (pages or {}).get("files", ()):
        check_rows(one, set(read), (pages or {})["rows"])
    with _engine(memory_limit, where) as engine:
        for name, sql in (("source", source), ("prepared", prepare), ("typed", typed)):
            engine.run(f"CREATE VIEW {name} AS {sql}")
        with _new_file(Path(file), Path(file).parent) as scratch:
            copied = f"COPY (SELECT * FROM typed) TO {quote_text(str(scratch))} (FORMAT parquet)"
            return int(engine.run(copied)[0][0])


def expanded(expand: str, id_type: str, memory_limit: str, batches: Batches) -> Batches:
    """Make events of accepted rows by an importer's SELECT; all rows of an item are here."""
    schema = event_schema(id_type)
    first = next(batches, None)
    if first is None:
        return
    with _engine(memory_limit, "the log") as engine:
        rows = pa.RecordBatchReader.from_batches(first.schema, _again(first, batches))
        engine.put("given", rows)
        engine.store("accepted", "SELECT * FROM given")
        for batch in engine.stream(f"SELECT {', '.join(schema.names)} FROM ({expand})"):
            yield in_schema(batch, schema)


def _again(first: pa.RecordBatch, others: Batches) -> Batches:
    yield first
    yield from others


def written(id_type: str, folder: str, unfinished: str, batches: Batches) -> Batches:
    """Write parts of the event table and count their events; rows come in order, with their part's number.

    What a killed worker leaves lies in `unfinished`: `folder` holds whole parts and nothing else.
    """
    schema = event_schema(id_type)
    for number, runs in itertools.groupby(itertools.chain.from_iterable(map(_runs, batches)), itemgetter(0)):
        file, counts = part_file(Path(folder), number), Counter[str]()
        with _new_file(file, Path(unfinished)) as scratch, closing(PartWriter(scratch, schema)) as writer:
            for _, run in runs:
                events = in_schema(run, schema)
                writer.write(events)
                counts += counted_types(events)
        columns = [[str(file)] * len(counts), list(counts), list(counts.values())]
        yield pa.RecordBatch.from_arrays(list(map(pa.array, columns)), schema=_WRITTEN)


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Cut a batch where the part changes."""
    ends = pc.run_end_encode(batch["part"])
    start = 0
    for number, end in zip(ends.values.to_pylist(), ends.run_ends.to_pylist(), strict=True):
        yield number, batch.slice(start, end - start)
        start = end


def packed(batches: Batches) -> Batches:
    """Pack batches as bytes, which come back one by one."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.RecordBatch.from_arrays([pa.array([sink.getvalue().to_pybytes()], pa.binary())], ["batch"])


@contextmanager
def _engine(memory_limit: str, where: str) -> Iterator[Engine]:
    """Open an engine that spills into the worker's own folder."""
    with tempfile.TemporaryDirectory(prefix="item2vec-", dir=SparkFiles.getRootDirectory()) as spill:
        engine = Engine(Path(spill), memory_limit, where, threads=1)
        try:
            yield engine
        finally:
            engine.close()


@contextmanager
def _new_file(file: Path, unfinished: Path) -> Iterator[Path]:
    """Yield another name, in a folder beside, for a file that gets its own when it is complete.

    Two workers may try the same.
    """
    for folder in (file.parent, unfinished):
        folder.mkdir(parents=True, exist_ok=True)
    scratch = unfinished / f".{file.name}-{uuid.uuid4().hex}"
    try:
        yield scratch
        os.replace(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)
