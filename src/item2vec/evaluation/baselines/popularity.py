"""Popularity, overall or in the market of the last click, and the vocabulary all baselines share."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from item2vec.errors import EmptyDataError
from item2vec.evaluation.arguments import check_sessions
from item2vec.evaluation.baselines.click_matrix import Histories, flat_histories
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary


def click_vocabulary(sessions: Sessions) -> tuple[Vocabulary, npt.NDArray[np.int32]]:
    """Count the clicks of the training sessions.

    Returns
    -------
    vocabulary : Vocabulary
        Clicked items, count descending, then by id.
    nums : ndarray of int32, shape (n_items,)
        Item number of each token, −1 for an item that was never clicked.

    Raises
    ------
    EmptyDataError
        If there is no click.
    UsageError
        If they are no sessions.
    """
    check_sessions("the training sessions", sessions)
    counts = np.bincount(sessions.tokens, minlength=sessions.n_items)
    if not sessions.n_clicks:
        raise EmptyDataError("no training session has a click; a baseline cannot be fitted")
    vocabulary = Vocabulary.from_counts(sessions.item_ids, counts)
    return vocabulary, vocabulary.nums(sessions.item_ids)


class Popularity:
    """Recommend what is clicked most.

    Parameters
    ----------
    per_market : bool
        Rank only the items of the market of the last clicked item with a known market; without such an item
        all items.

    Attributes
    ----------
    vocabulary : Vocabulary
        Set by :meth:`fit`.
    """

    vocabulary: Vocabulary

    def __init__(self, *, per_market: bool = False) -> None:
        self.per_market = per_market

    def fit(self, sessions: Sessions) -> Self:
        """Count clicks.

        Raises
        ------
        EmptyDataError
            If there is no click, or `per_market` and no item has a market.
        """
        self.vocabulary, nums = click_vocabulary(sessions)
        clicked = nums >= 0
        self._markets = np.full(len(self.vocabulary), -1, np.int32)
        self._markets[nums[clicked]] = sessions.markets[clicked]
        if self.per_market and (self._markets < 0).all():
            raise EmptyDataError("no item has a market; popularity per market needs the items' markets")
        return self

    def scores(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return click counts, shape (len(histories), n_items), float32, ``-inf`` outside the market."""
        flat_histories(histories, len(self.vocabulary))
        counts = self.vocabulary.counts.astype(np.float32)
        rows = np.repeat(counts[None, :], len(histories), axis=0)
        if self.per_market:
            for row, history in enumerate(histories):
                known = self._markets[history]
                known = known[known >= 0]
                if len(known):
                    rows[row, self._markets != known[-1]] = -np.inf
        return rows
