"""The estimator: sessions in, item vectors out."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.hyperparameters import ENGINES, check_cbow_data, check_hyperparameters, is_count
from item2vec.embeddings.item_vectors import ItemVectors
from item2vec.embeddings.parameters import Estimator
from item2vec.errors import UsageError

if TYPE_CHECKING:
    from item2vec.embeddings.draws import Corpus
    from item2vec.embeddings.training import Callback, Engine, Validate
    from item2vec.sessions.container import Sessions
    from item2vec.vocabulary import Vocabulary

_ENGINE_ONLY = ("engine", "device", "workers")  # they do not change what is learned, only how fast


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
        Noise items per window, shared by its pairs.
    market_negative : int
        Further noise items per window from the inputs' market; 0 switches eq. 5 off.
    epochs : int
    alpha, min_alpha : float
        Learning rate at the start and at the end; linear in between.
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
        "numba": SIMD rows, lock-free threads.
    device : str or None
        Where the engine trains: "cpu", or ``None`` for the best device it can use.
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
            Each is given a copy of the epoch's entry of `history_`.
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
            If no pair is left to train on.
        TrainingError
            If training diverges.
        """
        check_hyperparameters(self.get_params())
        if not hasattr(sessions, "booked_offsets"):
            raise UsageError(f"fit takes Sessions, not {type(sessions).__name__}; see Sessions.from_lists")
        if not is_count(checkpoint_every):
            raise UsageError(f"checkpoint_every is {checkpoint_every!r}; it must be a whole number above 0")
        if self.sg == 0:
            check_cbow_data(len(sessions.booked), rejections is not None)
        from item2vec.embeddings import checkpoint, training
        from item2vec.embeddings.corpus import build_corpus
        from item2vec.embeddings.rejections import number_pairs

        vocabulary, corpus = build_corpus(sessions, self.min_count, self.sample)
        pairs, n_rejections_unknown = number_pairs(() if rejections is None else rejections, vocabulary)
        corpus = corpus._replace(rejections=pairs)
        n_booked_unknown = len(sessions.booked) - len(corpus.booked_items)
        tables = starting_tables(vocabulary, self.vector_size, self.seed, init_vectors)
        state, writer = checkpoint.TrainingState(), None
        if checkpoint_dir is not None:
            key = self._fingerprint(vocabulary, corpus, tables, validate is not None)
            writer = training.checkpoint_writer(Path(checkpoint_dir), key)
            state = checkpoint.read_checkpoint(Path(checkpoint_dir), key) or state
            tables = (
                state.tensors.get("vectors", tables[0]),
                state.tensors.get("context_vectors", tables[1]),
            )
        run = training.Training(
            engine=self._open_engine(corpus, *tables),
            vocabulary=vocabulary,
            schedule=training.Schedule(self.alpha, self.min_alpha, self.epochs),
            state=state,
            validate=validate,
            callbacks=tuple(callbacks),
            checkpoint=writer,
            checkpoint_every=int(checkpoint_every),
            show_progress=show_progress,
        )
        self.item_vectors_ = run.run()
        self.history_ = run.state.history
        self.n_booked_unknown_ = n_booked_unknown
        self.n_rejections_unknown_ = n_rejections_unknown
        return self

    def _open_engine(
        self, corpus: Corpus, inputs: npt.NDArray[np.float32], outputs: npt.NDArray[np.float32]
    ) -> Engine:
        from item2vec.embeddings.alias import build_noise
        from item2vec.embeddings.corpus import noise_weights
        from item2vec.embeddings.draws import WindowSettings

        if self.market_negative and corpus.item_markets.max() < 0:
            raise UsageError(
                f"market_negative is {self.market_negative} but no item has a market; give the items a market"
                " or set market_negative=0"
            )
        longest = int(np.diff(corpus.offsets).max())
        whole = self.window == "session"
        settings = WindowSettings(
            window=longest if whole else min(int(self.window), longest),
            shrink=self.shrink_windows and not whole,
            forward_only=self.forward_only,
            negative=self.negative,
            market_negative=self.market_negative,
            cbow=self.sg == 0,
        )
        noise = build_noise(noise_weights(corpus, self.ns_exponent), corpus.item_markets)
        module, name = ENGINES[self.engine].split(":")
        door = getattr(import_module(module), name)
        engine: Engine = door(corpus, noise, settings, inputs, outputs, workers=self.workers, seed=self.seed)
        return engine

    def _fingerprint(
        self,
        vocabulary: Vocabulary,
        corpus: Corpus,
        tables: tuple[npt.NDArray[np.float32], ...],
        validated: bool,
    ) -> str:
        from item2vec.embeddings.checkpoint import fingerprint
        from item2vec.embeddings.initial_rows import item_keys

        params = {k: v for k, v in self.get_params().items() if k not in _ENGINE_ONLY}
        params["validated"] = validated  # the last epoch's vectors or the best epoch's
        arrays: dict[str, npt.NDArray[Any]] = {
            "ids": item_keys(vocabulary.ids),
            "inputs": tables[0],
            "outputs": tables[1],
        }
        return fingerprint(params, arrays | corpus._asdict())


def starting_tables(
    vocabulary: Vocabulary, vector_size: int, seed: int, init_vectors: ItemVectors | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the input and output rows training starts from, each (n_items, vector_size) float32.

    Output rows start at 0; `init_vectors` goes before both where it knows an item.

    Raises
    ------
    UsageError
        If `init_vectors` has another vector size or another id type.
    """
    from item2vec.embeddings.initial_rows import initial_rows

    inputs = initial_rows(vocabulary.ids, vector_size, seed)
    outputs = np.zeros_like(inputs)
    if init_vectors is None:
        return inputs, outputs
    theirs, ours = init_vectors.vocabulary.id_type, vocabulary.id_type
    if init_vectors.vector_size != vector_size or theirs != ours:
        raise UsageError(
            f"init_vectors have {init_vectors.vector_size} numbers per {theirs} id; this training has"
            f" vector_size={vector_size} and {ours} ids"
        )
    rows = init_vectors.vocabulary.nums(vocabulary.ids)
    inputs[rows >= 0] = init_vectors.vectors[rows[rows >= 0]]
    if init_vectors.context_vectors is not None:
        outputs[rows >= 0] = init_vectors.context_vectors[rows[rows >= 0]]
    return inputs, outputs
