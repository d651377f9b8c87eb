"""Where the two cuts in time lie."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt

from item2vec.errors import DataError, UsageError

Moment = int | str | date | datetime
NEVER = 2**62  # a cut behind every session


def choose_cuts(
    starts: npt.NDArray[np.int64],
    validation: float,
    test: float,
    validation_from: Moment | None,
    test_from: Moment | None,
) -> tuple[int, int]:
    """Choose T1 and T2 from shares of the starts or take them as given.

    Returns
    -------
    tuple of int
        Microseconds since 1970 (UTC). T2 is :data:`NEVER` without a test, T1 = T2 without a
        validation.

    Raises
    ------
    UsageError
        If T1 would lie after T2.
    """
    ordered = np.sort(starts)
    t2 = moment_us(test_from) if test_from is not None else _quantile(ordered, 1 - test, NEVER)
    if validation_from is not None:
        t1 = moment_us(validation_from)
    else:
        earlier = ordered[ordered < t2]
        share = validation if test_from is not None else validation / (1 - test)
        t1 = min(_quantile(earlier, 1 - share, t2), t2) if len(earlier) else t2
    if t1 > t2:
        raise UsageError(
            f"validation starts at {iso_time(t1)}, after the test at {iso_time(t2)}; T1 must come first"
        )
    return t1, t2


def _quantile(ordered: npt.NDArray[np.int64], share: float, after_all: int) -> int:
    place = round(share * len(ordered))
    return after_all if place >= len(ordered) else int(ordered[place])


def moment_us(value: Moment | object) -> int:
    """Read a time as microseconds since 1970 (UTC; times without a zone are UTC)."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, date):
        raise UsageError(
            f"a cut is microseconds since 1970, ISO 8601 text, a date or a datetime, not {value!r}"
        )
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    delta = value - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def iso_time(us: int | None) -> str | None:
    """Write microseconds since 1970 as ISO 8601 in UTC, None as None."""
    if us is None or us == NEVER:
        return None
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat()
    except OverflowError as error:
        raise DataError(f"{us} microseconds since 1970 is no time between the years 1 and 9999") from error


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"cannot read {text[:64]!r} as a time; write it like 2019-06-01T00:00:00") from None
