"""The CPU engine: lock-free threads over token-balanced slices of a shuffled epoch.

The first training with a vector size compiles its kernels (some 10 seconds); they are cached on disk, so that
the next process starts within a second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import typeof, types

from item2vec.embeddings.alias import Noise
from item2vec.embeddings.cbow import train_means
from item2vec.embeddings.corpus import expected_clicks, trainable_sessions
from item2vec.embeddings.draws import NOT_UNDER_WAY, Corpus, Cursor, WindowSettings, draw_windows
from item2vec.embeddings.rejections import EpochRejections, epoch_pairs, train_rejections
from item2vec.embeddings.segments import Segment, cut_order
from item2vec.embeddings.simd import TARGETS, Scratch
from item2vec.embeddings.tables import make_tables, row_stride, take_rows
from item2vec.embeddings.vector_ir import LANES
from item2vec.embeddings.widths import inputs_per_window
from item2vec.embeddings.windows import TERMS, Plan, train_windows

INPUTS_PER_NOISE = 2  # of a window: the more share theirs, the lower Recall; one alone fills half a vector
WINDOWS_AT_ONCE = 8192  # per call of a kernel: its plan stays in the cache, Python's share stays below 2 %


@dataclass(frozen=True)
class EpochResult:
    """What one epoch did; `losses` are sums of −log σ per term."""

    losses: dict[str, float]
    pairs: float
    dropped_noise: int


def compiled(kernel: Any, *arguments: Any, stride: int | None = None) -> Callable[..., Any]:
    """Return a kernel's machine code for these argument types, cached on disk; the stride is a literal."""
    signature = tuple(typeof(a) for a in arguments)
    if stride is not None:
        signature = (types.literal(stride), *signature)
    kernel.compile(signature)
    entry: Callable[..., Any] = kernel.overloads[signature].entry_point
    return entry


def make_plan(corpus: Corpus, settings: WindowSettings) -> Plan:
    """Allocate a block of rows and the longest session's clicks; without groups, as many rows."""
    clicks = max(WINDOWS_AT_ONCE, int(np.diff(corpus.offsets).max(initial=0)))
    n = WINDOWS_AT_ONCE if settings.group else clicks
    return Plan(
        items=np.zeros(clicks, np.int32),
        contexts=np.zeros((n, 2), np.int32),
        noise=np.full((n, settings.negative + settings.market_negative), -1, np.int32),
        markets=np.full(n, -1, np.int32),
        booked=np.zeros((n, 2), np.int64),
        booked_items=corpus.booked_items,
        item_markets=corpus.item_markets,
        centres=np.zeros(n if settings.group else 0, np.int32),
    )


