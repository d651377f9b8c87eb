"""What a server answers from: one release or two, swapped in one assignment; histories; the served log."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from threadpoolctl import threadpool_limits

from item2vec.artifacts import read_release
from item2vec.errors import Item2VecError, RunError
from item2vec.serving.history import HistoryDesk
from item2vec.serving.inventory import Inventory
from item2vec.serving.lookups import Lookups
from item2vec.serving.probe import ROUNDS, probe
from item2vec.serving.served_log import ServedLog
from item2vec.serving.settings import check_split
from item2vec.serving.threads import Threads

if TYPE_CHECKING:
    from item2vec.artifacts import Release
    from item2vec.recommendations import Recommender
    from item2vec.serving.settings import ServeSettings

_LOG = logging.getLogger(__name__)
Opener = Callable[["Release"], "Recommender"]
Notify = Callable[[str, dict[str, Any]], None]
WAITING = 64
"""Batches, and live changes, at work or waiting."""
RETRY_SECONDS = 60.0
"""After which a release that was refused is tried again: its files may have been mended."""


class Serving(NamedTuple):
    """The releases that answer at one moment."""

    a: Lookups
    b: Lookups | None = None
    share: float = 0.0

    def of(self, user_id: str | None) -> Lookups:
        """Return the release of a user; who gives no name gets the first."""
        if self.b is None or user_id is None or user_place(user_id) >= self.share:
            return self.a
        return self.b

    @property
    def both(self) -> list[Lookups]:
        """All of them."""
        return [self.a] if self.b is None else [self.a, self.b]


def user_place(user_id: str) -> float:
    """Return where a user stands in [0, 1): the same in every process, on every machine, on every day."""
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, person=b"i2v-split").digest()
    return int.from_bytes(digest, "big") / 2**64


class Refused(NamedTuple):
    """A release that is current and is not served."""

    release: str | None
    why: str
    at: float


class Engine:
    """The releases of a run, loaded and kept up to date.

    Parameters
    ----------
    settings : ServeSettings
    open_release : callable (Release) -> Recommender
        Verifies and loads a release: ``item2vec.run.load.load_recommender``.
    """

    def __init__(self, settings: ServeSettings, open_release: Opener) -> None:
        self.settings, self._open = settings, open_release
        self.inventory = Inventory(lambda: self.serving.both, lambda event, facts: self.notify(event, facts))
        self.refused: Refused | None = None
        self.notify: Notify = lambda event, facts: None
        self.batches = Threads("batches", 2, WAITING, "Too many batches are at work; try again.")
        self.changes = Threads("changes", 1, WAITING, "Too many live changes wait; try again.")
        self.history: HistoryDesk
        self.served: ServedLog | None = None
        self.serving: Serving
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._seen: bytes | None = None

    def start(self) -> None:
        """Load what is to be served and begin to look for new releases.

        Raises
        ------
        Item2VecError
            If there is no release, it is damaged, or histories cannot be kept.
        """
        settings = self.settings
        threadpool_limits(1)  # a look-up is too small to be shared, and threads that wait for work spin
        self._seen = self._current()
        first = self._loaded(read_release(settings.run, settings.release), "a", rounds=0)
        second = None
        if settings.split is not None:
            other = read_release(settings.run, settings.split.release)
            check_split(first.release.id, other.id)
            second = self._loaded(other, "b", rounds=0)
            if second.ids.id_type != first.ids.id_type:
                raise RunError("the two releases of the split have item ids of different types")
        share = 0.0 if settings.split is None else settings.split.share
        self.history = HistoryDesk(settings.history_url, first.ids.id_type)
        if settings.served_log is not None:
            self.served = ServedLog(settings.served_log, first.ids.id_type)
        self.serving = Serving(first, second, share)
        if settings.release is None:
            self._watcher = threading.Thread(target=self._watch, name="item2vec-releases", daemon=True)
            self._watcher.start()

    def stop(self) -> None:
        """Write what is still to be written."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        self.changes.close()
        self.batches.close()
        self.history.close()
        if self.served is not None:
            self.served.close()

    def _loaded(self, release: Release, variant: str, rounds: int = ROUNDS) -> Lookups:
        rec = self._open(release)
        probe(rec, rounds)
        lookups = Lookups(release, rec, variant)
        lookups.warm()
        pa.default_memory_pool().release_unused()  # what reading the files took
        return lookups

    def _current(self) -> bytes | None:
        try:
            return (self.settings.run / "CURRENT").read_bytes()
        except OSError:
            return None

    def _watch(self) -> None:
        while not self._stopping.wait(self.settings.poll_seconds):
            seen = self._current()
            again = self.refused is not None and time.time() - self.refused.at > RETRY_SECONDS
            if seen != self._seen or again:
                self._seen = seen
                self.reload()

    def reload(self) -> None:
        """Serve the current release if it is another one and whole; else go on with the one there is."""
        started, release_id = time.perf_counter(), None
        try:
            release = read_release(self.settings.run)
            release_id = release.id
            if release.id == self.serving.a.release.id:
                self.refused = None
                return
            lookups = self._loaded(release, "a")
            if lookups.ids.id_type != self.serving.a.ids.id_type:
                raise RunError("its item ids are of another type than those served; start the server again")
            with self.inventory.lock:
                lost = self.inventory.carry_over(lookups)
                before, self.serving = self.serving.a, self.serving._replace(a=lookups)
            before.forget_replies()  # they name their release: with them it would wait for the collector
        except Exception as error:  # whatever it is, what answers now goes on
            why = type(error).__name__ if isinstance(error, Item2VecError | OSError) else "unexpected"
            self.refused = Refused(release_id, why, time.time())
            self.notify("release_refused", {"release": release_id, "why": why, "error": str(error)})
            return
        self.refused = None
        if self.serving.b is not None and self.serving.b.release.id == release.id:
            _LOG.warning("both sides of the split are release %s now: they measure nothing", release.id)
        facts = {"release": release.id, "lost_items": lost, "seconds": time.perf_counter() - started}
        self.notify("release_swapped", facts)
