"""Training speed beside gensim's, on the same corpus in the same run: `python -m benchmarks.training --help`.

Both train skip-gram with the same window, noise and threads. Runs are interleaved (ours, gensim from memory,
gensim from a file, ours, ...) so a busy machine hurts all alike; medians and the ratio to gensim's faster
mode are printed. Clocks stand here and never in the tests.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from item2vec.embeddings import Item2Vec
from item2vec.sessions.container import Sessions

ROOT = Path(__file__).resolve().parents[1]
WINDOW, NEGATIVE = 5, 5


def simulate_sessions(n_sessions: int = 200_000, n_items: int = 99_000, seed: int = 1) -> Sessions:
    """Sessions of 2 to 20 clicks (mean about 5) over Zipf-like items, each within one of 1,000 clusters."""
    rng = np.random.default_rng(seed)
    lengths = np.minimum(2 + rng.geometric(0.25, n_sessions) - 1, 20)
    ranks = np.arange(1, n_items + 1) ** -0.9
    anchors = rng.choice(n_items, n_sessions, p=ranks / ranks.sum())
    cluster = np.repeat(anchors % 1000, lengths)
    place = (rng.random(len(cluster)) ** 3 * (n_items // 1000)).astype(np.int64)
    items = place * 1000 + cluster
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Sessions.from_lists([items[a:b].tolist() for a, b in pairwise(offsets)])


def read_diginetica(folder: Path) -> Sessions:
    with gzip.open(folder / "train_sessions.txt.gz", "rt") as lines:
        return Sessions.from_lists([line.split() for line in lines])


def ours(sessions: Sessions, vector_size: int, workers: int, epochs: int) -> float:
    """Clicks per second over all epochs, from the engine's own figures (the vocabulary is not timed)."""
    model = Item2Vec(
        vector_size=vector_size, window=WINDOW, negative=NEGATIVE, epochs=epochs, alpha=0.05, workers=workers
    )
    model.fit(sessions, show_progress=False)
    seconds = sum(sessions.n_clicks / epoch["tokens_per_second"] for epoch in model.history_)
    return epochs * sessions.n_clicks / seconds


def gensim(n_clicks: int, vector_size: int, workers: int, epochs: int, **source: Any) -> float:
    """Clicks per second of `Word2Vec.train` alone (the vocabulary is not timed)."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=vector_size,
        window=WINDOW,
        negative=NEGATIVE,
        alpha=0.05,
        sg=1,
        sample=0,
        min_count=1,
        workers=workers,
    )
    model.build_vocab(**source)
    words = {"total_words": n_clicks} if "corpus_file" in source else {}
    start = time.perf_counter()
    model.train(
        **({"corpus_iterable": source["corpus_iterable"]} if "corpus_iterable" in source else source),
        total_examples=model.corpus_count,
        epochs=epochs,
        **words,
    )
    return epochs * n_clicks / (time.perf_counter() - start)


def compare(
    sessions: Sessions, vector_size: int, workers: int, repeats: int, epochs: int
) -> dict[str, list[float]]:
    """Interleaved runs of the three: clicks per second, `repeats` each."""
    lists = [[str(i) for i in session] for session in sessions.to_lists()]
    order = np.random.default_rng(1).permutation(len(lists))  # gensim keeps its order; a log's is by time
    lists = [lists[i] for i in order]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as corpus:
        corpus.write("".join(" ".join(session) + "\n" for session in lists))
        corpus.flush()
        n = sessions.n_clicks
        runs: dict[str, Callable[[], float]] = {
            "item2vec": lambda: ours(sessions, vector_size, workers, epochs),
            "gensim memory": lambda: gensim(n, vector_size, workers, 1, corpus_iterable=lists),
            "gensim file": lambda: gensim(n, vector_size, workers, 1, corpus_file=corpus.name),
        }
        speeds: dict[str, list[float]] = {name: [] for name in runs}
        runs["item2vec"]()  # compile
        for _ in range(repeats):
            for name, run in runs.items():
                speeds[name].append(run())
    return speeds


def rows(
    corpora: dict[str, Sessions], sizes: list[int], workers: list[int], repeats: int, epochs: int
) -> Iterator[list[object]]:
    """Yield the table's rows, one per corpus, vector size and number of threads."""
    for name, sessions in corpora.items():
        for size in sizes:
            for threads in workers:
                speeds = compare(sessions, size, threads, repeats, epochs)
                medians = {mode: statistics.median(runs) / 1e6 for mode, runs in speeds.items()}
                mode = max(("gensim memory", "gensim file"), key=medians.__getitem__)
                paired = np.array(speeds["item2vec"]) / np.array(speeds[mode])
                yield [
                    *(name, size, threads, f"{medians['item2vec']:.2f}"),
                    f"{medians[mode]:.3f} ({mode.split()[1]})",
                    f"{medians['item2vec'] / medians[mode]:.1f}×",
                    f"{paired.min():.1f} to {paired.max():.1f}",
                ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="epochs per run of ours; gensim's run is one")
    parser.add_argument("--sessions", type=int, default=200_000, help="size of the simulated corpus")
    parser.add_argument("--corpora", nargs="+", default=["simulated", "diginetica"])
    options = parser.parse_args(arguments)
    corpora: dict[str, Sessions] = {}
    if "simulated" in options.corpora:
        corpora["simulated"] = simulate_sessions(options.sessions)
    real = Path(os.environ.get("ITEM2VEC_REAL_DATA", ROOT.parent / "shared" / "data")) / "diginetica_seq"
    if "diginetica" in options.corpora and real.is_dir():
        corpora["diginetica"] = read_diginetica(real)
    for name, sessions in corpora.items():
        print(f"{name}: {len(sessions):,} sessions, {sessions.n_clicks:,} clicks, {sessions.n_items:,} items")
    print(f"skip-gram, window {WINDOW} (shrinking), {NEGATIVE} negatives; medians of {options.repeats} runs")
    header = ("corpus", "d", "threads", "item2vec, M clicks/s", "gensim (mode)", "ratio", "per run")
    found = rows(corpora, options.sizes, options.workers, options.repeats, options.epochs)
    print(machine.table(header, list(found)))


if __name__ == "__main__":
    main()
