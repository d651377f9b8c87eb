"""Does the time of reading and sessionizing grow in a straight line, and does the memory stay bounded?"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.ingest import OURS, measured, rows, simulated

SIZES = (1_000_000, 5_000_000, 50_000_000)
ROUNDS = 5
LINEAR = 1.2  # seconds per event at the largest size against the smallest


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table; there is nothing to choose."""
    lines, per_event = [], []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            log = simulated(folder, size)
            rounds = []
            for _ in range(ROUNDS):
                rounds.append(measured(OURS, log / "events", log / "items.parquet", folder / "out"))
                shutil.rmtree(folder / "out")
            n = rows(log)
        seconds = {
            part: statistics.median(one[part] for one in rounds) for part in ("read", "sessionize", "both")
        }
        per_event.append(seconds["both"] / n)
        peak = max(one["peak"] for one in rounds)
        growth = f"{per_event[-1] / per_event[0]:.2f}"
        lines.append([f"{n:,}", *(f"{value:.1f} s" for value in seconds.values()), growth, f"{peak:.2f} GB"])
    header = [
        "events (Parquet)",
        "read",
        "sessionize",
        "both",
        "time per event ÷ the first line's",
        "peak memory",
    ]
    print(machine.table(header, lines))
    print(
        f"\nmedians of {ROUNDS}; bound: at most {LINEAR} × the first line's time per event at the last line"
    )
