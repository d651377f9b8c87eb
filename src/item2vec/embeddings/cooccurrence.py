"""Vectors without training: the items' co-occurrences, as counts or as mutual information, factored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.embeddings.hyperparameters import MAX_VECTOR_SIZE, check_hyperparameters
from item2vec.embeddings.item_vectors import ItemVectors
from item2vec.embeddings.pair_counts import count_pairs
from item2vec.embeddings.parameters import Estimator
from item2vec.embeddings.repeats import repeat_rates
from item2vec.embeddings.widths import check_width
from item2vec.errors import ConfigError, EmptyDataError, UsageError
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from item2vec.embeddings.draws import Corpus
    from item2vec.sessions.container import Sessions

_log = logging.getLogger(__name__)
OVERSAMPLES, ITERATIONS = 10, 4  # of the randomised SVD; scikit-learn's usual ones
NOTHING = 1e-6  # of the longest vector: what float32 leaves of an item that is in none of the factors


class Cooccurrence(Estimator):
    """Co-occurrences of clicks in a window, as information or counts, factored by a truncated SVD or a PCA.

    By default what skip-gram with negative sampling factors implicitly (Levy & Goldberg, "Neural Word
    Embedding as Implicit Matrix Factorization", NIPS 2014), with the choices of Levy, Goldberg & Dagan
    ("Improving Distributional Similarity with Lessons Learned from Word Embeddings", TACL 2015): shifted
    positive pointwise mutual information, smoothed contexts, near clicks counted more, singular values shared
    between the two tables. The matrix has the entries
    ``max(0, log(#(a, b) · Z / (#(a) · #(b)^ns_exponent)) − log(negative))`` with ``Z = Σ #(b)^ns_exponent``;
    the vectors are ``U Σ^½``, the context vectors ``V Σ^½``. The SVD is randomised (Halko, Martinsson &
    Tropp, SIAM Review 2011). The textbook's matrix of raw counts and its PCA are one argument away; popular
    items rule the factors of counts.

    To recommend with it, or to evaluate it, wrap its vectors: ``Recommender(model.item_vectors_)``.

    Parameters
    ----------
    vector_size : int
        Numbers per vector; those beyond the rank of the matrix are 0.
    window : int or "session"
        Clicks on either side of the centre that count as its context; "session" takes the whole session.
    weighting : {"ppmi", "count"}
        The matrix: shifted positive pointwise mutual information, or the weighed counts as they are.
    reduction : {"svd", "pca"}
        "svd": the matrix's factors, singular values shared between the two tables. "pca": the items'
        coordinates on the principal components of the matrix's rows, as scikit-learn gives them, with the
        components as context vectors; their products are the matrix less the mean of each column. Beyond
        1,024 items the matrix stays sparse (ARPACK; up to twice the time of "svd" at 43,000 items).
    negative : int
        The shift of "ppmi" is its logarithm; 1 shifts nothing. Refused with "count", as is `ns_exponent`.
    ns_exponent : float
        Smoothing of the contexts' counts in "ppmi".
    min_count : int
        Items with fewer clicks are left out before windows are formed.
    shrink_windows : bool
        A click `d` steps away counts ``(window − d + 1) / window``, what drawing the window's size gives in
        the mean. No effect on "session".
    forward_only : bool
        Contexts are the later clicks only.
    seed : int

    Attributes
    ----------
    item_vectors_ : ItemVectors
        Vectors and context vectors. An item that was too rare, or of which the factors say nothing, has none.
    n_items_left_out_ : int
        Items that were frequent enough and have no vector all the same: never clicked beside another one
        more often than by chance, or in none of the first `vector_size` factors. So many factors are a matrix
        of that rank, and groups of items that share no session need one each: with weighting="count",
        vector_size=2 cannot reach three such groups, and the one with the weakest counts is left out.
        Logged where it is not 0.
    """

    def __init__(
        self,
        *,
        vector_size: int = 128,
        window: int | str = 5,
        weighting: str = "ppmi",
        reduction: str = "svd",
        negative: int = 1,
        ns_exponent: float = 0.75,
        min_count: int = 1,
        shrink_windows: bool = True,
        forward_only: bool = False,
        seed: int = 1,
    ) -> None:
        self.vector_size = vector_size
        self.window = window
        self.weighting = weighting
        self.reduction = reduction
        self.negative = negative
        self.ns_exponent = ns_exponent
        self.min_count = min_count
        self.shrink_windows = shrink_windows
        self.forward_only = forward_only
        self.seed = seed

    def fit(self, sessions: Sessions) -> Cooccurrence:
        """Count and factor. Sessions count with their weights; bookings have no say.

        Raises
        ------
        ConfigError
            If a hyper-parameter is out of its range, or of no meaning for the weighting.
        UsageError
            If `sessions` are none, or windows are so wide that nobody would wait.
        EmptyDataError
            If no pair of clicks is left, none above the shift, or no difference between items for a PCA.
        """
        check_hyperparameters(self.get_params())
        self._check_weighting()
        if not hasattr(sessions, "booked_offsets"):
            raise UsageError(f"fit takes Sessions, not {type(sessions).__name__}; see Sessions.from_lists")
        from item2vec.embeddings.corpus import build_corpus

        vocabulary, corpus = build_corpus(sessions, self.min_count, sample=0.0)
        self._check_width(corpus)
        matrix = self._counts(corpus, len(vocabulary))
        if self.weighting == "ppmi":
            matrix = self._information(matrix)
        vectors, contexts = self._components(matrix) if self.reduction == "pca" else self._factors(matrix)
        lengths = np.linalg.norm(vectors, axis=1)
        told = (lengths > NOTHING * lengths.max()) & (np.diff(matrix.indptr) > 0)
        known = Vocabulary(vocabulary.ids.filter(pa.array(told)), vocabulary.counts[told])
        self.item_vectors_ = ItemVectors(known, vectors[told], contexts[told], repeat_rates(sessions))
        self.n_items_left_out_ = len(vocabulary) - len(known)
        if self.n_items_left_out_:
            _log.info(
                "%d of %d items are left out, with no vector: in none of the first %d factors, or never"
                " clicked beside another one more often than by chance; a larger vector_size reaches"
                " the former",
                *(self.n_items_left_out_, len(vocabulary), self.vector_size),
            )
        return self

    def _check_weighting(self) -> None:
        defaults = Cooccurrence().get_params()
        for name in ("negative", "ns_exponent"):
            value = getattr(self, name)
            if self.weighting == "count" and value != defaults[name]:
                raise ConfigError(
                    f'{name} is {value!r}, which is of no meaning with weighting="count"; leave it out, or'
                    ' set weighting="ppmi"'
                )

    def _check_width(self, corpus: Corpus) -> None:
        from item2vec.embeddings.draws import WindowSettings

        whole = self.window == "session"
        settings = WindowSettings(
            window=int(np.diff(corpus.offsets).max()) if whole else int(self.window),
            shrink=False,  # every pair is counted, the farther ones for less
            forward_only=self.forward_only,
            negative=0,
            market_negative=0,
        )
        check_width(settings, corpus, self.window)

    def _counts(self, corpus: Corpus, n_items: int) -> csr_array:
        """Count the pairs: (centre, context)."""
        longest = int(np.diff(corpus.offsets).max())
        whole = self.window == "session"
        window = longest if whole else int(self.window)
        near = np.ones(min(window, longest - 1))
        if self.shrink_windows and not whole:
            near = (window - np.arange(len(near))) / window
        counts = count_pairs(corpus.items, corpus.offsets, near, n_items, weights=corpus.weights)
        return counts if self.forward_only else (counts + counts.T).tocsr()

    def _information(self, counts: csr_array) -> csr_array:
        """Turn counts into shifted positive pointwise mutual information."""
        from scipy import sparse

        pairs = counts.tocoo()
        centres = counts.sum(axis=1)
        contexts = np.zeros(counts.shape[1])
        met = counts.sum(axis=0)
        contexts[met > 0] = met[met > 0] ** self.ns_exponent
        rows, columns = pairs.coords
        expected = centres[rows] * contexts[columns] / contexts.sum()
        values = np.log(pairs.data / expected) - np.log(self.negative)
        above = values > 0
        if not above.any():
            raise EmptyDataError(
                f"no two items are clicked together more often than negative={self.negative} times by chance;"
                " lower negative, or give sessions with two clicks"
            )
        kept = (values[above].astype(np.float32), (rows[above], columns[above]))
        return sparse.csr_array(kept, shape=counts.shape)

    def _factors(self, matrix: csr_array) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the two tables, each (n_items, vector_size) float32."""
        from sklearn.utils.extmath import randomized_svd

        size = min(self.vector_size, matrix.shape[0])
        left, values, right = randomized_svd(
            matrix, size, n_oversamples=OVERSAMPLES, n_iter=ITERATIONS, random_state=self._generator()
        )
        return self._padded(left * np.sqrt(values)), self._padded(right.T * np.sqrt(values))

    def _components(self, matrix: csr_array) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return coordinates on the principal components and the components, each (n_items, vector_size)."""
        from sklearn.decomposition import PCA

        n = matrix.shape[0]
        squares = matrix.power(2).sum()
        if squares - n * np.square(matrix.mean(axis=0)).sum() < NOTHING * squares:
            raise EmptyDataError(
                "every item has the same co-occurrences, so nothing tells the items apart; give"
                ' sessions of more items, or set reduction="svd"'
            )
        size = min(self.vector_size, n)
        if n <= MAX_VECTOR_SIZE:  # every component may be asked for, which the sparse solver does not give
            model, matrix = PCA(size, svd_solver="full"), matrix.toarray()
        else:
            model = PCA(size, svd_solver="arpack", random_state=self._generator())
        return self._padded(model.fit_transform(matrix)), self._padded(model.components_.T)

    def _generator(self) -> np.random.RandomState:
        return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(self.seed)))

    def _padded(self, table: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        missing = self.vector_size - table.shape[1]
        return np.pad(table, ((0, 0), (0, missing))).astype(np.float32)
