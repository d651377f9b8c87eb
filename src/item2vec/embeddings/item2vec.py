"""The estimator: sessions in, item vectors out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.hyperparameters import check_cbow_data, check_fit, check_hyperparameters
from item2vec.embeddings.parameters import Estimator
from item2vec.embeddings.repeats import repeat_rates
from item2vec.embeddings.totals import alone

if TYPE_CHECKING:
    from item2vec.embeddings.checkpoint import TrainingState
    from item2vec.embeddings.draws import Corpus, WindowSettings
    from item2vec.embeddings.item_vectors import ItemVectors
    from item2vec.embeddings.memory import MemoryNeed
    from item2vec.embeddings.training import Callback, Engine, Validate
    from item2vec.sessions.container import Sessions
    from item2vec.vocabulary import Vocabulary

# Engines learn the same objective to about the same quality, though not to the same bytes.
_ENGINE_ONLY = ("engine", "device", "workers")


class Item2Vec(Estimator):
    """Skip-gram with negative sampling over click sessions, as Airbnb extended it.

    Grbovic & Cheng, "Real-time Personalization using Embeddings for Search Ranking at Airbnb", KDD 2018:
    windows and noise (eq. 3), the booked item as global context (eq. 4), noise from the same market (eq. 5).
    Hyper-parameters carry gensim's names; nothing happens before :meth:`fit`, which checks them all.

    Parameters
    ----------
    vector_size : int
        Numbers per vector.
    window : int or "session"
        Clicks on either side of the centre that count as its context; "session" takes the whole session.
    negative : int
        Noise items per pair. Two inputs of a window at most share theirs: sharing them with the whole window
        costs Recall. (CBOW: per window.)
    market_negative : int
        Further noise items per pair, from the market of one of the inputs that share them; 0 switches eq. 5
        off.
    epochs : int
    alpha, min_alpha : float
        Learning rate at the start and at the end; linear in between, constant if they are equal.
    ns_exponent : float
        Noise is drawn in proportion to count^ns_exponent, sessions counted with their weights.
    sample : float
        word2vec's subsampling threshold of frequent items; 0 keeps every click.
    min_count : int
        Items with fewer clicks are left out before windows are formed.
    shrink_windows : bool
        Draw each window's size from 1..window, so that near clicks count more. No effect on "session".
    forward_only : bool
        Pairs go only from earlier to later clicks.
    sg : int
        1, skip-gram: every input of a window is an example. 0, CBOW: their mean is the only one; for clicks
        only (no booked items, `market_negative` or `rejections`), and counted as one pair in `history_`.
    engine : str
        "numba": SIMD rows, lock-free threads. "torch": many windows a step, on the CPU or CUDA.
    device : str or None
        Where the engine trains: "cpu", "cuda", "cuda:1", …; ``None`` takes the best device it can use.
    workers : int or None
        Threads; ``None`` takes every core. With 1 the result is the same bytes for the same seed.
    seed : int

    Attributes
    ----------
    item_vectors_ : ItemVectors
        Input and context vectors of every item that was frequent enough.
    history_ : list of dict
        Per epoch: ``epoch`` (from 1), ``loss`` and its terms ``window``, ``negative``, ``booked``,
        ``market_negative`` and ``rejection`` (−log σ per window pair, float64; they sum to ``loss``),
        ``pairs``, ``learning_rate`` (at the epoch's start), ``tokens_per_second``, ``dropped_noise_draws``
        and, where `validate` was given, ``validation``.
    n_booked_unknown_ : int
        Booked items that eq. 4 could not use, counted once per session: they have no vector, because nobody
        clicked them or fewer than `min_count` clicks did.
    n_rejections_unknown_ : int
        Rejected pairs that were left out because one of their items has no vector.
    """

    _total = staticmethod(alone)  # all sessions are here

    def __init__(
        self,
        *,
        vector_size: int = 32,
        window: int | str = 5,
        negative: int = 5,
        market_negative: int = 0,
        epochs: int = 10,
        alpha: float = 0.05,
        min_alpha: float = 1e-4,
        ns_exponent: float = 0.75,
        sample: float = 0.0,
        min_count: int = 1,
        shrink_windows: bool = True,
        forward_only: bool = False,
        sg: int = 1,
        engine: str = "numba",
        device: str | None = None,
        workers: int | None = None,
        seed: int = 1,
    ) -> None:
        self.vector_size = vector_size
        self.window = window
        self.negative = negative
        self.market_negative = market_negative
        self.epochs = epochs
        self.alpha = alpha
        self.min_alpha = min_alpha
        self.ns_exponent = ns_exponent
        self.sample = sample
        self.min_count = min_count
        self.shrink_windows = shrink_windows
        self.forward_only = forward_only
        self.sg = sg
        self.engine = engine
        self.device = device
        self.workers = workers
        self.seed = seed

    def fit(
        self,
        sessions: Sessions,
        validate: Validate | None = None,
        init_vectors: ItemVectors | None = None,
        callbacks: Iterable[Callback] = (),
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: int = 1,
        rejections: Iterable[tuple[Any, Any]] | npt.NDArray[Any] | None = None,
        show_progress: bool = True,
    ) -> Item2Vec:
        """Learn the vectors.

        Parameters
        ----------
        sessions : Sessions
        validate : callable (ItemVectors) -> float, optional
            Called after each epoch; higher is better. Training stops after 3 epochs in a row without a new
            best score, and the best epoch's vectors are the result (the first of equals).
        init_vectors : ItemVectors, optional
            Where the items in it start, context vectors included if it has them; other items start as usual.
        callbacks : iterable of callables (dict) -> object
            Each is given a copy of the epoch's entry of `history_`. One that raises
            :class:`item2vec.embeddings.StopTraining` makes this epoch the last; a further `fit` with the same
            `checkpoint_dir` goes on from it.
        checkpoint_dir : path, optional
            Everything needed to go on is written there; a further `fit` of the same hyper-parameters on the
            same sessions resumes from it (with workers=1, to the same bytes). A training with `validate` and
            one without are two trainings: neither resumes the other, since epochs that nobody scored cannot
            be compared.
        checkpoint_every : int
            Epochs from one checkpoint to the next; the last epoch has one in any case.
        rejections : iterable of (id, id), or array of shape (n, 2), optional
            Items that were declined together (eq. 8-9): each pair is visited once per epoch, spread over it,
            and pushed apart in both directions, log σ(−v'_b·v_a) + log σ(−v'_a·v_b). Pairs with an item that
            has no vector are left out and counted.
        show_progress : bool

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            If a hyper-parameter is out of its range.
        UsageError
            If the arguments do not fit the data or one another, or `checkpoint_dir` holds another training.
        EmptyDataError
            If no pair is left to train on, or `sample` or the weights leave none in any epoch.
        TrainingError
            If it needs more memory than there is (before it starts, with the figures), or diverges: a loss
            that is not finite, or a vector longer than 1,000 (trained ones are shorter than 10).

        Notes
        -----
        A training that ends early, by divergence, Ctrl-C or an error in `validate` or a callback, leaves the
        last finished epoch in `item_vectors_` and `history_`, and the last checkpoint in `checkpoint_dir`.
        """
        params = self.get_params()
        check_hyperparameters(params)
        check_fit(sessions, validate, init_vectors, checkpoint_every)
        if self.sg == 0:
            check_cbow_data(int(self._total(np.array([len(sessions.booked)]))[0]), rejections is not None)
        from item2vec.embeddings import memory, opening, training
        from item2vec.embeddings.corpus import build_corpus
        from item2vec.embeddings.rejections import number_pairs
        from item2vec.embeddings.starting import starting_tables

        vocabulary, corpus = build_corpus(sessions, self.min_count, self.sample, self._total)
        pairs, n_rejections_unknown = number_pairs(() if rejections is None else rejections, vocabulary)
        corpus = corpus._replace(rejections=pairs)
        settings = opening.window_settings(params, corpus)
        validated, saved = validate is not None, checkpoint_dir is not None
        memory.check_memory(self._memory_need(corpus, settings, validated, saved))
        tables = starting_tables(vocabulary, self.vector_size, self.seed, init_vectors)
        state, writer = self._resume(checkpoint_dir, vocabulary, corpus, tables, validated)
        inputs, outputs = map(state.tensors.get, ("vectors", "context_vectors"), tables)
        run = training.Training(
            callbacks=training.callback_list(callbacks),
            engine=self._open_engine(corpus, settings, inputs, outputs),
            vocabulary=vocabulary,
            schedule=training.Schedule(self.alpha, self.min_alpha, self.epochs),
            state=state,
            validate=validate,
            checkpoint=writer,
            checkpoint_every=int(checkpoint_every),
            show_progress=show_progress,
            repeats=repeat_rates(sessions, self._total),
        )
        del tables, inputs, outputs  # the engine has its own
        unknown = self._total(np.array([len(sessions.booked) - len(corpus.booked_items)]))
        self.n_booked_unknown_, self.n_rejections_unknown_ = int(unknown[0]), n_rejections_unknown
        try:
            run.run()
        finally:  # what was learned before Ctrl-C or a divergence is not lost
            if run.learned():
                self.item_vectors_, self.history_ = run.vectors(), run.state.history
        return self

    def _memory_need(
        self, corpus: Corpus, settings: WindowSettings, validated: bool, saved: bool
    ) -> MemoryNeed:
        from item2vec.embeddings.opening import training_need

        return training_need(self.get_params(), corpus, settings, validated, saved)

    def _open_engine(
        self,
        corpus: Corpus,
        settings: WindowSettings,
        inputs: npt.NDArray[np.float32],
        outputs: npt.NDArray[np.float32],
    ) -> Engine:
        from item2vec.embeddings.opening import open_engine

        return open_engine(self.get_params(), corpus, settings, inputs, outputs)

    def _resume(
        self,
        checkpoint_dir: str | Path | None,
        vocabulary: Vocabulary,
        corpus: Corpus,
        tables: tuple[npt.NDArray[np.float32], ...],
        validated: bool,
    ) -> tuple[TrainingState, Callable[[TrainingState], None] | None]:
        """Return where training stands and what writes its checkpoints."""
        from item2vec.embeddings import checkpoint

        if checkpoint_dir is None:
            return checkpoint.TrainingState(), None
        folder = checkpoint.open_folder(checkpoint_dir)
        key = self._fingerprint(vocabulary, corpus, tables, validated)
        state = checkpoint.read_checkpoint(folder, key) or checkpoint.TrainingState()
        return state, partial(checkpoint.write_checkpoint, folder, key)

    def _fingerprint(
        self,
        vocabulary: Vocabulary,
        corpus: Corpus,
        tables: tuple[npt.NDArray[np.float32], ...],
        validated: bool,
    ) -> str:
        from item2vec.embeddings.checkpoint import fingerprint
        from item2vec.embeddings.initial_rows import item_keys

        arrays: dict[str, npt.NDArray[Any]] = {
            "ids": item_keys(vocabulary.ids),
            "inputs": tables[0],
            "outputs": tables[1],
        }
        return fingerprint(self._fingerprint_params(validated), arrays | corpus._asdict())

    def _fingerprint_params(self, validated: bool) -> dict[str, Any]:
        params = {k: v for k, v in self.get_params().items() if k not in _ENGINE_ONLY}
        return params | {"validated": validated}  # the last epoch's vectors or the best epoch's
