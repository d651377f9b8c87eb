"""The estimator inside a worker: the same `fit`, over a share of the sessions."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.checkpoint import TrainingState, fingerprint
from item2vec.embeddings.corpus import expected_clicks, trainable_sessions
from item2vec.embeddings.distributed.communicator import Alone, Communicator
from item2vec.embeddings.distributed.digest import sessions_digest
from item2vec.embeddings.distributed.exchange import rows_at_once
from item2vec.embeddings.distributed.shared_engine import SharedEngine
from item2vec.embeddings.draws import Corpus, WindowSettings
from item2vec.embeddings.hyperparameters import check_hyperparameters
from item2vec.embeddings.initial_rows import item_keys
from item2vec.embeddings.item2vec import Item2Vec
from item2vec.embeddings.memory import MemoryNeed
from item2vec.embeddings.opening import open_engine
from item2vec.embeddings.training import SegmentEngine
from item2vec.errors import TrainingError
from item2vec.vocabulary import Vocabulary

_log = logging.getLogger(__name__)


class SharedItem2Vec(Item2Vec):
    """:class:`Item2Vec` whose workers all call `fit`, each with its share, and all get the same vectors.

    The shares are disjoint and over the same items (:mod:`item2vec.sessions.shares`). The vocabulary, the
    noise and the rows training starts from are those of all sessions, the same on every worker; only counts
    travel for them. `workers` are the threads of one worker; with 1 the result is the same bytes for the same
    seed and number of workers.
    """

    communicator: Communicator = Alone()
    exchanges_per_epoch: int = 1
    engine_: SharedEngine

    def join(self, communicator: Communicator, exchanges_per_epoch: int) -> Self:
        """Train with these workers from now on; return self.

        Raises
        ------
        ConfigError
            If a hyper-parameter is out of its range.
        """
        check_hyperparameters(self.get_params())
        self.communicator, self.exchanges_per_epoch = communicator, exchanges_per_epoch
        return self

    def _total(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        total = array.astype(np.int64) if array.dtype == bool else np.ascontiguousarray(array).copy()
        self.communicator.sum(total)
        return total

    def _memory_need(
        self, corpus: Corpus, settings: WindowSettings, validated: bool, saved: bool
    ) -> MemoryNeed:
        need = super()._memory_need(corpus, settings, validated, saved)
        if self.communicator.size == 1:
            return need
        n_items = len(corpus.item_markets)
        rows = 2 * (n_items + min(n_items, rows_at_once(self.vector_size)))
        exchanged = 4 * self.vector_size * rows + 9 * n_items
        n = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # they start together and see the same free memory
        return replace(
            need,
            what=f"{need.what} by {n} workers of this machine" if n > 1 else need.what,
            tables=n * need.tables,
            copies=n * (need.copies + exchanged),
            threads=n * need.threads,
            order=n * need.order,
        )

    def _open_engine(
        self,
        corpus: Corpus,
        settings: WindowSettings,
        inputs: npt.NDArray[np.float32],
        outputs: npt.NDArray[np.float32],
    ) -> SharedEngine:
        rank, size = self.communicator.rank, self.communicator.size
        corpus = corpus._replace(rejections=np.ascontiguousarray(corpus.rejections[rank::size]))
        engine = open_engine(self.get_params(), corpus, settings, inputs, outputs, self._total)
        clicks = self._total(np.array([expected_clicks(corpus, trainable_sessions(corpus)).sum()]))
        self.engine_ = SharedEngine(
            cast(SegmentEngine, engine),
            *(self.communicator, self.exchanges_per_epoch, float(clicks[0]), self.alpha),
        )
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
        epochs = self._total(np.array([state.epochs_done]))
        others = self._total(epochs != state.epochs_done * self.communicator.size)
        if others.any():  # on one worker or more, and all of them end
            raise TrainingError(
                f"worker {self.communicator.rank} found a checkpoint of {state.epochs_done} epochs, and not"
                " all found that one; checkpoint_dir must be a folder that all workers see"
            )
        if state.epochs_done and self.communicator.rank == 0:
            _log.info("going on after epoch %d of %d", state.epochs_done, self.epochs)
        return state, writer if self.communicator.rank == 0 else None

    def _fingerprint(
        self,
        vocabulary: Vocabulary,
        corpus: Corpus,
        tables: tuple[npt.NDArray[np.float32], ...],
        validated: bool,
    ) -> str:
        """Name the training by what does not depend on how the sessions are dealt out.

        Not by `keep`, which follows from the rest: the order of the sums moves its last bit.
        """
        arrays: dict[str, npt.NDArray[Any]] = {
            "ids": item_keys(vocabulary.ids),
            "counts": vocabulary.counts,
            "inputs": tables[0],
            "outputs": tables[1],
            "item_markets": corpus.item_markets,
            "rejections": corpus.rejections,
            "sessions": self._total(sessions_digest(corpus)),
        }
        return fingerprint(self._fingerprint_params(validated), arrays)

    def _fingerprint_params(self, validated: bool) -> dict[str, Any]:
        """Name what decides the result; the number of workers may change from one start to the next."""
        return super()._fingerprint_params(validated) | {"exchanges_per_epoch": self.exchanges_per_epoch}
