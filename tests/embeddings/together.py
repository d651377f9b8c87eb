"""Workers as threads of this process: the referee of those that torch.distributed connects."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


class Member:
    """One of `size` workers; its sums are added in the order of the ranks."""

    def __init__(self, rank: int, arrays: list[np.ndarray], barrier: threading.Barrier) -> None:
        self.rank, self.size = rank, len(arrays)
        self._arrays, self._barrier = arrays, barrier
        self.sent = 0  # numbers

    def any(self, flags: Any) -> None:
        flags = np.asarray(flags)
        assert flags.dtype == np.uint8
        self.sum(flags)
        np.minimum(flags, 1, out=flags)

    def sum(self, array: Any) -> None:
        array = np.asarray(array)  # a tensor's memory
        self.sent += array.size
        self._arrays[self.rank] = array.copy()
        self._barrier.wait(60)
        total = self._arrays[0].copy()
        for other in self._arrays[1:]:
            total += other
        self._barrier.wait(60)  # nobody puts the next array there before all have added
        array[...] = total


def together(size: int, work: Callable[[Member], Any]) -> list[Any]:
    """Run `work` as each of `size` workers at once; return what they return, in the order of the ranks."""
    barrier, arrays = threading.Barrier(size), [np.zeros(0)] * size
    members = [Member(rank, arrays, barrier) for rank in range(size)]

    def guarded(member: Member) -> Any:
        try:
            return work(member)
        except BaseException:
            barrier.abort()  # the others would wait for it
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(guarded, member) for member in members]
    errors = [future.exception() for future in futures if future.exception() is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error  # the reason first, not those who waited in vain
    return [future.result() for future in futures]
