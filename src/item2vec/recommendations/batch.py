"""The table of similar items for a whole catalogue, part by part, resumable after a kill."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from item2vec.arrow import arrow_numbers
from item2vec.errors import UsageError
from item2vec.index.arguments import checked_k
from item2vec.index.space import Mode
from item2vec.recommendations.recommender import Recommender

JOB = b"item2vec.job"
PART = b"item2vec.part"
QUERIES = 1024
"""Targets searched at once."""


@dataclass(frozen=True)
class BatchSummary:
    """What a batch run did.

    Attributes
    ----------
    n_parts, n_written, n_skipped : int
        Parts of the table, those written now, those found whole.
    n_rows : int
        Rows of the table.
    n_items, n_short, n_empty : int
        Target items; those with fewer than N similar items; those with none.
    """

    n_parts: int
    n_written: int
    n_skipped: int
    n_rows: int
    n_items: int
    n_short: int
    n_empty: int


class _PartCounts(NamedTuple):
    n_rows: int
    n_short: int
    n_empty: int


@dataclass(frozen=True, eq=False)
class _Job:
    """Everything that decides the bytes of a part."""

    rec: Recommender
    N: int
    mode: Mode
    partition_rows: int
    exact: bool
    markets: npt.NDArray[np.int64] | None

    @property
    def n_parts(self) -> int:
        return -(-len(self.rec.vocabulary) // self.partition_rows)

    def fingerprint(self) -> str:
        """Digest of model, index and settings."""
        index = self.rec.index(self.mode)
        body = [1, index.fingerprint, self.N, self.mode, self.partition_rows, self.exact]
        digest = hashlib.sha256(json.dumps(body).encode())
        digest.update(np.ascontiguousarray(self.rec.vectors.vectors).data)
        if self.markets is not None:
            digest.update(self.markets.data)
        return digest.hexdigest()


def write_similar_items(
    rec: Recommender,
    out_dir: str | Path,
    *,
    N: int = 100,
    mode: Mode = "similar",
    partition_rows: int = 10_000,
    same_market: bool = False,
    market_column: str = "market",
    exact_up_to: int = 200_000,
    show_progress: bool = False,
) -> BatchSummary:
    """Write the similar items of every item as Parquet parts.

    ``part-00000.parquet``, … hold the columns ``target_item_id, item_id`` (string or int64), ``score``
    (float32) and ``rank`` (int32 from 1), ordered by the target's item number and rank. A part is written
    beside its place and renamed, so it is whole or absent; after a kill the same call keeps the parts that
    read back intact for the same model and settings and writes the others. The result has the same bytes as
    an undisturbed run.

    Parameters
    ----------
    rec : Recommender
    out_dir : str or Path
        Folder of the parts; created.
    N : int
        Similar items per target, fewer where there are not so many.
    mode : {"similar", "next"}
    partition_rows : int
        Targets per part; memory grows with ``partition_rows · N``, not with the catalogue.
    same_market : bool
        Only items whose `market_column` equals the target's; a target without one gets no rows.
    exact_up_to : int
        Largest catalogue that is searched exactly rather than through the index's backend.
    show_progress : bool

    Raises
    ------
    UsageError
        If an argument is wrong, or the folder holds parts of another model or other settings.
    """
    checked_k(partition_rows)
    markets = _market_codes(rec, market_column) if same_market else None
    exact = len(rec.vocabulary) <= exact_up_to
    job = _Job(rec, checked_k(N), mode, partition_rows, exact, markets)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = job.fingerprint().encode()
    _refuse_foreign_parts(folder, job.n_parts, fingerprint)
    n_written, totals = 0, np.zeros(len(_PartCounts._fields), np.int64)
    for part in tqdm(range(job.n_parts), desc="similar items", unit="part", disable=not show_progress):
        path = folder / _part_name(part)
        counts = _intact_counts(path, part)
        if counts is None:
            counts = _write_part(path, job, part, fingerprint)
            n_written += 1
        totals += counts
    n_rows, n_short, n_empty = totals.tolist()
    return BatchSummary(
        job.n_parts, n_written, job.n_parts - n_written, n_rows, len(rec.vocabulary), n_short, n_empty
    )


def _part_name(part: int) -> str:
    return f"part-{part:05d}.parquet"


def _market_codes(rec: Recommender, column: str) -> npt.NDArray[np.int64]:
    """Return each item's market as a number, −1 where it has none."""
    if rec.attributes is None:
        raise UsageError("same_market needs the item table: Recommender(vectors, items=table)")
    market = rec.attributes.column(column)
    _, codes = np.unique(market.values, return_inverse=True)
    known: npt.NDArray[np.int64] = np.where(market.known, codes, -1).astype(np.int64)
    return known


