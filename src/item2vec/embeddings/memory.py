"""How much memory a training takes and how much there is, asked before it starts."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from item2vec.errors import TrainingError

_log = logging.getLogger(__name__)

_V1, _V2 = ("memory.limit_in_bytes", "memory.usage_in_bytes"), ("memory.max", "memory.current")


@dataclass(frozen=True)
class MemoryNeed:
    """What a training allocates on top of its sessions, in bytes.

    Attributes
    ----------
    what : str
        The training in words.
    tables : int
        The two tables that are trained, their rows padded to cache lines.
    copies : int
        The most copies of them at one time: where they start, the last finished epoch and the one before, the
        best epoch with `validate`, and what becomes a checkpoint's file.
    threads : int
        Every thread's block of windows and working memory.
    order : int
        The shuffled order of the sessions.
    """

    what: str
    tables: int
    copies: int
    threads: int
    order: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.tables + self.copies + self.threads + self.order


def check_memory(need: MemoryNeed, available: int | None = None) -> None:
    """Log what training needs, and refuse where there is less.

    Parameters
    ----------
    need : MemoryNeed
    available : int, optional
        Bytes; by default :func:`available_memory`.

    Raises
    ------
    TrainingError
        If it does not fit, with the figures.
    """
    free = available_memory() if available is None else available
    parts = (
        f"training {need.what} takes about {_size(need.total)} beside the sessions:"
        f" {_size(need.tables)} for the tables, {_size(need.copies)} for copies of them (start, finished"
        f" epochs, checkpoint), {_size(need.threads)} for the threads, {_size(need.order)} for the order of"
        " the sessions"
    )
    _log.info("%s; %s", parts, "available: unknown" if free is None else f"{_size(free)} are available")
    if free is not None and need.total > free:
        raise TrainingError(
            f"{parts}; only {_size(free)} are available. Lower vector_size, raise min_count, take fewer"
            " workers, or leave out validate or checkpoint_dir"
        )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


def available_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes this process can still take, or None where the system does not tell.

    The least of what the machine has (``MemAvailable``), what each control group above the process leaves
    (version 1 or 2; cached files count as free, since they give way) and the process's own limit.

    Parameters
    ----------
    proc, groups : Path
        Where Linux tells it.
    """
    found = [*_machine(proc), *_control_groups(proc, groups), *_own_limit(proc)]
    return max(min(found), 0) if found else None


def _machine(proc: Path) -> list[int]:
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            return [int(line.split()[1]) * 1024]
    if not proc.exists() and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):  # no Linux: all there is
        return [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return []


def _control_groups(proc: Path, groups: Path) -> list[int]:
    """What is left in each group from the process's own up to the root of the mount."""
    found = []
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            roots, names = (groups, groups / "unified"), _V2
        elif "memory" in controllers.split(","):
            roots, names = (groups / "memory", groups / controllers), _V1
        else:
            continue
        for root in roots:
            parts = Path(path.strip("/")).parts
            for depth in range(len(parts) + 1):
                found += _left_in(root.joinpath(*parts[:depth]), *names)
    return found


def _left_in(group: Path, limit: str, usage: str) -> list[int]:
    most, used = ("".join(_lines(group / name)) for name in (limit, usage))
    if not (most.isdigit() and used.isdigit()):  # "max", or no such group
        return []
    figures = dict(line.rsplit(" ", 1) for line in _lines(group / "memory.stat") if " " in line)
    prefix = "total_" if "total_cache" in figures else ""
    cached = sum(int(figures.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
    return [int(most) - int(used) + cached]


def _own_limit(proc: Path) -> list[int]:
    if sys.platform == "win32":
        return []
    import resource

    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    taken = [line.split()[1] for line in _lines(proc / "self" / "status") if line.startswith("VmSize:")]
    return [] if most == resource.RLIM_INFINITY or not taken else [most - int(taken[0]) * 1024]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
