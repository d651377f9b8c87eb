"""The tables of a nightly job: similar items for a whole catalogue, recommendations for all users."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from item2vec.errors import MissingDependencyError, UsageError
from item2vec.index.arguments import checked_k
from item2vec.index.space import Mode
from item2vec.recommendations.batch_tables import BatchTable, SimilarItems, UserLists
from item2vec.recommendations.config import BatchEngine
from item2vec.recommendations.neighbour_table import EXACT_UP_TO
from item2vec.recommendations.parts import Format, MadeParts, PartsJob, write_parts
from item2vec.recommendations.recommender import Recommender
from item2vec.recommendations.user_histories import histories_of

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
    engine: BatchEngine = "local",
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
    engine : {"local", "spark"}
        What makes the parts: this process, or the workers of the active Spark session (of a local one if
        there is none), where item2vec is installed. This process writes the files, which are the same to the
        byte.
    show_progress : bool

    Raises
    ------
    UsageError
        If an argument is wrong, or the folder holds parts of another model or other settings.
    """
    n_items, N, partition_rows = len(rec.vocabulary), checked_k(N), checked_k(partition_rows)
    markets = _market_codes(rec, market_column) if same_market else None
    exact = n_items <= exact_up_to
    table = SimilarItems(rec, N, partition_rows, mode, exact, markets)
    settings = [1, N, mode, partition_rows, exact]
    fingerprint = _fingerprint(rec, mode, settings, [] if markets is None else [markets])
    return _run(Path(out_dir), table, (fingerprint, format, engine), show_progress)


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
    decay: float | None = None,
    max_clicks: int = 50,
    exact_up_to: int = EXACT_UP_TO,
    format: Format = "parquet",
    engine: BatchEngine = "local",
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
    engine : {"local", "spark"}
        As in :func:`write_similar_items`.
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

    mask = None if allowed is None else allowed.mask
    table = UserLists(rec, users, N, partition_rows, mode, how[3], filter_seen, decay, mask)
    rates = None if filter_seen else rec.vectors.repeats
    settings = [2, "users", N, partition_rows, max_clicks, *how, astuple(rec.scoring), rates]
    data: list[npt.NDArray[Any]] = [users.items, users.offsets, *([] if mask is None else [mask])]
    fingerprint = _fingerprint(rec, mode, settings, data, users.user_ids.to_pylist())
    return _run(Path(out_dir), table, (fingerprint, format, engine), show_progress)


def _run(
    folder: Path, table: BatchTable, how: tuple[str, Format, BatchEngine], show_progress: bool
) -> BatchSummary:
    fingerprint, form, engine = how
    if engine not in get_args(BatchEngine):
        raise UsageError(f"engine is 'local' or 'spark', not {engine!r}")
    made: MadeParts | None = None
    if engine == "spark":
        try:
            from item2vec.recommendations.spark_parts import parts_on_spark
        except ImportError as error:
            raise MissingDependencyError(
                "engine='spark' needs PySpark: pip install 'item2vec[spark]'"
            ) from error
        made = partial(parts_on_spark, table, form, fingerprint)
    n_parts = -(-table.n_targets // table.partition_rows)
    job = PartsJob(fingerprint, n_parts, table.make, form, table.kind, made)
    n_written, totals = write_parts(folder, job, show_progress)
    n_rows, n_short, n_empty = totals.tolist()
    return BatchSummary(n_parts, n_written, n_parts - n_written, n_rows, table.n_targets, n_short, n_empty)


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
