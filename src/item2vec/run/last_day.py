"""The last day of a window beside its usual days, so that a bad partition shows in a long window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow.parquet as pq

DAY_US = 86_400_000_000
WEEKDAYS_ENOUGH = 3  # same weekdays in a window that make a median; with fewer, all days do


def last_day(files: Sequence[str], days: Sequence[str]) -> dict[str, Any] | None:
    """Count the events of a window's last day, and what is usual.

    Parameters
    ----------
    files : sequence of str
        The Parquet parts of an event table.
    days : sequence of str
        The window's days (YYYY-MM-DD, UTC), the oldest first; events of other days are not counted.

    Returns
    -------
    dict or None
        ``day``; ``events`` and ``usual`` by type: those of the day, and the median of the same weekdays
        before it if the window has three of them, else of all its earlier days; ``compared_with``, these in
        words. None if the window is a single day.
    """
    if len(days) < 2:
        return None
    counts = _counts(files, date.fromisoformat(days[0]), len(days))
    weeks = np.arange(len(days) - 8, -1, -7)
    last = date.fromisoformat(days[-1])
    if len(weeks) >= WEEKDAYS_ENOUGH:
        earlier, words = weeks, f"the median of the {len(weeks)} {last:%A}s before"
    else:
        earlier, words = np.arange(len(days) - 1), f"the median of the {len(days) - 1} days before"
    return {
        "day": days[-1],
        "events": {kind: int(found[-1]) for kind, found in sorted(counts.items())},
        "usual": {kind: float(np.median(found[earlier])) for kind, found in sorted(counts.items())},
        "compared_with": words,
    }


def _counts(files: Sequence[str], first: date, n_days: int) -> dict[str, np.ndarray]:
    """Count the events by type and day, in bounded memory."""
    start = (first - date(1970, 1, 1)).days
    counts: dict[str, np.ndarray] = {}
    for name in files:
        with pq.ParquetFile(name) as file:
            for batch in file.iter_batches(columns=["ts_us", "event_type"]):
                day = batch["ts_us"].to_numpy() // DAY_US - start
                kinds = batch["event_type"].dictionary_encode()
                codes = kinds.indices.to_numpy()
                inside = (day >= 0) & (day < n_days)
                for code, kind in enumerate(kinds.dictionary.to_pylist()):
                    found = np.bincount(day[inside & (codes == code)], minlength=n_days)
                    counts[kind] = counts.get(kind, np.zeros(n_days, np.int64)) + found
    return counts
