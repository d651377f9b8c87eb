"""Sessions dealt out to workers: runs of them with about equally many clicks, one per worker.

A session belongs to the worker in whose part of all clicks its first one lies, in the order of the artifact's
days. So a worker reads the days of its run and no others; the two that share a day both read it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from item2vec.sessions.artifact import in_order_of_ids
from item2vec.sessions.container import Sessions
from item2vec.sessions.parts import SessionsArtifact


def share(sessions: Sessions, rank: int, size: int) -> Sessions:
    """Return the sessions of worker `rank` of `size`, over the same items.

    All shares together are all sessions, each once; one may be empty where there are few.
    """
    return _between(sessions, 0, sessions.n_clicks, rank, size)


def load_share(path: Path, rank: int, size: int) -> Sessions:
    """Read what :func:`share` gives of the artifact's sessions in the order of its days, to train on.

    Users and times are left out.

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
    ends = np.cumsum(artifact.clicks_per_part())
    n_clicks = int(ends[-1]) if len(ends) else 0
    low, high = _bounds(n_clicks, rank, size)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    chosen = np.flatnonzero((starts < high) & (ends > low))
    first = int(starts[chosen[0]]) if len(chosen) else 0
    return in_order_of_ids(_between(artifact.read(chosen.tolist(), lean=True), first, n_clicks, rank, size))


def _bounds(n_clicks: int, rank: int, size: int) -> tuple[int, int]:
    return n_clicks * rank // size, n_clicks * (rank + 1) // size


def _between(sessions: Sessions, first: int, n_clicks: int, rank: int, size: int) -> Sessions:
    """Return those of a run of sessions, which starts at click `first` of all, that are the worker's."""
    low, high = _bounds(n_clicks, rank, size)
    starts: npt.NDArray[np.int64] = first + sessions.offsets[:-1]
    mine = (starts >= low) & (starts < high)
    return sessions if mine.all() else sessions.take(mine)
