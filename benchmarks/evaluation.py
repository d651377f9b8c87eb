"""What an evaluation takes: all metrics on all prefixes of Diginetica, 1,000 resamples, session-kNN.

`python -m benchmarks.evaluation --help`. The model is the product's own, d = 64, after one epoch: how good it
is does not change what ranking 43,097 items after each of 60,858 prefixes takes. The peak of the memory is
that of the whole process after the model's evaluation, the log and the compiled code included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import diginetica, machine
from item2vec.embeddings import Item2Vec
from item2vec.evaluation import evaluate_next_item, fit_baselines
from item2vec.evaluation.bootstrap import bootstrap_means
from item2vec.recommendations import Recommender

ROOT = Path(__file__).resolve().parents[1]
FIGURES = 60  # of one method: metrics, lists, nine slices and ten lengths of the prefix
Row = tuple[str, str, str, str, str]


def seconds(call: Callable[[], Any], repeats: int) -> tuple[float, str]:
    """Return the median of some runs in seconds, and the fastest and slowest, after one to compile."""
    runs = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        runs.append(time.perf_counter() - start)
    return statistics.median(runs), f"{min(runs):.1f} to {max(runs):.1f}"


def measure(folder: Path, repeats: int, max_sessions: int | None) -> list[Row]:
    """Return the table's rows."""
    train, test, n_prefixes = diginetica.read(folder)
    model = Item2Vec(vector_size=64, epochs=1).fit(train, show_progress=False)
    scorers: dict[str, Any] = {"item2vec": Recommender(model.item_vectors_)}

    def evaluate(name: str, sessions: int | None) -> Any:
        return evaluate_next_item({name: scorers[name]}, test, train=train, max_sessions=sessions)

    result = evaluate("item2vec", 50)
    rows: list[Row] = []
    median, span = seconds(lambda: evaluate("item2vec", max_sessions), repeats)
    peak = f"{machine.peak_memory_gb():.2f} GB"
    rows.append(("item2vec, d = 64: every metric, slice and interval", f"{median:.1f} s", span, "60 s", peak))

    result = evaluate("item2vec", max_sessions)
    values = np.random.default_rng(1).random((FIGURES, result.n_prefixes))
    figures = dict(enumerate(values))
    median, span = seconds(lambda: bootstrap_means(figures, result.cases.session_nums, 1000), repeats)
    what = f"1,000 resamples of {result.n_sessions:,} sessions, {FIGURES} figures"
    rows.append((what, f"{median:.2f} s", span, "10 s", ""))

    scorers |= fit_baselines(["session_knn"], train)
    evaluate("session_knn", 50)
    median, span = seconds(lambda: evaluate("session_knn", max_sessions), repeats)
    rows.append(("session-kNN, evaluated likewise", f"{median:.1f} s", span, "120 s", ""))
    print(f"{result.n_prefixes:,} of {n_prefixes:,} prefixes × {train.n_items:,} items")
    print(f"medians of {repeats} runs")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--max-sessions", type=int, help="evaluate a sample of the 15,963 test sessions")
    options = parser.parse_args(arguments)
    folder = Path(os.environ.get("ITEM2VEC_REAL_DATA", ROOT.parent / "shared" / "data")) / "diginetica_seq"
    if not folder.is_dir():
        print(f"Diginetica's sessions are not at {folder}; set ITEM2VEC_REAL_DATA to the folder above them")
        return
    rows = measure(folder, options.repeats, options.max_sessions)
    print(machine.table(("what", "median", "per run, s", "bar", "peak memory"), rows))


if __name__ == "__main__":
    main()
