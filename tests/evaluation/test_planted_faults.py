"""A leak or a wrong metric, planted on purpose in a copy of the package, is caught by tests with a name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from baseline_faults import BASELINES
from describing_faults import DESCRIBING
from leaking_faults import LEAKING
from measuring_faults import MEASURING
from protocol_faults import PROTOCOLS

from faults import Fault
from patched_package import copied_package, unpatchable

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FAULTS = [*LEAKING, *MEASURING, *DESCRIBING, *BASELINES, *PROTOCOLS]


def test_every_fault_is_planted_where_it_says() -> None:
    assert not unpatchable(fault.edits for fault in FAULTS)
    assert len({fault.why for fault in FAULTS}) == len(FAULTS)


def answers(faults: list[Fault], folder: Path) -> list[dict[str, object]]:
    """Run the tests of each fault with it, after all of them without any."""
    copy = copied_package(folder)
    everything = sorted({name for fault in faults for name in fault.node_ids})
    work = [((), everything), *((fault.edits, fault.node_ids) for fault in faults)]
    done = subprocess.run(
        [sys.executable, str(HERE / "fault_runner.py")],
        input=json.dumps([str(copy), work]),
        env=os.environ | {"PYTHONPATH": f"{copy}:{HERE.parent}", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    sound, *found = json.loads(done.stdout)
    assert sound["code"] == 0, f"without a fault: {sound}"
    assert sound["passed"] >= len(everything)
    return found


def survivors(faults: list[Fault], folder: Path) -> list[str]:
    """Say of each fault which of its tests passed all the same."""
    return [
        f"{fault.why}: {', '.join(silent)}"
        for fault, found in zip(faults, answers(faults, folder), strict=True)
        if (silent := sorted({*fault.node_ids} - {*found["failed"]}))
    ]


@pytest.mark.long
def test_every_planted_fault_is_caught(tmp_path: Path) -> None:
    assert not survivors([fault for fault in FAULTS if not fault.slow], tmp_path)


@pytest.mark.long
def test_every_slow_planted_fault_is_caught(tmp_path: Path) -> None:
    assert not survivors([fault for fault in FAULTS if fault.slow], tmp_path)
