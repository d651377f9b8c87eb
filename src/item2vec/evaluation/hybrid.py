"""The embedding and the sessions themselves in one ranking, each as far as validation sessions trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from item2vec.errors import EmptyDataError, UsageError
from item2vec.evaluation.arguments import check_scorers, check_sessions, check_whole, is_number
from item2vec.evaluation.leaks import check_no_leak
from item2vec.evaluation.next_item.cases import KnownPrefixes, prefix_cases
from item2vec.evaluation.scorer import Scorer
from item2vec.index.arguments import checked_k
from item2vec.recommendations.answers import id_array
from item2vec.recommendations.history import split_histories
from item2vec.recommendations.lists import best_items
from item2vec.recommendations.lookup import Lookup
from item2vec.recommendations.scoring import Repeats

if TYPE_CHECKING:
    from item2vec.recommendations import Recommender
    from item2vec.sessions import Sessions
    from item2vec.vocabulary import ItemId

Rows = npt.NDArray[np.float32]
TEMPERATURES = (0.5, 0.7, 1.0, 1.5, 2.5)
"""Of the embedding's softmax; their weights are learned. Short trainings want it sharp, long ones flat."""
PARTS = (
    *(f"embedding, temperature {one:g}" for one in TEMPERATURES),
    *("sessions", "sessions, new", "popular", "last click", "earlier clicks"),
)
ROUNDS = 300  # of EM: parts that are much alike still trade weight then, the ranking is settled
AT_ONCE = 256
_PART = 1 << 24  # probabilities of one part held at once; there are ten parts


