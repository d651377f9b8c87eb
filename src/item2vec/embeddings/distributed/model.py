"""The estimator inside a worker: the same `fit`, over a share of the sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.alias import build_noise
from item2vec.embeddings.checkpoint import TrainingState
from item2vec.embeddings.corpus import expected_clicks, noise_weights, trainable_sessions
from item2vec.embeddings.distributed.communicator import Alone, Communicator
from item2vec.embeddings.distributed.shared_engine import SharedEngine, share_of
from item2vec.embeddings.draws import Corpus, WindowSettings
from item2vec.embeddings.hyperparameters import check_hyperparameters
from item2vec.embeddings.item2vec import Item2Vec
from item2vec.embeddings.numba_engine import NumbaEngine
from item2vec.errors import ConfigError, TrainingError
from item2vec.vocabulary import Vocabulary


class SharedItem2Vec(Item2Vec):
    """:class:`Item2Vec` whose workers all call `fit` with the same sessions, and all get the same vectors.

    The vocabulary, the noise and the rows training starts from are those of all sessions, the same on every
    worker by construction; each trains its share (:func:`share_of`). `workers` are the threads of one worker;
    with 1 the result is the same bytes for the same seed and number of workers.
    """

    communicator: Communicator = Alone()
    exchanges_per_epoch: int = 1
    engine_: SharedEngine

    def join(self, communicator: Communicator, exchanges_per_epoch: int) -> Self:
        """Train with these workers from now on; return self.

        Raises
        ------
        ConfigError
            If a hyper-parameter is out of its range, or the engine is not "numba".
        """
        check_hyperparameters(self.get_params())
        if self.engine != "numba":
            raise ConfigError(
                f'engine is {self.engine!r}; workers train with engine="numba"; leave it out (torch trains on'
                " one machine)"
            )
        self.communicator, self.exchanges_per_epoch = communicator, exchanges_per_epoch
        return self

    def _open_engine(
        self,
        corpus: Corpus,
        settings: WindowSettings,
        inputs: npt.NDArray[np.float32],
        outputs: npt.NDArray[np.float32],
    ) -> SharedEngine:
        noise = build_noise(noise_weights(corpus, self.ns_exponent), corpus.item_markets)
        share = share_of(corpus, self.communicator.rank, self.communicator.size)
        engine = NumbaEngine(share, noise, settings, inputs, outputs, workers=self.workers, seed=self.seed)
        clicks = float(expected_clicks(corpus, trainable_sessions(corpus)).sum())
        self.engine_ = SharedEngine(engine, self.communicator, self.exchanges_per_epoch, clicks, self.alpha)
        return self.engine_

    def _resume(
        self,
        checkpoint_dir: str | Path | None,
        vocabulary: Vocabulary,
        corpus: Corpus,
        tables: tuple[npt.NDArray[np.float32], ...],
        validated: bool,
    ) -> tuple[TrainingState, Callable[[TrainingState], None] | None]:
        """Resume where the checkpoint stands, on every worker; the first one writes the next ones."""
        state, writer = super()._resume(checkpoint_dir, vocabulary, corpus, tables, validated)
        # Nobody writes before all have read: the first epoch ends with an exchange.
        epochs = np.array([state.epochs_done])
        self.communicator.sum(epochs)
        if epochs[0] != state.epochs_done * self.communicator.size:
            raise TrainingError(
                f"worker {self.communicator.rank} found a checkpoint of {state.epochs_done} epochs, others"
                " another one; checkpoint_dir must be a folder that all workers see"
            )
        return state, writer if self.communicator.rank == 0 else None

    def _fingerprint_params(self, validated: bool) -> dict[str, Any]:
        """Name what decides the result; the number of workers may change from one start to the next."""
        return super()._fingerprint_params(validated) | {"exchanges_per_epoch": self.exchanges_per_epoch}
