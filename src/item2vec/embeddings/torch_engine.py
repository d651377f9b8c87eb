"""The torch engine: the same draws and objective as the numba engine's, many windows a step, CPU or CUDA."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from item2vec.embeddings.alias import Noise
from item2vec.embeddings.corpus import expected_clicks, trainable_sessions
from item2vec.embeddings.draws import Corpus, Cursor, WindowSettings, draw_windows
from item2vec.embeddings.numba_engine import (
    INPUTS_PER_NOISE,
    EpochResult,
    compiled,
    cores,
    first_cursor,
    make_plan,
)
from item2vec.embeddings.rejections import EpochRejections, epoch_pairs
from item2vec.embeddings.segments import Segment, cut_order
from item2vec.embeddings.torch_batches import PlanOnDevice, rejected_batches, send
from item2vec.embeddings.torch_steps import Tables, step
from item2vec.embeddings.windows import TERMS, Plan
from item2vec.errors import ConfigError, TrainingError, UsageError

WINDOWS_PER_STEP = {"cpu": 4096, "cuda": 8192}
FEWEST_WINDOWS = 8
"""Of a step. With fewer an epoch only takes longer."""
CLICKS_PER_WINDOW = 128
"""Of a step: steps as large as a small log's epoch are too few to learn what one by one would."""
PROGRESS_SECONDS = 0.2


