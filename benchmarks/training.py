"""Training speed beside gensim's, from lists of ids to vectors: `python -m benchmarks.training --help`.

Both train skip-gram with the same window, noise, epochs and threads, and both are timed from the same lists
through the vocabulary to the last epoch. Runs are interleaved (ours, gensim, ours, ...) so that a busy
machine hurts both alike; a ratio is the median of the rounds' own ratios. gensim's modes, from memory and
from a text file whose writing is part of its time, both run twice in a case's first round; the one with the
fastest run runs on.
What is compiled is compiled before. Clocks stand here and never in the tests.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from benchmarks import corpora, machine, processor, reach, trainers
from benchmarks.trainers import Run
from item2vec.embeddings.hyperparameters import ENGINES

HEADER = ("", "corpus", "measured", "per run", "must", "aim", "")


class Case(NamedTuple):
    """One setting that is timed on every corpus."""

    vector_size: int
    workers: int
    engine: str = "numba"
    device: str | None = None
    peer: bool = True  # gensim runs beside it

    @property
    def params(self) -> dict[str, Any]:
        """The estimator's arguments."""
        chosen = {"vector_size": self.vector_size, "workers": self.workers, "engine": self.engine}
        return chosen if self.device is None else chosen | {"device": self.device}


ONE, TWO, WIDE, MIDDLE = Case(32, 1), Case(32, 2), Case(128, 1), Case(64, 1, peer=False)
TORCH = Case(32, 2, "torch", "cpu")
CUDA = Case(128, 1, "torch", "cuda", peer=False)


@dataclass
class Times:
    """The runs of one case on one corpus, round by round."""

    ours: list[Run] = field(default_factory=list)
    gensim: list[Run] = field(default_factory=list)
    mode: str = ""


def take_times(
    corpus: corpora.Lists, cases: Sequence[Case], repeats: int, params: dict[str, Any]
) -> dict[Case, Times]:
    """Run every case in every round, ours and gensim one right after the other."""
    times = {case: Times() for case in cases}
    for case in cases:
        trainers.item2vec(corpus[:1000], **params | case.params)  # compile
    for _ in range(repeats):
        peers: dict[tuple[int, int], tuple[str, Run]] = {}
        for case, taken in times.items():
            taken.ours.append(trainers.item2vec(corpus, **params | case.params))
            if case.peer:
                sizes = (case.vector_size, case.workers)
                if sizes not in peers:  # two engines are compared with the same run
                    peers[sizes] = _gensim(corpus, *sizes, taken.mode, params)
                taken.mode, run = peers[sizes]
                taken.gensim.append(run)
    return times


def _gensim(
    corpus: corpora.Lists, vector_size: int, workers: int, mode: str, params: dict[str, Any]
) -> tuple[str, Run]:
    params = params | {"vector_size": vector_size, "workers": workers}
    modes: dict[str, Callable[[], Run]] = {
        "memory": partial(trainers.gensim, corpus, False, **params),
        "file": partial(trainers.gensim, corpus, True, **params),
    }
    if mode:
        return mode, modes[mode]()
    found = [(name, run()) for _ in range(2) for name, run in modes.items()]
    fastest, _ = min(found, key=lambda one: one[1].wall)
    return fastest, [run for name, run in found if name == fastest][-1]  # one run, as in every other round


def row(
    name: str, corpus: str, values: Sequence[float], must: float, aim: float, unit: str = "×"
) -> list[object]:
    """Write one line of the table: the median against its bars."""
    measured = statistics.median(values)
    digits = 2 if abs(must) < 5 else 1
    spread = f"{min(values):.{digits}f} to {max(values):.{digits}f}"
    verdict = "aim" if measured >= aim else "pass" if measured >= must else "FAIL"
    return [
        name,
        corpus,
        f"{measured:.{digits}f}{unit}",
        spread,
        f"{must:g}{unit}",
        f"{aim:g}{unit}",
        verdict,
    ]


def ratios(times: Times, of: Callable[[Run], float]) -> list[float]:
    return [of(ours) / of(peer) for ours, peer in zip(times.ours, times.gensim, strict=True)]


def rows(corpus: str, times: dict[Case, Times], peak: float, negative: int = 5) -> Iterator[list[object]]:
    """Yield the table's lines about one corpus."""
    bars = {
        ONE: ("d=32, 1 thread ÷ gensim", 10, 15),
        TWO: ("d=32, 2 threads ÷ gensim, 2 workers", 10, 15),
        WIDE: ("d=128, 1 thread ÷ gensim", 5, 8),
        TORCH: ("torch on CPU, d=32, 2 threads ÷ gensim", 0.5, 1),
    }
    for case, (name, must, aim) in bars.items():
        if case in times:
            yield row(name, corpus, ratios(times[case], lambda run: run.speed), must, aim)
    if ONE in times and TWO in times:
        pairs = list(zip(times[TWO].ours, times[ONE].ours, strict=True))
        yield row("2 threads ÷ 1", corpus, [two.speed / one.speed for two, one in pairs], 1.8, 1.95)
        alone = [one.training / two.training for two, one in pairs]
        yield row("2 threads ÷ 1, the epochs alone", corpus, alone, 1.8, 1.95)
    if MIDDLE in times:
        flops = 6 * MIDDLE.vector_size * (negative + 1) + 2 * MIDDLE.vector_size
        shares = [100 * flops * run.n_pairs / run.training / peak for run in times[MIDDLE].ours]
        yield row("nominal FLOPs of the epochs ÷ peak, d=64, 1 thread", corpus, shares, 20, 40, " %")
    if CUDA in times:
        speeds = [run.n_clicks / run.training / 1e6 for run in times[CUDA].ours]
        yield row("torch on CUDA, d=128, the epochs", corpus, speeds, 20, 100, " M clicks/s")


