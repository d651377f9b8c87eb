"""The last day of a window beside its usual days, so that a bad partition shows in a long window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

DAY_US = 86_400_000_000
WEEKDAYS_ENOUGH = 3  # same weekdays in a window that make a median; with fewer, all days do


def last_day(
    files: Sequence[str], partitions: Mapping[str, Sequence[str]], quarantine: Path
) -> dict[str, Any] | None:
    """Count the events and the refused rows of a window's last day, and what is usual.

    An event belongs to the day of its time, a refused row, which may have none, to the day of its file.

    Parameters
    ----------
    files : sequence of str
        The Parquet parts of an event table.
    partitions : mapping of str to sequence of str
        The window's days (YYYY-MM-DD, UTC), the oldest first, and the files that were read for each; events
        of other days are not counted.
    quarantine : Path
        The Parquet file of the refused rows.

    Returns
    -------
    dict or None
        ``day``; ``events`` and ``usual`` by type: those of the day, and the median of the same weekdays
        before it if the window has three of them, else of all its earlier days; ``compared_with``, these in
        words; ``refused``: the day's ``rows``, their ``share`` (of rows refused and events) and the ``usual``
        one, the median of all earlier days. None if the window is a single day.
    """
    days = list(partitions)
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
        "refused": _refused(sum(counts.values(), np.zeros(len(days), np.int64)), partitions, quarantine),
    }


def _refused(
    events: np.ndarray, partitions: Mapping[str, Sequence[str]], quarantine: Path
) -> dict[str, float]:
    by_file: Counter[str] = Counter()
    with pq.ParquetFile(quarantine) as file:
        for batch in file.iter_batches(columns=["file"]):
            found = pc.value_counts(batch["file"]).to_pylist()
            by_file.update({row["values"]: row["counts"] for row in found})
    rows = np.array([sum(by_file[name] for name in names) for names in partitions.values()])
    shares = rows / np.maximum(1, rows + events)
    return {"rows": int(rows[-1]), "share": float(shares[-1]), "usual": float(np.median(shares[:-1]))}


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
