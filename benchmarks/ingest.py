"""Raw events to click sessions: seconds and peak memory for millions of simulated events."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine

EVENTS = 5_000_000
ROUNDS = 5
BOUND = (15.0, 1.5)  # seconds, GB

# A fresh process per round, so that the peak memory is the round's own.
ROUND = """
import json, sys, time
from benchmarks import machine
import item2vec as i2v
source, items, out = sys.argv[1:]
start = time.perf_counter()
events = i2v.read_events(source, items=items, out=out + "/events")
middle = time.perf_counter()
sessions = i2v.sessionize(events, min_dwell_seconds=30, out=out + "/sessions")
end = time.perf_counter()
print(json.dumps({"events": len(events), "sessions": len(sessions), "clicks": sessions.n_clicks,
                  "read": middle - start, "sessionize": end - middle, "peak": machine.peak_memory_gb()}))
"""


def simulated(folder: Path, n_events: int) -> Path:
    """Write at least `n_events` simulated events, sized by a small run first."""
    from item2vec.marketplace import simulate

    probe = simulate(folder / "probe", n_users=2_000, seed=1)
    per_user = _rows(probe) / 2_000
    return simulate(folder / "log", n_users=int(n_events / per_user * 1.02), seed=1)


def _rows(root: Path) -> int:
    import pyarrow.parquet as pq

    return sum(pq.ParquetFile(part).metadata.num_rows for part in (root / "events").glob("*.parquet"))


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table; there is nothing to choose."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        log = simulated(folder, EVENTS)
        print(f"simulated {_rows(log):,} events in {time.perf_counter() - start:.1f} s\n")
        rounds = []
        for number in range(ROUNDS):
            command = [sys.executable, "-c", ROUND, str(log / "events"), str(log / "items.parquet")]
            out = subprocess.run([*command, str(folder / f"out{number}")], check=True, capture_output=True)
            rounds.append(json.loads(out.stdout.splitlines()[-1]))
        seconds = [entry["read"] + entry["sessionize"] for entry in rounds]
        peak = max(entry["peak"] for entry in rounds)
        rows = [
            ["read_events", f"{statistics.median(entry['read'] for entry in rounds):.1f} s", ""],
            ["sessionize", f"{statistics.median(entry['sessionize'] for entry in rounds):.1f} s", ""],
            ["both", f"{statistics.median(seconds):.1f} s", f"≤ {BOUND[0]:.0f} s"],
            ["peak memory", f"{peak:.2f} GB", f"≤ {BOUND[1]} GB"],
        ]
        last = rounds[-1]
        print(machine.table([f"{last['events']:,} events, median of {ROUNDS}", "measured", "bound"], rows))
        print(f"\n{last['sessions']:,} sessions, {last['clicks']:,} clicks")
