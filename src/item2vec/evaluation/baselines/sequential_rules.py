"""Sequential rules: what followed the last click, sooner counting more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.pair_counts import count_pairs
from item2vec.evaluation.arguments import check_share, check_whole
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
        check_whole("max_distance", max_distance, 1, "a rule reaches at least to the next click (1)")
        check_share("decay", decay)
        self.max_distance = max_distance
        self.decay = decay

    def fit(self, sessions: Sessions) -> Self:
        """Weigh the rules.

        Raises
        ------
        EmptyDataError
            If there is no click.
        """
        self.vocabulary, nums = click_vocabulary(sessions)
        longest = int(np.diff(sessions.offsets).max())
        near = 1 / np.arange(1, min(self.max_distance, longest - 1) + 1)
        rules = count_pairs(nums[sessions.tokens], sessions.offsets, near, len(self.vocabulary))
        self.rules = rules.astype(np.float32)
        return self

    def scores(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return the summed weights of the clicks' rules, shape (len(histories), n_items), float32.

        ``-inf`` where no rule leads; an unknown history has an empty answer.
        """
        return as_scores(weighted_histories(histories, self.decay, len(self.vocabulary)) @ self.rules)
