"""Runs `item2vec run` again and again, each time with one fault, and checks what is left.

A script: ``LD_PRELOAD=shim.so python campaign.py JOB.json``. The process imports everything once, makes a
folder with an older release, and then forks a child per trial that arms the shim and runs the real command.
Trials start where all stages before the faulted one are done: a state that the same command reaches, too.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import hashlib
import json
import logging
import mmap
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import item2vec as i2v
from item2vec.artifacts import RunFolder, StageEvent, open_object, read_release
from item2vec.cli import main
from item2vec.cli.show import StagePrinter
from item2vec.config import RunConfig
from item2vec.run import RUN_STAGES, run_pipeline

COUNT, EIO, ENOSPC, KILL_BEFORE = 1, 2, 3, 4
MODES = {"EIO": EIO, "ENOSPC": ENOSPC, "kill before": KILL_BEFORE}
SETTINGS = """
[run]
name = "tiny"
[simulate]
n_users = 60
n_listings = 30
n_markets = 2
days = {days}
seed = {seed}
[train]
vector_size = 4
epochs = 2
workers = 1
[index]
n_trees = 2
[recommend]
partition_rows = 20
[evaluate]
n_bootstrap = 100
embedding_map = "pca"
"""
# pyarrow's writer of Parquet closes its file once more when it is thrown away, and complains about that, too.
DISCARDED = re.compile(r"Exception ignored in: <function ParquetWriter.*?\nOSError: [^\n]*\n", re.DOTALL)
NOTE = "another world on purpose"
SHIM = ctypes.CDLL(os.environ["LD_PRELOAD"])
PHASE = mmap.mmap(-1, 64)  # shared with the children: what they are at


def set_phase(name: str) -> None:
    """Say what the run is at, for the log of the shim and for the parent."""
    SHIM.shim_phase(name.encode())
    PHASE[:] = name.encode().ljust(64, b"\0")


def phase() -> str:
    """Return what the last child was at."""
    return PHASE[:].rstrip(b"\0").decode()


def follow(printer: StagePrinter, event: StageEvent) -> None:
    """Stand in for the printing of a stage: note where the run is."""
    if event.state == "started":
        set_phase(event.stage)
    elif event.stage == RUN_STAGES[-1]:
        set_phase("publish")


StagePrinter.__call__ = follow  # type: ignore[method-assign]


def tree(folder: Path) -> dict[str, str]:
    """Return everything of a run that lasts: path -> sha256, or what it is if it is no file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == ".lock" or name.split("/")[0] == "tmp":
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            found[name] = "foreign"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def link_tree(source: Path, target: Path) -> None:
    """Copy a run without its lock; files are shared, as no finished file is ever written again."""
    shutil.copytree(source, target, copy_function=os.link, ignore=shutil.ignore_patterns(".lock"))


