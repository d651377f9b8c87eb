"""Histories behind one writer: a bounded queue, one commit for all that waits, reads in threads."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from item2vec.errors import CorruptArtifactError, Item2VecError, RunError
from item2vec.recommendations import UserEvent, open_history_store
from item2vec.serving.problems import busy
from item2vec.serving.threads import Threads

CAPACITY = 2000
"""Requests that may wait for the writer; more get 503."""
AT_ONCE = 256
"""Requests of one commit."""
READERS = 4
READS = 64
"""Histories that may be asked for at once; more get 503: a store that hangs is to hold up no other route."""


class _Job(NamedTuple):
    user_id: str
    events: list[UserEvent] | None  # None: forget the user
    done: Callable[[Any, BaseException | None], None]


class HistoryDesk:
    """Adds events, in batches, and reads histories without holding up the event loop.

    Parameters
    ----------
    url : str
        As :func:`open_history_store` takes it.
    id_type : {"string", "int64"}
    """

    def __init__(self, url: str, id_type: str) -> None:
        self._store = open_history_store(url, id_type=id_type)
        self._jobs: queue.Queue[_Job | None] = queue.Queue(CAPACITY)
        refusal = "Too many histories are being read; try again."
        self._readers = Threads("history", READERS, READS, refusal)
        self._writer = threading.Thread(target=self._write, name="item2vec-history-writer", daemon=True)
        self._writer.start()

    @property
    def waiting(self) -> int:
        """Requests that wait for the writer."""
        return self._jobs.qsize()

    async def add(self, user_id: str, events: list[UserEvent]) -> None:
        """Store a user's events; they are committed when this returns.

        Raises
        ------
        Problem
            503 where too many wait.
        Item2VecError
            If the store refuses.
        """
        await self._asked(user_id, events)

    async def forget(self, user_id: str) -> int:
        """Delete all that is known of a user, what waits to be written too; return the number of events."""
        return int(await self._asked(user_id, None))

    async def history(self, user_id: str) -> list[UserEvent]:
        """Return a user's events, the oldest first.

        Raises
        ------
        Problem
            503 where too many are asked for.
        Item2VecError
            If the store refuses.
        """
        return await self._readers.run(self._store.history, user_id)

    async def _asked(self, user_id: str, events: list[UserEvent] | None) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if future.done():  # who asked has gone
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def done(result: Any, error: BaseException | None) -> None:
            loop.call_soon_threadsafe(settle, result, error)

        try:
            self._jobs.put_nowait(_Job(user_id, events, done))
        except queue.Full:
            raise busy("Too many events wait to be written; try again.") from None
        return await future

    def _write(self) -> None:
        """Take what waits and commit it at once; a user is forgotten between two commits."""
        while True:
            batch: list[_Job] = []
            for job in self._waiting_jobs():
                if job is not None and job.events is not None:
                    batch.append(job)
                    continue
                self._commit(batch)
                if job is None:
                    return
                self._forget(job)
                batch = []
            self._commit(batch)

    def _waiting_jobs(self) -> list[_Job | None]:
        """Wait for a job, and take those behind it along."""
        jobs = [self._jobs.get()]
        while len(jobs) < AT_ONCE and jobs[-1] is not None:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _commit(self, batch: list[_Job]) -> None:
        if not batch:
            return
        try:
            self._store.add(_by_user(batch))
        except BaseException as error:
            # What is wrong with one of them is not to harm the others; a store that does not answer is not
            # to be waited for once for each.
            if isinstance(error, Item2VecError) and not _of_the_store(error):
                for job in batch:
                    self._commit_one(job)
            else:
                for job in batch:
                    _tell(job, None, error)
        else:
            for job in batch:
                _tell(job, None, None)

    def _commit_one(self, job: _Job) -> None:
        try:
            self._store.add(_by_user([job]))
        except BaseException as error:
            _tell(job, None, error)
        else:
            _tell(job, None, None)

    def _forget(self, job: _Job) -> None:
        try:
            n_events = self._store.forget(job.user_id)
        except BaseException as error:
            _tell(job, None, error)
        else:
            _tell(job, n_events, None)

    def close(self) -> None:
        """Write what waits, then close the store."""
        self._jobs.put(None)
        self._writer.join()
        self._readers.close()
        self._store.close()


def _of_the_store(error: Item2VecError) -> bool:
    """Tell a store that does not answer from a request, or a user's key, that is not as it should be."""
    return isinstance(error, RunError) and not isinstance(error, CorruptArtifactError)


def _by_user(batch: list[_Job]) -> dict[str, list[UserEvent]]:
    found: dict[str, list[UserEvent]] = {}
    for job in batch:
        found.setdefault(job.user_id, []).extend(job.events or ())
    return found


def _tell(job: _Job, result: Any, error: BaseException | None) -> None:
    try:
        job.done(result, error)
    except RuntimeError:  # the event loop has ended meanwhile
        pass
