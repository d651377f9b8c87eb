"""Next-item protocol: rank all training items after every prefix of every test session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from item2vec.errors import UsageError
from item2vec.evaluation.bootstrap import Interval, bootstrap_means, interval
from item2vec.evaluation.cases import KnownPrefixes, PrefixCases, prefix_cases
from item2vec.evaluation.metrics import coverage, recall_at, recall_curve, reciprocal_rank_at
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions

SCORE_BYTES = 64 * 2**20  # one batch of scores
CURVE_LENGTH = 100
LONGEST_POSITION = 10  # prefixes this long and longer share a line in the figures by position


@dataclass(frozen=True, eq=False)
class ScorerFigures:
    """What one scorer reached on the test prefixes.

    Attributes
    ----------
    recall, mrr : Interval
        Recall@k and MRR@k in %, with 95 % intervals over sessions.
    coverage : float
        Share of the catalogue, in %, that appears in at least one list of k.
    ranks : ndarray of float64, shape (n_prefixes,)
        Rank of the target, ``inf`` where it was not in the answer.
    knows_target : ndarray of bool, shape (n_prefixes,)
        Whether the scorer knows the target: the cases that can be a hit at all.
    n_items : int
        Items the scorer ranks.
    n_unseen_targets, n_unseen_histories, n_empty_answers : int
        Prefixes whose target the scorer does not know, with no item it knows, and without any score; each of
        them is a miss, except that a scorer may answer without knowing the history.
    """

    recall: Interval
    mrr: Interval
    coverage: float
    ranks: npt.NDArray[np.float64]
    knows_target: npt.NDArray[np.bool_]
    n_items: int
    n_unseen_targets: int
    n_unseen_histories: int
    n_empty_answers: int


@dataclass(frozen=True)
class Difference:
    """Paired differences ``a − b`` in points, over the same resamples of sessions."""

    a: str
    b: str
    recall: Interval
    mrr: Interval


@dataclass(frozen=True, eq=False)
class NextItemResult:
    """Figures of :func:`evaluate_next_item`.

    Attributes
    ----------
    k : int
        Length of a list.
    scorers : dict of str to ScorerFigures
        In the order given.
    differences : tuple of Difference
        Every pair of scorers, earlier minus later.
    cases : PrefixCases
        The prefixes (in the order of ``ScorerFigures.ranks``).
    n_catalogue : int
        Items known to at least one scorer: the denominator of the coverage.
    """

    k: int
    scorers: dict[str, ScorerFigures]
    differences: tuple[Difference, ...]
    cases: PrefixCases
    n_catalogue: int

    @property
    def n_prefixes(self) -> int:
        """Number of test cases."""
        return len(self.cases)

    @property
    def n_sessions(self) -> int:
        """Number of sessions the test cases come from."""
        return self.cases.n_sessions

    def recall_curve(self, name: str) -> npt.NDArray[np.float64]:
        """Return Recall@1 … Recall@100 of one scorer in %, shape (100,)."""
        return recall_curve(self.scorers[name].ranks, CURVE_LENGTH)

    def by_position(self, name: str) -> list[dict[str, Any]]:
        """Return Recall@k and MRR@k in % by the length of the prefix, with n; the last: "10 or more"."""
        ranks = self.scorers[name].ranks
        positions = np.minimum(self.cases.positions, LONGEST_POSITION)
        return [
            {
                "position": position,
                "or_more": position == LONGEST_POSITION,
                "n": int(np.count_nonzero(mask)),
                "recall": 100.0 * float(recall_at(ranks[mask], self.k).mean()),
                "mrr": 100.0 * float(reciprocal_rank_at(ranks[mask], self.k).mean()),
            }
            for position in range(1, LONGEST_POSITION + 1)
            if (mask := positions == position).any()
        ]

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for NaN."""
        return {
            "k": self.k,
            "n_prefixes": self.n_prefixes,
            "n_sessions": self.n_sessions,
            "n_sessions_without_case": self.cases.n_without_case,
            "n_sessions_not_sampled": self.cases.n_not_sampled,
            "n_catalogue": self.n_catalogue,
            "scorers": {name: self._scorer_json(name) for name in self.scorers},
            "differences": [
                {"a": d.a, "b": d.b, "recall": d.recall.to_json(), "mrr": d.mrr.to_json()}
                for d in self.differences
            ],
        }

    def _scorer_json(self, name: str) -> dict[str, Any]:
        figures = self.scorers[name]
        curve = self.recall_curve(name)
        ranks = figures.ranks[figures.knows_target]
        return {
            "recall": figures.recall.to_json(),
            "mrr": figures.mrr.to_json(),
            "reachable": {  # the same figures over the cases whose target the scorer knows
                "n": len(ranks),
                "recall": 100.0 * float(recall_at(ranks, self.k).mean()) if len(ranks) else None,
                "mrr": 100.0 * float(reciprocal_rank_at(ranks, self.k).mean()) if len(ranks) else None,
            },
            "coverage": None if np.isnan(figures.coverage) else figures.coverage,
            "n_items": figures.n_items,
            "n_unseen_targets": figures.n_unseen_targets,
            "n_unseen_histories": figures.n_unseen_histories,
            "n_empty_answers": figures.n_empty_answers,
            "recall_curve": None if np.isnan(curve).any() else curve.tolist(),
            "by_position": self.by_position(name),
        }


@dataclass(frozen=True, eq=False)
class _Answers:
    """Ranks of the targets and what the lists of k held."""

    ranks: npt.NDArray[np.float64]
    times_recommended: npt.NDArray[np.int64]
    n_empty: int


