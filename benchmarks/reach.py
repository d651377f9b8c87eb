"""CPU time to reach gensim's quality on Diginetica: `python -m benchmarks.reach --help`.

gensim trains 20 epochs with the settings of the table of quality; item2vec trains at the same vector size
with settings of its own, chosen by `--search` on the last tenth of the training lines and never on the test.
CPU time is that of all threads of the process, from Python lists of ids to vectors; Recall@20 is of all test
prefixes, read as "what comes next".
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from benchmarks import corpora, diginetica, machine, trainers
from benchmarks.quality import TRAINED, Read
from benchmarks.trainers import Run
from item2vec.evaluation import evaluate_next_item
from item2vec.sessions.container import Sessions

MUST, AIM = 1 / 8, 1 / 15
CHOSEN: dict[str, Any] = TRAINED | {
    "epochs": 12,
    "alpha": 0.12,
    "window": 8,
    "sample": 1e-3,
    "ns_exponent": 0.5,
}
GRID: dict[str, Sequence[Any]] = {
    "epochs": (10, 12, 16),
    "alpha": (0.1, 0.12),
    "window": (5, 8),
    "sample": (0.0, 1e-3),
    "ns_exponent": (0.5, 0.75),
}
WORKERS = 2


def recall(runs: Sequence[Run], test: Sessions, max_sessions: int | None = None) -> list[float]:
    """Return Recall@20 of each training, in percent."""
    scorers = [Read(run.vectors(), "next") for run in runs]
    result = evaluate_next_item({"it": scorers}, test, n_bootstrap=2, max_sessions=max_sessions)
    ranks = result.scorers["it"].seed_ranks
    return [float(value) for value in 100 * np.mean(ranks <= 20, axis=1)]


def verdict(shares: Sequence[float], found: Sequence[float], bar: Sequence[float]) -> str:
    """Judge CPU times ÷ gensim's: none is small enough where the mean Recall stays below gensim's."""
    share = statistics.median(shares)
    if statistics.fmean(found) < statistics.fmean(bar) or share > MUST:
        return "FAIL"
    return "aim" if share <= AIM else "pass"


def rows(repeats: int) -> Iterator[list[object]]:
    """Train both `repeats` times in turn, with other seeds; yield the line of the table of speed."""
    lists = corpora.diginetica_training()
    _, numbers, _ = diginetica.read(corpora.DIGINETICA)
    test = Sessions.from_lists([[str(item) for item in session] for session in numbers.to_lists()])
    trainers.item2vec(lists[:1000], **CHOSEN | {"epochs": 1})  # compile
    ours: list[Run] = []
    theirs: list[Run] = []
    for seed in range(1, repeats + 1):
        ours.append(trainers.item2vec(lists, **CHOSEN, workers=WORKERS, seed=seed))
        theirs.append(trainers.gensim(lists, True, **TRAINED, workers=WORKERS, seed=seed))
    found, bar = recall(ours, test), recall(theirs, test)
    shares = [a.cpu / b.cpu for a, b in zip(ours, theirs, strict=True)]
    cpu = [statistics.median(run.cpu for run in runs) for runs in (ours, theirs)]
    yield [
        f"CPU time to gensim's 20-epoch Recall@20 ÷ gensim's: {cpu[0]:.1f} s of {cpu[1]:.1f} s,"
        f" Recall {statistics.fmean(found):.2f} beside {statistics.fmean(bar):.2f}",
        "diginetica",
        f"1/{1 / statistics.median(shares):.1f}",
        f"1/{1 / max(shares):.1f} to 1/{1 / min(shares):.1f}",
        f"1/{1 / MUST:.0f}",
        f"1/{1 / AIM:.0f}",
        verdict(shares, found, bar),
    ]


def search(grid: dict[str, Sequence[Any]], seeds: int, max_sessions: int) -> None:
    """Print CPU time and Recall on the last tenth of the training lines, for gensim and all of a grid."""
    train, _, _ = diginetica.read(corpora.DIGINETICA)
    lists = [[str(item) for item in session] for session in train.to_lists()]
    cut = int(0.9 * len(lists))
    held_out = Sessions.from_lists(lists[cut:])
    fitted = [lists[row] for row in np.random.default_rng(1).permutation(cut)]
    trainers.item2vec(fitted[:1000], **CHOSEN | {"epochs": 1})
    print(machine.table(("settings", "CPU, s", "Recall@20", "per seed"), []))
    points: list[dict[str, Any] | None] = [None]
    points += [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    for point in points:
        params = TRAINED | (point or {})
        train_one = trainers.item2vec if point is not None else _gensim
        runs = [train_one(fitted, **params, workers=WORKERS, seed=seed) for seed in range(1, seeds + 1)]
        found = recall(runs, held_out, max_sessions)
        name = "gensim" if point is None else ", ".join(f"{k} {v}" for k, v in point.items())
        cells = [f"{statistics.median(run.cpu for run in runs):.2f}", f"{statistics.fmean(found):.2f}"]
        print("| " + " | ".join([name, *cells, ", ".join(f"{v:.2f}" for v in found)]) + " |", flush=True)


def _gensim(lists: corpora.Lists, **params: Any) -> Run:
    return trainers.gensim(lists, True, **params)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--search", action="store_true", help="print the grid on the validation part instead")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per point of the grid")
    parser.add_argument("--max-sessions", type=int, default=4000, help="of the validation part")
    options = parser.parse_args(arguments)
    if not corpora.DIGINETICA.is_dir():
        print(f"{corpora.DIGINETICA} is missing; set ITEM2VEC_REAL_DATA to the folder of the public logs")
    elif options.search:
        search(GRID, options.seeds, options.max_sessions)
    else:
        header = ("", "corpus", "measured", "per run", "must", "aim", "")
        print(machine.table(header, list(rows(options.repeats))))


if __name__ == "__main__":
    main()
