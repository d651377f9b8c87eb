"""Baselines of the long-term protocol: what type follows the type of the last stay?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from item2vec.errors import EmptyDataError
from item2vec.evaluation.arguments import check_attribute, check_sessions
from item2vec.evaluation.baselines.click_matrix import Histories, flat_histories
from item2vec.evaluation.baselines.popularity import Popularity, click_vocabulary
from item2vec.evaluation.probes.attributes import aligned_attributes, label_codes
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
        UsageError
            If the sessions' item table has no such column.
        """
        self.vocabulary, nums = click_vocabulary(sessions)
        check_attribute(sessions.items, self.attribute)
        values = aligned_attributes(sessions.items, self.vocabulary).get(self.attribute)
        self._types, names = label_codes(values, len(self.vocabulary))
        if not names:
            raise EmptyDataError(
                f"no listing has a known {self.attribute}; give the sessions an item table with that column"
            )
        self._followers = self._count_followers(self._types[nums[sessions.tokens]], sessions, len(names))
        return self

    def scores(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return the score of every listing, shape (len(histories), n_items), float32.

        A history without a known type is answered by popularity alone.
        """
        lasts, rows = np.unique(self._last_types(histories), return_inverse=True)
        found = np.empty((len(lasts), len(self.vocabulary)), np.float32)
        for row, last in enumerate(lasts.tolist()):
            found[row] = self._scores(last)
        answers: npt.NDArray[np.float32] = found[rows]
        return answers

    def backs_off(self, histories: Histories, candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return for each history whether popularity alone orders the candidates (item numbers)."""
        lasts, rows = np.unique(self._last_types(histories), return_inverse=True)
        silent = np.array([not self._weights(last)[candidates].any() for last in lasts.tolist()], bool)
        return silent[rows]

    def _last_types(self, histories: Histories) -> npt.NDArray[np.int64]:
        """Return the type of each history's last stay of a known type, −1 without one."""
        flat_histories(histories, len(self.vocabulary))
        lasts = np.full(len(histories), -1, np.int64)
        for row, history in enumerate(histories):
            types = self._types[history]
            known = types[types >= 0]
            if len(known):
                lasts[row] = known[-1]
        return lasts

    def _weights(self, last: int) -> npt.NDArray[np.float64]:
        """Return how often each listing's type followed a type, zero without a type on either side."""
        if last < 0:
            return np.zeros(len(self._types))
        return self._by_listing(self._followers[[last]].toarray().ravel())

    def _by_listing(self, by_type: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        values: npt.NDArray[np.float64] = np.append(by_type, 0.0)[self._types]  # the last: no known type
        return values

    @abstractmethod
    def _count_followers(self, types: npt.NDArray[np.int64], sessions: Sessions, n_types: int) -> csr_array:
        """Return how often a type (column) follows a type (row); `types` has one entry per stay."""

    @abstractmethod
    def _scores(self, last: int) -> npt.NDArray[Any]:
        """Score the listings for a last stay of this type."""


class RepeatType(ByType):
    """Recommend the type of the last stay again, its most booked listings first, then the other types."""

    def _count_followers(self, types: npt.NDArray[np.int64], sessions: Sessions, n_types: int) -> csr_array:
        from scipy import sparse

        return sparse.eye_array(n_types, format="csr")

    def _scores(self, last: int) -> npt.NDArray[Any]:
        """Number the listings by weight, then by count; equal ones share a number (exact in float32)."""
        weights, counts = self._weights(last), self.vocabulary.counts
        order = np.lexsort((counts, weights))
        rises = (np.diff(weights[order]) > 0) | (np.diff(counts[order]) > 0)
        places = np.empty(len(order), np.float32)
        places[order] = np.concatenate([[0], np.cumsum(rises)])
        return places


class TypeTransitions(ByType):
    """Recommend what is booked often, weighed by how much more often its type follows the last one than any.

    The score of a listing is its count times P(type | last type) / P(type), both from the pairs of
    consecutive stays of known type within the users' sequences, with one pair more per last type that
    follows chance: ``count * (n(last, type) / P(type) + 1) / (n(last) + 1)``. Types that say nothing about
    each other leave popularity; a table that puts the most likely type before every other finds fewer
    listings of the other types and no more types.
    """

    def _count_followers(self, types: npt.NDArray[np.int64], sessions: Sessions, n_types: int) -> csr_array:
        from scipy import sparse

        users = np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))[types >= 0]
        types = types[types >= 0]
        pairs = users[1:] == users[:-1]
        counted = np.ones(int(pairs.sum())), (types[:-1][pairs], types[1:][pairs])
        return sparse.coo_array(counted, shape=(n_types, n_types)).tocsr()

    def _scores(self, last: int) -> npt.NDArray[Any]:
        followed, followed_any = self._weights(last), self._by_listing(self._followers.sum(axis=0))
        share = followed_any / max(self._followers.sum(), 1)
        n_last = 0.0 if last < 0 else self._followers[[last]].sum()
        lift = np.divide(followed, share, out=np.zeros(len(share)), where=followed > 0)
        scores: npt.NDArray[np.float64] = self.vocabulary.counts * (lift + 1) / (n_last + 1)
        return scores


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

    Raises
    ------
    UsageError
        If these are no sessions, or their item table has no such column; without ``listing_type`` listings
        have no type.
    """
    check_sessions("the training sessions", train)
    check_attribute(train.items, attribute)
    baselines: dict[str, Scorer] = {"market_popularity": Popularity().fit(train)}
    items = train.items
    n_known = 0
    if items is not None and attribute in items.column_names:
        n_known = items.num_rows - items[attribute].null_count
    if n_known:
        baselines["repeat_type"] = RepeatType(attribute=attribute).fit(train)
        baselines["type_transitions"] = TypeTransitions(attribute=attribute).fit(train)
    return baselines
