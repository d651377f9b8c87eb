"""The table of training speed: what it times, and what it makes of the times. No clock decides here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import pyarrow as pa
import pytest
from benchmarks import corpora, processor, reach, trainers, training
from benchmarks.trainers import Run


def run_of(wall: float, alone: float, n_pairs: float = 0.0, writing: float = 0.0) -> Run:
    return Run(wall, 2 * wall, alone, 1_000_000, n_pairs, lambda: pytest.fail("not asked for"), writing)


def test_lines_are_medians_of_the_rounds_ratios_against_their_bars() -> None:
    one = training.Times(
        [run_of(1, 0.5), run_of(2, 1), run_of(4, 2)], [run_of(11, 9), run_of(32, 9), run_of(36, 9)]
    )
    two = training.Times([run_of(0.5, 0.25), run_of(1, 0.4), run_of(3, 1)], [run_of(1, 1)] * 3)
    times = {training.ONE: one, training.TWO: two}
    lines = {line[0]: line[1:] for line in training.rows("a log", times, peak=1e9)}
    assert lines["d=32, 1 thread ÷ gensim"] == ["a log", "11.0×", "9.0 to 16.0", "10×", "15×", "pass"]
    assert lines["d=32, 2 threads ÷ gensim, 2 workers"][-1] == "FAIL"
    assert lines["2 threads ÷ 1"] == ["a log", "2.00×", "1.33 to 2.00", "1.8×", "1.95×", "aim"]
    assert lines["2 threads ÷ 1, the epochs alone"][1] == "2.00×"


def test_nominal_operations_are_those_of_the_window_pairs() -> None:
    times = {training.MIDDLE: training.Times([run_of(2, 1, n_pairs=1e6)])}
    (line,) = training.rows("a log", times, peak=6 * 64 * 6 * 1e6 + 2 * 64 * 1e6)
    assert line[2:] == ["100.0 %", "100.0 to 100.0", "20 %", "40 %", "aim"]


def test_what_stands_behind_a_ratio() -> None:
    taken = training.Times([run_of(1, 0.5)], [run_of(10, 8, writing=4)], "file")
    (line,) = training.details("a log", {training.ONE: taken})
    assert line[4:] == [
        "1.00 (1.00 s, epochs 0.50 s)",
        "0.10 (10.00 s, epochs 8.00 s)",
        "file",
        "6.0×",
        "16.0×",
        "10.0×",
    ]


def test_the_simulated_corpus() -> None:
    lists = corpora.simulated(n_clicks=20_000, n_items=5_000, seed=3)
    assert lists == corpora.simulated(n_clicks=20_000, n_items=5_000, seed=3)
    assert {2, 20} <= set(map(len, lists)) <= set(range(2, 21))
    assert abs(sum(map(len, lists)) - 20_000) < 1_000
    assert all(isinstance(item, str) and 0 <= int(item) < 5_000 for session in lists for item in session)
    assert all(len({int(item) % 1000 for item in session}) == 1 for session in lists)


def test_both_trainers_train_the_same_lists() -> None:
    lists = corpora.simulated(n_clicks=2_000, n_items=2_000)
    params = {"vector_size": 8, "workers": 1, "epochs": 2}
    ours = trainers.item2vec(lists, **params)
    peers = [trainers.gensim(lists, from_file, **params) for from_file in (False, True)]
    n_clicks = 2 * sum(map(len, lists))
    ids = pa.array(sorted({item for session in lists for item in session}))
    for run in (ours, *peers):
        assert run.n_clicks == n_clicks
        assert run.wall >= run.writing + run.training > 0
        assert run.vectors().vocabulary.ids.sort().equals(ids)
    assert ours.n_pairs > n_clicks


def test_gensim_trains_skip_grams() -> None:
    lists = corpora.simulated(n_clicks=2_000, n_items=2_000)
    for from_file in (False, True):
        (model,) = trainers.gensim(lists, from_file, vector_size=8, workers=1, epochs=1).vectors.args  # type: ignore[attr-defined]
        assert (model.sg, model.hs, model.negative, model.cbow_mean) == (1, 0, 5, 1)


def test_writing_a_file_is_part_of_gensims_time() -> None:
    class Slow(list):
        def __iter__(self) -> Iterator[list[str]]:
            time.sleep(0.5)
            return super().__iter__()

    lists = Slow(corpora.simulated(n_clicks=2_000, n_items=2_000))
    run = trainers.gensim(lists, True, vector_size=8, workers=1, epochs=1)
    assert run.writing >= 0.5
    assert run.wall >= run.writing + run.training


class Trainers:
    """Both trainers with given seconds, and the order in which they ran."""

    def __init__(self, memory: list[float], file: list[float]) -> None:
        self.walls = {"memory": iter(memory), "file": iter(file)}
        self.order: list[str] = []

    def item2vec(self, lists: corpora.Lists, **params: object) -> Run:
        self.order.append(f"ours {params['vector_size']}/{params['workers']} of {len(lists)}")
        return run_of(1, 1)

    def gensim(self, lists: corpora.Lists, from_file: bool, **params: object) -> Run:
        mode = "file" if from_file else "memory"
        self.order.append(f"{mode} {params['vector_size']}/{params['workers']} of {len(lists)}")
        return run_of(next(self.walls[mode]), 1)


@pytest.mark.parametrize(
    ("memory", "file", "chosen", "walls"),
    [
        ([30, 20, 21, 22], [25, 26, 27], "memory", [20, 21, 22]),
        ([30, 29], [20, 21, 22, 23], "file", [21, 22, 23]),
    ],
)
def test_gensim_runs_on_in_its_faster_mode(
    monkeypatch: pytest.MonkeyPatch, memory: list, file: list, chosen: str, walls: list
) -> None:
    fake = Trainers(memory, file)
    monkeypatch.setattr(training, "trainers", fake)
    case = training.Case(32, 2)
    times = training.take_times([["a", "b"]] * 2000, [case], 3, {})
    assert times[case].mode == chosen
    assert [run.wall for run in times[case].gensim] == walls
    both = ["memory 32/2 of 2000", "file 32/2 of 2000"] * 2
    ours, peer = "ours 32/2 of 2000", f"{chosen} 32/2 of 2000"
    assert fake.order == ["ours 32/2 of 1000", ours, *both, ours, peer, ours, peer]


def test_cases_of_one_size_share_a_run_of_gensim(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Trainers([9, 9, 8, 7], [99, 99])
    monkeypatch.setattr(training, "trainers", fake)
    times = training.take_times([["a", "b"]], [training.TWO, training.TORCH, training.MIDDLE], 2, {})
    assert [run.wall for run in times[training.TWO].gensim] == [9, 8]
    assert times[training.TWO].gensim == times[training.TORCH].gensim
    assert not times[training.MIDDLE].gensim


@pytest.mark.parametrize(
    ("shares", "found", "expected"),
    [
        ([1 / 16, 1 / 16, 1], [50, 52], "aim"),
        ([1 / 15], [51], "aim"),
        ([1 / 10], [51], "pass"),
        ([1 / 8], [51], "pass"),
        ([1 / 7.9], [99], "FAIL"),
        ([1 / 100], [50, 51.9], "FAIL"),
    ],
)
def test_no_cpu_time_is_small_enough_below_the_recall(shares: list, found: list, expected: str) -> None:
    assert reach.verdict(shares, found, bar=[50, 52]) == expected


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("chains", processor.CHAINS)
def test_the_processors_operations_are_counted_by_the_loop_itself(lanes: int, chains: int) -> None:
    engine, loop = processor._compiled(lanes, chains)
    assert 2 * loop(10, 1.0) == processor.operations(lanes, chains, 10)  # x ← x·1 + 1
    assert loop(10, 0.5) == pytest.approx(lanes * chains * (1 - 2**-10))
    del engine


def test_the_peak_is_operations_over_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves by a second each time it is read; the widest vectors do the most in it."""
    monkeypatch.setattr(processor, "ROUNDS", 1600)
    clock = count()
    monkeypatch.setattr(processor.time, "perf_counter", lambda: float(next(clock)))
    peak = processor.peak_flops(repeats=1)
    assert peak == 2 * 1600 * 12
