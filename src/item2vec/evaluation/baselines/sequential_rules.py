"""Sequential rules: what followed the last click, sooner counting more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.evaluation.baselines.click_matrix import Histories, as_scores, weighted_histories
from item2vec.evaluation.baselines.popularity import click_vocabulary
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class SequentialRules:
    """Recommend what came after the last clicks in past sessions.

    The rule a → b weighs the sum of ``1 / d`` over all clicks on b that lie `d` clicks behind one on a in the
    same session, ``d <= max_distance`` (Ludewig & Jannach, "Evaluation of Session-based Recommendation
    Algorithms", UMUAI 2018, "SR"). A rule may lead back to its own item. Every rule is kept.

    Parameters
    ----------
    max_distance : int
        Longest way from a click to its consequence, in clicks.
    decay : float
        Weight of a click relative to the next one, in [0, 1]: 0 uses the last click alone, as the literature
        does.

    Attributes
    ----------
    vocabulary : Vocabulary
        Set by :meth:`fit`.
    rules : scipy.sparse.csr_array of float32, shape (n_items, n_items)
        Set by :meth:`fit`; row a holds what follows item a.

    Raises
    ------
    UsageError
        If a parameter is out of its range.
    """

    vocabulary: Vocabulary
    rules: csr_array

    def __init__(self, *, max_distance: int = 10, decay: float = 0.0) -> None:
        if max_distance < 1 or not 0 <= decay <= 1:
            raise UsageError(
                f"max_distance={max_distance}, decay={decay}: a rule reaches at least to the next click"
                " (1), decay is in [0, 1]"
            )
        self.max_distance = max_distance
        self.decay = decay

    def fit(self, sessions: Sessions) -> Self:
        """Weigh the rules, one distance after the other.

        Raises
        ------
        EmptyDataError
            If there is no click.
        """
        from scipy import sparse

        self.vocabulary, nums = click_vocabulary(sessions)
        items = nums[sessions.tokens]
        lengths = np.diff(sessions.offsets)
        left = np.repeat(sessions.offsets[1:], lengths) - np.arange(len(items))  # clicks to the end, own too
        shape = (len(self.vocabulary), len(self.vocabulary))
        rules = sparse.csr_array(shape, dtype=np.float64)
        for distance in range(1, min(self.max_distance, int(lengths.max()) - 1) + 1):
            starts = np.flatnonzero(left > distance)
            pairs = (items[starts], items[starts + distance])
            rules += sparse.csr_array((np.full(len(starts), 1 / distance), pairs), shape=shape)
        self.rules = rules.astype(np.float32)
        return self

    def scores(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return the summed weights of the clicks' rules, shape (len(histories), n_items), float32.

        ``-inf`` where no rule leads; an unknown history has an empty answer.
        """
        return as_scores(weighted_histories(histories, self.decay, len(self.vocabulary)) @ self.rules)
