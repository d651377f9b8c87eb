"""Diginetica tuned: `python -m benchmarks.tuning --help`.

The search sees the training lines only: nine tenths train, the last tenth is foretold. What it chooses is
then trained with several seeds on all training lines and measured once on all test prefixes, beside the
settings it started from.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import item2vec as i2v
from benchmarks import diginetica, machine
from item2vec.evaluation import evaluate_next_item, split_sessions
from item2vec.tuning import TuneConfig, TuneResult, read_space
from item2vec.tuning.problem import section
from item2vec.tuning.scoring import history_scorer

ROOT = Path(__file__).resolve().parents[1]
START = {"vector_size": 64, "window": 5, "negative": 10, "epochs": 20, "alpha": 0.05}  # that of the table


def search(train: i2v.Sessions, options: argparse.Namespace) -> TuneResult:
    """Tune on the last tenth of the training lines."""
    split = split_sessions(train, validation=0.1, test=0.0)
    print(f"search: {split.train!r}, validation {split.validation!r}")
    return i2v.tune(
        split.train,
        split.validation,
        base={**START, "workers": options.workers},
        space=None if options.space is None else read_space(options.space),
        budget_seconds=60.0 * options.minutes,
        n_trials=options.trials,
        study_path=options.study,
        config=TuneConfig(metric=options.metric, max_sessions=options.max_sessions, seed=options.seed),
        show_progress=options.progress,
    )


def trained(train: i2v.Sessions, settings: Mapping[str, Any], seeds: int) -> list[i2v.Recommender]:
    """Train with every seed on all training lines."""
    scorers = []
    for seed in range(1, seeds + 1):
        model = i2v.Item2Vec(**{**section(settings, "train"), "seed": seed})
        vectors = model.fit(train, show_progress=False).item_vectors_
        scorers.append(history_scorer(vectors, section(settings, "scoring")))
    return scorers


def hybrids(train: i2v.Sessions, tuned: Sequence[i2v.Recommender], found: TuneResult) -> list[i2v.Hybrid]:
    """Blend the tuned embeddings with session-kNN, weighed on the last tenth of the training lines."""
    split = split_sessions(train, validation=0.1, test=0.0)
    (earlier,) = trained(split.train, found.settings, 1)
    weights = i2v.Hybrid(earlier, i2v.SessionKNN().fit(split.train)).fit(split.validation).weights_
    print("hybrid:", {name: round(weight, 3) for name, weight in weights.items()})
    neighbours = i2v.SessionKNN().fit(train)
    return [i2v.Hybrid(one, neighbours, weights=weights) for one in tuned]


def measure(found: TuneResult, train: i2v.Sessions, test: i2v.Sessions, seeds: int) -> None:
    """Print the chosen settings, alone and in the hybrid, beside the start on the test, opened once."""
    began = time.process_time()
    tuned = trained(train, found.settings, seeds)
    scorers = {
        "tuned": tuned,
        "start": trained(train, found.base, seeds),
        "hybrid": hybrids(train, tuned, found),
        "session-kNN": i2v.SessionKNN().fit(train),
    }
    result = evaluate_next_item(scorers, test)
    rows = [[name, one.recall, one.mrr, seeds] for name, one in result.scorers.items()]
    rows += [[f"{one.a} − {one.b}, paired", one.recall, one.mrr, seeds] for one in result.differences]
    print(f"\n{result.n_prefixes:,} test prefixes of {result.n_sessions:,} sessions, %, 95 % over sessions\n")
    print(machine.table(("settings", "Recall@20", "MRR@20", "seeds"), rows))
    print(f"{time.process_time() - began:,.0f} CPU s for {2 * seeds} trainings and their measuring")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15, help="wall time of the search, × 2 in CPU time")
    parser.add_argument("--trials", type=int, help="at most so many trials")
    parser.add_argument("--study", type=Path, help="folder where the trials are kept, to go on")
    parser.add_argument("--space", type=Path, help="TOML file of what is searched")
    parser.add_argument("--metric", choices=("recall", "mrr"), default="recall")
    parser.add_argument("--max-sessions", type=int, help="train the search on so many lines")
    parser.add_argument("--seed", type=int, default=1, help="of the search")
    parser.add_argument("--seeds", type=int, default=3, help="trainings that are measured on the test")
    parser.add_argument("--workers", type=int, help="threads; every core by default")
    parser.add_argument("--progress", action="store_true", help="draw a bar")
    options = parser.parse_args(arguments)
    folder = Path(os.environ.get("ITEM2VEC_REAL_DATA", ROOT.parent / "shared" / "data")) / "diginetica_seq"
    if not folder.is_dir():
        print(f"{folder} is missing; set ITEM2VEC_REAL_DATA to the folder of the public logs")
        return
    print(machine.describe())
    train, test, n_prefixes = diginetica.read(folder)
    print(f"diginetica: {train!r}; {n_prefixes:,} test prefixes, closed until the end")
    found = search(train, options)
    print(f"\n{found!r}\n\nsettings: {found.settings}")
    measure(found, train, test, options.seeds)
    print(f"peak memory {machine.peak_memory_gb():.1f} GB")


if __name__ == "__main__":
    main()
