"""One trial's training, watched: scored on its way, given up when hopeless or when time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from item2vec.embeddings import Item2Vec, StopTraining

if TYPE_CHECKING:
    import optuna

    from item2vec.embeddings import ItemVectors
    from item2vec.sessions import Sessions

RUNGS = 4
"""A training is compared with the others after each quarter of its epochs.

Not after so many epochs: the learning rate falls linearly over all epochs of a training, so the fifth epoch
of five is a finished training and the fifth of forty has barely begun. After the same share of them the
learning rate is the same share of `alpha`."""

MAY_LACK = (0.3, 0.1, 0.05)
"""Share of the best score at a rung that a training may lack and still go on. Late in a search most are
alike, and which half they are in is chance; and the greater `alpha`, the more is gained towards the end."""


@dataclass
class Watched:
    """What is done after each epoch of a trial.

    Attributes
    ----------
    trial : optuna.Trial or None
        Told the scores on the way; None if nobody compares.
    may_prune : bool
        The settings the search starts from are trained to the end.
    score : callable (ItemVectors) -> float
    epochs : int
    best_at : callable (int) -> float
        The best score of the trials before at a rung.
    deadline : float or None
        On the clock of ``time.monotonic``.
    tick : callable
        Called after each epoch.
    pruned, late : bool
        Why the training ended early.
    needed : float
        Seconds that the rest would have taken, where it is `late`.
    """

    trial: optuna.Trial | None
    may_prune: bool
    score: Callable[[ItemVectors], float]
    epochs: int
    best_at: Callable[[int], float] = lambda _rung: 0.0
    deadline: float | None = None
    tick: Callable[[], None] = lambda: None
    pruned: bool = False
    late: bool = False
    needed: float = 0.0
    done: int = 0
    _rung: int = 0
    _last: float = field(default_factory=time.monotonic)

    def validate(self, vectors: ItemVectors) -> float:
        """See an epoch's vectors; `fit` takes the best epoch's, and here that is always the last."""
        self.done += 1
        rung = RUNGS * self.done // self.epochs
        if self.trial is not None and self._rung < rung < RUNGS:
            self._rung = rung
            score = 0.0 if _learned_nothing(vectors) else self.score(vectors)
            self.trial.report(score, rung)
            behind = score < (1 - MAY_LACK[rung - 1]) * self.best_at(rung)
            self.pruned = self.may_prune and behind and self.trial.should_prune()
        return float(self.done)

    def after_epoch(self, _: dict[str, float]) -> None:
        """Stop what is hopeless, and what cannot end in time."""
        now = time.monotonic()
        took, self._last = now - self._last, now
        self.tick()
        if self.pruned:
            raise StopTraining
        left = self.epochs - self.done
        if self.deadline is None or not left:
            return
        self.needed = left * took
        # The first epoch may have compiled kernels, so it tells nothing about the others.
        if now >= self.deadline or (self.done > 1 and now + self.needed > self.deadline):
            self.late = True
            raise StopTraining


def train_watched(settings: dict[str, Any], train: Sessions, watched: Watched) -> ItemVectors:
    """Train with some settings, as a run would; what ended early has the last epoch's vectors."""
    model = Item2Vec(**settings)
    model.fit(train, validate=watched.validate, callbacks=[watched.after_epoch], show_progress=False)
    return model.item_vectors_


def _learned_nothing(vectors: ItemVectors) -> bool:
    """Tell whether all output vectors are zero still: `sample` may drop every click of a small log."""
    outputs = vectors.context_vectors
    return outputs is not None and not outputs.any()