class Campaign:
    """One folder with an older release and every state on the way to the next."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.states = work / "states"
        self.states.mkdir(parents=True)
        for name, seed in (("old", 1), ("new", 2)):
            (work / f"{name}.toml").write_text(SETTINGS.format(seed=seed, days=4))
        self.known: set[str] = set()
        self.unseen: list[str] = []
        self.callers: list[list[str]] = []
        self._prepare()

    def _prepare(self) -> None:
        run = self.work / "first" / "tiny"
        made = run_pipeline(RunConfig.from_toml(self.work / "old.toml"), run.parent)
        assert made.release is not None
        self.old = made.release.id
        link_tree(run, self.states / "start")
        config = RunConfig.from_toml(self.work / "new.toml")
        for stage in RUN_STAGES:
            run_pipeline(config, run.parent, until=stage)
            link_tree(run, self.states / stage)
        made = run_pipeline(config, run.parent, accept=NOTE)
        assert made.release is not None
        self.new, self.expected = made.release.id, tree(run)
        assert self.new != self.old

    def before(self, at: str) -> Path:
        """Return the state in which everything before a phase is done."""
        order = ("start", *RUN_STAGES)
        if at == "start":
            return self.states / "start"
        return self.states / (RUN_STAGES[-1] if at == "publish" else order[order.index(at) - 1])

    def child(
        self, runs: Path, act: Callable[[], int], stop: tuple[str, float] | None = None
    ) -> tuple[int, float]:
        """Fork, act with a temporary folder of its own, and return its exit code or −signal."""
        (runs / "temp").mkdir(exist_ok=True)
        (runs / "output").touch()
        set_phase("start")
        began = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            os._exit(_shielded(runs, act))
        if stop is not None:
            while phase() != stop[0] and not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                time.sleep(0.0002)
            time.sleep(stop[1])
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), time.perf_counter() - began

    def command(self, runs: Path) -> Callable[[], int]:
        """Return the command of every trial."""
        words = ["run", str(self.work / "new.toml"), "--runs-dir", str(runs), "--accept", NOTE]
        return lambda: _exit_code(words)

    def calls(self) -> list[list[str]]:
        """Return the log of an undisturbed run: number, kind, phase, inode, size, caller, path, path."""
        runs = self.fresh(self.states / "start")
        log = self._log(runs)
        code, _ = self.child(runs, self._armed(runs, COUNT, "", -1, log))
        os.close(log)
        assert code == 0, (runs / "output").read_text()
        assert tree(runs / "tiny") == self.expected
        lines = [line.split("\t") for line in (runs / "log").read_text().splitlines()]
        self.callers = [[line[1], line[5], Path(line[6]).suffix or Path(line[6]).name] for line in lines]
        self.unseen = unseen(runs / "tiny", self.states / "start", {line[3] for line in lines})
        shutil.rmtree(runs)
        return lines

    def fresh(self, state: Path) -> Path:
        """Return a new runs folder in a state."""
        runs = Path(tempfile.mkdtemp(dir=self.work))
        link_tree(state, runs / "tiny")
        return runs

    def _log(self, runs: Path) -> int:
        return os.open(runs / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def _armed(self, runs: Path, mode: int, at: str, number: int, log: int) -> Callable[[], int]:
        roots = f"{runs / 'tiny'}:{runs / 'temp'}".encode()

        def act() -> int:
            SHIM.shim_arm(mode, at.encode(), ctypes.c_long(number), log, roots)
            return self.command(runs)()

        return act

    def fault(self, at: str, number: int, mode: str) -> dict[str, Any]:
        """Let the N-th call of a run fail; return what happened, problems included."""
        runs = self.fresh(self.before(at))
        log = self._log(runs)
        code, _ = self.child(runs, self._armed(runs, MODES[mode], at, number, log))
        os.close(log)
        hit = [line.split("\t") for line in (runs / "log").read_text().splitlines()]
        where = next((line for line in hit if line[0] == str(number) and line[2] == at), None)
        found: dict[str, Any] = {"mode": mode, "number": number, "code": code}
        if where is None:  # the run made fewer calls this time
            found |= {"phase": at, "kind": "none", "path": ""}
        else:
            found |= {"phase": where[2], "kind": where[1], "path": where[6].removeprefix(f"{runs}/")}
        found["problems"] = _told_problems(runs, code, where is not None and mode.startswith("kill"))
        return self._checked(runs, found, cleans=not mode.startswith("kill") and found["kind"] != "unlink")

    def kill(self, at: str, delay: float) -> dict[str, Any]:
        """Kill -9 a run some seconds after a phase began; return what it was at."""
        runs = self.fresh(self.before(at))
        code, _ = self.child(runs, self.command(runs), stop=(at, delay))
        found = {"mode": "kill -9", "number": round(delay, 4), "code": code, "phase": phase(), "kind": "time"}
        found["problems"] = _told_problems(runs, code, code == -signal.SIGKILL)
        return self._checked(runs, found, cleans=False)

    def windows(self) -> dict[str, tuple[float, float]]:
        """Measure when each phase of an undisturbed run begins and ends."""
        runs = self.fresh(self.states / "start")
        (runs / "temp").mkdir()
        began = time.perf_counter()
        set_phase("start")
        seen: dict[str, list[float]] = {}
        pid = os.fork()
        if pid == 0:
            os._exit(_shielded(runs, self.command(runs)))
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            seen.setdefault(phase(), []).append(time.perf_counter() - began)
            time.sleep(0.0005)
        shutil.rmtree(runs)
        return {name: (times[0], times[-1]) for name, times in seen.items()}

    def _checked(self, runs: Path, found: dict[str, Any], *, cleans: bool) -> dict[str, Any]:
        answer = runs / "answer.json"
        code, seconds = self.child(runs, lambda: self._check(runs, cleans, found["code"] == 0, answer))
        if code:
            found["problems"].append(f"the check ended with {code}: {(runs / 'output').read_text()[-2000:]}")
        else:
            found |= {"problems": found["problems"] + (told := json.loads(answer.read_text()))["problems"]}
            found |= {"reader": told["reader"], "state": told["state"], "rerun": told["rerun"]}
            self.known.add(told["state"])
        found["seconds"] = round(seconds, 3)
        if not found["problems"]:
            shutil.rmtree(runs)
        return found

    def _check(self, runs: Path, cleans: bool, finished: bool, answer: Path) -> int:
        """Read as a reader does, then run the same command again and compare with an undisturbed run.

        From a state that was checked before, byte for byte, only the removal of ``tmp/`` is checked again.
        """
        run, problems = runs / "tiny", []
        release = read_release(run)
        reader = {self.old: "old", self.new: "new"}.get(release.id, "foreign")
        for stage in release.stages:
            release.open(stage)
        i2v.load(run)
        for path in run.glob("objects/*/*"):
            open_object(path)
        if cleans:  # what checkpoints hold is kept on purpose
            problems += [f"left over: {name}" for name in leftovers(runs) if "/checkpoints/" not in name]
        if finished and reader != "new":
            problems.append(f"the run finished and readers see the {reader} release")
        lasting = tree(run)
        state = hashlib.sha256(json.dumps(lasting).encode()).hexdigest()
        rerun = state not in self.known
        if rerun:
            code = self.command(runs)()
            if code or tree(run) != self.expected:
                problems.append(f"the second run ended with {code}: {difference(self.expected, tree(run))}")
        else:
            with RunFolder(run).lock():
                pass
        kept = "nothing" if rerun else "/checkpoints/"
        problems += [f"left over for good: {name}" for name in leftovers(runs) if kept not in name]
        answer.write_text(
            json.dumps({"problems": problems, "reader": reader, "state": state, "rerun": rerun})
        )
        return 0


def leftovers(runs: Path) -> list[str]:
    """List what a run should have cleaned."""
    run = runs / "tiny"
    found = [*runs.glob("temp/*"), *run.glob("tmp"), *run.glob("tmp/*"), *run.glob("**/.*")]
    return [str(path.relative_to(runs)) for path in found if path.name != ".lock"]


def unseen(run: Path, before: Path, seen: set[str]) -> list[str]:
    """List the files that a run made without any call that the shim saw."""
    old = {path.stat().st_ino for path in before.rglob("*")}
    made = [path for path in run.rglob("*") if path.is_file() and path.stat().st_ino not in old]
    return [str(path.relative_to(run)) for path in made if str(path.stat().st_ino) not in seen]


def difference(wanted: dict[str, str], found: dict[str, str]) -> str:
    """Name the first few paths that differ."""
    return ", ".join(sorted(name for name, _ in set(wanted.items()) ^ set(found.items()))[:6]) or "same files"


def _shielded(runs: Path, act: Callable[[], int]) -> int:
    """Act as a process of its own would: own output, own temporary folder, exit handlers."""
    output = os.open(runs / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    logging.root.handlers.clear()
    os.environ["TMPDIR"], tempfile.tempdir = str(runs / "temp"), None
    try:
        code = act()
        atexit._run_exitfuncs()  # weakref.finalize counts on them
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    SHIM.shim_off()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _exit_code(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _told_problems(runs: Path, code: int, killed: bool) -> list[str]:
    """Check how the command ended: killed as ordered, finished, or failed with one plain message."""
    text = DISCARDED.sub("", (runs / "output").read_text(errors="replace"))
    if killed:
        return [] if code == -signal.SIGKILL else [f"not killed but ended with {code}: {text[-1000:]}"]
    if code == 0:
        return []
    plain = "error: " in text and "Traceback" not in text and "this is a bug" not in text
    return [] if code == 4 and plain else [f"ended with {code}: {text[-3000:]}"]


def faults(campaign: Campaign, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the trials of one share: every call in every mode, or some of every phase, kind and mode.

    With `picks`, each phase and kind meets all modes but one, another one from kind to kind.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for number, kind, at, *_ in campaign.calls():
        groups.setdefault((at, kind), []).append(int(number))
    turn = 0
    for group, ((at, _), numbers) in enumerate(groups.items()):
        for shift, mode in enumerate(job["modes"]):
            if job["picks"] is not None and (group + shift) % len(job["modes"]) == 0:
                continue
            for number in spread(numbers, job["picks"], shift):
                turn += 1
                if turn % job["of"] == job["share"]:
                    yield campaign.fault(at, number, mode)


def spread(numbers: list[int], picks: int | None, shift: int) -> list[int]:
    """Choose some numbers evenly, other ones for every shift; all of them without `picks`."""
    if picks is None or picks >= len(numbers):
        return numbers
    return [numbers[(at * len(numbers) // picks + shift * 7) % len(numbers)] for at in range(picks)]


def kills(campaign: Campaign, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield kills at random times, as many in the measured time of each phase; some are late for theirs."""
    windows = campaign.windows()
    draw = random.Random(job["share"])
    for _ in range(job["kills"]):
        for at, (first, last) in windows.items():
            yield campaign.kill(at, draw.uniform(0, last - first))


def work_through(arguments: Sequence[str]) -> None:
    """Do a job and write a line of JSON per trial."""
    job = json.loads(Path(arguments[0]).read_text())
    gc.collect()
    gc.freeze()  # the children copy no page just to count references
    campaign = Campaign(Path(job["work"]))
    with open(job["results"], "w", buffering=1) as results:
        for trials in (faults, kills):
            for found in trials(campaign, job):
                results.write(json.dumps(found) + "\n")
        results.write(json.dumps({"unseen": campaign.unseen, "callers": campaign.callers}) + "\n")


if __name__ == "__main__":
    work_through(sys.argv[1:])
