"""When the index of a release is built anew for what changed live, and what is said of it."""

from __future__ import annotations

import time
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from item2vec.serving.lookups import Lookups

REBUILD_AT = 1000
"""Changes beside an index after which it is built anew, in a thread."""
RETRY_SECONDS = 60.0
"""After a rebuild that failed the next change after so long begins another, or after as many changes."""


@dataclass
class _Attempts:
    """What became of the last rebuild of a release, and the changes since."""

    at_work: bool = False
    failed_at: float | None = None
    changes: int = 0


class Rebuilds:
    """Builds indexes anew where too much lies beside them.

    Parameters
    ----------
    notify : callable (event, facts)
        Told ``index_rebuilt`` and ``rebuild_failed``, in the thread of the rebuild.
    """

    def __init__(self, notify: Callable[[str, dict[str, Any]], None]) -> None:
        self._notify = notify
        self._attempts: weakref.WeakKeyDictionary[Lookups, _Attempts] = weakref.WeakKeyDictionary()

    def after_change(self, lookups: Lookups) -> None:
        """Forget a release's replies; begin a rebuild where it is time for one."""
        lookups.forget_replies()
        attempts = self._attempts.setdefault(lookups, _Attempts())
        attempts.changes += 1
        if lookups.live.n_beside < REBUILD_AT or attempts.at_work or _is_too_soon(attempts):
            return
        attempts.at_work, started = True, time.perf_counter()
        # Weak: a release that is swapped out meanwhile, or later, must not be kept by its index's future.
        of = weakref.ref(lookups)
        done = lookups.live.rebuild()
        done.add_done_callback(lambda done: self._ended(of, attempts, time.perf_counter() - started, done))

    def _ended(
        self, of: weakref.ref[Lookups], attempts: _Attempts, seconds: float, done: Future[None]
    ) -> None:
        error, lookups = done.exception(), of()
        attempts.failed_at, attempts.changes = None if error is None else time.monotonic(), 0
        attempts.at_work = False
        if lookups is None:
            return
        lookups.forget_replies()
        facts: dict[str, Any] = {"release": lookups.release.id, "seconds": seconds}
        if error is not None:
            trail = "".join(traceback.format_exception(error))[-1900:]
            facts |= {"kind": type(error).__name__, "error": str(error)[:300], "traceback": trail}
        self._notify("index_rebuilt" if error is None else "rebuild_failed", facts)


def _is_too_soon(attempts: _Attempts) -> bool:
    """Whether the last rebuild failed just now: another would fail too, and cost as much."""
    if attempts.failed_at is None or attempts.changes >= REBUILD_AT:
        return False
    return time.monotonic() - attempts.failed_at < RETRY_SECONDS