def evaluate_next_item(
    scorers: Mapping[str, Scorer],
    test: Sessions,
    *,
    k: int = 20,
    n_bootstrap: int = 1000,
    seed: int = 1,
    first_targets: npt.NDArray[np.int64] | None = None,
    max_sessions: int | None = None,
    show_progress: bool = False,
) -> NextItemResult:
    """Rank all training items after every prefix of every test session.

    No negatives are sampled; items already in the prefix stay in the ranking. The rank of a target is
    ``1 + #greater + ½ #equal others``, a hit is a rank of at most `k`, and MRR uses the same rank. A target
    the scorer does not know, or outside its answer, is a miss and is counted.

    Parameters
    ----------
    scorers : mapping of str to Scorer
        Fitted on the training sessions of the split only.
    test : Sessions
        Held-out sessions.
    k : int
        Length of a list.
    n_bootstrap : int
        Resamples of sessions behind the 95 % intervals.
    seed : int
        Seed of the resamples (and of the sample of sessions).
    first_targets : ndarray of int64, shape (n_sessions,), optional
        Position of each session's first target; see :class:`~item2vec.evaluation.splits.Split`.
    max_sessions : int, optional
        Evaluate a random sample of this many sessions.
    show_progress : bool
        Draw a bar.

    Returns
    -------
    NextItemResult
        With NaN only where there is no case at all.

    Raises
    ------
    UsageError
        If there is no scorer, `k` is below 1, or a scorer answers with the wrong shape.
    DataError
        If the scorers' item ids and the sessions' are of different types.
    """
    if not scorers:
        raise UsageError("there is nothing to evaluate: give at least one scorer by name")
    if k < 1:
        raise UsageError(f"k={k}: a list holds at least one item")
    cases = prefix_cases(test, first_targets, max_sessions, seed)
    prefixes = {name: KnownPrefixes(test, cases, scorer.vocabulary) for name, scorer in scorers.items()}
    with tqdm(total=len(cases) * len(scorers), unit="prefix", disable=not show_progress) as bar:
        answers = {name: _answers(name, scorers[name], prefixes[name], k, bar) for name in scorers}
    means = _bootstrap(answers, cases, k, n_bootstrap, seed)
    n_catalogue = _n_catalogue(scorers)
    figures = {
        name: ScorerFigures(
            recall=interval(*means[name, "recall"]),
            mrr=interval(*means[name, "mrr"]),
            coverage=coverage(answers[name].times_recommended, n_catalogue) if len(cases) else float("nan"),
            ranks=answers[name].ranks,
            knows_target=prefixes[name].targets >= 0,
            n_items=len(scorers[name].vocabulary),
            n_unseen_targets=int(np.count_nonzero(prefixes[name].targets < 0)),
            n_unseen_histories=int(np.count_nonzero(prefixes[name].lengths == 0)),
            n_empty_answers=answers[name].n_empty,
        )
        for name in scorers
    }
    return NextItemResult(k, figures, _differences(list(scorers), means), cases, n_catalogue)


def _answers(name: str, scorer: Scorer, prefixes: KnownPrefixes, k: int, bar: tqdm[Any]) -> _Answers:
    """Score all prefixes in batches that fit :data:`SCORE_BYTES`."""
    from item2vec.evaluation.ranks import target_ranks, top_items

    n_items = len(scorer.vocabulary)
    ranks = np.full(len(prefixes.targets), np.inf)
    times = np.zeros(n_items, np.int64)
    n_empty = 0
    for part, histories in prefixes.batches(min(2048, max(1, SCORE_BYTES // (4 * n_items)))):
        scores = scorer.scores(histories)
        if scores.shape != (len(histories), n_items):
            raise UsageError(
                f"scorer {name!r} answered {scores.shape} for {len(histories)} histories and {n_items} items;"
                " scores() must return one row per history and one column per item"
            )
        ranks[part] = target_ranks(scores, prefixes.targets[part])
        items, _ = top_items(scores, k)
        times += np.bincount(items[items >= 0], minlength=n_items)
        n_empty += int(np.count_nonzero(items[:, 0] < 0))
        bar.update(len(histories))
    return _Answers(ranks, times, n_empty)


def _bootstrap(
    answers: Mapping[str, _Answers], cases: PrefixCases, k: int, n_bootstrap: int, seed: int
) -> dict[tuple[str, str], tuple[float, npt.NDArray[np.float64]]]:
    """Average all scorers over the same resamples of sessions."""
    figures = {}
    for name, answer in answers.items():
        figures[f"{name}\0recall"] = 100.0 * recall_at(answer.ranks, k)
        figures[f"{name}\0mrr"] = 100.0 * reciprocal_rank_at(answer.ranks, k)
    means = bootstrap_means(figures, cases.session_nums, n_bootstrap, seed)
    return {(key.rpartition("\0")[0], key.rpartition("\0")[2]): mean for key, mean in means.items()}


def _differences(
    names: list[str], means: Mapping[tuple[str, str], tuple[float, npt.NDArray[np.float64]]]
) -> tuple[Difference, ...]:
    def paired(a: str, b: str, metric: str) -> Interval:
        (mean_a, resamples_a), (mean_b, resamples_b) = means[a, metric], means[b, metric]
        return interval(mean_a - mean_b, resamples_a - resamples_b)

    return tuple(
        Difference(a, b, paired(a, b, "recall"), paired(a, b, "mrr")) for a, b in combinations(names, 2)
    )


def _n_catalogue(scorers: Mapping[str, Scorer]) -> int:
    """Count the items that at least one scorer knows."""
    return len(pc.unique(pa.chunked_array([scorer.vocabulary.ids for scorer in scorers.values()])))
