"""Booked nights: which listings are free for a stay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_values, numpy_numbers
from item2vec.errors import DataError, UsageError
from item2vec.sessions.columns import one_array
from item2vec.vocabulary import Vocabulary

FIRST_DAY = dt.date(1970, 1, 1)


class Calendar:
    """The nights that are taken, by day, so that a stay of a few nights reads only those.

    Parameters
    ----------
    nights : pyarrow.Table
        ``item_id`` and ``date``, the evening of the night (a date, a moment in UTC, or text as 2026-12-24), a
        row for each night that an item is booked or blocked; in any order, repeats allowed. Items of other
        vocabularies are left out; an item without a row is always free.
    vocabulary : Vocabulary

    Raises
    ------
    UsageError
        If a column is missing or the ids are of another type than the vocabulary's.
    DataError
        If a date is missing or is none.
    """

    def __init__(self, nights: pa.Table, vocabulary: Vocabulary) -> None:
        missing = {"item_id", "date"} - set(nights.column_names)
        if missing:
            columns = ", ".join(nights.column_names)
            raise UsageError(f"the calendar has no column {', '.join(sorted(missing))}, only {columns}")
        ids = one_array(nights["item_id"])
        if ids.type != vocabulary.ids.type:
            raise UsageError(
                f"item_id is {ids.type} in the calendar and {vocabulary.ids.type} in the model; cast one"
            )
        days = _days(nights["date"])
        nums = numpy_numbers(pc.index_in(ids, value_set=vocabulary.ids), missing=-1)
        known = nums >= 0
        order = np.argsort(days[known], kind="stable")
        self.n_items = len(vocabulary)
        self._days = days[known][order]
        self._nums = nums[known][order]

    def __len__(self) -> int:
        return len(self._days)

    def __repr__(self) -> str:
        return f"Calendar({len(self):,} booked nights)"

    def free(self, stay: Sequence[Any]) -> npt.NDArray[np.bool_]:
        """Return which items have no booked night in a stay, bool (n_items,).

        Parameters
        ----------
        stay : (check-in, check-out)
            Dates, or text as 2026-12-24; the night of the check-out is not part of it.

        Raises
        ------
        UsageError
            If it is no pair of dates, or the check-out is not after the check-in.
        """
        if isinstance(stay, str) or not isinstance(stay, Sequence) or len(stay) != 2:
            raise UsageError(f"a stay is a pair (check-in, check-out) of dates, not {stay!r}")
        first, last = (_day(date) for date in stay)
        if last <= first:
            raise UsageError(f"the stay {stay!r} has no night: check-out must be after check-in")
        start, stop = np.searchsorted(self._days, [first, last])
        free = np.ones(self.n_items, np.bool_)
        free[self._nums[start:stop]] = False
        return free


def _days(column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    """Return dates as days since 1970, int32."""
    dates = one_array(column)
    if pa.types.is_integer(dates.type):  # 20261224, or days since when?
        raise DataError("the calendar's date is a number; give dates, or texts such as 2026-12-24")
    if dates.null_count:
        raise DataError(f"{dates.null_count:,} rows of the calendar have no date; leave them out")
    try:
        return arrow_values(dates.cast(pa.date32(), safe=False).cast(pa.int32()), np.int32)
    except pa.ArrowException as error:
        raise DataError(f"the calendar's date is {dates.type} and no date: {error}") from error


def _day(date: Any) -> int:
    """Return a date as days since 1970."""
    if isinstance(date, str):
        try:
            date = dt.date.fromisoformat(date)
        except ValueError:
            date = None
    if isinstance(date, dt.datetime):
        date = date.date()
    if not isinstance(date, dt.date):
        raise UsageError("a stay is a pair (check-in, check-out) of dates, as ('2026-12-24', '2026-12-27')")
    return (date - FIRST_DAY).days
