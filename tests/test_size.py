"""Size bounds that hold on any machine: peak memory, never a clock. Too long for every commit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from item2vec.marketplace import simulate

pytestmark = pytest.mark.long

PEAK_GB = 1.5
# Not ru_maxrss: Linux hands a new process its parent's peak, here that of the tests before.
PEAK = """
from pathlib import Path
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e9
"""
SESSIONIZE = f"""
import json, sys
import item2vec as i2v
log, out = sys.argv[1:]
events = i2v.read_events(log + "/events", items=log + "/items.parquet", out=out + "/events")
sessions = i2v.sessionize(events, min_dwell_seconds=30, out=out + "/sessions")
{PEAK}
print(json.dumps({{"events": len(events), "sessions": len(sessions), "peak_gb": peak}}))
"""
SIMULATE = f"""
import json, sys
import item2vec as i2v
i2v.simulate(sys.argv[1], n_users=int(sys.argv[2]), n_listings=20_000)
{PEAK}
print(json.dumps({{"peak_gb": peak}}))
"""


def measured(program: str, *arguments: str) -> dict[str, float]:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def test_five_million_events_are_sessionized_within_the_bound(tmp_path: Path) -> None:
    simulate(tmp_path / "log", n_users=32_000, seed=1)
    found = measured(SESSIONIZE, str(tmp_path / "log"), str(tmp_path))
    assert found["events"] >= 5_000_000
    assert found["sessions"] > 50_000
    assert found["peak_gb"] <= PEAK_GB


def test_the_simulator_s_memory_does_not_grow_with_its_users(tmp_path: Path) -> None:
    small, large = (measured(SIMULATE, str(tmp_path / n), n)["peak_gb"] for n in ("20000", "200000"))
    assert large <= small * 1.25
