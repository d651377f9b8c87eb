"""What would hold up the event loop is done beside it: a few at once, some wait, the others come again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from item2vec.serving.problems import busy

T = TypeVar("T")


class Threads:
    """Threads with a bound on what waits for them.

    Parameters
    ----------
    name : str
    at_once : int
        Threads.
    most : int
        Calls at work or waiting; more get 503.
    refusal : str
        What those are told.
    """

    def __init__(self, name: str, at_once: int, most: int, refusal: str) -> None:
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix=f"item2vec-{name}")
        self._places, self._refusal = threading.BoundedSemaphore(most), refusal

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what a function returns, or raise what it raises.

        Raises
        ------
        Problem
            503 where too many wait.
        """
        if not self._places.acquire(blocking=False):
            raise busy(self._refusal)
        future = self._pool.submit(function, *arguments)
        # A call goes on where who asked has gone: only its end makes room for another.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for what is at work."""
        self._pool.shutdown()
