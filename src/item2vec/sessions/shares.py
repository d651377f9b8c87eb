"""Sessions dealt out to workers: each session to one of them, about as many clicks to each.

A worker reads days from the whole of the period and no others: what it learns alone must hold for all of it
until it meets the others, and runs of neighbouring days are not like one another.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from item2vec.sessions.artifact import in_order_of_ids
from item2vec.sessions.container import Sessions
from item2vec.sessions.parts import Choose, SessionsArtifact

DAYS_PER_WORKER = 2  # where there are fewer, each worker reads all days and keeps its share of every one


def share(sessions: Sessions, rank: int, size: int) -> Sessions:
    """Return every `size`-th session from number `rank` on, over the same items.

    All shares together are all sessions, each once; one may be empty where there are few.
    """
    return sessions if size == 1 else sessions.take(np.arange(rank, len(sessions), size))


def load_share(path: Path, rank: int, size: int) -> Sessions:
    """Read the sessions of worker `rank` of `size` to train on, in the order of their ids.

    Users, times and attributes are left out. Days are dealt out in rounds, each of which begins with another
    worker (seven workers would have a day of the week each), then cut so that each has equally many clicks:
    who has a large day has fewer others. Two workers that share a day both read it; where there are not two
    days for each worker, all read all days, and each keeps every n-th session.

    Parameters
    ----------
    path : Path
        The artifact's folder; see :func:`item2vec.sessions.artifact.load_sessions`.
    rank, size : int

    Raises
    ------
    CorruptArtifactError
        If a file that it needs is missing or damaged, or the parts do not fit together.
    """
    artifact = SessionsArtifact(path)
    n_days = len(artifact.folders)
    if n_days < DAYS_PER_WORKER * size:
        days, choose = list(range(n_days)), _in_turn(rank, size)
    else:
        days, choose = _days(np.array(artifact.clicks_per_part()), rank, size)
    return in_order_of_ids(artifact.read_lean(days, choose))


def _in_turn(rank: int, size: int) -> Choose:
    def choose(day: int, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        chosen: npt.NDArray[np.bool_] = (np.arange(len(starts)) + day) % size == rank
        return chosen

    return choose


def _days(clicks: npt.NDArray[np.int64], rank: int, size: int) -> tuple[list[int], Choose]:
    """Return the worker's days, and which sessions of them start in its run of all clicks."""
    days = np.arange(len(clicks))
    dealt = np.argsort((days + days // size) % size, kind="stable")
    ends = np.cumsum(clicks[dealt])
    n_clicks = int(ends[-1])
    low, high = n_clicks * rank // size, n_clicks * (rank + 1) // size
    first = dict(zip(dealt.tolist(), (ends - clicks[dealt]).tolist(), strict=True))

    def choose(day: int, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        place = first[day] + starts
        chosen: npt.NDArray[np.bool_] = (place >= low) & (place < high)
        return chosen

    return [day for day in sorted(first) if first[day] < high and first[day] + clicks[day] > low], choose
