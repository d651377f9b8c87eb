"""The tables of a nightly job: similar items for a whole catalogue, recommendations for all users."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.arrow import arrow_numbers
from item2vec.errors import UsageError
from item2vec.index import ItemSet
from item2vec.index.arguments import checked_k
from item2vec.index.space import Mode
from item2vec.recommendations.history import drop, history_vectors
from item2vec.recommendations.lookup import DECAY
from item2vec.recommendations.neighbour_table import EXACT_UP_TO, QUERIES
from item2vec.recommendations.parts import Format, PartCounts, PartsJob, write_parts
from item2vec.recommendations.recommender import Recommender
from item2vec.recommendations.user_histories import Histories, histories_of

if TYPE_CHECKING:
    from item2vec.sessions import Sessions


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
        Targets (items or users); those with fewer than N results; those with none.
    """

    n_parts: int
    n_written: int
    n_skipped: int
    n_rows: int
    n_items: int
    n_short: int
    n_empty: int


def write_similar_items(
    rec: Recommender,
    out_dir: str | Path,
    *,
    N: int = 100,
    mode: Mode = "similar",
    partition_rows: int = 10_000,
    same_market: bool = False,
    market_column: str = "market",
    exact_up_to: int = EXACT_UP_TO,
    format: Format = "parquet",
    show_progress: bool = False,
) -> BatchSummary:
    """Write the similar items of every item in parts.

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
    format : {"parquet", "csv"}
        In CSV a text that a spreadsheet would take for a formula has an apostrophe before it.
    show_progress : bool

    Raises
    ------
    UsageError
        If an argument is wrong, or the folder holds parts of another model or other settings.
    """
    n_items, N, partition_rows = len(rec.vocabulary), checked_k(N), checked_k(partition_rows)
    markets = _market_codes(rec, market_column) if same_market else None
    exact = n_items <= exact_up_to

    def make(part: int) -> tuple[pa.Table, PartCounts]:
        start = part * partition_rows
        targets = np.arange(start, min(start + partition_rows, n_items), dtype=np.int32)
        found = _empty(len(targets), N)
        for rows, allowed in _batches(targets, markets):
            answer = rec.similar_nums(targets[rows], N, allowed, mode, exact=exact)
            found[0][rows], found[1][rows] = answer.item_nums, answer.scores
        ids = rec.vocabulary.ids.take(arrow_numbers(targets))
        return _to_table(rec, ("target_item_id", ids), *found)

    settings = [1, N, mode, partition_rows, exact]
    fingerprint = _fingerprint(rec, mode, settings, [] if markets is None else [markets])
    job = PartsJob(fingerprint, -(-n_items // partition_rows), make, format, "similar items")
    return _run(Path(out_dir), job, n_items, show_progress)


def write_recommendations(
    rec: Recommender,
    histories: Sessions | Mapping[Any, Sequence[Any]],
    out_dir: str | Path,
    *,
    N: int = 100,
    mode: Mode = "next",
    partition_rows: int = 10_000,
    filter_seen: bool = True,
    where: Mapping[str, Any] | None = None,
    decay: float = DECAY,
    max_clicks: int = 50,
    exact_up_to: int = EXACT_UP_TO,
    format: Format = "parquet",
    show_progress: bool = False,
) -> BatchSummary:
    """Write recommendations for every user in parts, resumable like :func:`write_similar_items`.

    ``part-00000.parquet``, … hold the columns ``user_id, item_id, score, rank``, users ascending. Users
    without a click on a known item get no rows and are counted.

    Parameters
    ----------
    rec : Recommender
    histories : Sessions, or mapping of user to item ids
        Clicks, oldest first. Of sessions, each user's clicks in the order of the sessions' times.
    out_dir : str or Path
    N : int
    mode, filter_seen, where, decay
        As in :meth:`Recommender.recommend`.
    partition_rows : int
        Users per part.
    max_clicks : int
        The latest clicks of a user that are used.
    exact_up_to : int
        As in :func:`write_similar_items`.
    format : {"parquet", "csv"}
    show_progress : bool

    Raises
    ------
    UsageError
        If an argument is wrong, or the folder holds parts of another job.
    """
    N, partition_rows = checked_k(N), checked_k(partition_rows)
    users = histories_of(histories, rec.vocabulary, checked_k(max_clicks))
    how = (mode, decay, filter_seen, len(rec.vocabulary) <= exact_up_to)
    allowed = rec.allowed(where).items

    def make(part: int) -> tuple[pa.Table, PartCounts]:
        stop = min((part + 1) * partition_rows, len(users))
        found = _empty(stop - part * partition_rows, N)
        for start in range(part * partition_rows, stop, QUERIES):
            rows = np.arange(start, min(start + QUERIES, stop))
            _recommend(rec, users, rows, allowed, how, found, part * partition_rows)
        ids = users.user_ids.slice(part * partition_rows, len(found[0]))
        return _to_table(rec, ("user_id", ids), *found)

    settings = [1, "users", N, partition_rows, max_clicks, *how]
    data: list[npt.NDArray[Any]] = [users.items, users.offsets, *([] if allowed is None else [allowed.mask])]
    fingerprint = _fingerprint(rec, mode, settings, data, users.user_ids.to_pylist())
    job = PartsJob(fingerprint, -(-len(users) // partition_rows), make, format, "recommendations")
    return _run(Path(out_dir), job, len(users), show_progress)


def _recommend(
    rec: Recommender,
    users: Histories,
    rows: npt.NDArray[np.int64],
    allowed: ItemSet | None,
    how: tuple[Mode, float, bool, bool],
    found: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]],
    first: int,
) -> None:
    """Fill the rows of some users."""
    mode, decay, filter_seen, exact = how
    clicks = [users.clicks(row) for row in rows.tolist()]
    queries = history_vectors(clicks, rec.vectors.vectors, decay)
    known = np.flatnonzero(queries.any(axis=1))
    if not len(known):
        return
    seen = [np.unique(clicks[k]) if filter_seen else clicks[k][:0] for k in known.tolist()]
    N, n_items = found[0].shape[1], len(rec.vocabulary)
    k = min(N + max(map(len, seen)), n_items)
    answer = drop(rec.index(mode).search(queries[known], k, allowed, exact=exact), seen, N)
    found[0][rows[known] - first], found[1][rows[known] - first] = answer.item_nums, answer.scores


def _run(folder: Path, job: PartsJob, n_targets: int, show_progress: bool) -> BatchSummary:
    n_written, totals = write_parts(folder, job, show_progress)
    n_rows, n_short, n_empty = totals.tolist()
    return BatchSummary(job.n_parts, n_written, job.n_parts - n_written, n_rows, n_targets, n_short, n_empty)


def _fingerprint(
    rec: Recommender, mode: Mode, settings: list[Any], data: Sequence[npt.NDArray[Any]], names: Any = None
) -> str:
    """Digest of model, index, settings and whatever else decides the bytes."""
    body = json.dumps([rec.index(mode).fingerprint, settings, names])
    digest = hashlib.sha256(body.encode())
    for array in (np.asarray(rec.vectors.vectors), *data):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _market_codes(rec: Recommender, column: str) -> npt.NDArray[np.int64]:
    """Return each item's market as a number, −1 where it has none."""
    if rec.attributes is None:
        raise UsageError("same_market needs the item table: Recommender(vectors, items=table)")
    market = rec.attributes.column(column)
    _, codes = np.unique(market.values, return_inverse=True)
    known: npt.NDArray[np.int64] = np.where(market.known, codes, -1).astype(np.int64)
    return known


def _batches(
    targets: npt.NDArray[np.int32], markets: npt.NDArray[np.int64] | None
) -> Iterator[tuple[npt.NDArray[np.int64], ItemSet | None]]:
    """Yield positions of targets to search together, with the items they may get."""
    if markets is None:
        for start in range(0, len(targets), QUERIES):
            yield np.arange(start, min(start + QUERIES, len(targets))), None
        return
    codes = markets[targets]
    for code in np.unique(codes[codes >= 0]).tolist():
        rows, allowed = np.flatnonzero(codes == code), ItemSet(markets == code)
        for start in range(0, len(rows), QUERIES):
            yield rows[start : start + QUERIES], allowed


def _empty(n: int, N: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    return np.full((n, N), -1, np.int32), np.full((n, N), -np.inf, np.float32)


def _to_table(
    rec: Recommender,
    targets: tuple[str, pa.Array],
    nums: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
) -> tuple[pa.Table, PartCounts]:
    """Return the lists of some targets as rows, best first, and what there is to count."""
    filled = nums >= 0
    lengths = filled.sum(axis=1)
    counts = PartCounts(int(lengths.sum()), int((lengths < nums.shape[1]).sum()), int((lengths == 0).sum()))
    name, ids = targets
    rows = np.repeat(np.arange(len(lengths)), lengths)
    columns = [
        ids.take(arrow_numbers(rows)),
        rec.vocabulary.ids.take(arrow_numbers(nums[filled])),
        arrow_numbers(scores[filled]),
        arrow_numbers((np.nonzero(filled)[1] + 1).astype(np.int32)),
    ]
    return pa.Table.from_arrays(columns, names=[name, "item_id", "score", "rank"]), counts