def make_scratch(n_inputs: int, n_noise: int, stride: int) -> Scratch:
    """Allocate one thread's working memory for steps of up to `n_inputs` inputs and a booked click."""
    blocks, room = -(-(1 + n_noise) // TARGETS), n_inputs + 2 + n_inputs % 2
    width = blocks * LANES
    signs = np.zeros(3 * width, np.float32)
    signs[0] = signs[width] = 1
    return Scratch(
        inputs=np.zeros(room, np.int64),
        targets=np.zeros(blocks * TARGETS, np.int64),
        signs=signs,
        sign_rows=np.zeros(room, np.int64),
        gradients=np.zeros(room * width, np.float32),
        deltas=np.zeros((room + 1) * stride, np.float32),
        likelihoods=np.ones(width),
        powers=np.zeros(width, np.int64),
    )


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def first_state(seed: int, epoch: int, worker: int) -> npt.NDArray[np.uint64]:
    """Return where a thread's random numbers start, shape (1,), so that an epoch can be repeated alone."""
    return np.random.SeedSequence([seed, epoch, worker]).generate_state(1, np.uint64).astype(np.uint64)


def first_cursor(seed: int, epoch: int, worker: int) -> Cursor:
    """Return a cursor at the start of a thread's slice of an epoch."""
    return Cursor(
        session=np.zeros(1, np.int64),
        passes=np.full(1, -1, np.int64),
        state=first_state(seed, epoch, worker),
        done=np.zeros(1),
        dropped=np.zeros(1, np.int64),
        under_way=NOT_UNDER_WAY.copy(),
    )


class NumbaEngine:
    """Trains two tables in place of the caller's; one object per training.

    Parameters
    ----------
    corpus, noise, settings
        What to train on and how windows are shaped.
    inputs, outputs : ndarray of float32, shape (n_items, vector_size)
        The rows to start from.
    workers : int or None
        Threads; ``None`` takes every core this process may use. One thread is bit-reproducible.
    seed : int
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
    ) -> None:
        if not settings.cbow:
            settings = settings._replace(group=INPUTS_PER_NOISE)
        self.corpus, self.noise, self.settings, self.seed = corpus, noise, settings, seed
        self.n_items, self.vector_size = inputs.shape
        self.stride = row_stride(self.vector_size)
        sessions = trainable_sessions(corpus)
        self.sessions = sessions
        self._shuffled: tuple[int, npt.NDArray[np.int64]] = (-1, sessions[:0])
        lengths = np.diff(corpus.offsets)[sessions]
        self.expected_clicks = expected_clicks(corpus, sessions)
        self.workers = max(1, min(workers or cores(), len(sessions)))
        self.tables = make_tables(inputs, outputs)
        longest = int(lengths.max())
        n_inputs = inputs_per_window(settings, longest)
        n_inputs = min(n_inputs, settings.group or n_inputs)
        self.plans = [make_plan(corpus, settings) for _ in range(self.workers)]
        n_noise = settings.negative + settings.market_negative
        self.scratch = [make_scratch(n_inputs, n_noise, self.stride) for _ in range(self.workers)]
        run = _Run(self, 0, sessions, 1.0, Segment(0), (0.0, 0.0))
        self.draw = compiled(draw_windows, *run.draw_arguments())
        kernel = train_means if settings.cbow else train_windows
        self.train = compiled(kernel, *run.train_arguments(0), stride=self.stride)
        self.reject = None
        if len(corpus.rejections):
            arguments = self.tables, self.scratch[0], corpus.rejections, run.rates, run.results
            self.reject = compiled(train_rejections, *arguments, stride=self.stride)

    @property
    def clicks_per_epoch(self) -> float:
        """Expected clicks in an epoch, weights counted."""
        return float(self.expected_clicks.sum())

    def rows(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return copies of the input and the output table, (n_items, vector_size) each."""
        inputs, outputs = (take_rows(t, self.n_items, self.vector_size) for t in self.tables)
        return inputs, outputs

    def views(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return both tables as they are trained, (n_items, vector_size) each: whoever writes, teaches."""
        inputs, outputs = (t.reshape(-1, self.stride)[:, : self.vector_size] for t in self.tables)
        return inputs[: self.n_items], outputs[: self.n_items]

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
        slices = self._slices(segment)
        runs = [_Run(self, worker, *part, segment, rates) for worker, part in enumerate(slices)]
        n_parts, first = segment.of * self.workers, segment.number * self.workers
        rejections = epoch_pairs(self.corpus.rejections, self.seed, segment.epoch, n_parts)
        for run, pairs in zip(runs, rejections[first:], strict=False):
            run.rejections = EpochRejections(pairs, run.train_pairs)
        stop = threading.Event()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="item2vec") as pool:
            try:
                futures = [pool.submit(run, stop) for run in runs]
                while wait(futures, timeout=0.2).not_done:
                    on_progress(*_progress(runs))
            except BaseException:  # Ctrl-C or a failing callback must not leave threads running
                stop.set()
                raise
        for future in futures:
            future.result()
        on_progress(*_progress(runs))
        totals = np.sum([run.results for run in runs], axis=0)
        losses = dict(zip(TERMS, totals[:4].tolist(), strict=True))
        losses["rejection"] = sum(float(run.rejections.losses[0]) for run in runs)
        dropped = sum(int(run.cursor.dropped[0]) for run in runs)
        return EpochResult(losses, float(totals[4]), dropped)

    def _slices(self, segment: Segment) -> list[tuple[npt.NDArray[np.int64], float]]:
        """Cut a segment of the epoch's shuffled sessions into one slice per thread, with its expected clicks.

        The slices have equally many of them.
        """
        if self._shuffled[0] != segment.epoch:  # drawn once, however many segments there are
            rng = np.random.default_rng([self.seed, segment.epoch])
            self._shuffled = segment.epoch, rng.permutation(len(self.sessions))
        shuffle = cut_order(self._shuffled[1], self.expected_clicks, segment.of)[segment.number]
        return [
            (self.sessions[part], float(self.expected_clicks[part].sum()))
            for part in cut_order(shuffle, self.expected_clicks, self.workers)
        ]


class _Run:
    """One thread's part of one epoch."""

    def __init__(
        self,
        engine: NumbaEngine,
        worker: int,
        order: npt.NDArray[np.int64],
        clicks: float,
        segment: Segment,
        rates: tuple[float, float],
    ) -> None:
        self.engine, self.order = engine, np.ascontiguousarray(order)
        self.clicks = max(clicks, 1e-9)
        self.plan, self.scratch = engine.plans[worker], engine.scratch[worker]
        self.start, self.end = rates
        self.rates = np.array([self.start, self.start])
        self.cursor = first_cursor(engine.seed, segment.epoch, segment.stream + worker)
        self.results = np.zeros(len(TERMS) + 1)
        self.rejections = EpochRejections(engine.corpus.rejections[:0], self.train_pairs)

    def draw_arguments(self) -> tuple[Any, ...]:
        engine = self.engine
        return engine.corpus, engine.noise, self.order, engine.settings, self.plan, self.cursor

    def train_arguments(self, n: int) -> tuple[Any, ...]:
        engine = self.engine
        return engine.tables, self.plan, self.scratch, n, engine.settings.negative, self.rates, self.results

    def train_pairs(self, *pairs_rates_losses: Any) -> None:
        engine = self.engine
        if engine.reject is not None:
            engine.reject(engine.stride, engine.tables, self.scratch, *pairs_rates_losses)

    def __call__(self, stop: threading.Event) -> None:
        engine = self.engine
        while not stop.is_set():
            n = engine.draw(*self.draw_arguments())
            if n == 0:
                self.rejections.advance(1.0, self.rates[[1, 1]])
                break
            self.rates[0] = self.rates[1]
            share = min(self.cursor.done[0] / self.clicks, 1.0)
            self.rates[1] = self.start + (self.end - self.start) * share
            engine.train(engine.stride, *self.train_arguments(n))
            self.rejections.advance(share, self.rates)


def _progress(runs: list[_Run]) -> tuple[float, float]:
    results = np.sum([run.results for run in runs], axis=0)
    rejected = sum(float(run.rejections.losses[0]) for run in runs)
    loss = float((results[:4].sum() + rejected) / max(results[4], 1.0))
    return sum(float(run.cursor.done[0]) for run in runs), loss
