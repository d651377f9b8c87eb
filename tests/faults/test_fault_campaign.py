"""Every write, fsync, rename, … of a run fails or kills it: readers see the old release or the new one.

After each trial the same command is run again and must end with the bytes of an undisturbed run, nothing left
over. The counts are printed whether or not output is captured.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import item2vec as i2v
from item2vec.run import RUN_STAGES

PHASES = ("start", *RUN_STAGES, "publish")
MODES = ("EIO", "ENOSPC", "kill before")
KINDS = {"open", "write", "fsync", "rename", "link", "mkdir", "unlink", "truncate"}
Campaign = Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]


def table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Count pairs as a table for people."""
    counts = Counter(rows)
    heads = sorted({column for _, column in counts})
    names = dict.fromkeys(name for name, _ in counts)
    lines = [f"{name:<18}" + "".join(f"{counts[name, head]:>15,}" for head in heads) for name in names]
    return "\n".join([f"{title:<18}" + "".join(f"{head:>15}" for head in heads), *lines, ""])


def outcome(trial: dict[str, Any]) -> str:
    """Say how the command ended and which release readers saw."""
    ended = {0: "finished", 4: "refused"}.get(trial["code"], "killed")
    return f"{ended}, {trial.get('reader', 'nothing')}"


def report(trials: list[dict[str, Any]], calls: dict[str, Any]) -> str:
    """Write the counts of a campaign."""
    return "\n".join(
        [
            f"\n{len(trials):,} trials; {sum(trial.get('rerun', False) for trial in trials):,} distinct"
            " states were run to their end again",
            table("by phase", ((trial["phase"], trial["mode"]) for trial in trials)),
            table("by call", ((trial["kind"], trial["mode"]) for trial in trials)),
            table("by outcome", ((outcome(trial), trial["mode"]) for trial in trials)),
            table(
                "calls by caller",
                ((library.split(".")[0][:17], kind) for kind, library, _ in calls["callers"]),
            ),
            table(
                "writes by file", ((end[-17:], kind) for kind, _, end in calls["callers"] if kind == "write")
            ),
        ]
    )


def check(trials: list[dict[str, Any]], calls: dict[str, Any]) -> None:
    """Assert what every campaign promises."""
    wrong = [trial for trial in trials if trial["problems"]]
    assert not wrong, f"{len(wrong)} of {len(trials)} trials: {wrong[:3]}"
    assert calls["unseen"] == []  # every file of a run was seen being written
    hit = {(trial["phase"], trial["mode"]) for trial in trials if trial["kind"] != "none"}
    assert {(phase, mode) for phase in PHASES for mode in MODES} <= hit
    assert {trial["kind"] for trial in trials} >= KINDS
    assert {trial["reader"] for trial in trials} == {"old", "new"}


@pytest.mark.long
def test_a_fault_of_every_kind_in_every_stage(
    run_campaign: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, calls = run_campaign(modes=MODES, picks=1, kills=1)
    with capsys.disabled():
        sys.stdout.write(report(trials, calls))
    check(trials, calls)


@pytest.mark.long
def test_every_call_fails_once_in_every_way(
    run_campaign: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, calls = run_campaign(modes=MODES, picks=None, kills=10)
    with capsys.disabled():
        sys.stdout.write(report(trials, calls))
    check(trials, calls)
    planned = len(calls["callers"]) * len(MODES)
    assert sum(trial["kind"] not in {"none", "time"} for trial in trials) >= 0.98 * planned
    killed = Counter(trial["phase"] for trial in trials if trial["kind"] == "time" and trial["code"])
    assert set(RUN_STAGES) <= set(killed), killed  # kill -9 at a random time met every stage


LOCKED = """
[run]
name = "tiny"
[simulate]
n_users = 120
n_listings = 40
n_markets = 2
days = 20
[train]
vector_size = 8
epochs = 1
workers = 1
[evaluate]
n_bootstrap = 100
embedding_map = "pca"
"""


def test_a_second_writer_is_refused_at_once_and_the_first_one_finishes(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(LOCKED)
    program = "import sys; from item2vec.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "run", str(tmp_path / "tiny.toml"), "--runs-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        lock = tmp_path / "tiny" / ".lock"
        while not (lock.exists() and lock.stat().st_size):  # the first one wrote its number after it locked
            assert first.poll() is None
            time.sleep(0.001)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        running = first.poll() is None
        told = first.communicate()
    assert running, "the first writer ended too early for the test to say anything"
    assert second.returncode == 4
    assert f"being written by another process (pid {first.pid})" in second.stderr
    assert "Traceback" not in second.stderr
    assert first.returncode == 0, told
    assert len(i2v.load(tmp_path / "tiny").vocabulary) > 0
    handle = os.open(lock, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is free again
    os.close(handle)
