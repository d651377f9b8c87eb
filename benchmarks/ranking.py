"""Ranking features, one request at a time and for a whole log: `python -m benchmarks.ranking --help`."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

import item2vec as i2v
from benchmarks.lookup import clustered
from benchmarks.machine import peak_memory_gb, table
from item2vec.embeddings import ItemVectors
from item2vec.recommendations import RankingFeatures, UserEvent
from item2vec.vocabulary import Vocabulary

BAR_MS = 2.0  # p50 of 100 candidates with 200 events
CANDIDATES, MARKETS, REQUESTS = 100, 50, 400
NOW_US, DAY_US = 1_700_000_000_000_000, 86_400_000_000
KINDS = ("click", "click", "click", "skip", "skip", "skip", "wishlist", "inquiry", "booking")


def one_request(n_items: int, n_events: int) -> list[object]:
    """Ask for other candidates with another history every time."""
    rng = np.random.default_rng(4)
    vectors = clustered(n_items)
    ids = vectors.index_to_key
    markets = {one: f"m{code}" for one, code in zip(ids, rng.integers(MARKETS, size=n_items), strict=True)}
    features = RankingFeatures(vectors, markets)
    spent = []
    for _ in range(REQUESTS):
        ages = rng.integers(1, 14 * DAY_US, n_events).tolist()
        history = [
            UserEvent(ids[rng.integers(n_items)], KINDS[rng.integers(len(KINDS))], NOW_US - age, 70.0)
            for age in ages
        ]
        asked = [ids[num] for num in rng.integers(0, n_items, CANDIDATES)]
        start = time.perf_counter()
        features.of(asked, history, NOW_US)
        spent.append(1e3 * (time.perf_counter() - start))
    p50, p95 = np.percentile(spent[10:], [50, 95])
    verdict = ("pass" if p50 <= BAR_MS else "FAIL") if n_events == 200 else ""
    bar = f"{BAR_MS:g}" if n_events == 200 else ""
    return [f"{n_events} events", f"{n_items:,}", f"{p50:.2f}", f"{p95:.2f}", bar, verdict]


def whole_log(n_users: int) -> list[object]:
    """Every search of a simulated log, from its Parquet files to the table in memory."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"n_users": n_users, "n_listings": 5000, "n_markets": MARKETS}
        log = i2v.simulate(Path(folder) / "log", **settings)
        items = {"path": log / "items.parquet"}
        events = i2v.read_events(log / "events", items=items, out=Path(folder) / "events")
        ids = pa.array(events.items["item_id"].to_pylist())
        rows = np.random.default_rng(5).standard_normal((len(ids), 32)).astype(np.float32)
        vectors = ItemVectors(Vocabulary(ids, np.ones(len(ids), np.int64)), rows)
        start = time.perf_counter()
        found = i2v.ranking_feature_table(events, RankingFeatures(vectors, events.items))
        seconds = time.perf_counter() - start
    speed = f"{found.num_rows / seconds:,.0f}"
    return [f"{len(events):,}", f"{found.num_rows:,}", f"{seconds:.1f}", speed, f"{peak_memory_gb():.2f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--events", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--users", type=int, default=30_000)
    options = parser.parse_args(arguments)
    print(f"{CANDIDATES} candidates, d = 32, one request at a time, one thread\n")
    with threadpool_limits(1):
        rows = [one_request(options.items, n_events) for n_events in options.events]
    print(table(["history", "items", "p50 ms", "p95 ms", "bar", ""], rows))
    print("\nAll searches of a log, point in time\n")
    header = ["events", "candidates", "seconds", "candidates/s", "peak GB"]
    print(table(header, [whole_log(options.users)]))


if __name__ == "__main__":
    main()