def _refuse_foreign_parts(folder: Path, n_parts: int, fingerprint: bytes) -> None:
    """Clear what a killed run left half-written; stop when a readable part belongs to another job."""
    for path in folder.glob(".part-*.parquet.tmp"):
        path.unlink()
    ours = {_part_name(part) for part in range(n_parts)}
    for path in sorted(folder.glob("part-*.parquet")):
        metadata = _metadata(path)
        if path.name not in ours or (metadata is not None and metadata.get(JOB) != fingerprint):
            raise UsageError(
                f"{path} belongs to a table of another model or other settings; choose a new folder"
            )


def _metadata(path: Path) -> dict[bytes, bytes] | None:
    """Return a part's key-value metadata, None if the file is damaged."""
    try:
        with pq.ParquetFile(path) as file:
            return dict(file.schema_arrow.metadata or {})
    except (OSError, pa.ArrowException):
        return None


def _intact_counts(path: Path, part: int) -> _PartCounts | None:
    """Return a part's counts if it is whole: readable, page checksums right, rows as stated."""
    metadata = _metadata(path) if path.exists() else None
    if metadata is None or PART not in metadata:
        return None
    stated = json.loads(metadata[PART])
    number, counts = stated.pop("part"), _PartCounts(**stated)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            n_rows = sum(batch.num_rows for batch in file.iter_batches(1 << 16))
    except (OSError, pa.ArrowException):
        return None
    return counts if number == part and n_rows == counts.n_rows else None


def _write_part(path: Path, job: _Job, part: int, fingerprint: bytes) -> _PartCounts:
    """Write one part whole or not at all."""
    start = part * job.partition_rows
    targets = np.arange(start, min(start + job.partition_rows, len(job.rec.vocabulary)), dtype=np.int32)
    nums = np.full((len(targets), job.N), -1, np.int32)
    scores = np.full((len(targets), job.N), -np.inf, np.float32)
    for rows, allowed in _batches(targets, job):
        found = job.rec.similar_nums(targets[rows], job.N, allowed, job.mode, exact=job.exact)
        nums[rows], scores[rows] = found.item_nums, found.scores
    filled = nums >= 0
    lengths = filled.sum(axis=1)
    counts = _PartCounts(int(lengths.sum()), int((lengths < job.N).sum()), int((lengths == 0).sum()))
    stated = json.dumps({"part": part, **counts._asdict()}).encode()
    table = _to_table(
        job, np.repeat(targets, lengths), nums[filled], scores[filled], np.nonzero(filled)[1] + 1
    )
    table = table.replace_schema_metadata({JOB: fingerprint, PART: stated})
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return counts


def _batches(
    targets: npt.NDArray[np.int32], job: _Job
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_] | None]]:
    """Yield positions of targets to search together, with the items they may get."""
    if job.markets is None:
        for start in range(0, len(targets), QUERIES):
            yield np.arange(start, min(start + QUERIES, len(targets))), None
        return
    codes = job.markets[targets]
    for code in np.unique(codes[codes >= 0]).tolist():
        rows = np.flatnonzero(codes == code)
        allowed = job.markets == code
        for start in range(0, len(rows), QUERIES):
            yield rows[start : start + QUERIES], allowed


def _to_table(
    job: _Job,
    targets: npt.NDArray[np.int32],
    nums: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    ranks: npt.NDArray[np.int64],
) -> pa.Table:
    ids = job.rec.vocabulary.ids
    columns = [
        ids.take(arrow_numbers(targets)),
        ids.take(arrow_numbers(nums)),
        arrow_numbers(scores),
        arrow_numbers(ranks.astype(np.int32)),
    ]
    return pa.Table.from_arrays(columns, names=["target_item_id", "item_id", "score", "rank"])
