"""Validation sessions and the one number that a model reaches on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import EmptyDataError
from item2vec.evaluation.arguments import scores_of
from item2vec.evaluation.metrics import recall_at, reciprocal_rank_at
from item2vec.evaluation.next_item.cases import KnownPrefixes, prefix_cases
from item2vec.evaluation.next_item.protocol import LEAST_ROWS, SCORE_BYTES
from item2vec.evaluation.ranks import target_ranks

if TYPE_CHECKING:
    from item2vec.evaluation.scorer import Scorer
    from item2vec.sessions import Sessions
    from item2vec.vocabulary import Vocabulary

METRICS = {"recall": recall_at, "mrr": reciprocal_rank_at}
LARGEST_BATCH = 2048


@dataclass(eq=False)
class Measured:
    """A sample of validation sessions, always the same, and a metric.

    Parameters
    ----------
    validation : Sessions
    first_targets : ndarray of int64, shape (n_sessions,), optional
        As in :func:`item2vec.evaluate_next_item`.
    max_sessions : int
        Size of the sample.
    metric : {"recall", "mrr"}
    k : int
    seed : int

    Raises
    ------
    EmptyDataError
        If no session has a click that could be foretold.
    """

    validation: Sessions
    first_targets: npt.NDArray[np.int64] | None
    max_sessions: int
    metric: str
    k: int
    seed: int
    _known: tuple[Vocabulary, KnownPrefixes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Choose the sessions."""
        self.cases = prefix_cases(self.validation, self.first_targets, self.max_sessions, self.seed)
        if not len(self.cases):
            raise EmptyDataError(
                f"none of the {len(self.validation):,} validation sessions has a click before one that could"
                " be foretold, so no setting can be told from another; give longer ones, or move the cuts"
            )

    def score(self, scorer: Scorer) -> float:
        """Return the metric in %, a mean over prefixes."""
        prefixes = self._prefixes(scorer.vocabulary)
        ranks = np.empty(len(self.cases))
        rows = min(LARGEST_BATCH, max(LEAST_ROWS, SCORE_BYTES // (4 * len(scorer.vocabulary))))
        for part, histories in prefixes.batches(rows):
            scores = scores_of("the model", scorer, histories)
            ranks[part] = target_ranks(scores, prefixes.targets[part])
        metric: Any = METRICS[self.metric]
        return float(100.0 * metric(ranks, self.k).mean())

    def _prefixes(self, vocabulary: Vocabulary) -> KnownPrefixes:
        """Look the items up once per training."""
        if self._known is None or self._known[0] is not vocabulary:
            self._known = vocabulary, KnownPrefixes(self.validation, self.cases, vocabulary)
        return self._known[1]
