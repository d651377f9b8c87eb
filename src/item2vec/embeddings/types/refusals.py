"""Hosts' refusals out of a log: who asked for what, and was declined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import DataError, UsageError
from item2vec.events import Events
from item2vec.sessions.artifact import DAY_US
from item2vec.sessions.columns import token_array

if TYPE_CHECKING:
    from item2vec.embeddings.types.stays import Stays

Ints = npt.NDArray[np.int64]
COLUMNS = ["user_id", "item_id", "ts_us"]


def rejections_of(
    events: Events | pa.Table,
    *,
    before_us: int | None = None,
    booked_elsewhere_within_days: float | None = None,
) -> pa.Table:
    """Return the refusals of a log, for :meth:`TypeEmbeddings.fit`.

    Parameters
    ----------
    events : Events or pyarrow.Table
        An event table.
    before_us : int, optional
        Only what happened before this moment, in microseconds since 1970: the cut T1 of a training.
    booked_elsewhere_within_days : float, optional
        Only refusals after which the same user booked another listing within so many days, before
        `before_us`: these say most about what did not fit (Grbovic & Cheng 2018, section 4.2).

    Returns
    -------
    pyarrow.Table
        ``user_id``, ``item_id``, ``ts_us``, in the log's order.

    Raises
    ------
    UsageError
        If `events` is no event table, or the number of days is not positive.
    """
    table = events.to_table() if isinstance(events, Events) else events
    if not isinstance(table, pa.Table) or not {*COLUMNS, "event_type"} <= set(table.column_names):
        raise UsageError("rejections are read from an event table: Events, or a table with its columns")
    if before_us is not None:
        table = table.filter(pc.less(table["ts_us"], before_us))
    refused = table.filter(pc.equal(table["event_type"], "rejection")).select(COLUMNS)
    if booked_elsewhere_within_days is None:
        return refused
    if not booked_elsewhere_within_days > 0:
        raise UsageError(f"{booked_elsewhere_within_days=} is no positive number of days")
    booked = table.filter(pc.equal(table["event_type"], "booking")).select(COLUMNS)
    return refused.filter(
        pa.array(_followed(refused, booked, booked_elsewhere_within_days * DAY_US).tolist(), pa.bool_())
    )


def _followed(refused: pa.Table, booked: pa.Table, within_us: float) -> np.ndarray:
    """Tell the refusals after which the user booked another listing in time."""
    numbered = refused.append_column("row", pa.array(range(refused.num_rows), pa.int64()))
    pairs = numbered.join(booked, "user_id", join_type="inner", right_suffix="_booked")
    later = np.asarray(pc.subtract(pairs["ts_us_booked"], pairs["ts_us"]).to_pylist(), np.int64)
    others = np.asarray(pc.not_equal(pairs["item_id_booked"], pairs["item_id"]).to_pylist(), bool)
    rows = np.asarray(pairs["row"].to_pylist(), np.int64)
    found = np.zeros(refused.num_rows, bool)
    found[rows[others & (later >= 0) & (later <= within_us)]] = True
    return found


def checked_refusals(rejections: pa.Table, stays: Stays) -> tuple[Ints, Ints, Ints]:
    """Return guest, listing and time of the refusals of listings that were booked; a guest −1 is a stranger.

    Raises
    ------
    UsageError
        If it is no table of ``user_id``, ``item_id`` and ``ts_us``, or its ids are of another type.
    DataError
        If a time is missing.
    """
    if not isinstance(rejections, pa.Table):
        raise UsageError("rejections are a table of user_id, item_id, ts_us: rejections_of(events) makes it")
    missing = set(COLUMNS) - set(rejections.column_names)
    if missing:
        raise UsageError(f"the rejections have no column {', '.join(sorted(missing))}")
    if rejections["ts_us"].null_count:
        raise DataError(f"{rejections['ts_us'].null_count} of the rejections have no time; leave them out")
    ids = stays.bookings.item_ids
    if rejections.num_rows and rejections["item_id"].type != ids.type:
        theirs = rejections["item_id"].type
        raise UsageError(f"the rejections have {theirs} item ids, the bookings {ids.type}")

    tokens = token_array(rejections["item_id"].cast(ids.type), ids).astype(np.int64)
    known = tokens >= 0
    ts_us = np.asarray(rejections["ts_us"].to_pylist(), np.int64)
    return stays.user_rows(rejections["user_id"])[known], tokens[known], ts_us[known]
