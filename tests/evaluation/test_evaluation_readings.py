"""What a reader is told: verdicts, the order of counts, shades, numbers and times."""

from __future__ import annotations

import math

import numpy as np
import pytest

from item2vec.evaluation.bootstrap import FEWEST_CLUSTERS, bootstrap_means
from item2vec.evaluation.bootstrap import interval as interval_of
from item2vec.evaluation.report.readings import (
    bounded,
    chance,
    commonest,
    flat,
    in_flow_order,
    lowest_rank,
    number,
    reading,
    shades,
    signed,
    times,
    utc,
    verdict,
)


def scorer(recall, mrr):
    return {"recall": {"value": recall}, "mrr": {"value": mrr}}


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


EVALUATED = {
    "n_sessions": 30,
    "scorers": {
        "model": scorer(30.0, 9.0),
        "model_similar": scorer(99.0, 99.0),
        "popular": scorer(10.0, 12.0),
        "knn": scorer(29.0, 8.0),
    },
    "differences": [
        {
            "a": "model",
            "b": "model_similar",
            "recall": interval(-69, -70, -68),
            "mrr": interval(-90, -91, -89),
        },
        {"a": "model", "b": "popular", "recall": interval(20, 19, 21), "mrr": interval(-3, -4, -2)},
        {"a": "model", "b": "knn", "recall": interval(1, -1, 3), "mrr": interval(1, 0.5, 2)},
        {"a": "popular", "b": "knn", "recall": interval(-19, -20, -18), "mrr": interval(4, 3, 5)},
    ],
}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 2, "better"),
        (-2, -0.1, "worse"),
        (-1, 1, "not told apart"),
        (0, 1, "not told apart"),
        (None, None, "insufficient data"),
    ],
)
def test_an_interval_is_read(low, high, said):
    assert reading({"value": 0, "low": low, "high": high}, 30) == said
    assert reading({"value": 0, "low": low, "high": high}, 29) == "insufficient data"


def test_a_reading_of_few_sessions_is_refused_where_chance_alone_gives_one():
    """The percentiles of resamples of 2 or 3 sessions leave out 0 in many trials without a difference."""
    rng = np.random.default_rng(0)
    said = {2: [], 3: [], FEWEST_CLUSTERS: []}
    for n, readings in said.items():
        for _ in range(200):
            means = bootstrap_means({"d": rng.normal(0, 30, n)}, np.arange(n), 200)
            readings.append(reading(interval_of(*means["d"]).to_json(), n))
    assert set(said[2] + said[3]) == {"insufficient data"}
    wrong = sum(one in ("better", "worse") for one in said[FEWEST_CLUSTERS])
    assert wrong / 200 < 0.12  # 5 % are promised
    assert said[FEWEST_CLUSTERS].count("insufficient data") == 0


def test_an_interval_of_few_sessions_is_taken_off():
    assert bounded(interval(1, 0, 2), 30) == interval(1, 0, 2)
    assert bounded(interval(1, 0, 2), 29) == interval(1, None, None)
    assert bounded(None, 0) is None


def test_no_difference_at_all_is_the_same_and_not_a_matter_of_chance():
    assert reading({"value": 0.0, "low": 0.0, "high": 0.0}, 30) == "the same"
    assert reading({"value": 0.01, "low": 0.0, "high": 0.0}, 30) == "not told apart"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 2, "worse"), (-2, -0.1, "better"), (-1, 1, "not told apart"), (None, None, "insufficient data")],
)
def test_a_lower_rank_is_better(low, high, said):
    assert reading({"value": 0, "low": low, "high": high}, 30, lower_is_better=True) == said


@pytest.mark.parametrize(("k", "n_items"), [(20, 1000), (5, 7), (10, 3), (1, 1)])
def test_chance_is_what_every_rank_alike_would_give(k, n_items):
    def mean(gain):
        return 100 * sum(gain(rank) for rank in range(1, n_items + 1) if rank <= k) / n_items

    found = chance(k, n_items)
    assert found["recall"] == pytest.approx(mean(lambda rank: 1))
    assert found["mrr"] == pytest.approx(mean(lambda rank: 1 / rank))
    assert found["ndcg"] == pytest.approx(mean(lambda rank: 1 / math.log2(rank + 1)))
    assert chance(k, 0) is None
    assert chance(k, n_items, 0.25) == {name: value / 4 for name, value in found.items()}


