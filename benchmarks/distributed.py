"""Several workers beside one: `python -m benchmarks.distributed --help`.

Speed on simulated clicks: clicks/s of the epochs with two workers of one thread, beside one, and what share
of the time exchanges take. Quality on Diginetica: Recall@20 with 1, 2, 4 and 8 workers (processes of this
machine) after equally many epochs, against the number of exchanges per epoch. Its sessions, which come in the
order of time, get 90 days of equally many, so that workers have days each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import corpora, diginetica, machine
from benchmarks.quality import TRAINED, Cases, Read, cases_of, gains
from item2vec.embeddings import ItemVectors
from item2vec.embeddings.distributed.launch import WorkerJob, train_with_torchrun
from item2vec.evaluation import evaluate_next_item
from item2vec.sessions.artifact import DAY_US, save_sessions
from item2vec.sessions.container import Sessions

N_DAYS = 90
SPEED = {"vector_size": 32, "window": 5, "negative": 5, "epochs": 3}


@dataclass(frozen=True)
class Run:
    """One distributed training and what it took."""

    vectors: ItemVectors
    speed: float  # clicks/s of the epochs after the first, exchanges counted
    exchange: float  # share of the time, of the first worker
    waiting: float  # for slower workers, the same
    rows: float  # per exchange, of both tables
    seconds: float  # with the start of the processes


def save(sessions: Sessions, folder: Path) -> Path:
    folder.mkdir()
    save_sessions(sessions, folder)
    return folder


def dated(sessions: Sessions) -> Sessions:
    """Give sessions without times days, in their order."""
    start_us = np.arange(len(sessions)) * N_DAYS // len(sessions) * DAY_US
    ts_us = np.repeat(start_us, np.diff(sessions.offsets)) + np.arange(sessions.n_clicks)
    firsts, lasts = ts_us[sessions.offsets[:-1]], ts_us[sessions.offsets[1:] - 1]
    return replace(sessions, ts_us=ts_us, start_us=firsts, end_us=lasts)


def train(sessions: Path, n_workers: int, exchanges: int, params: dict[str, Any]) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        out, figures = Path(folder) / "vectors", Path(folder) / "figures.json"
        job = WorkerJob(sessions, out, params, exchanges, figures=figures)
        start = time.perf_counter()
        vectors = train_with_torchrun(job, n_workers)
        seconds = time.perf_counter() - start
        took = json.loads(figures.read_text("utf-8"))
    speeds = [epoch["tokens_per_second"] for epoch in took["history"]]
    parts = [took[f"{name}_seconds"] for name in ("exchange", "waiting", "training")]
    total = sum(parts)
    return Run(
        vectors=vectors,
        speed=median(speeds[1:] or speeds),
        exchange=parts[0] / total,
        waiting=parts[1] / total,
        rows=took["rows"] / took["exchanges"],
        seconds=seconds,
    )


def measure_speed(n_clicks: int, exchanges: Sequence[int], rounds: int, folder: Path) -> None:
    items, offsets = corpora.simulated_clicks(n_clicks // 5, 100_000, 1)
    lists = [items[start:end].tolist() for start, end in pairwise(offsets.tolist())]
    sessions = save(Sessions.from_lists(lists), folder / "simulated")
    header = ("exchanges per epoch", "one worker, clicks/s", "two", "ratio", "exchange", "waiting", "rows")
    print(machine.table(header, []))
    for n in exchanges:
        runs = [[train(sessions, workers, n, SPEED) for workers in (1, 2)] for _ in range(rounds)]
        one, two = (median(run[k].speed for run in runs) for k in (0, 1))
        shares = [median(getattr(run[1], name) for run in runs) for name in ("exchange", "waiting", "rows")]
        cells = [n, f"{one:,.0f}", f"{two:,.0f}", f"{two / one:.2f}"]
        cells += [f"{100 * shares[0]:.1f} %", f"{100 * shares[1]:.1f} %", f"{shares[2]:,.0f}"]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def measure_quality(
    workers: Sequence[int], exchanges: Sequence[int], seeds: int, params: dict[str, Any], folder: Path
) -> None:
    """Print a line per number of workers and exchanges, beside one worker on the same prefixes."""
    train_sessions, test, n_prefixes = diginetica.read(corpora.DIGINETICA)
    print(f"\ndiginetica: {train_sessions!r}; {n_prefixes:,} prefixes; {seeds} seeds; {params}\n")
    sessions = save(dated(train_sessions), folder / "diginetica")
    header = ("workers", "exchanges per epoch", "Recall@20", "MRR@20", "− one worker", "the same, MRR")
    print(machine.table(header, []))
    one: Cases | None = None
    for n_workers, n in [(1, 1), *product(workers, exchanges)]:
        runs = [train(sessions, n_workers, n, params | {"seed": seed}) for seed in range(1, seeds + 1)]
        result = evaluate_next_item({"next": [Read(run.vectors, "next") for run in runs]}, test)
        found, cases = result.scorers["next"], cases_of(result, "next")
        figures = [f"{i.value:.2f} ({i.low:.2f} to {i.high:.2f})" for i in (found.recall, found.mrr)]
        beside = ["–", "–"] if one is None else gains(cases, one, 1000)
        one = one or cases
        print("| " + " | ".join(map(str, [n_workers, n, *figures, *beside])) + " |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=3_000_000, help="simulated, for speed; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3, help="of speed, interleaved; medians are printed")
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 4, 8], help="for quality")
    parser.add_argument("--exchanges", type=int, nargs="+", default=[1, 4], help="per epoch, to try")
    parser.add_argument("--seeds", type=int, default=3, help="trainings per line of quality")
    parser.add_argument("--epochs", type=int, default=TRAINED["epochs"], help="for quality")
    parser.add_argument("--alpha", type=float, default=TRAINED["alpha"], help="for quality")
    options = parser.parse_args(arguments)
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        if options.clicks:
            measure_speed(options.clicks, options.exchanges, options.rounds, Path(folder))
        if options.workers and corpora.DIGINETICA.is_dir():
            params = TRAINED | {"epochs": options.epochs, "alpha": options.alpha}
            grid = options.workers, options.exchanges, options.seeds
            measure_quality(*grid, params, Path(folder))


if __name__ == "__main__":
    main()
