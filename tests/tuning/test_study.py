"""A study outlives its process: killed in the middle it goes on, and only the same search goes on there."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from planted_walks import BASE, walks

import item2vec as i2v
from item2vec.errors import CorruptArtifactError, LockedRunError, UsageError
from item2vec.tuning import TuneConfig, TuneResult

CONFIG = TuneConfig(k=1, validation_sessions=60, pruning_sessions=30, scorings=3, n_bootstrap=100)
SPACE = {"alpha": {"low": 0.01, "high": 0.2, "log": True}, "scoring.decay": {"low": 0.1, "high": 1.0}}
PROGRAM = """
import os, sys
sys.path.insert(0, {tests!r})
import item2vec as i2v
from test_study import search
fit, n = i2v.Item2Vec.fit, 0

def stuck(self, sessions, **named):
    global n
    n += 1
    if n == {fits}:
        print("stuck", flush=True)
        sys.stdin.read()  # the kill comes here, in the middle of a trial
    return fit(self, sessions, **named)

i2v.Item2Vec.fit = stuck
search({folder!r}, 6)
"""


def search(folder: Path | str, n_trials: int, **other: object) -> TuneResult:
    arguments = {"base": BASE, "space": SPACE, "config": CONFIG, **other}
    return i2v.tune(walks(200, 1), walks(80, 2), n_trials=n_trials, study_path=folder, **arguments)


def values(result: TuneResult) -> list[tuple[str, float | None, float]]:
    return [(one.state, one.value, one.settings["train.alpha"]) for one in result.trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TuneResult]:
    folder = tmp_path_factory.mktemp("study") / "whole"
    return folder, search(folder, 6)


@pytest.mark.parametrize("fits", [1, 4])
def test_a_killed_study_goes_on_as_if_nothing_had_happened(
    fits: int, whole: tuple[Path, TuneResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = PROGRAM.format(tests=str(Path(__file__).parent), fits=fits, folder=str(tmp_path / "killed"))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "stuck\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    journal = tmp_path / "killed" / "journal.log"
    with journal.open("ab") as handle:
        handle.write(b'{"op_code":6,"worker')  # half a line, as a kill in the middle of writing leaves it

    trained, fit = [], i2v.Item2Vec.fit

    def counted(self: i2v.Item2Vec, *given: object, **named: object) -> i2v.Item2Vec:
        trained.append(self.alpha)
        return fit(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(i2v.Item2Vec, "fit", counted)
    again = search(tmp_path / "killed", 6)
    assert values(again) == values(whole[1])  # what was done is kept, one redone, the rest new
    assert again.settings == whole[1].settings
    assert again.gain == whole[1].gain
    assert trained == [one[2] for one in values(whole[1])[fits - 1 :]]


def test_a_finished_study_is_only_ranked_again_and_may_go_on(
    whole: tuple[Path, TuneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = whole
    with monkeypatch.context() as patch:
        patch.setattr(i2v.Item2Vec, "fit", lambda *_, **__: pytest.fail("it trained"))
        again = search(folder, 6)
    assert values(again) == values(before)
    assert again.settings == before.settings
    assert again.cpu_seconds > 0


def test_a_longer_search_keeps_what_is_done(whole: tuple[Path, TuneResult], tmp_path: Path) -> None:
    short = search(tmp_path / "short", 3)
    longer = search(tmp_path / "short", 6)
    assert values(longer)[:3] == values(short)
    assert values(longer) == values(whole[1])


OTHER = {
    "other settings": {"base": {**BASE, "negative": 7}},
    "other space": {"space": {**SPACE, "negative": [5, 9]}},
    "metric, k, samples": {"config": CONFIG.model_copy(update={"k": 2})},
}


@pytest.mark.parametrize("what", OTHER)
def test_another_search_is_refused(what: str, whole: tuple[Path, TuneResult]) -> None:
    with pytest.raises(UsageError, match=rf"another search: .*{what}.* Delete the folder"):
        search(whole[0], 6, **OTHER[what])


def test_other_sessions_are_refused(whole: tuple[Path, TuneResult]) -> None:
    same = {"base": BASE, "space": SPACE, "config": CONFIG, "n_trials": 6, "study_path": whole[0]}
    with pytest.raises(UsageError, match=r"other training sessions\."):
        i2v.tune(walks(201, 1), walks(80, 2), **same)
    with pytest.raises(UsageError, match=r"other validation sessions\."):
        i2v.tune(walks(200, 1), walks(81, 2), **same)


def test_the_number_of_threads_is_no_other_search(whole: tuple[Path, TuneResult]) -> None:
    assert values(search(whole[0], 6, base={**BASE, "workers": 2})) == values(whole[1])


def test_one_process_at_a_time(whole: tuple[Path, TuneResult]) -> None:
    handle = os.open(whole[0] / ".lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(LockedRunError, match="another process tunes"):
            search(whole[0], 6)
    finally:
        os.close(handle)


def test_damage_is_told(whole: tuple[Path, TuneResult], tmp_path: Path) -> None:
    import shutil

    for name in ("journal.log", "search.json"):
        shutil.copytree(whole[0], tmp_path / name)
        (tmp_path / name / name).write_bytes(b"\x00 no JSON\n" * 3)
        with pytest.raises(CorruptArtifactError, match=rf"{name} cannot be read.*to start over"):
            search(tmp_path / name, 6)


def test_lost_vectors_are_trained_again(whole: tuple[Path, TuneResult], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(whole[0], tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "vectors")
    assert search(tmp_path / "copy", 6).gain == whole[1].gain


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(UsageError, match="holds no study"):
        search(tmp_path, 1)
    with pytest.raises(UsageError, match="holds no study"):
        search(tmp_path / "precious.txt", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_only_the_vectors_of_the_best_are_kept(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"finalists": 1})
    near = {"alpha": {"low": 0.09, "high": 0.2}}
    result = search(tmp_path / "study", 6, config=config, space=near)
    complete = [one for one in result.trials if one.state == "complete"]
    best = max(complete, key=lambda one: (one.value or 0.0, -one.number))
    assert len(complete) > 2
    assert {int(path.name) for path in (tmp_path / "study" / "vectors").iterdir()} == {0, best.number}


def test_a_trial_that_the_budget_stopped_is_redone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from item2vec.tuning import training

    train_watched = training.train_watched

    def out_of_time(settings: object, train: object, watched: training.Watched) -> object:
        if watched.trial is not None and watched.trial.number == 2:
            watched.deadline, watched.may_prune = time.monotonic(), False
        return train_watched(settings, train, watched)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("item2vec.tuning.search.train_watched", out_of_time)
        stopped = search(tmp_path / "study", 6, budget_seconds=1000.0)
    assert len(stopped.trials) == 2
    assert "budget" in stopped.stopped
    spent = sum(one.seconds for one in stopped.trials)
    assert search(tmp_path / "study", 6, budget_seconds=spent).trials == stopped.trials  # used up stays so
    assert values(search(tmp_path / "study", 6, budget_seconds=1000.0))[:2] == values(stopped)