def test_the_best_line_and_the_commonest_type():
    lines = {
        "a": {"before": {"mean_rank": interval(5.0, 4, 6)}},
        "b": {"before": {"mean_rank": interval(4.5, 4, 6)}},
        "c": {"before": {"mean_rank": None}},
        "d": {"before": {"mean_rank": interval(None, None, None)}},
        "production order": {"before": {"mean_rank": interval(1.0, 1, 1)}},
    }
    assert lowest_rank(lines) == "b"
    assert lowest_rank({"c": lines["c"], "d": lines["d"]}) is lowest_rank({}) is None
    assert commonest([{"type": "x", "n_targets": 1}, {"type": "y", "n_targets": 3}]) == {
        "type": "y",
        "share": 75.0,
    }
    assert commonest([{"type": "x", "n_targets": 0}]) is commonest([]) is None


def test_the_verdict_is_against_the_best_baseline_of_each_metric():
    found = verdict(EVALUATED, ["model_similar"])
    assert found["model"] == "model"
    assert found["recall"] == {
        "baseline": "knn",
        "value": 29.0,
        "difference": interval(1, -1, 3),
        "reading": "not told apart",
    }
    assert (found["mrr"]["baseline"], found["mrr"]["reading"]) == ("popular", "worse")
    few = verdict({**EVALUATED, "n_sessions": 29}, ["model_similar"])
    assert few["recall"]["reading"] == few["mrr"]["reading"] == "insufficient data"


def test_there_is_no_verdict_without_a_baseline_or_a_case():
    alone = {"scorers": {"model": scorer(1.0, 1.0), "model_similar": scorer(2.0, 2.0)}, "differences": []}
    none = {"scorers": {"model": scorer(None, None), "knn": scorer(None, None)}, "differences": []}
    assert verdict(None) is verdict(alone, ["model_similar"]) is verdict(none) is None


def test_counts_stand_in_the_order_of_the_flow():
    funnel = {
        "bookings": {"unattributed": 1, "booked_clicked": 2, "in": 3},
        "clicks": {"kept": 4, "in": 9, "too_short": 2, "short_dwell": 3, "other": 0},
        "events": {"booking": 3, "click": 9, "impression": 50},
        "sessions": {"emptied": 1, "kept": 3, "split": 6, "too_short": 2},
        "users": {"in": 5, "kept": 2},
    }
    ordered = in_flow_order(funnel)
    assert ordered == funnel
    assert list(ordered) == ["events", "clicks", "sessions", "users", "bookings"]
    assert list(ordered["events"]) == ["impression", "click", "booking"]
    assert list(ordered["clicks"]) == ["in", "short_dwell", "too_short", "kept", "other"]
    assert list(ordered["sessions"]) == ["split", "emptied", "too_short", "kept"]
    assert list(ordered["bookings"]) == ["in", "booked_clicked", "unattributed"]
    assert in_flow_order(None) is None


def test_shades_use_the_whole_range_of_the_table():
    assert shades([[0.8, 0.7], [0.7, None]], 50) == [[50.0, 0.0], [0.0, 0.0]]
    assert shades([[0.7, 0.75], [0.75, 0.8]], 50) == [[0.0, 25.0], [25.0, 50.0]]
    assert shades([[0.5]]) == [[0.0]]
    assert shades([]) == []


def test_figures_and_times_are_written_for_people():
    assert (number(1234), number(-1.25, 2), number(None), number("x")) == ("1,234", "−1.25", "–", "x")
    assert (signed(1.234), signed(-1.0), signed(0.0), signed(None)) == ("+1.23", "−1.00", "0.00", "–")
    assert (times(0.25, 100), times(None, 100)) == (25.0, None)
    assert utc("2025-02-18T03:53:18.932000+00:00") == "2025-02-18 03:53 UTC"
    assert utc("next week") == "next week"
    assert utc(None) is None
    assert flat({"t1": "2025-02-18T03:53:18+00:00", "counts": {"a": 1, "b": {}}}) == [
        ("t1", "2025-02-18 03:53 UTC"),
        ("counts › a", 1),
        ("counts › b", "none"),
    ]