class Hybrid:
    """Rank the next item by a mixture of what the embedding and what past sessions say.

    Each part gives every item a probability: the embedding by the softmax of its scores, at five
    temperatures; the sessions by their votes over their sum, once as they are and once without the history's
    own items, which some logs come back to and others do not; popularity by counts; the last click and the
    earlier ones, by coming back. :meth:`fit` finds the weights under which validation sessions are most
    likely, by EM (Dempster, Laird & Rubin 1977): it has a single optimum, and a part that knows nothing of
    its own ends with no weight. Where the embedding is unsure its probability is spread over many items, and
    what the sessions say decides.

    Parameters
    ----------
    embedding : Recommender
        Read as *next*. Its items are the hybrid's.
    sessions : Scorer
        Of scores from 0 up, such as a fitted :class:`~item2vec.SessionKNN`.
    weights : mapping of part to number, optional
        Weights that were learned before (:attr:`weights_`), instead of :meth:`fit`.

    Attributes
    ----------
    weights_ : dict of str to float
        Set by :meth:`fit`; they sum to 1.

    Examples
    --------
    >>> rec = Recommender(Item2Vec().fit(split.train).item_vectors_)                    # doctest: +SKIP
    >>> hybrid = Hybrid(rec, SessionKNN().fit(split.train))                           # doctest: +SKIP
    >>> hybrid.fit(split.validation, train=split.train)                               # doctest: +SKIP
    >>> ids, scores = hybrid.recommend(["a", "b"], N=10)                              # doctest: +SKIP
    """

    def __init__(
        self, embedding: Recommender, sessions: Scorer, *, weights: Mapping[str, float] | None = None
    ) -> None:
        check_scorers({"embedding": embedding, "sessions": sessions})
        if not isinstance(embedding, Lookup):
            raise UsageError(
                f"the embedding is a Recommender(item_vectors), not {type(embedding).__name__}; what looks"
                " for past sessions comes second: Hybrid(rec, SessionKNN().fit(train))"
            )
        self.embedding, self.sessions = embedding, sessions
        self.vocabulary = embedding.vocabulary
        if weights is not None:
            self.weights_ = _checked(weights)

    def fit(
        self,
        validation: Sessions,
        *,
        train: Sessions | None = None,
        first_targets: npt.NDArray[np.int64] | None = None,
        max_sessions: int = 2000,
        seed: int = 1,
    ) -> Self:
        """Learn the weights of the parts.

        Parameters
        ----------
        validation : Sessions
            None of those that a part was fitted on, and none of the test.
        train : Sessions, optional
            What the parts were fitted on. With it parts that know more are refused: the vectors of a finished
            run know all sessions.
        first_targets : ndarray of int64, shape (n_sessions,), optional
            As in :func:`~item2vec.evaluate_next_item`.
        max_sessions : int
            A random sample of so many is enough for ten weights.
        seed : int
            Of the sample.

        Raises
        ------
        EmptyDataError
            If no session has a click on a known item after a click.
        LeakError
            If a part knows the validation sessions, as far as that leaves traces.
        """
        check_sessions("the validation sessions", validation)
        if train is not None:
            parts = {"embedding": self.embedding, "sessions": self.sessions}
            check_no_leak(parts, train, validation, first_targets)
        check_whole("max_sessions", max_sessions, 1, "at least one session")
        check_whole("seed", seed, 0, "a seed is a whole number from 0")
        cases = prefix_cases(validation, first_targets, max_sessions, seed)
        prefixes = KnownPrefixes(validation, cases, self.vocabulary)
        found = []
        for part, histories in prefixes.batches(self._at_once):
            targets = prefixes.targets[part]
            known = np.flatnonzero((targets >= 0) & [len(one) > 0 for one in histories])
            if len(known):
                told = self._parts([histories[row] for row in known])
                places = np.arange(len(known)), targets[known]
                found.append(np.stack([one[places] for one in told], axis=1))
        if not found:
            raise EmptyDataError(
                f"none of the {len(validation):,} validation sessions has a known item after another one;"
                " give longer sessions, or weights"
            )
        self.weights_ = dict(zip(PARTS, _mixture_weights(np.concatenate(found)), strict=True))
        return self

    def scores(self, histories: Sequence[npt.NDArray[np.int32]]) -> Rows:
        """Return each item's probability to be next, float32 (len(histories), n_items).

        ``-inf`` throughout for an empty history.
        """
        scores = np.full((len(histories), len(self.vocabulary)), -np.inf, np.float32)
        known = [row for row, history in enumerate(histories) if len(history)]
        for start in range(0, len(known), self._at_once):
            rows = known[start : start + self._at_once]
            scores[rows] = self._mixed([histories[row] for row in rows])
        return scores

    def recommend(
        self,
        histories: Sequence[ItemId] | Sequence[Sequence[ItemId]],
        N: int = 10,
        items: Sequence[ItemId] | None = None,
        filter_items: Sequence[ItemId] | None = None,
        filter_seen: bool = True,
        where: Mapping[str, Any] | None = None,
    ) -> tuple[npt.NDArray[Any], Rows]:
        """Recommend items for one click history, or for each of several; see :meth:`Recommender.recommend`.

        Every item is scored.
        """
        N, rec = checked_k(N), self.embedding
        allowed = rec.allowed(where, items, filter_items).items
        single, lists = split_histories(histories, self.vocabulary)
        nums, scores = np.full((len(lists), N), -1, np.int32), np.full((len(lists), N), -np.inf, np.float32)
        id_rank = rec.index("next").id_rank
        for row, ids in enumerate(lists):
            clicks = self.vocabulary.nums(ids)
            clicks = clicks[clicks >= 0]
            if len(clicks):
                hidden = clicks if filter_seen else None
                found = best_items(self._mixed([clicks])[0], N, allowed, id_rank, hidden)
                nums[row], scores[row] = found.item_nums[0], found.scores[0]
        if single:
            length = int(np.count_nonzero(nums[0] >= 0))
            return id_array(self.vocabulary, nums[0, :length]), scores[0, :length]
        return id_array(self.vocabulary, nums), scores

    @property
    def _at_once(self) -> int:
        return min(AT_ONCE, max(1, _PART // len(self.vocabulary)))

    def _mixed(self, histories: list[npt.NDArray[np.int32]]) -> Rows:
        if not hasattr(self, "weights_"):
            raise UsageError("the hybrid has no weights yet; call fit(validation sessions), or give weights")
        mixed = np.zeros((len(histories), len(self.vocabulary)), np.float32)
        for name, part in zip(PARTS, self._parts(histories), strict=True):
            mixed += np.float32(self.weights_[name]) * part
        return mixed

    def _parts(self, histories: list[npt.NDArray[np.int32]]) -> list[Rows]:
        """Return the probabilities of each part, for histories that are not empty."""
        rec = self.embedding
        queries = rec.scoring.queries(histories, rec.vectors.vectors)
        scores = rec.index("next").scores(queries)
        votes = self._votes(histories)
        new, last, earlier = votes.copy(), np.zeros_like(votes), np.zeros_like(votes)
        for row, history in enumerate(histories):
            new[row, history] = 0.0
            nums, shares = Repeats(rec.scoring, 1.0, 1.0).shares(history)
            earlier[row, nums] = shares
            earlier[row, history[-1]] = 0.0
            last[row, history[-1]] = 1.0
        counts = np.maximum(self.vocabulary.counts, 1).astype(np.float32)
        popular = np.broadcast_to(counts / counts.sum(), scores.shape)
        sure = [_softmax(scores, one) for one in TEMPERATURES]
        return [*sure, _shares(votes), _shares(new), popular, last, earlier]

    def _votes(self, histories: list[npt.NDArray[np.int32]]) -> Rows:
        """Return what the sessions say of the embedding's items; nothing where they say nothing."""
        theirs = self.sessions.vocabulary
        if theirs is self.vocabulary or theirs.ids.equals(self.vocabulary.ids):
            votes = self.sessions.scores(histories)
        else:
            there = theirs.nums(self.vocabulary.ids)
            known = [there[history] for history in histories]
            votes = self.sessions.scores([one[one >= 0] for one in known])[:, np.maximum(there, 0)]
            votes[:, there < 0] = 0.0
        return np.where(np.isfinite(votes), np.maximum(votes, 0), np.float32(0))


def _softmax(scores: Rows, temperature: float) -> Rows:
    """Make probabilities of scores; a row of −inf, of items whose vectors are zero, becomes nothing."""
    highest = scores.max(axis=1, keepdims=True)
    scaled: Rows = (scores - np.where(np.isfinite(highest), highest, 0)) / np.float32(temperature)
    return _shares(np.exp(scaled, out=scaled))


def _shares(votes: Rows) -> Rows:
    """Divide rows by their sums; a row of nothing stays nothing."""
    sums = votes.sum(axis=1, keepdims=True)
    shares: Rows = np.divide(votes, np.where(sums > 0, sums, 1), dtype=np.float32)
    return shares


def _mixture_weights(probabilities: npt.NDArray[np.floating]) -> list[float]:
    """Return the weights under which the cases, shape (n_cases, n_parts), are most likely."""
    given = probabilities.astype(np.float64)
    weights = np.full(given.shape[1], 1.0 / given.shape[1])
    for _ in range(ROUNDS):
        share = given * weights
        weights = (share / share.sum(axis=1, keepdims=True)).mean(axis=0)
    found: list[float] = weights.tolist()
    return found


def _checked(weights: Mapping[str, float]) -> dict[str, float]:
    wrong = not isinstance(weights, Mapping) or set(weights) != set(PARTS)
    if wrong or not all(is_number(one) and one >= 0 for one in weights.values()):
        names = ", ".join(map(repr, PARTS))
        raise UsageError(f"weights are numbers from 0 up for {names}; take weights_ of a fit")
    total = float(sum(weights.values()))
    if not 0 < total < np.inf:
        raise UsageError("the weights are all 0 or infinite; one part at least must count")
    return {name: float(weights[name]) / total for name in PARTS}
