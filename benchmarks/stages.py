"""What a million events cost at every stage, at several sizes: `python -m benchmarks.stages --help`.

The constants of docs/scale.md. Each stage of each size runs once in a process of its own, so that its peak
memory is its own (of Spark it is Python's only: Java has a process of its own and the heap of `--memory`);
listings grow with the guests (one for four), as they do on a marketplace. Engines read the same log; starting
Spark is not counted, on a cluster the session is there already.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
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
log, out = folder / "log", folder / engine / "events"
i2v.read_events(log / "events", items=log / "items.parquet", out=out, **how)
""",
    "sessions": """
from item2vec.events import Events
from item2vec.sessions.artifact import save_sessions
sessions = i2v.sessionize(Events.open(folder / engine / "events"), min_dwell_seconds=30, **how)
(folder / engine / "sessions").mkdir()
save_sessions(sessions, folder / engine / "sessions")
found = {"sessions": len(sessions), "clicks": sessions.n_clicks, "items": sessions.n_items}
""",
    "vectors": """
from item2vec.sessions.artifact import load_sessions
model = i2v.Item2Vec(epochs=5, workers=2, seed=1)
model.fit(load_sessions(folder / engine / "sessions"), show_progress=False)
model.item_vectors_.save(folder / engine / "vectors")
found = {"clicks_per_second": max(epoch["tokens_per_second"] for epoch in model.history_)}
""",
    "one of two workers": """
from item2vec.sessions.shares import load_share
share = load_share(folder / engine / "sessions", 0, 2)
found = {"load_seconds": time.perf_counter() - start, "sessions": len(share)}
i2v.Item2Vec(epochs=1, workers=1, seed=1).fit(share, show_progress=False)
""",
    "index": """
index = i2v.ItemIndex.build(i2v.ItemVectors.load(folder / engine / "vectors"), n_trees=50)
index.save(folder / engine / "index")
""",
    "tables": """
from item2vec.recommendations import write_similar_items
vectors, index = folder / first / "vectors", folder / first / "index"
rec = i2v.Recommender(i2v.ItemVectors.load(vectors), index=i2v.ItemIndex.load(index))
where = "local" if engine == "duckdb" else engine
found = {"items": len(rec.vocabulary)}
write_similar_items(rec, folder / engine / "tables", N=100, engine=where)
""",
}
ON_ENGINES = ("events", "sessions", "tables")  # the others are one machine's
_RUN = """
import json, sys, time
from contextlib import ExitStack
from pathlib import Path
import item2vec as i2v
from benchmarks import machine
folder, n_users, engine, memory = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
first = sys.argv[5]
how, closing = {{"engine": engine, "memory_limit": memory}}, ExitStack()
if engine == "spark":
    from item2vec.spark.session import open_session
    open_session(memory, closing).range(1).collect()
found, start = {{}}, time.perf_counter()
{stage}
found |= {{"seconds": time.perf_counter() - start, "peak": machine.peak_memory_gb()}}
closing.close()
print(json.dumps(found))
"""


def measured(stage: str, folder: Path, n_users: int, *engine: str) -> dict[str, Any]:
    """Run one stage in a process of its own; tell its seconds, its peak memory and the bytes it left.

    `engine` is its name, its memory, and the name of the engine whose index the tables are made from.
    """
    code = _RUN.format(stage=STAGES[stage])
    command = [sys.executable, "-c", code, str(folder), str(n_users), *engine]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    place = folder / "log" if stage == "simulate" else folder / engine[0] / stage
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return {**json.loads(done.stdout.splitlines()[-1]), "bytes": size}


def measure(n_events: int, engines: Sequence[str], memory: str, folder: Path) -> Iterator[list[str]]:
    """Yield a line per stage of one size, and one per engine where there are two."""
    n_users, n = n_events // EVENTS_PER_USER, 0
    for stage in STAGES:
        for engine in engines if stage in ON_ENGINES else engines[:1]:
            found = measured(stage, folder, n_users, engine, memory, engines[0])
            n = n or rows(folder / "log")
            millions = n / 1e6
            seconds, peak, size = found.pop("seconds"), found.pop("peak"), found.pop("bytes") / 1e6
            figures = (f"{seconds:.1f}", f"{seconds / millions:.3f}", f"{peak:.2f}", f"{size / millions:.1f}")
            name = f"{stage} ({engine})" if stage in ON_ENGINES else stage
            yield [f"{n:,}", name, *figures, " · ".join(f"{key} {found[key]:,.0f}" for key in found)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--engines", nargs="+", choices=["duckdb", "spark"], default=["duckdb", "spark"])
    parser.add_argument("--memory", default="3GB", help="of each engine; default: %(default)s")
    options = parser.parse_args(arguments)
    print(machine.describe())
    header = ("events", "stage", "seconds", "s per M events", "peak, GB", "MB per M events", "found")
    print(machine.table(header, []))
    for n_events in options.events:
        with tempfile.TemporaryDirectory() as name:
            for line in measure(n_events, options.engines, options.memory, Path(name)):
                print("| " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    main()
