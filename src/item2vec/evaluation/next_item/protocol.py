"""Next-item protocol: rank all training items after every prefix of every test session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from item2vec.evaluation.arguments import check_resamples, check_sessions, check_whole, scores_of
from item2vec.evaluation.bootstrap import bootstrap_means
from item2vec.evaluation.next_item.cases import KnownPrefixes, PrefixCases, prefix_cases, scorers_by_seed
from item2vec.evaluation.next_item.figures import (
    Answers,
    KnownCases,
    Means,
    case_figures,
    paired_differences,
    scorer_figures,
)
from item2vec.evaluation.next_item.lists import TrainingItems
from item2vec.evaluation.next_item.result import NextItemResult, ScorerFigures
from item2vec.evaluation.next_item.slices import case_slices, popularity_slices
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions

SCORE_BYTES = 24 * 2**20  # one batch of scores; larger ones are slower, as their pages are new each time
LEAST_ROWS = 16  # of a batch, however large the catalogue: fewer make the product of two matrices slow


def evaluate_next_item(
    scorers: Mapping[str, Scorer | Sequence[Scorer]],
    test: Sessions,
    *,
    train: Sessions | None = None,
    relevant: Literal["next", "rest"] = "next",
    k: int = 20,
    n_bootstrap: int = 1000,
    seed: int = 1,
    first_targets: npt.NDArray[np.int64] | None = None,
    max_sessions: int | None = None,
    show_progress: bool = False,
) -> NextItemResult:
    """Rank all training items after every prefix of every test session.

    No negatives are sampled; items already in the prefix stay in the ranking. The rank of a relevant item is
    ``1 + #greater + ½ #equal others``, a hit is a rank of at most `k`, and every metric uses the same rank.
    An item the scorer does not know, or outside its answer, is a miss and is counted.

    Parameters
    ----------
    scorers : mapping of str to Scorer, or to a sequence of them
        Fitted on the training sessions of the split only. Estimators (:class:`~item2vec.Item2Vec`,
        :class:`~item2vec.Cooccurrence`) do not rank: wrap ``Recommender(model.item_vectors_)``. A sequence is
        one method trained with several seeds: figures are averaged over the seeds first, then over cases.
    test : Sessions
        Held-out sessions.
    train : Sessions, optional
        What the scorers were fitted on. With it leaks are refused, and there are diversity, novelty,
        popularity and slices.
    relevant : {"next", "rest"}
        One relevant item, the click that follows, or all distinct items of the rest of the session. Slices
        are by the click that follows, in both.
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
        If there is no scorer or one that does not rank, `test` or `train` are no sessions, a number is out of
        its range, or a scorer answers with the wrong shape.
    DataError
        If item ids of scorers and sessions are of different types; a LeakError if `train` or a scorer knows
        what the test asks for; an EmptyDataError if `train` has no click.
    """
    methods = scorers_by_seed(scorers)
    check_sessions("the test sessions", test)
    check_whole("k", k, 1, "a list holds a whole number of items, at least one")
    check_resamples(n_bootstrap, seed)
    k = int(k)
    if max_sessions is not None:
        check_whole("max_sessions", max_sessions, 1, "evaluate at least one session, or all with None")
    if train is not None:
        from item2vec.evaluation.leaks import check_no_leak

        check_no_leak(scorers, train, test, first_targets)
    cases = prefix_cases(test, first_targets, max_sessions, seed, relevant)
    known = None if train is None else _known(train, test, cases)
    prefixes = {name: KnownPrefixes(test, cases, seeds[0].vocabulary) for name, seeds in methods.items()}
    n_catalogue = _n_catalogue(methods)
    figures: dict[str, ScorerFigures] = {}
    means: dict[str, Means] = {}
    n_asked = len(cases) * sum(map(len, methods.values()))
    with tqdm(total=n_asked, unit="prefix", disable=not show_progress) as bar:
        for name, seeds in methods.items():
            answers = [_answers(name, scorer, prefixes[name], cases, k, bar) for scorer in seeds]
            per_case = case_figures(answers, cases, k, known)
            means[name] = bootstrap_means(per_case, cases.session_nums, n_bootstrap, seed)
            figures[name] = scorer_figures(answers, cases, k, means[name], known, n_catalogue)
    return NextItemResult(k, relevant, figures, paired_differences(means), cases, n_catalogue)


def _known(train: Sessions, test: Sessions, cases: PrefixCases) -> KnownCases:
    """Look the items of the test sessions up in the training sessions."""
    items = TrainingItems(train)
    tokens = items.tokens(test.item_ids)
    clicks = items.clicks_of(tokens)
    sizes = np.diff(cases.offsets)
    total = np.bincount(np.repeat(np.arange(len(cases)), sizes), clicks[cases.targets], len(cases))
    slices = {name: mask[tokens] & (tokens >= 0) for name, mask in popularity_slices(items.clicks).items()}
    slices["tail"] |= tokens < 0
    return KnownCases(items, total / sizes, case_slices(test, cases, clicks, slices))


def _answers(
    name: str, scorer: Scorer, prefixes: KnownPrefixes, cases: PrefixCases, k: int, bar: tqdm[Any]
) -> Answers:
    """Score all prefixes in batches that fit :data:`SCORE_BYTES`."""
    from item2vec.evaluation.ranks import ranks_and_lists

    n_items = len(scorer.vocabulary)
    ranks = np.full(len(prefixes.targets), np.inf)
    lists = np.full((len(cases), k), -1, np.int32)
    for part, histories in prefixes.batches(min(2048, max(LEAST_ROWS, SCORE_BYTES // (4 * max(n_items, 1))))):
        scores = scores_of(name, scorer, histories)
        offsets = cases.offsets[part.start : part.stop + 1]
        targets = slice(offsets[0], offsets[-1])
        ranks[targets], lists[part], _ = ranks_and_lists(
            scores, prefixes.targets[targets], offsets - offsets[0], k
        )
        bar.update(len(histories))
    return Answers(
        ranks, lists, prefixes.targets >= 0, scorer.vocabulary, int(np.count_nonzero(prefixes.lengths == 0))
    )


def _n_catalogue(methods: Mapping[str, Sequence[Scorer]]) -> int:
    """Count the items that at least one scorer knows."""
    return len(pc.unique(pa.chunked_array([seeds[0].vocabulary.ids for seeds in methods.values()])))
