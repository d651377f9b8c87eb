"""Intervals by resampling sessions, never their prefixes, which are no independent cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS_PER_BLOCK = 4_000_000  # bounds the memory of one block of resamples (about 100 MB)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; all three are NaN where there is no case to average."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """Return value, low and high, with None for NaN."""
        return {
            name: None if np.isnan(number) else float(number)
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }


def resampled_ratios(
    sums: npt.NDArray[np.float64],
    cases: npt.NDArray[np.int64],
    n_bootstrap: int = 1000,
    seed: int = 1,
) -> npt.NDArray[np.float64]:
    """Resample clusters with replacement and average over their cases (a ratio of two sums).

    Parameters
    ----------
    sums : ndarray of float64, shape (n_clusters, n_figures)
        Per session: the sum of each figure over the session's cases.
    cases : ndarray of int64, shape (n_clusters,)
        Cases per session; sessions without a case must have been left out.
    n_bootstrap : int
        Number of resamples.
    seed : int
        Seed of the draws; the same seed gives the same resamples, so differences are paired.

    Returns
    -------
    ndarray of float64, shape (n_bootstrap, n_figures)
        Mean per case of each figure in each resample.
    """
    n = len(cases)
    if n == 0:
        return np.full((n_bootstrap, sums.shape[1]), np.nan)
    generator = np.random.default_rng(seed)
    table = np.column_stack([sums, cases]).astype(np.float64)
    block = max(1, min(n_bootstrap, DRAWS_PER_BLOCK // n))
    means = np.empty((n_bootstrap, sums.shape[1]))
    for start in range(0, n_bootstrap, block):
        rows = min(block, n_bootstrap - start)
        draws = generator.integers(0, n, (rows, n))
        draws += np.arange(rows)[:, None] * n
        times = np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n)
        totals = times @ table
        means[start : start + rows] = totals[:, :-1] / totals[:, -1:]
    return means


def interval(value: float, resamples: npt.NDArray[np.float64]) -> Interval:
    """Give a figure the 2.5 and 97.5 percentiles of its resamples."""
    if not len(resamples) or np.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(resamples, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def bootstrap_means(
    figures: Mapping[str, npt.NDArray[np.float64]],
    clusters: npt.NDArray[np.int64],
    n_bootstrap: int = 1000,
    seed: int = 1,
) -> dict[str, tuple[float, npt.NDArray[np.float64]]]:
    """Average figures over cases, with resamples over clusters of cases.

    Parameters
    ----------
    figures : mapping of str to ndarray of float64, shape (n_cases,)
        One number per case.
    clusters : ndarray of int64, shape (n_cases,)
        The session each case comes from.
    n_bootstrap, seed : int
        As in :func:`resampled_ratios`.

    Returns
    -------
    dict of str to (float, ndarray of float64, shape (n_bootstrap,))
        The mean and its resamples. Without a case the mean is NaN; with a single cluster, which says nothing
        about the spread, the resamples are NaN.
    """
    _, cluster_nums = np.unique(clusters, return_inverse=True)
    cases = np.bincount(cluster_nums) if len(clusters) else np.zeros(0, np.int64)
    columns = [np.bincount(cluster_nums, values, len(cases)) for values in figures.values()]
    sums = np.stack(columns, axis=1).astype(np.float64)
    resamples = resampled_ratios(sums, cases, n_bootstrap, seed)
    if len(cases) == 1:
        resamples[:] = np.nan
    means = sums.sum(axis=0) / len(clusters) if len(clusters) else np.full(len(figures), np.nan)
    return {name: (float(means[i]), resamples[:, i]) for i, name in enumerate(figures)}