def details(corpus: str, times: dict[Case, Times]) -> Iterator[list[object]]:
    """Yield what stands behind the ratios: medians of both sides and what the epochs alone would give."""
    for case, taken in times.items():
        median = {
            side: [
                statistics.median(of(run) for run in runs) for of in (lambda r: r.wall, lambda r: r.training)
            ]
            for side, runs in (("ours", taken.ours), ("gensim", taken.gensim))
            if runs
        }
        clicks = taken.ours[0].n_clicks / 1e6
        cells = [
            f"{clicks / wall:.2f} ({wall:.2f} s, epochs {alone:.2f} s)" for wall, alone in median.values()
        ]
        if taken.gensim:
            alone = statistics.median(ratios(taken, lambda run: 1 / run.training))
            cpu = statistics.median(ratios(taken, lambda run: 1 / run.cpu))
            free = [(b.wall - b.writing) / a.wall for a, b in zip(taken.ours, taken.gensim, strict=True)]
            cells += [taken.mode, f"{statistics.median(free):.1f}×", f"{alone:.1f}×", f"{cpu:.1f}×"]
        else:
            cells += ["–"] * 5
        yield [corpus, case.engine, case.vector_size, case.workers, *cells]


def chosen_cases(names: Sequence[str]) -> list[Case]:
    """Return the cases that can run here; say in words which cannot."""
    cases = [ONE, TWO, WIDE, MIDDLE] if "numba" in names else []
    if "torch" not in names:
        return cases
    if "torch" not in ENGINES:
        print("torch on CPU and CUDA: not measured, there is no torch engine")
        return cases
    try:
        import torch
    except ImportError:
        print("torch on CPU and CUDA: not measured, torch is not installed")
        return cases
    cases[2:2] = [TORCH]  # beside the run of gensim that it shares with numba
    if torch.cuda.is_available():
        return [*cases, CUDA]
    print("torch on CUDA: not measured, this machine has no CUDA device")
    return cases


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5, help="of both sides")
    parser.add_argument("--clicks", type=int, default=3_000_000, help="size of the simulated corpus")
    parser.add_argument("--corpora", nargs="+", default=["simulated", "diginetica"])
    parser.add_argument("--engines", nargs="+", default=["numba", "torch"])
    parser.add_argument("--no-reach", action="store_true", help="leave out the CPU time to gensim's Recall")
    parser.add_argument(
        "--big", action="store_true", help="also 1 M items × 100 M clicks, in a process of its own"
    )
    options = parser.parse_args(arguments)
    if "diginetica" in options.corpora and not corpora.DIGINETICA.is_dir():
        print(f"{corpora.DIGINETICA} is missing; set ITEM2VEC_REAL_DATA to the folder of the public logs")
        options.corpora = [name for name in options.corpora if name != "diginetica"]
    peak = processor.peak_flops()
    print(f"one core does {peak / 1e9:.0f} GFLOP/s at most (float32 multiply-adds on registers, measured)")
    lines: list[list[object]] = []
    behind: list[list[object]] = []
    cases = chosen_cases(options.engines)
    for name in options.corpora:
        lists = corpora.simulated(options.clicks) if name == "simulated" else corpora.diginetica_training()
        print(f"{name}: {len(lists):,} sessions, {sum(map(len, lists)):,} clicks", flush=True)
        times = take_times(lists, cases, options.repeats, {"epochs": options.epochs})
        lines += rows(name, times, peak)
        behind += details(name, times)
    if "diginetica" in options.corpora and not options.no_reach:
        lines += reach.rows(options.repeats)
    print(
        f"\nwindow 5 (shrinking), 5 negatives, {options.epochs} epochs, medians of {options.repeats} rounds\n"
    )
    print(machine.table(HEADER, lines))
    header = ("corpus", "engine", "d", "threads", "item2vec, M clicks/s", "gensim, M clicks/s", "its mode")
    print("\n" + machine.table((*header, "file for free", "epochs alone", "CPU time"), behind), flush=True)
    if options.big:
        subprocess.run([sys.executable, "-m", "benchmarks.big"], check=True)


if __name__ == "__main__":
    main()
