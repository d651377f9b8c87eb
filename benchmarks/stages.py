"""What a million events cost at every stage, at several sizes: `python -m benchmarks.stages --help`.

The constants of docs/scale.md. Each stage of each size runs once in a process of its own, so that its peak
memory is its own; listings grow with the guests (one for four), as they do on a marketplace.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.ingest import rows

EVENTS_PER_USER = 166  # of the simulated guests; the table tells what came out
STAGES = {
    "simulate": """
from item2vec.marketplace import simulate
simulate(folder / "log", n_users=n_users, n_listings=n_users // 4, n_markets=max(8, n_users // 4000), seed=1)
""",
    "events": """
i2v.read_events(folder / "log" / "events", items=folder / "log" / "items.parquet", out=folder / "events")
""",
    "sessions": """
from item2vec.events import Events
from item2vec.sessions.artifact import save_sessions
sessions = i2v.sessionize(Events.open(folder / "events"), min_dwell_seconds=30, engine=engine)
(folder / "sessions").mkdir()
save_sessions(sessions, folder / "sessions")
found = {"sessions": len(sessions), "clicks": sessions.n_clicks, "items": sessions.n_items}
""",
    "vectors": """
from item2vec.sessions.artifact import load_sessions
model = i2v.Item2Vec(epochs=5, workers=2, seed=1)
model.fit(load_sessions(folder / "sessions"), show_progress=False)
model.item_vectors_.save(folder / "vectors")
found = {"clicks_per_second": max(epoch["tokens_per_second"] for epoch in model.history_)}
""",
    "index": """
index = i2v.ItemIndex.build(i2v.ItemVectors.load(folder / "vectors"), n_trees=50)
index.save(folder / "index")
""",
}
_RUN = """
import json, sys, time
from pathlib import Path
import item2vec as i2v
from benchmarks import machine
folder, n_users, engine = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
found, start = {{}}, time.perf_counter()
{stage}
found |= {{"seconds": time.perf_counter() - start, "peak": machine.peak_memory_gb()}}
print(json.dumps(found))
"""


def measured(stage: str, folder: Path, n_users: int, engine: str) -> dict[str, Any]:
    """Run one stage in a process of its own; tell its seconds, its peak memory and the bytes it left."""
    command = [sys.executable, "-c", _RUN.format(stage=STAGES[stage]), str(folder), str(n_users), engine]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    place = folder / ("log" if stage == "simulate" else stage)
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return {**json.loads(done.stdout.splitlines()[-1]), "bytes": size}


def measure(n_events: int, engine: str, stages: Sequence[str], folder: Path) -> list[list[str]]:
    """Return a line per stage of one size."""
    n_users, lines, n = n_events // EVENTS_PER_USER, [], 0
    for stage in stages:
        found = measured(stage, folder, n_users, engine)
        n = n or rows(folder / "log")
        millions = n / 1e6
        more = [f"{name} {found[name]:,.0f}" for name in found if name not in ("seconds", "peak", "bytes")]
        figures = (f"{found['seconds']:.1f}", f"{found['seconds'] / millions:.3f}", f"{found['peak']:.2f}")
        lines.append([f"{n:,}", stage, *figures, f"{found['bytes'] / millions / 1e6:.1f}", " · ".join(more)])
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--engine", choices=["duckdb", "spark"], default="duckdb", help="of events, sessions")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    options = parser.parse_args(arguments)
    header = ("events", "stage", "seconds", "s per M events", "peak, GB", "MB per M events", "found")
    print(machine.table(header, []))
    for n_events in options.events:
        with tempfile.TemporaryDirectory() as name:
            for line in measure(n_events, options.engine, options.stages, Path(name)):
                print("| " + " | ".join(line) + " |", flush=True)
            shutil.rmtree(Path(name) / "log", ignore_errors=True)


if __name__ == "__main__":
    main()
