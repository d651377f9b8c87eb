"""What must hold for a sessions container, checked once at the door so that kernels can trust it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import DataError

if TYPE_CHECKING:
    from item2vec.sessions.container import Sessions

_ID_TYPES = (pa.string(), pa.int64())


def check_sessions(sessions: Sessions) -> None:
    """Check that the columns fit together.

    Raises
    ------
    DataError
        For the first column that does not fit.
    """
    _check_items(sessions)
    n = len(sessions.session_ids)
    _check_ragged("offsets", sessions.offsets, "tokens", sessions.tokens, n, len(sessions.item_ids))
    _check_ragged(
        "booked_offsets", sessions.booked_offsets, "booked", sessions.booked, n, len(sessions.item_ids)
    )
    if n and np.diff(sessions.offsets).min() == 0:
        empty = int(np.flatnonzero(np.diff(sessions.offsets) == 0)[0])
        raise DataError(f"session number {empty} has no clicks; leave empty sessions out")
    _check_length("weights", sessions.weights, n, "sessions")
    if not np.isfinite(sessions.weights).all() or (n and sessions.weights.min() <= 0):
        raise DataError("session weights must be finite and greater than zero")
    _check_users(sessions, n)
    _check_times(sessions, n)


def _check_items(sessions: Sessions) -> None:
    ids = sessions.item_ids
    if ids.type not in _ID_TYPES:
        raise DataError(f"item ids are {ids.type}; they must all be strings or all be int64")
    if ids.null_count or (not pc.all(pc.less(ids[:-1], ids[1:])).as_py() and len(ids) > 1):
        raise DataError("item_ids must be distinct, ascending and without nulls")
    _check_length("markets", sessions.markets, len(ids), "items")
    names = sessions.market_names
    if any(first >= second for first, second in itertools.pairwise(names)):
        raise DataError("market_names must be distinct and ascending")
    _check_range("markets", sessions.markets, -1, len(names))
    items = sessions.items
    if items is None:
        return
    if items.num_rows != len(ids) or "item_id" not in items.column_names:
        raise DataError(f"the item table needs a column item_id and one row for each of the {len(ids)} items")
    if not items["item_id"].combine_chunks().equals(ids):
        raise DataError("the rows of the item table are not in the order of item_ids")


def _check_ragged(
    offsets_name: str,
    offsets: npt.NDArray[np.int64],
    values_name: str,
    values: npt.NDArray[np.int32],
    n_sessions: int,
    n_items: int,
) -> None:
    _check_length(offsets_name, offsets, n_sessions + 1, "sessions plus one")
    if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
        raise DataError(f"{offsets_name} must rise from 0 to the number of {values_name}, {len(values)}")
    _check_range(values_name, values, 0, n_items)


def _check_range(name: str, values: npt.NDArray[np.int32], low: int, high: int) -> None:
    if len(values) and (values.min() < low or values.max() >= high):
        raise DataError(f"{name} must lie in [{low}, {high}), not in [{values.min()}, {values.max()}]")


def _check_users(sessions: Sessions, n_sessions: int) -> None:
    users = sessions.user_ids
    if users is None:
        return
    if not pa.types.is_string(users.type) or users.null_count:
        raise DataError(
            f"user_ids must be strings without nulls, not {users.type} with {users.null_count} nulls"
        )
    _check_length("user_ids", users, n_sessions, "sessions")


def _check_times(sessions: Sessions, n_sessions: int) -> None:
    start, end, ts = sessions.start_us, sessions.end_us, sessions.ts_us
    if (start is None) != (end is None):
        raise DataError("start_us and end_us come together or not at all")
    if start is not None and end is not None:
        _check_length("start_us", start, n_sessions, "sessions")
        _check_length("end_us", end, n_sessions, "sessions")
        if (start > end).any():
            raise DataError("a session ends before it starts")
    if ts is not None:
        _check_length("ts_us", ts, len(sessions.tokens), "tokens")
    if sessions.booked_us is not None:
        _check_booking_times(sessions.booked_us, sessions)


def _check_booking_times(booked_us: npt.NDArray[np.int64], sessions: Sessions) -> None:
    _check_length("booked_us", booked_us, len(sessions.booked), "booked items")
    if sessions.start_us is None:
        return
    early = booked_us < np.repeat(sessions.start_us, np.diff(sessions.booked_offsets))
    if early.any():
        place = int(np.flatnonzero(early)[0])
        number = int(np.searchsorted(sessions.booked_offsets, place, side="right")) - 1
        raise DataError(
            f"booked_us[{place}] lies before session number {number} starts; a booking follows a click"
        )


def _check_length(name: str, values: Any, expected: int, what: str) -> None:
    if len(values) != expected:
        raise DataError(f"{name} has {len(values)} entries; there are {expected} {what}")
