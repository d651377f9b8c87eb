"""Every outcome of the bad-input table is made by code that can be named: without it, the case fails."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bad_input.table import sections

from patched_package import Edits, copied_package, patched, unpatchable

HERE = Path(__file__).parent
Run = tuple[str, str, str]


def guarded_runs() -> dict[Edits, list[Run]]:
    """The runs of all cases (module, case, format) by the guard that they share."""
    runs: dict[Edits, list[Run]] = {}
    for module in sections():
        for case in module.CASES:
            for kind in case.formats:
                runs.setdefault(case.guard_of(kind).edits, []).append((module.__name__, case.name, kind))
    return runs


def test_every_guard_is_a_text_that_stands_once_in_the_package() -> None:
    assert not unpatchable(guarded_runs())


def failing(edits: Edits, runs: list[Run], copy: Path) -> list[Run]:
    """Take the guard out of the copy, run its cases, put it back, and return the runs that failed."""
    with patched(copy, edits):
        done = subprocess.run(
            [sys.executable, str(HERE / "bad_input" / "guarded.py")],
            input=json.dumps([str(copy), runs]),
            env=os.environ | {"PYTHONPATH": f"{copy}:{HERE}", "PYTHONDONTWRITEBYTECODE": "1"},
            text=True,
            capture_output=True,
            timeout=600,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    return [tuple(run) for run in json.loads(done.stdout)]


@pytest.mark.long
def test_every_case_fails_without_its_guard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = guarded_runs()
    copies = [copied_package(tmp_path / f"copy{n}") for n in range(2)]

    def share(n: int) -> Iterator[Run]:
        for edits, runs in itertools.islice(work.items(), n, None, len(copies)):
            killed = failing(edits, runs, copies[n])
            yield from (run for run in runs if run not in killed)

    with ThreadPoolExecutor(len(copies)) as pool:
        survivors = [run for part in pool.map(lambda n: list(share(n)), range(len(copies))) for run in part]
    total = sum(map(len, work.values()))
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(work)} guards taken out: {total - len(survivors)} of {total} bad-input cases failed\n"
        )
    assert not survivors, survivors
