"""Figures of one method from its answers: metrics per case, slices of the cases, means with resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from item2vec.evaluation import metrics
from item2vec.evaluation.bootstrap import Interval, Resampled, interval
from item2vec.evaluation.next_item.cases import PrefixCases
from item2vec.evaluation.next_item.lists import TrainingItems, coverage, gini
from item2vec.evaluation.next_item.parts import PositionFigures, Reachable, SliceFigures
from item2vec.evaluation.next_item.result import Difference, ScorerFigures
from item2vec.vocabulary import Vocabulary

LONGEST_POSITION = 10  # prefixes this long and longer share a line in the figures by position
METRICS = {
    "recall": metrics.recall_at,
    "hr": metrics.hit_at,
    "mrr": metrics.reciprocal_rank_at,
    "ndcg": metrics.ndcg_at,
    "map": metrics.average_precision_at,
}
COMPARED = ("recall", "mrr", "ndcg")
OF_LISTS = ("diversity", "novelty", "popularity")

PerCase = dict[tuple[str, ...], npt.NDArray[np.float64]]  # a figure of every case, by ("recall",) or by
Means = dict[tuple[str, ...], Resampled]  # ("slice", "head", "recall"), and its mean with resamples


@dataclass(frozen=True, eq=False)
class KnownCases:
    """What training says of the test cases.

    Attributes
    ----------
    items : TrainingItems
    popularity : ndarray of float64, shape (n_cases,)
        Mean training clicks of the relevant items.
    slices : dict of str to ndarray of bool, shape (n_cases,)
    """

    items: TrainingItems
    popularity: npt.NDArray[np.float64]
    slices: dict[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Answers:
    """What one training of a method answered.

    Attributes
    ----------
    ranks : ndarray of float64, shape (n_relevant,)
        Ragged by ``cases.offsets``; ``inf`` for a miss.
    lists : ndarray of int32, shape (n_cases, k)
        Items of `vocabulary`, padded with −1.
    knows_target : ndarray of bool, shape (n_relevant,)
    vocabulary : Vocabulary
    n_unseen_histories : int
        Prefixes without an item of `vocabulary`.
    """

    ranks: npt.NDArray[np.float64]
    lists: npt.NDArray[np.int32]
    knows_target: npt.NDArray[np.bool_]
    vocabulary: Vocabulary
    n_unseen_histories: int


def case_figures(answers: Sequence[Answers], cases: PrefixCases, k: int, known: KnownCases | None) -> PerCase:
    """Compute every figure of every case, averaged over the seeds; metrics in %, NaN outside a part."""
    per_case: PerCase = {
        (name,): 100.0 * np.mean([metric(one.ranks, k, cases.offsets) for one in answers], axis=0)
        for name, metric in METRICS.items()
    }
    if known is not None:
        per_case |= _list_figures(answers, known)
    return per_case | _parts(per_case, cases, {} if known is None else known.slices)


def _list_figures(answers: Sequence[Answers], known: KnownCases) -> PerCase:
    """Describe the lists of every case, averaged over the seeds that answered."""
    tokens = known.items.tokens(answers[0].vocabulary.ids)
    translation = np.append(tokens, np.int32(-1))  # the last one pads
    seeds = [known.items.figures(translation[one.lists]) for one in answers]
    per_case: PerCase = {}
    for name in OF_LISTS:
        values = np.array([one[name] for one in seeds])
        answered = ~np.isnan(values)
        total, n = np.where(answered, values, 0.0).sum(axis=0), answered.sum(axis=0)
        per_case[name,] = np.divide(total, n, out=np.full(len(total), np.nan), where=n > 0)
    without_list = np.isnan(per_case["popularity",])
    per_case["target_popularity",] = np.where(without_list, np.nan, known.popularity)
    return per_case


def _parts(per_case: PerCase, cases: PrefixCases, slices: Mapping[str, npt.NDArray[np.bool_]]) -> PerCase:
    """Repeat the metrics for each slice and each length of the prefix, NaN for the cases outside."""
    parts: PerCase = {}
    for slice_name, mask in slices.items():
        for metric in COMPARED:
            parts["slice", slice_name, metric] = np.where(mask, per_case[metric,], np.nan)
    positions = np.minimum(cases.positions, LONGEST_POSITION)
    for position in np.unique(positions).tolist():
        for metric in ("recall", "mrr"):
            parts["position", str(position), metric] = np.where(
                positions == position, per_case[metric,], np.nan
            )
    return parts


def scorer_figures(
    answers: Sequence[Answers],
    cases: PrefixCases,
    k: int,
    means: Means,
    known: KnownCases | None,
    n_catalogue: int,
) -> ScorerFigures:
    """Put the figures of one method together."""
    times = [np.bincount(one.lists[one.lists >= 0], minlength=len(one.vocabulary)) for one in answers]
    knows_target = answers[0].knows_target
    return ScorerFigures(
        **{name: interval(*means[name,]) for name in METRICS},
        diversity=interval(*means["diversity",]) if known else None,
        novelty=interval(*means["novelty",]) if known else None,
        popularity=interval(*means["popularity",]) if known else None,
        popularity_lift=_lift(means["popularity",], means["target_popularity",]) if known else None,
        coverage=float(np.mean([coverage(one, n_catalogue) for one in times]))
        if len(cases)
        else float("nan"),
        gini=float(np.mean([gini(one, n_catalogue) for one in times])),
        seed_ranks=np.array([one.ranks for one in answers]),
        knows_target=knows_target,
        reachable=_reachable(answers, cases, k),
        seeds={
            name: tuple(_percent(METRICS[name](one.ranks, k, cases.offsets)) for one in answers)
            for name in COMPARED
        },
        slices=_slice_figures(known.slices, cases, means) if known else None,
        by_position=_position_figures(cases, means),
        n_items=len(answers[0].vocabulary),
        n_unseen_targets=int(np.count_nonzero(~knows_target)),
        n_unseen_histories=answers[0].n_unseen_histories,
        n_empty_answers=int(np.any([one.lists[:, 0] < 0 for one in answers], axis=0).sum()),
    )


def _slice_figures(
    slices: Mapping[str, npt.NDArray[np.bool_]], cases: PrefixCases, means: Means
) -> dict[str, SliceFigures]:
    return {
        name: SliceFigures(
            n=int(np.count_nonzero(mask)),
            n_sessions=len(np.unique(cases.session_nums[mask])),
            **{metric: interval(*means["slice", name, metric]) for metric in COMPARED},
        )
        for name, mask in slices.items()
    }


def _position_figures(cases: PrefixCases, means: Means) -> tuple[PositionFigures, ...]:
    positions = np.minimum(cases.positions, LONGEST_POSITION)
    here = {position: cases.session_nums[positions == position] for position in np.unique(positions).tolist()}
    return tuple(
        PositionFigures(
            position=position,
            or_more=position == LONGEST_POSITION,
            n=len(sessions),
            n_sessions=len(np.unique(sessions)),
            recall=interval(*means["position", str(position), "recall"]),
            mrr=interval(*means["position", str(position), "mrr"]),
        )
        for position, sessions in here.items()
    )


def _reachable(answers: Sequence[Answers], cases: PrefixCases, k: int) -> Reachable:
    """Average over the relevant items that the scorer knows."""
    knows_target = answers[0].knows_target
    offsets = np.concatenate([[0], np.cumsum(knows_target)])[cases.offsets]
    ranks = [one.ranks[knows_target] for one in answers]
    recall, mrr = (
        float(np.mean([_percent(METRICS[name](one, k, offsets)) for one in ranks]))
        for name in ("recall", "mrr")
    )
    return Reachable(int(np.count_nonzero(np.diff(offsets))), recall, mrr)


def _percent(values: npt.NDArray[np.float64]) -> float:
    """Return the mean over the cases that have a value, in %; NaN without one."""
    values = values[~np.isnan(values)]
    return 100.0 * float(values.mean()) if len(values) else float("nan")


def _lift(popularity: Resampled, targets: Resampled) -> Interval:
    """Return by how much the lists are more popular than what is clicked, as a share of the latter."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.divide(popularity[0], targets[0]) - 1
        resamples = popularity[1] / targets[1] - 1
    resamples[~np.isfinite(resamples)] = np.nan
    return interval(float(value) if np.isfinite(value) else float("nan"), resamples)


def paired_differences(means: Mapping[str, Means]) -> tuple[Difference, ...]:
    """Compare every two methods over the same resamples, the earlier minus the later."""

    def paired(a: str, b: str, metric: str) -> Interval:
        (mean_a, resamples_a), (mean_b, resamples_b) = means[a][metric,], means[b][metric,]
        return interval(mean_a - mean_b, resamples_a - resamples_b)

    return tuple(
        Difference(a, b, **{metric: paired(a, b, metric) for metric in COMPARED})
        for a, b in combinations(means, 2)
    )
