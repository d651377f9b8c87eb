"""Reading and sessionizing on Spark beside DuckDB: rows per second as the log grows 1×, 10× and 100×."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.ingest import rows, simulated

EVENTS, GROWTH, ROUNDS = 1_000_000, (1, 10), 3
LINEAR = 1.2  # seconds per event at the largest size against the smallest
ENGINES = ("duckdb", "spark")
MEMORY = "3GB"  # of DuckDB, and of the heap of Spark

# A fresh process per round: its own memory, and on Spark its own Java. Starting Spark is told apart: it costs
# the same at any size, and on a cluster the session is there already.
CODE = """
import json, sys, time
from contextlib import ExitStack
import item2vec as i2v
engine, source, items, out, memory = sys.argv[1:]
closing = ExitStack()
begin = time.perf_counter()
if engine == "spark":
    from item2vec.spark.session import open_session
    open_session(memory, closing).range(1).collect()
start = time.perf_counter()
how = {"engine": engine, "memory_limit": memory}
events = i2v.read_events(source, items=items, out=out + "/events", **how)
middle = time.perf_counter()
sessions = i2v.sessionize(events, min_dwell_seconds=30, out=out + "/sessions", **how)
end = time.perf_counter()
closing.close()
print(json.dumps({"start": start - begin, "read": middle - start, "sessionize": end - middle}))
"""
Entry = dict[str, float]
PARTS = ("start", "read", "sessionize")


def measured(engine: str, log: Path, out: Path) -> Entry:
    """Run one round in a process of its own."""
    places = (str(log / "events"), str(log / "items.parquet"), str(out))
    command = [sys.executable, "-c", CODE, engine, *places, MEMORY]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())
    shutil.rmtree(out)
    entry: Entry = json.loads(done.stdout.splitlines()[-1])
    return entry


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table.

    ``python -m benchmarks.spark --growth 1 10 100`` takes the largest size too (about 100 million events,
    20 GB of disk).
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spark", description=__doc__)
    parser.add_argument("--growth", nargs="+", type=int, default=GROWTH, help="default: %(default)s")
    parser.add_argument("--events", type=int, default=EVENTS, help="at growth 1; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    options = parser.parse_args(list(arguments))
    lines, first = [], dict[str, float]()
    for growth in options.growth:
        with tempfile.TemporaryDirectory() as name:
            log = simulated(Path(name), growth * options.events)
            n = rows(log)
            found: dict[str, list[Entry]] = {engine: [] for engine in ENGINES}
            for _ in range(options.rounds):  # interleaved, so that a busy moment hurts both alike
                for engine in ENGINES:
                    found[engine].append(measured(engine, log, Path(name) / "out"))
        lines += [_line(engine, n, entries, first) for engine, entries in found.items()]
    header = ["engine", "events (Parquet)", "start", "read", "sessionize", "events/s", "time per event"]
    print(machine.table(header, lines))
    print(
        f"\nmedians of {options.rounds}; events/s of read and sessionize together, without the start;"
        f" time per event against the engine's first line, bound {LINEAR}"
    )


def _line(engine: str, n: int, entries: Sequence[Entry], first: dict[str, float]) -> list[str]:
    seconds = {part: statistics.median(entry[part] for entry in entries) for part in PARTS}
    both = statistics.median(entry["read"] + entry["sessionize"] for entry in entries)
    grown = both / n / first.setdefault(engine, both / n)
    shown = [f"{value:.1f} s" for value in seconds.values()]
    return [engine, f"{n:,}", *shown, f"{n / both:,.0f}", f"{grown:.2f}"]


if __name__ == "__main__":
    main(sys.argv[1:])
