"""1 M items × 100 M clicks on two threads: does it finish, in how much memory? `python -m benchmarks.big`.

The sessions are arrays from the start: 100 M clicks as Python lists of strings would be another 7 GB, of the
caller's. The peak is that of this process, the corpus and the compiled code included. No peer runs beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from benchmarks import corpora, machine
from item2vec.embeddings import Item2Vec
from item2vec.sessions.container import Sessions


def simulated_sessions(n_clicks: int, n_items: int) -> Sessions:
    """The corpus of `corpora.simulated` with integer ids, items that nobody clicked left out."""
    items, offsets = corpora.simulated_clicks(n_clicks // 5, n_items, seed=1)
    seen = np.zeros(n_items, bool)
    seen[items] = True
    numbers = (np.cumsum(seen) - 1).astype(np.int32)
    n = len(offsets) - 1
    return Sessions(
        item_ids=pa.array(np.flatnonzero(seen).tolist(), pa.int64()),
        tokens=numbers[items],
        offsets=offsets,
        booked=np.zeros(0, np.int32),
        booked_offsets=np.zeros(n + 1, np.int64),
        weights=np.ones(n, np.float32),
        session_ids=np.arange(n),
        markets=np.full(int(seen.sum()), -1, np.int32),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=100_000_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--vector-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    sessions = simulated_sessions(options.clicks, options.items)
    before = machine.peak_memory_gb()
    start, cpu = time.perf_counter(), time.process_time()
    model = Item2Vec(vector_size=options.vector_size, epochs=options.epochs, workers=options.workers)
    model.fit(sessions, show_progress=False)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    epochs = [sessions.n_clicks / epoch["tokens_per_second"] for epoch in model.history_]
    header = ("items", "clicks", "d", "threads", "epochs", "seconds", "of an epoch", "M clicks/s", "CPU, s")
    row = [
        *(f"{sessions.n_items:,}", f"{sessions.n_clicks:,}", options.vector_size, options.workers),
        *(options.epochs, f"{wall:.0f}", f"{min(epochs):.0f} to {max(epochs):.0f}"),
        *(f"{options.epochs * sessions.n_clicks / sum(epochs) / 1e6:.2f}", f"{cpu:.0f}"),
    ]
    memory = (f"{machine.peak_memory_gb():.2f} GB", f"{before:.2f} GB")
    print(machine.table((*header, "peak memory", "before training"), [[*row, *memory]]))


if __name__ == "__main__":
    main()
