"""Raw events to click sessions: seconds and peak memory, from Parquet and from CSV, beside pandas by hand."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine

EVENTS = 5_000_000
ROUNDS = 5
BOUNDS = {"parquet": 15.0, "csv": 40.0}  # seconds for EVENTS events
MAX_MEMORY = 1.5  # GB

# A fresh process per round, so that the peak memory is the round's own.
OURS = """
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

# What a notebook does: no account of the rows, no dwell rule, no bookings, everything in memory.
BY_HAND = """
import json, sys, time
from pathlib import Path
from benchmarks import machine
import pandas as pd
source, _, out = sys.argv[1:]
start = time.perf_counter()
read = pd.read_csv if next(Path(source).iterdir()).suffix == ".csv" else pd.read_parquet
events = pd.concat([read(part) for part in sorted(Path(source).iterdir())]).drop_duplicates("event_id")
middle = time.perf_counter()
clicks = events[events.event_type == "click"].sort_values(["user_id", "ts", "seq", "event_id"])
opens = (clicks.user_id != clicks.user_id.shift()) | (clicks.ts.diff() > 1_800_000_000)
lists = clicks.groupby(opens.cumsum()).item_id.agg(list)
lists = lists[lists.map(len) > 1]
end = time.perf_counter()
print(json.dumps({"events": len(events), "sessions": len(lists), "clicks": int(lists.map(len).sum()),
                  "read": middle - start, "sessionize": end - middle, "peak": machine.peak_memory_gb()}))
"""


def simulated(folder: Path, n_events: int) -> Path:
    """Write at least `n_events` simulated events, sized by a small run first."""
    from item2vec.marketplace import simulate

    probe = simulate(folder / "probe", n_users=2_000, seed=1)
    per_user = rows(probe) / 2_000
    return simulate(folder / "log", n_users=int(n_events / per_user * 1.02), seed=1)


def rows(root: Path) -> int:
    """Count the events of a simulated log."""
    import pyarrow.parquet as pq

    return sum(pq.ParquetFile(part).metadata.num_rows for part in (root / "events").glob("*.parquet"))


def as_csv(log: Path, folder: Path) -> Path:
    """Write the same events as CSV, a file per part."""
    import pyarrow.csv
    import pyarrow.parquet as pq

    folder.mkdir()
    for part in sorted((log / "events").glob("*.parquet")):
        pyarrow.csv.write_csv(pq.ParquetFile(part).read(), folder / f"{part.stem}.csv")
    return folder


def measured(code: str, source: Path, items: Path, out: Path) -> dict[str, Any]:
    """Run one round in a process of its own."""
    command = [sys.executable, "-c", code, str(source), str(items), str(out)]
    done = subprocess.run(command, check=True, capture_output=True)
    entry: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return entry | {"both": entry["read"] + entry["sessionize"]}


def _median(rounds: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(entry[name] for entry in rounds)


def _line(name: str, rounds: list[dict[str, Any]], bound: str) -> list[str]:
    seconds = [f"{_median(rounds, part):.1f} s" for part in ("read", "sessionize", "both")]
    return [name, *seconds, bound, f"{max(entry['peak'] for entry in rounds):.2f} GB"]


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table; there is nothing to choose."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        log = simulated(folder, EVENTS)
        print(f"simulated {rows(log):,} events in {time.perf_counter() - start:.1f} s\n")
        sources = {"parquet": log / "events", "csv": as_csv(log, folder / "csv")}
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for number in range(ROUNDS):  # interleaved, so that a busy moment hurts all alike
            for kind, source in sources.items():
                for who, code in (("item2vec", OURS), ("pandas by hand", BY_HAND)):
                    entry = measured(code, source, log / "items.parquet", folder / f"{kind}{number}")
                    found.setdefault((kind, who), []).append(entry)
        table = []
        for kind, bound in BOUNDS.items():
            ours, theirs = found[kind, "item2vec"], found[kind, "pandas by hand"]
            table.append(_line(f"{kind}, item2vec", ours, f"≤ {bound:.0f} s, ≤ {MAX_MEMORY} GB"))
            ratio = f"{_median(theirs, 'both') / _median(ours, 'both'):.1f}× ours"
            table.append(_line(f"{kind}, pandas by hand", theirs, ratio))
        last = found["parquet", "item2vec"][-1]
        heading = f"{last['events']:,} events, medians of {ROUNDS}"
        print(machine.table([heading, "read", "sessionize", "both", "bound", "peak memory"], table))
        print(f"\n{last['sessions']:,} sessions, {last['clicks']:,} clicks")
