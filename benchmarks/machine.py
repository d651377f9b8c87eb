"""What a figure was measured on, and how a table of figures is printed."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from pathlib import Path


def describe() -> str:
    """Name the processor, its cores, the memory, the load and the date, without which no figure counts."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    warning = "  (NOT QUIET: read ratios, not absolutes)" if load > 0.5 else ""
    return (
        f"{datetime.date.today()} · {cpu}, {os.cpu_count()} cores, {memory:.0f} GiB · Python"
        f" {platform.python_version()} · load {load:.1f}{warning}"
    )


def peak_memory_gb() -> float:
    """Return this process's peak resident memory in GB (10⁹ bytes).

    Not ``ru_maxrss``: Linux hands a new process its parent's peak.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay rows out as a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
