"""Baselines of the long-term protocol: what type follows the type of the last stay?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from item2vec.errors import EmptyDataError
from item2vec.evaluation.attributes import aligned_attributes, label_codes
from item2vec.evaluation.baselines.click_matrix import Histories
from item2vec.evaluation.baselines.popularity import Popularity, click_vocabulary
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class ByType(ABC):
    """Score listings by their type, given the last stay of a known type, and by their popularity.

    Parameters
    ----------
    attribute : str
        Column of the sessions' item table whose values are the types.

    Attributes
    ----------
    vocabulary : Vocabulary
        Set by :meth:`fit`.
    """

    vocabulary: Vocabulary

    def __init__(self, *, attribute: str = "listing_type") -> None:
        self.attribute = attribute

    def fit(self, sessions: Sessions) -> Self:
        """Count stays, and what types follow each other.

        Raises
        ------
        EmptyDataError
            If there is no stay, or no listing has a known type.
        """
        self.vocabulary, nums = click_vocabulary(sessions)
        values = aligned_attributes(sessions.items, self.vocabulary).get(self.attribute)
        self._types, names = label_codes(values, len(self.vocabulary))
        if not names:
            raise EmptyDataError(
                f"no listing has a known {self.attribute}; give the sessions an item table with that column"
            )
        self._markets = np.zeros(len(self.vocabulary), np.int64)
        self._markets[nums[nums >= 0]] = sessions.markets[nums >= 0] + 1  # 0: unknown
        self._followers = self._count_followers(self._types[nums[sessions.tokens]], sessions, len(names))
        return self

    def scores(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return the score of every listing, shape (len(histories), n_items), float32.

        A history without a known type is answered by popularity alone.
        """
        lasts, rows = np.unique(self._last_types(histories), return_inverse=True)
        found = np.empty((len(lasts), len(self.vocabulary)), np.float32)
        for row, last in enumerate(lasts.tolist()):
            found[row] = self._scores(self._weights(last))
        answers: npt.NDArray[np.float32] = found[rows]
        return answers

    def backs_off(self, histories: Histories, candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return for each history whether popularity alone orders the candidates (item numbers)."""
        lasts, rows = np.unique(self._last_types(histories), return_inverse=True)
        silent = np.array([not self._weights(last)[candidates].any() for last in lasts.tolist()], bool)
        return silent[rows]

    def _last_types(self, histories: Histories) -> npt.NDArray[np.int64]:
        """Return the type of each history's last stay of a known type, −1 without one."""
        lasts = np.full(len(histories), -1, np.int64)
        for row, history in enumerate(histories):
            types = self._types[history]
            known = types[types >= 0]
            if len(known):
                lasts[row] = known[-1]
        return lasts

    def _weights(self, last: int) -> npt.NDArray[np.float64]:
        """Return how often each listing's type followed a type; zero where there is none to follow."""
        if last < 0:
            return np.zeros(len(self._types))
        followers = np.append(self._followers[[last]].toarray().ravel(), 0)  # the last: no known type
        weights: npt.NDArray[np.float64] = followers[self._types].astype(np.float64)
        return weights

    @abstractmethod
    def _count_followers(self, types: npt.NDArray[np.int64], sessions: Sessions, n_types: int) -> csr_array:
        """Return how often a type (column) follows a type (row); `types` has one entry per stay."""

    @abstractmethod
    def _scores(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """Score the listings, given how often each one's type followed."""


class RepeatType(ByType):
    """Recommend the type of the last stay again, its most booked listings first, then the other types."""

    def _count_followers(self, types: npt.NDArray[np.int64], sessions: Sessions, n_types: int) -> csr_array:
        from scipy import sparse

        return sparse.eye_array(n_types, format="csr")

    def _scores(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """Number the listings by weight, then by count; equal ones share a number (exact in float32)."""
        counts = self.vocabulary.counts
        order = np.lexsort((counts, weights))
        rises = (np.diff(weights[order]) > 0) | (np.diff(counts[order]) > 0)
        places = np.empty(len(order), np.float32)
        places[order] = np.concatenate([[0], np.cumsum(rises)])
        return places


class TypeTransitions(ByType):
    """Recommend what is booked often among the types that followed the type of the last stay in training.

    The table is first-order: pairs of consecutive stays of known type within a user's sequence, counted, plus
    one for every type. The score of a listing is its count times P(type | last type) / P(type), both within
    its market: the count to expect of users with that last stay. A market of which no type ever followed is
    left to the counts. So a type is weighed against the popularity of its listings, not put before it: the
    table that fills the list with the most likely type alone found fewer listings and as many types.
    """

    def _count_followers(self, types: npt.NDArray[np.int64], sessions: Sessions, n_types: int) -> csr_array:
        from scipy import sparse

        users = np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))[types >= 0]
        types = types[types >= 0]
        pairs = users[1:] == users[:-1]
        counted = np.ones(int(pairs.sum())), (types[:-1][pairs], types[1:][pairs])
        return sparse.coo_array(counted, shape=(n_types, n_types)).tocsr()

    def _scores(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        counts = self.vocabulary.counts
        cells, cell_nums = np.unique(
            np.stack([self._markets, self._types])[:, self._types >= 0], axis=1, return_inverse=True
        )
        nums, typed = cell_nums.ravel(), self._types >= 0
        booked = np.bincount(nums, counts[typed])
        followed = np.zeros(cells.shape[1])
        followed[nums] = weights[typed]
        n_markets = int(self._markets.max()) + 1
        expected = (followed + 1) / np.bincount(cells[0], followed + 1, n_markets)[cells[0]]
        usual = booked / np.bincount(cells[0], booked, n_markets)[cells[0]]
        heard = np.bincount(cells[0], followed, n_markets)[cells[0]] > 0
        found = counts.astype(np.float64)
        found[typed] *= np.where(heard, expected / usual, 1.0)[nums]
        return found


def fit_long_term_baselines(train: Sessions, *, attribute: str = "listing_type") -> dict[str, Scorer]:
    """Fit the baselines of :func:`~item2vec.evaluation.evaluate_long_term`.

    Parameters
    ----------
    train : Sessions
        Training side of the split: booking sequences.
    attribute : str
        Column of the item table whose values are the types.

    Returns
    -------
    dict of str to Scorer
        ``market_popularity`` (the most booked listings, of which that protocol ranks those of the true
        market), ``repeat_type`` and ``type_transitions``, the last two only where a listing has a type.
    """
    baselines: dict[str, Scorer] = {"market_popularity": Popularity().fit(train)}
    items = train.items
    n_known = 0
    if items is not None and attribute in items.column_names:
        n_known = items.num_rows - items[attribute].null_count
    if n_known:
        baselines["repeat_type"] = RepeatType(attribute=attribute).fit(train)
        baselines["type_transitions"] = TypeTransitions(attribute=attribute).fit(train)
    return baselines
