"""An engine among others: it trains its share of each segment of the epoch, then all exchange their rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.distributed.communicator import Communicator
from item2vec.embeddings.distributed.exchange import HostRows, Rows, exchange
from item2vec.embeddings.numba_engine import EpochResult as Summed
from item2vec.embeddings.segments import Segment
from item2vec.embeddings.training import EpochResult, SegmentEngine

FASTEST = 0.4
"""The highest learning rate that many workers make of a lower one: above it one worker alone may diverge."""
MOST_THREADS = 1 << 16  # per worker: each segment of each worker has so many streams of random numbers


@dataclass
class ExchangeFigures:
    """What a worker's exchanges cost since it started."""

    exchanges: int = 0
    rows: int = 0  # that travelled, of both tables
    training_seconds: float = 0.0
    waiting_seconds: float = 0.0  # for slower workers
    exchange_seconds: float = 0.0


def _rows_of(table: Any) -> Rows:
    if isinstance(table, np.ndarray):
        return HostRows(table)
    from item2vec.embeddings.distributed.device_rows import DeviceRows

    return DeviceRows(table)


class SharedEngine:
    """One worker's engine behind the door of all engines.

    Parameters
    ----------
    engine : SegmentEngine
        Over this worker's share; equal tables on all workers.
    communicator : Communicator
    exchanges_per_epoch : int
    clicks_per_epoch : float
        Expected clicks of all workers' shares.
    alpha : float
        The learning rate that training starts with, of one worker.

    Attributes
    ----------
    speed : float
        How many times that rate each worker learns with: n for n workers, as their mean is one step where one
        worker takes n (the linear scaling rule of Goyal et al., arXiv:1706.02677, §2.1), but not above
        :data:`FASTEST`.
    divisor : float
        What the sum of the workers' changes is divided by: `speed`, but for more than twice as many workers
        half their number. They fall behind one worker then; sums of four times the mean diverged.
    """

    def __init__(
        self,
        engine: SegmentEngine,
        communicator: Communicator,
        exchanges_per_epoch: int,
        clicks_per_epoch: float,
        alpha: float,
    ) -> None:
        self.engine, self.communicator = engine, communicator
        self.exchanges_per_epoch = exchanges_per_epoch
        self.clicks_per_epoch = clicks_per_epoch
        self.speed = max(1.0, min(communicator.size, FASTEST / alpha))
        self.divisor = max(self.speed, communicator.size / 2)
        self.figures = ExchangeFigures()
        self._clicks = 0.0  # of this worker in the segment under way
        self._tables = [_rows_of(view) for view in engine.views()] if communicator.size > 1 else []

    def rows(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return copies of the input and the output table, the same on every worker."""
        return self.engine.rows()

    def run_epoch(
        self, epoch: int, rates: tuple[float, float], on_progress: Callable[[float, float], None]
    ) -> EpochResult:
        """Visit every session of all shares once; the figures are those of all workers.

        The learning rate falls with the clicks that all workers have done, and is `speed` times that of one
        worker.
        """
        n, size = self.exchanges_per_epoch, self.communicator.size
        rates = rates[0] * self.speed, rates[1] * self.speed
        totals, start, done = np.zeros(8), rates[0], 0.0
        for number in range(n):
            last = number + 1 == n
            end = rates[1] if last else rates[0] + (rates[1] - rates[0]) * (number + 1) / n
            stream = (self.communicator.rank * n + number) * MOST_THREADS
            before = done

            def progress(clicks: float, loss: float, before: float = before) -> None:
                self._clicks = clicks
                on_progress(min(before + clicks * size, self.clicks_per_epoch), loss)

            began = time.perf_counter()
            result = self.engine.run_segment(Segment(epoch, number, n, stream), (start, end), progress)
            self.figures.training_seconds += time.perf_counter() - began
            totals += self._meet(result)
            done = float(totals[7])
            start = rates[0] + (rates[1] - rates[0]) * min(done / self.clicks_per_epoch, 1.0)
        losses = dict(zip(result.losses, totals[:5].tolist(), strict=True))
        return Summed(losses, float(totals[5]), int(totals[6]))

    def _meet(self, result: EpochResult) -> npt.NDArray[np.float64]:
        """Exchange what was learned; return sums over the workers: losses, pairs, dropped noise, clicks."""
        began = time.perf_counter()
        sums = np.array([*result.losses.values(), result.pairs, result.dropped_noise, self._clicks])
        self.communicator.sum(sums)
        met = time.perf_counter()
        for rows in self._tables:
            self.figures.rows += exchange(rows, self.communicator, self.divisor)
        self.figures.exchanges += 1
        self.figures.waiting_seconds += met - began
        self.figures.exchange_seconds += time.perf_counter() - met
        return sums
