"""The shim that fails calls, compiled once, and the processes that run campaigns with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SHARES = 2
# One thread each: a process that forks must have no pool of threads that its children would wait for.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NUMBA_THREADING_LAYER": "workqueue",
}


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim; without a C compiler its tests are skipped, saying so."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc) on the path: the fault campaigns need one")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", library, HERE / "shim.c", "-ldl"], check=True)
    return library


@pytest.fixture
def run_campaign(shim: Path, tmp_path: Path) -> Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Run a campaign in a few processes; return its trials, and what its first process saw of the calls."""

    def run(**job: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        environment = {**os.environ, **ENVIRONMENT, "LD_PRELOAD": str(shim)}
        running, trials, calls = [], [], {}
        for share in range(SHARES):
            work = tmp_path / str(share)
            body = {**job, "work": str(work), "results": f"{work}.jsonl", "share": share, "of": SHARES}
            Path(f"{work}.json").write_text(json.dumps(body))
            command = [sys.executable, HERE / "campaign.py", f"{work}.json"]
            running.append(subprocess.Popen(command, env=environment))
        assert [process.wait() for process in running] == [0] * SHARES
        for share in range(SHARES):
            *lines, calls = map(json.loads, Path(f"{tmp_path / str(share)}.jsonl").read_text().splitlines())
            trials += lines
        return trials, calls

    return run
