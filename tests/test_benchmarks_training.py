"""The table of training speed: what it times, and what it makes of the times. No clock decides here."""

from __future__ import annotations

import pyarrow as pa
import pytest
from benchmarks import corpora, processor, trainers, training
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
        assert run.wall > run.training > 0
        assert run.vectors().vocabulary.ids.sort().equals(ids)
    assert ours.n_pairs > n_clicks


def test_the_processor_does_multiply_adds() -> None:
    for lanes in (4, 8, 16):
        engine, loop = processor._compiled(lanes, 8)
        assert loop(10) == pytest.approx(0)
        del engine
