"""From the ranks of all lines to the figures of booked rank: means, intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from item2vec.evaluation.booked_ranks.cases import BookedCases
from item2vec.evaluation.booked_ranks.result import (
    CURVES,
    METRICS,
    BookedRankResult,
    LineRanks,
    RankCurve,
    RankDifference,
    RankFigures,
    metrics,
)
from item2vec.evaluation.bootstrap import Interval, Resampled, bootstrap_means, interval


def summarise(
    cases: BookedCases,
    lines: Mapping[str, LineRanks],
    max_position: int,
    min_cases: int,
    n_bootstrap: int,
    seed: int,
) -> BookedRankResult:
    """Average the lines over their seeds, then over cases, with intervals over sessions.

    Parameters
    ----------
    cases : BookedCases
    lines : mapping of str to LineRanks
    max_position, min_cases, n_bootstrap, seed
        As in :func:`~item2vec.evaluation.booked_ranks.protocol.booked_rank`.

    Returns
    -------
    BookedRankResult
    """
    figures = {
        (name, metric): values.mean(axis=0)
        for name, line in lines.items()
        for metric, values in metrics(line.ranks, cases).items()
    }
    curves: dict[str, dict[str, RankCurve]] = {name: {} for name in lines}
    differences: list[RankDifference] = []
    for curve in CURVES:
        mask = cases.before if curve == "before" else np.ones(len(cases), bool)
        means = _means(figures, cases, mask, n_bootstrap, seed)
        overall = _figures(list(lines), means, cases, mask)
        places: dict[int, dict[str, RankFigures]] = {}
        compared: dict[int, dict[tuple[str, str], Resampled]] = {}
        for position in range(1, max_position + 1):
            at = mask & (cases.positions == position)
            shown = _means(figures, cases, at, n_bootstrap, seed) if at.sum() >= min_cases else None
            places[position] = _figures(list(lines), shown, cases, at)
            if shown is not None:
                compared[position] = shown
        for name in lines:
            by_position = {position: found[name] for position, found in places.items()}
            curves[name][curve] = RankCurve(overall[name], by_position)
        differences += [
            RankDifference(
                a,
                b,
                curve,
                _paired(means, a, b, "mean_rank"),
                _paired(means, a, b, "normalised"),
                {at: _paired(shown, a, b, "mean_rank") for at, shown in compared.items()},
            )
            for a, b in combinations(lines, 2)
        ]
    known: dict[str, RankFigures] = {}
    for name, line in lines.items():
        if line.known is not None:
            own = {key: values for key, values in figures.items() if key[0] == name}
            mask = cases.before & line.known
            known |= _figures([name], _means(own, cases, mask, n_bootstrap, seed), cases, mask)
    return BookedRankResult(cases, dict(lines), curves, known, tuple(differences), min_cases)


def _means(
    figures: Mapping[tuple[str, str], npt.NDArray[np.float64]],
    cases: BookedCases,
    mask: npt.NDArray[np.bool_],
    n_bootstrap: int,
    seed: int,
) -> dict[tuple[str, str], Resampled]:
    chosen = {key: values[mask] for key, values in figures.items()}
    return bootstrap_means(chosen, cases.session_nums[mask], n_bootstrap, seed)


def _figures(
    names: list[str],
    means: Mapping[tuple[str, str], Resampled] | None,
    cases: BookedCases,
    mask: npt.NDArray[np.bool_],
) -> dict[str, RankFigures]:
    n, n_sessions = int(mask.sum()), len(np.unique(cases.session_nums[mask]))
    if means is None:
        return {name: RankFigures(n, n_sessions, None, None) for name in names}
    return {
        name: RankFigures(n, n_sessions, *(interval(*means[name, metric]) for metric in METRICS))
        for name in names
    }


def _paired(means: Mapping[tuple[str, str], Resampled], a: str, b: str, metric: str) -> Interval:
    (mean_a, resamples_a), (mean_b, resamples_b) = means[a, metric], means[b, metric]
    return interval(mean_a - mean_b, resamples_a - resamples_b)
