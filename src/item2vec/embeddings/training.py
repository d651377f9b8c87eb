"""The epochs of one training: progress, figures, validation, early stopping, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from item2vec.embeddings.checkpoint import TrainingState
from item2vec.embeddings.item_vectors import ItemVectors
from item2vec.embeddings.norms import LARGEST_NORM, longest_row
from item2vec.embeddings.repeats import RepeatRates
from item2vec.embeddings.segments import Segment
from item2vec.errors import EmptyDataError, TrainingError, UsageError
from item2vec.vocabulary import Vocabulary

PATIENCE = 3  # epochs in a row without a better validation score; then training stops
Validate = Callable[[ItemVectors], float]
Callback = Callable[[dict[str, float]], object]


class StopTraining(Exception):  # noqa: N818 (it is no error)
    """Raised by a callback: the epoch that it was told of is the last one, and its vectors are the result."""


class EpochResult(Protocol):
    """What an engine says about one epoch."""

    @property
    def losses(self) -> dict[str, float]: ...  # noqa: D102

    @property
    def pairs(self) -> float: ...  # noqa: D102

    @property
    def dropped_noise(self) -> int: ...  # noqa: D102


class Engine(Protocol):
    """The narrow door of the engines: two tables and a way to take them through an epoch."""

    @property
    def clicks_per_epoch(self) -> float: ...  # noqa: D102

    def rows(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...  # noqa: D102

    def run_epoch(  # noqa: D102
        self, epoch: int, rates: tuple[float, float], on_progress: Callable[[float, float], None]
    ) -> EpochResult: ...


class SegmentEngine(Engine, Protocol):
    """An engine that can meet others between the segments of an epoch."""

    def views(self) -> tuple[Any, Any]: ...  # noqa: D102

    def run_segment(  # noqa: D102
        self, segment: Segment, rates: tuple[float, float], on_progress: Callable[[float, float], None]
    ) -> EpochResult: ...


@dataclass(frozen=True)
class Schedule:
    """The learning rate: linear in the share of all epochs that is done."""

    alpha: float
    min_alpha: float
    epochs: int

    def rate(self, epochs_done: float) -> float:
        """Return the learning rate after so many epochs (fractions count)."""
        return self.alpha - (self.alpha - self.min_alpha) * epochs_done / self.epochs


@dataclass
class Training:
    """One `fit`: an engine, a schedule, and what should happen after each epoch."""

    engine: Engine
    vocabulary: Vocabulary
    schedule: Schedule
    state: TrainingState
    validate: Validate | None = None
    callbacks: Iterable[Callback] = ()
    checkpoint: Callable[[TrainingState], None] | None = None
    checkpoint_every: int = 1
    show_progress: bool = True
    repeats: RepeatRates | None = None
    stopped: bool = False  # by a callback

    def run(self) -> ItemVectors:
        """Train what is left of the epochs and return the vectors: the best epoch's where one validates."""
        clicks = self.engine.clicks_per_epoch
        with tqdm(
            total=round(clicks * self.schedule.epochs),
            initial=round(clicks * self.state.epochs_done),
            unit=" clicks",
            unit_scale=True,
            disable=not self.show_progress,
        ) as bar:
            while not self._finished():
                self._run_epoch(bar)
        if not self.learned():
            raise EmptyDataError(
                f"nothing was trained: no epoch of {self.state.epochs_done} had a pair of clicks left. Raise"
                " sample or set it to 0, and give sessions of two clicks or more, their weights about 1"
            )
        return self.vectors()

    def learned(self) -> bool:
        """Return whether any epoch had something to train: a pair, a booked item or a rejection."""
        return any(epoch["pairs"] or epoch["loss"] for epoch in self.state.history)

    def vectors(self) -> ItemVectors:
        """Return the vectors of the last finished epoch, or the best one's where one validates."""
        return self._item_vectors("best_" if self.state.best_epoch else "")

    def _run_epoch(self, bar: Any) -> None:
        epoch, clicks = self.state.epochs_done, self.engine.clicks_per_epoch
        rates = (self.schedule.rate(epoch), self.schedule.rate(epoch + 1))
        bar.set_description(f"epoch {epoch + 1}/{self.schedule.epochs}", refresh=False)

        def on_progress(done: float, loss: float) -> None:
            if not math.isfinite(loss):
                raise self._diverged(epoch + 1, "the loss is no longer finite")
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(max(round(epoch * clicks + done) - bar.n, 0))

        started = time.perf_counter()
        result = self.engine.run_epoch(epoch, rates, on_progress)
        seconds = time.perf_counter() - started
        pairs = max(result.pairs, 1.0)
        info = {"epoch": epoch + 1, "loss": sum(result.losses.values()) / pairs}
        info |= {term: total / pairs for term, total in result.losses.items()}
        info |= {
            "pairs": result.pairs,
            "learning_rate": rates[0],
            "tokens_per_second": clicks / max(seconds, 1e-9),
            "dropped_noise_draws": result.dropped_noise,
        }
        self._finish_epoch(info)

    def _finish_epoch(self, info: dict[str, float]) -> None:
        rows = dict(zip(("vectors", "context_vectors"), self.engine.rows(), strict=True))
        self._check_finite(info, rows.values())
        self.state.tensors |= rows
        self.state.epochs_done += 1
        self.state.history.append(info)
        if self.validate is not None:
            info["validation"] = self._score(self.validate)
            best = max(range(len(self.state.history)), key=lambda e: self.state.history[e]["validation"])
            if best + 1 == self.state.epochs_done:
                self.state.best_epoch = best + 1
                self.state.tensors |= {f"best_{name}": table for name, table in rows.items()}
        if due := self.state.epochs_done % self.checkpoint_every == 0 or self._finished():
            self._write_checkpoint()
        try:
            for callback in self.callbacks:
                callback(dict(info))
        except StopTraining:
            self.stopped = True
            if not due:
                self._write_checkpoint()

    def _write_checkpoint(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint(self.state)

    def _check_finite(self, info: dict[str, float], tables: Iterable[npt.NDArray[np.float32]]) -> None:
        if not math.isfinite(info["loss"]):
            raise self._diverged(int(info["epoch"]), "the loss is no longer finite")
        longest = float(np.max([longest_row(table) for table in tables]))  # NaN if one is
        if math.isnan(longest) or longest > LARGEST_NORM:
            raise self._diverged(
                int(info["epoch"]),
                f"the longest vector is {longest:.3g} long, and beyond {LARGEST_NORM:,.0f} they only grow",
            )

    def _diverged(self, epoch: int, what: str) -> TrainingError:
        kept = self.state.epochs_done
        left = f"; the last good vectors, of epoch {kept}, are kept" if kept else ""
        return TrainingError(
            f"training diverged in epoch {epoch}: {what}; lower alpha (now {self.schedule.alpha}), take"
            f" smaller windows or check the session weights{left}"
        )

    def _score(self, validate: Validate) -> float:
        try:
            given = validate(self._item_vectors(""))
        except StopTraining as e:
            raise UsageError(
                "validate raised StopTraining, which is for callbacks: raise it in one of them"
                f" (callbacks=[...]), and let validate return its score; {PATIENCE} epochs without a better"
                " one stop training"
            ) from e
        try:
            score = float(given)
        except (TypeError, ValueError):
            score = math.nan
        if math.isnan(score):
            raise UsageError(
                f"validate returned {given!r}; it must return a number (no NaN), higher is better"
            )
        return score

    def _finished(self) -> bool:
        done = self.state.epochs_done
        return self.stopped or done >= self.schedule.epochs or 0 < self.state.best_epoch <= done - PATIENCE

    def _item_vectors(self, prefix: str) -> ItemVectors:
        tensors = self.state.tensors
        return ItemVectors(
            self.vocabulary,
            tensors[f"{prefix}vectors"],
            tensors[f"{prefix}context_vectors"],
            self.repeats,
        )


def callback_list(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    """Return the callbacks as a tuple, or raise a UsageError if they are no functions."""
    if isinstance(callbacks, Iterable):
        listed = tuple(callbacks)
        if all(map(callable, listed)):
            return listed
    raise UsageError("callbacks must be a list of functions, each called with an epoch's figures")
