"""Ranking protocol: how well do scores order what searches showed, by what it was worth in the end?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.arrow import numpy_numbers
from item2vec.errors import DataError, UsageError
from item2vec.evaluation.arguments import check_resamples
from item2vec.evaluation.bootstrap import FEWEST_CLUSTERS, Interval, Resampled, bootstrap_means, interval
from item2vec.evaluation.ranking.discounts import (
    Floats,
    Ints,
    discounted_sums,
    expected_discounts,
    normalised_sums,
)
from item2vec.evaluation.ranking.labels import LABEL_GAIN, OUTCOMES, UTILITIES, label_counts
from item2vec.evaluation.ranking.result import RankingDifference, RankingFigures, RankingResult
from item2vec.sessions.columns import one_array

WORTH = tuple(name for name, utility in zip(OUTCOMES, UTILITIES, strict=True) if utility)
Means = dict[tuple[str, str], Resampled]  # by scorer and figure


class Judged(NamedTuple):
    """Rows of labelled searches.

    Attributes
    ----------
    searches, users : ndarray of int64, shape (n_rows,)
        Numbers from 0.
    labels : ndarray of int64, shape (n_rows,)
    n_searches : int
    """

    searches: Ints
    users: Ints
    labels: Ints
    n_searches: int


def evaluate_ranking(
    scores: Mapping[str, npt.ArrayLike],
    labels: pa.Table,
    *,
    clusters: Literal["search", "user"] = "search",
    n_bootstrap: int = 1000,
    seed: int = 1,
) -> RankingResult:
    """Measure the orders that scores give to labelled searches.

    Per search, the sum over its rows of worth · 1/log2(1 + rank), over the same sum in the best order: NDCG
    with the gains a ranker is trained on (:data:`LABEL_GAIN`), NDCU with the utilities themselves
    (:data:`UTILITIES`), negative for rejections. The whole page counts, there is no cut-off; equal scores
    share the mean of their ranks' discounts. NDCU's best order has the rejected listings last. It is at most
    1 and below 0 for an order that is worth less than an empty page; a search whose best order is worth
    nothing has no NDCU (``n_without_ndcu``; none that ends in a booking does unless it has six rejections or
    more). The mean is over searches.

    Intervals say what other searches might have shown, not what other trainings might: give several seeds.

    ``dcu`` splits the utility by outcome (the paper's Table 8): the mean over the searches with such an
    outcome of Σ utility · 1/log2(1 + rank), in % of a booking at the first rank.

    Parameters
    ----------
    scores : mapping of str to array_like of float, shape (n_rows,) or (n_seeds, n_rows)
        One score per row of `labels`, higher is better. Rows of two dimensions are one method trained with
        several seeds; figures are averaged per search before searches are resampled.
    labels : pyarrow.Table
        As :func:`search_labels` makes it: ``user_id``, ``search_id``, ``label``, in any order of the rows.
    clusters : {"search", "user"}
        What is resampled. A user's searches are not independent of each other: with many per user resample
        users.
    n_bootstrap, seed : int
        Resamples behind the 95 % intervals, and their seed; the same resamples for all, so differences are
        paired.

    Returns
    -------
    RankingResult

    Raises
    ------
    UsageError
        If there is no scorer, a shape does not fit, or a score is NaN.
    DataError
        If `labels` is no such table.
    """
    check_resamples(n_bootstrap, seed)
    if clusters not in ("search", "user"):
        raise UsageError(f"clusters={clusters!r}: resample by 'search' or by 'user'")
    judged = judged_rows(labels)
    methods = _checked_scores(scores, len(judged.labels))
    figures = {
        (name, figure): values
        for name, seeds in methods.items()
        for figure, values in per_search(seeds, judged).items()
    }
    first = np.unique(judged.searches, return_index=True)[1]
    groups = np.arange(judged.n_searches) if clusters == "search" else judged.users[first]
    means = bootstrap_means(figures, groups, n_bootstrap, seed)
    n_groups = len(np.unique(groups))
    of_one = next(iter(methods))
    return RankingResult(
        n_searches=judged.n_searches,
        n_users=len(np.unique(judged.users)),
        n_rows=len(judged.labels),
        outcomes={name: int(np.sum(judged.labels == code)) for code, name in enumerate(OUTCOMES)},
        searches_with={name: int(np.sum(~np.isnan(figures[of_one, name]))) for name in WORTH},
        n_without_ndcu=int(np.isnan(figures[of_one, "ndcu"]).sum()),
        excluded=label_counts(labels),
        clusters=clusters,
        scorers={
            name: RankingFigures(**_intervals(means, name), n_seeds=len(seeds))
            for name, seeds in methods.items()
        },
        differences=tuple(_difference(means, a, b) for a, b in combinations(methods, 2)),
        insufficient=None
        if n_groups >= FEWEST_CLUSTERS
        else f"insufficient data: {n_groups} to resample by {clusters}; it takes {FEWEST_CLUSTERS}",
    )


def judged_rows(labels: Any) -> Judged:
    """Number searches and users of a table of labels.

    Raises
    ------
    DataError
        If it is none.
    """
    if not isinstance(labels, pa.Table) or not {"user_id", "search_id", "label"} <= set(labels.column_names):
        raise DataError("labels is a pyarrow.Table with user_id, search_id and label; see search_labels(...)")
    users, searches = (
        numpy_numbers(one_array(labels[name]).dictionary_encode().indices).astype(np.int64)
        for name in ("user_id", "search_id")
    )
    codes = numpy_numbers(labels["label"].cast(pa.int64()))
    if len(codes) and not (codes.min() >= 0 and codes.max() < len(OUTCOMES)):
        raise DataError(f"labels are 0 to {len(OUTCOMES) - 1}: {', '.join(OUTCOMES)}")
    pairs = users * (searches.max(initial=0) + 1) + searches
    distinct, numbers = np.unique(pairs, return_inverse=True)
    return Judged(numbers.astype(np.int64), users, codes, len(distinct))


def per_search(seeds: Floats, judged: Judged) -> dict[str, Floats]:
    """Return every figure per search in %, averaged over seeds; NaN where it has none."""
    searches, n = judged.searches, judged.n_searches
    gains, utilities = np.array(LABEL_GAIN)[judged.labels], np.array(UTILITIES)[judged.labels]
    discounts = [expected_discounts(one, searches) for one in seeds]
    found = {
        "ndcg": [normalised_sums(gains, one, searches, n) for one in discounts],
        "ndcu": [normalised_sums(utilities, one, searches, n) for one in discounts],
    }
    for code, name in enumerate(OUTCOMES):
        if name in WORTH:
            mine = judged.labels == code
            none = np.bincount(searches[mine], minlength=n) == 0
            sums = [discounted_sums(utilities * mine, one, searches, n) for one in discounts]
            found[name] = [np.where(none, np.nan, one) for one in sums]
    return {name: 100.0 * np.mean(values, axis=0) for name, values in found.items()}


def _checked_scores(scores: Any, n_rows: int) -> dict[str, Floats]:
    if not isinstance(scores, Mapping) or not scores:
        raise UsageError("give the scores names: {'my ranker': scores, …}, at least one")
    methods = {}
    for name, given in scores.items():
        found = np.atleast_2d(np.asarray(given, np.float64))
        if found.ndim != 2 or found.shape[1] != n_rows or not len(found):
            raise UsageError(
                f"scores {name!r} have shape {np.shape(given)} for {n_rows} labelled rows; give one per row,"
                " or one row of them per seed"
            )
        if np.isnan(found).any():
            raise UsageError(f"scores {name!r} are NaN in {int(np.isnan(found).sum())} places; -inf is last")
        methods[str(name)] = found
    return methods


def _intervals(means: Means, name: str) -> dict[str, Any]:
    return {
        "ndcg": interval(*means[name, "ndcg"]),
        "ndcu": interval(*means[name, "ndcu"]),
        "dcu": {outcome: interval(*means[name, outcome]) for outcome in WORTH},
    }


def _difference(means: Means, a: str, b: str) -> RankingDifference:
    def paired(figure: str) -> Interval:
        (mean_a, drawn_a), (mean_b, drawn_b) = means[a, figure], means[b, figure]
        return interval(mean_a - mean_b, drawn_a - drawn_b)

    def lift(figure: str) -> Interval:
        (mean_a, drawn_a), (mean_b, drawn_b) = means[a, figure], means[b, figure]
        with np.errstate(invalid="ignore", divide="ignore"):  # an outcome that no search has
            relative = np.divide(np.subtract(mean_a, mean_b), np.abs(mean_b))
            return interval(100.0 * float(relative), 100.0 * (drawn_a - drawn_b) / np.abs(drawn_b))

    return RankingDifference(
        a=a,
        b=b,
        ndcg=paired("ndcg"),
        ndcu=paired("ndcu"),
        dcu={outcome: paired(outcome) for outcome in WORTH},
        lift={figure: lift(figure) for figure in ("ndcu", *WORTH)},
    )
