"""Intervals resample sessions, cover the truth, and are paired."""

from __future__ import annotations

import numpy as np
import pytest

from item2vec.evaluation.bootstrap import Interval, bootstrap_means, interval, resampled_ratios


def test_mean_is_over_cases_and_resamples_are_ratios_of_sums():
    figures = {"hit": np.array([1.0, 1, 1, 0])}
    mean, resamples = bootstrap_means(figures, np.array([7, 7, 7, 9]), n_bootstrap=400, seed=1)["hit"]
    assert mean == 0.75
    # Of two sessions (3 of 3 hits, 0 of 1): both of one, both of the other, or one of each.
    assert set(np.round(resamples, 6)) == {0.0, 0.75, 1.0}
    assert 0.4 < (resamples == 0.75).mean() < 0.6


def test_blocks_bound_the_memory(monkeypatch):
    monkeypatch.setattr("item2vec.evaluation.bootstrap.DRAWS_PER_BLOCK", 350)
    rng = np.random.default_rng(0)
    cases = rng.integers(1, 9, 100)
    means = resampled_ratios(rng.random((100, 3)) * cases[:, None], cases, n_bootstrap=50, seed=2)
    assert means.shape == (50, 3)
    assert np.isfinite(means).all()
    assert (means.std(axis=0) > 0).all()


def test_the_interval_covers_the_truth_and_cases_as_units_would_not():
    """Cases of one session agree, so treating them as independent claims far too narrow an interval."""
    rng = np.random.default_rng(5)
    truth, per_session, n_sessions = 0.4, 10, 60
    covered = naive = 0
    for trial in range(200):
        hits = np.repeat((rng.random(n_sessions) < truth).astype(float), per_session)
        clusters = np.repeat(np.arange(n_sessions), per_session)
        ours = interval(*bootstrap_means({"h": hits}, clusters, 300, trial)["h"])
        cases = interval(*bootstrap_means({"h": hits}, np.arange(len(hits)), 300, trial)["h"])
        covered += ours.low <= truth <= ours.high
        naive += cases.low <= truth <= cases.high
    assert 0.89 <= covered / 200 <= 0.99
    assert naive / 200 < 0.6


def test_the_difference_of_a_scorer_to_itself_has_no_spread():
    figures = {"a": np.arange(20.0), "b": np.arange(20.0) + 1}
    means = bootstrap_means(figures, np.arange(20) // 3, 200, 3)
    np.testing.assert_allclose(means["b"][1] - means["a"][1], 1.0)


def test_no_case_is_nan_and_one_session_has_no_interval():
    mean, resamples = bootstrap_means({"a": np.array([])}, np.array([], np.int64), 10, 1)["a"]
    assert np.isnan(mean)
    assert np.isnan(resamples).all()
    one = interval(*bootstrap_means({"a": np.array([1.0, 0])}, np.array([4, 4]), 10, 1)["a"])
    assert one.value == 0.5
    assert one.to_json() == {"value": 0.5, "low": None, "high": None}


def test_seeds():
    figures, clusters = {"a": np.random.default_rng(0).random(50)}, np.arange(50)
    first, again, other = (bootstrap_means(figures, clusters, 40, seed)["a"][1] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
    assert interval(0.5, first).low == pytest.approx(np.percentile(first, 2.5))


def test_a_figure_of_some_cases_has_its_own_denominator():
    """NaN marks the cases outside: the mean and every resample are over those inside."""
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(12), 3)
    values, inside = rng.random(36), rng.random(36) < 0.5
    inside[:3] = False
    part = np.where(inside, values, np.nan)
    found = bootstrap_means({"all": values, "part": part, "none": np.full(36, np.nan)}, clusters, 300, 5)
    assert found["all"][0] == pytest.approx(values.mean())
    assert found["part"][0] == pytest.approx(values[inside].mean())
    draws = np.random.default_rng(5).integers(
        0, 12, (300, 12)
    )  # the documented draws: of sessions, one row each
    for resample, drawn in enumerate(draws[:20]):
        cases = np.concatenate([np.flatnonzero(clusters == cluster) for cluster in drawn])
        assert found["all"][1][resample] == pytest.approx(values[cases].mean())
        assert found["part"][1][resample] == pytest.approx(np.nanmean(part[cases]))
    assert interval(*found["none"]).to_json() == {"value": None, "low": None, "high": None}


def test_resamples_without_a_case_do_not_count():
    """Two of twenty sessions have the figure: resamples with neither say nothing, and are no zeros."""
    part = np.full(20, np.nan)
    part[[3, 9]] = [1.0, 3.0]
    mean, resamples = bootstrap_means({"part": part}, np.arange(20), 400, 1)["part"]
    assert mean == 2
    assert 0.05 < np.isnan(resamples).mean() < 0.25  # (18/20)^20 = 12 %
    assert np.nanmin(resamples) == 1
    assert interval(mean, resamples).low == 1


def test_one_session_of_a_figure_has_no_interval():
    part = np.full(9, np.nan)
    part[4] = 7.0
    both = bootstrap_means({"part": part, "all": np.arange(9.0)}, np.arange(9), 100, 1)
    assert interval(*both["part"]).to_json() == {"value": 7, "low": None, "high": None}
    assert np.isfinite(both["all"][1]).all()


def test_two_calls_for_the_same_sessions_are_paired():
    values, clusters = np.random.default_rng(0).random((2, 60)), np.arange(60) // 2
    together = bootstrap_means({"a": values[0], "b": values[1]}, clusters, 80, 4)
    apart = bootstrap_means({"b": values[1]}, clusters, 80, 4)
    np.testing.assert_allclose(apart["b"][1], together["b"][1])


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ((40.0, 38.456, 41.0), "40.00 [38.46, 41.00]"),
        ((40.0, np.nan, np.nan), "40.00 [no interval]"),
        ((np.nan, np.nan, np.nan), "no case"),
    ],
)
def test_an_interval_as_text_says_what_it_does_not_know(figures, text):
    assert str(Interval(*figures)) == text