def open_device(name: str | None) -> torch.device:
    """Return the device of that name, or CUDA where there is one and the CPU where not for None.

    Raises
    ------
    UsageError
        If this machine has no such device.
    """
    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name is None:
        return torch.device("cuda" if n else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= n:
        there = f"it sees cuda:0 to cuda:{n - 1}" if n else "it sees no CUDA device"
        raise UsageError(
            f'device is {name!r}, but torch {torch.__version__} finds none: {there}; set device="cpu", or'
            " None for the best there is"
        )
    return device


def windows_of_a_step(clicks: float, device: torch.device) -> int:
    """Return how many rows of a plan one step takes where an epoch has so many clicks."""
    return min(WINDOWS_PER_STEP[device.type], max(FEWEST_WINDOWS, int(clicks) // CLICKS_PER_WINDOW))


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class TorchEngine:
    """Trains two tables on a device; one object per training.

    The draws do not depend on the device or on `workers`. On the CPU the same seed and `workers` give the
    same bytes; CUDA adds up the changes of a row in no fixed order, so there the last digits differ.

    Parameters
    ----------
    corpus, noise, settings
        What to train on and how windows are shaped.
    inputs, outputs : ndarray of float32, shape (n_items, vector_size)
        The rows to start from.
    workers : int or None
        Threads of torch on the CPU; ``None`` takes every core this process may use.
    seed : int
    device : str or None
        "cpu", "cuda" or "cuda:n"; ``None`` takes CUDA where there is one.
    windows_per_step : int or None
        Rows of a plan, windows or groups of their inputs, whose gradients come from the same tables; ``None``
        takes 4,096 on the CPU and 8,192 on CUDA, but no more than one per 128 clicks of an epoch (at least
        8): every row of a step sees the tables as they were before it.

    Raises
    ------
    UsageError
        If there is no such device.
    ConfigError
        If the settings ask for CBOW.
    """

    def __init__(
        self,
        corpus: Corpus,
        noise: Noise,
        settings: WindowSettings,
        inputs: npt.NDArray[np.float32],
        outputs: npt.NDArray[np.float32],
        *,
        workers: int | None,
        seed: int,
        device: str | None = None,
        windows_per_step: int | None = None,
    ) -> None:
        if settings.cbow:
            raise ConfigError('sg=0 (CBOW) is trained by engine="numba" only; set engine="numba" or sg=1')
        settings = settings._replace(group=INPUTS_PER_NOISE)
        self.corpus, self.noise, self.settings, self.seed = corpus, noise, settings, seed
        self.device = open_device(device)
        self.sessions = trainable_sessions(corpus)
        self.expected_clicks = expected_clicks(corpus, self.sessions)
        self.windows_per_step = windows_per_step or windows_of_a_step(self.clicks_per_epoch, self.device)
        self.workers = workers or cores()
        try:
            self.tables = Tables(send(inputs, self.device), send(outputs, self.device))
        except torch.OutOfMemoryError as e:
            raise TrainingError(
                f"the two tables of {inputs.shape[0]:,} items × {inputs.shape[1]} numbers do not fit on"
                f" {self.device}; lower vector_size or raise min_count"
            ) from e
        self.curvatures = Tables(*(torch.zeros(len(inputs), device=self.device) for _ in range(2)))
        self.item_markets = send(corpus.item_markets, self.device).long()
        self.plan = make_plan(corpus, settings)
        self.draw = compiled(draw_windows, *self._draw_arguments(self.sessions, first_cursor(seed, 0, 0)))

    @property
    def clicks_per_epoch(self) -> float:
        """Expected clicks in an epoch, weights counted."""
        return float(self.expected_clicks.sum())

    def rows(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return copies of the input and the output table, (n_items, vector_size) each."""
        inputs, outputs = (t.cpu().numpy().copy() for t in self.tables)
        return inputs, outputs

    def views(self) -> tuple[Tensor, Tensor]:
        """Return both tables as they are trained, (n_items, vector_size) each, on the device."""
        return self.tables.inputs, self.tables.outputs

    def run_epoch(
        self, epoch: int, rates: tuple[float, float], on_progress: Callable[[float, float], None]
    ) -> EpochResult:
        """Visit every session once, in an order drawn from (seed, epoch), the learning rate falling linearly.

        Parameters
        ----------
        epoch : int
            From 0; together with the seed it decides every draw, so an epoch can be repeated on its own.
        rates : (float, float)
            Learning rate at the epoch's start and end.
        on_progress : callable (clicks so far, loss per pair so far) -> None
            Called in this thread a few times per second.
        """
        return self.run_segment(Segment(epoch), rates, on_progress)

    def run_segment(
        self, segment: Segment, rates: tuple[float, float], on_progress: Callable[[float, float], None]
    ) -> EpochResult:
        """Visit the sessions of one segment of an epoch, as :meth:`run_epoch` does all of them."""
        shuffle = np.random.default_rng([self.seed, segment.epoch]).permutation(len(self.sessions))
        part = cut_order(shuffle, self.expected_clicks, segment.of)[segment.number]
        order, clicks = self.sessions[part], max(float(self.expected_clicks[part].sum()), 1e-9)
        cursor = first_cursor(self.seed, segment.epoch, segment.stream)
        results = torch.zeros(len(TERMS) + 1, dtype=torch.float64, device=self.device)
        pairs = epoch_pairs(self.corpus.rejections, self.seed, segment.epoch, segment.of)
        rejections = EpochRejections(pairs[segment.number], self.train_pairs)
        shown, rate = time.perf_counter(), rates[0]
        with _threads(self.workers):
            while n := self.draw(*self._draw_arguments(order, cursor)):
                done = float(cursor.done[0])
                share = min(done / clicks, 1.0)
                before, rate = rate, rates[0] + (rates[1] - rates[0]) * share
                self.train(self.plan, n, (before, rate), results)
                rejections.advance(share, np.array([before, rate]))
                if time.perf_counter() - shown > PROGRESS_SECONDS:
                    on_progress(done, _loss_per_pair(results, rejections))
                    shown = time.perf_counter()
            rejections.advance(1.0, np.array([rate, rate]))
        on_progress(float(cursor.done[0]), _loss_per_pair(results, rejections))
        *totals, n_pairs = results.tolist()
        losses = dict(zip(TERMS, totals, strict=True)) | {"rejection": float(rejections.losses[0])}
        return EpochResult(losses, n_pairs, int(cursor.dropped[0]))

    def train(self, plan: Plan, n: int, rates: tuple[float, float], results: Tensor) -> None:
        """Train the first `n` windows of a plan, the learning rate falling from rates[0] to rates[1].

        `results` (float64, on the device) gains −log σ summed per term, in the order of ``TERMS``, and the
        number of window pairs.
        """
        windows = PlanOnDevice(plan, n, rates, self.settings.negative, self.item_markets)
        for batch, booked in windows.batches(self.windows_per_step, self.tables.inputs.shape[1]):
            block_losses, pair_losses = step(self.tables, self.curvatures, batch, booked)
            if batch is not None:
                results[0] += block_losses[0][0]
                results[1] += block_losses[0][1:].sum()
                results[4] += (batch.blocks[0].unseen == 0).sum()
            for losses in block_losses[1:]:
                results[3] += losses.sum()
            for loss in pair_losses:
                results[2] += loss

    def train_pairs(
        self, pairs: npt.NDArray[np.int32], rates: npt.NDArray[np.float64], losses: npt.NDArray[np.float64]
    ) -> None:
        """Train rejected pairs, shape (n, 2), the learning rate falling from rates[0] to rates[1].

        `losses` (float64, 1) gains −log σ summed over both directions.
        """
        for batch in rejected_batches(
            pairs, (float(rates[0]), float(rates[1])), self.windows_per_step, self.device
        ):
            _, found = step(self.tables, self.curvatures, None, (batch,))
            losses += float(found[0])

    def _draw_arguments(self, order: npt.NDArray[np.int64], cursor: Cursor) -> tuple[Any, ...]:
        return self.corpus, self.noise, order, self.settings, self.plan, cursor


def _loss_per_pair(results: Tensor, rejections: EpochRejections) -> float:
    *losses, pairs = results.tolist()
    return float((sum(losses) + rejections.losses[0]) / max(pairs, 1.0))
