"""The search finds what was planted, keeps its word about the start, and tells what it cannot do."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planted_walks import BASE, walks

import item2vec as i2v
from item2vec.errors import (
    ConfigError,
    EmptyDataError,
    LeakError,
    MissingDependencyError,
    TrainingError,
    UsageError,
)
from item2vec.evaluation import evaluate_next_item, split_sessions
from item2vec.tuning import TuneConfig, TuneResult

SMALL = TuneConfig(k=1, validation_sessions=60, pruning_sessions=30, scorings=4, n_bootstrap=200)
ORDER = {
    "forward_only": [True, False],
    "window": {"low": 1, "high": 3},
    "scoring.popularity": {"low": 0.0, "high": 1.0},
    "scoring.decay": {"low": 0.1, "high": 1.0},
}


@pytest.fixture(scope="module")
def train() -> i2v.Sessions:
    return walks(500, 1)


@pytest.fixture(scope="module")
def validation() -> i2v.Sessions:
    return walks(100, 2)


@pytest.fixture(scope="module")
def found(train: i2v.Sessions, validation: i2v.Sessions) -> TuneResult:
    return i2v.tune(train, validation, base=BASE, space=ORDER, n_trials=7, config=SMALL)


def test_the_planted_settings_win(found: TuneResult) -> None:
    """Only pairs in the order of time tell the successor from the predecessor."""
    assert found.train["forward_only"] is True
    assert found.gain.low > 10
    assert found.score.value == pytest.approx(found.base_score.value + found.gain.value)
    assert found.importances
    assert set(found.importances) <= {f"train.{name}" for name in ORDER}


def test_scorings_are_tried_without_training_again(
    train: i2v.Sessions, validation: i2v.Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last click decides here, so a start that weighs all alike is told so by one training."""
    fits, fit = [], i2v.Item2Vec.fit

    def counted(self: i2v.Item2Vec, *given: Any, **named: Any) -> i2v.Item2Vec:
        fits.append(self)
        return fit(self, *given, **named)

    monkeypatch.setattr(i2v.Item2Vec, "fit", counted)
    base = {**BASE, "forward_only": True, "window": 1, "scoring.decay": 1.0}
    config = SMALL.model_copy(update={"scorings": 8})
    result = i2v.tune(train, validation, base=base, space=ORDER, n_trials=1, config=config)
    assert len(fits) == 1
    assert result.scoring_gain > 5
    assert result.scoring["decay"] < 1.0
    assert result.gain.low > 0


def test_scorings_whose_values_do_not_fit_together_are_not_proposed(
    train: i2v.Sessions, validation: i2v.Sessions
) -> None:
    """Each probability of coming back is in its range; above .9 together no scoring has them."""
    share = {"low": 0.4, "high": 0.9}
    space = {"scoring.repeat_last": share, "scoring.repeat_earlier": share}
    result = i2v.tune(train, validation, base=BASE, space=space, n_trials=1, config=SMALL)
    assert result.scoring["repeat_last"] + result.scoring["repeat_earlier"] <= 0.9


def test_the_first_trial_is_the_start(found: TuneResult) -> None:
    first = found.trials[0]
    train = {name: one for name, one in first.settings.items() if name.startswith("train.")}
    assert train == {name: one for name, one in found.base.items() if name.startswith("train.")}
    assert found.base["train.epochs"] == 4
    assert first.state == "complete"
    assert found.score.value >= found.base_score.value


def test_one_worker_and_a_seed_find_the_same_again(
    found: TuneResult, train: i2v.Sessions, validation: i2v.Sessions
) -> None:
    again = i2v.tune(train, validation, base=BASE, space=ORDER, n_trials=7, config=SMALL)
    assert again.settings == found.settings
    assert [(one.state, one.value, one.settings) for one in again.trials] == [
        (one.state, one.value, one.settings) for one in found.trials
    ]
    assert again.gain == found.gain
    other = SMALL.model_copy(update={"seed": 2})
    elsewhere = i2v.tune(train, validation, base=BASE, space=ORDER, n_trials=4, config=other)
    assert [one.settings for one in elsewhere.trials[1:]] != [one.settings for one in found.trials[1:4]]


def test_the_figures_are_those_of_the_protocol(
    found: TuneResult, train: i2v.Sessions, validation: i2v.Sessions
) -> None:
    """Train with the settings found, score as found: the same Recall, to the digit."""
    from item2vec.tuning.scoring import history_scorer

    vectors = i2v.Item2Vec(**found.train).fit(train, show_progress=False).item_vectors_
    scorer = history_scorer(vectors, found.scoring)
    result = evaluate_next_item({"tuned": scorer}, validation, k=1, n_bootstrap=200)
    assert result.scorers["tuned"].recall == found.score
    assert (found.n_sessions, found.n_prefixes) == (result.n_sessions, result.n_prefixes)


def test_where_nothing_is_better_the_start_stays(train: i2v.Sessions, validation: i2v.Sessions) -> None:
    best = {**BASE, "forward_only": True, "window": 1, "scoring.decay": 0.1}
    worse = {"alpha": [0.0001, 0.1], "scoring.decay": [0.1]}
    result = i2v.tune(train, validation, base=best, space=worse, n_trials=2, config=SMALL)
    assert result.changed == {}
    assert (result.gain.low, result.gain.value, result.gain.high) == (0, 0, 0)
    assert "nothing was better" in repr(result)


def test_luck_on_the_sample_is_found_out(
    train: i2v.Sessions, validation: i2v.Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the sample says, on all validation sessions the result is no worse than the start."""
    from item2vec.tuning.measuring import Measured

    luck = iter(range(10_000))
    monkeypatch.setattr(Measured, "score", lambda *_: float(next(luck)))  # the last trial looks best
    config = SMALL.model_copy(update={"finalists": 1})
    base = {**BASE, "forward_only": True, "window": 1, "scoring.decay": 0.1}
    space = {"alpha": {"low": 0.005, "high": 0.02}, "epochs": [2, 4]}
    result = i2v.tune(train, validation, base=base, space=space, n_trials=5, config=config)
    assert max(result.trials, key=lambda one: one.value or 0).number == 4
    assert result.changed == {}
    assert result.gain.value == 0


def test_first_targets_are_those_of_booking_sequences(train: i2v.Sessions, validation: i2v.Sessions) -> None:
    last = np.diff(validation.offsets) - 1
    space = {"window": [5]}
    result = i2v.tune(train, validation, base=BASE, space=space, n_trials=1, config=SMALL, first_targets=last)
    assert result.n_prefixes == result.n_sessions == 100


def test_mrr_can_be_the_aim(train: i2v.Sessions, validation: i2v.Sessions) -> None:
    config = SMALL.model_copy(update={"metric": "mrr", "k": 5})
    result = i2v.tune(train, validation, base=BASE, space={"scoring.decay": [0.5]}, n_trials=1, config=config)
    vectors = i2v.Item2Vec(**BASE).fit(train, show_progress=False).item_vectors_
    own = evaluate_next_item({"own": i2v.Recommender(vectors)}, validation, k=5, n_bootstrap=200)
    assert result.metric == "MRR@5"
    assert result.base_score == own.scorers["own"].mrr


def test_a_space_that_is_used_up_ends_the_search(train: i2v.Sessions, validation: i2v.Sessions) -> None:
    two = {"forward_only": [True, False]}
    result = i2v.tune(train, validation, base=BASE, space=two, n_trials=500, config=SMALL)
    trained = [one for one in result.trials if one.state == "complete"]
    assert len(trained) == 2
    assert "nothing new is left" in result.stopped
    assert len(result.trials) < 100


def test_hopeless_trainings_are_given_up(train: i2v.Sessions, validation: i2v.Sessions) -> None:
    space = {"alpha": {"low": 0.0001, "high": 0.2, "log": True}}
    base = {**BASE, "epochs": 8, "forward_only": True}
    result = i2v.tune(train, validation, base=base, space=space, n_trials=14, config=SMALL)
    pruned = [one for one in result.trials if one.state == "pruned"]
    assert pruned
    assert all(one.value is None for one in pruned)
    assert any(0.005 < one.settings["train.alpha"] < 0.05 for one in pruned)
    assert result.train["alpha"] > 0.06  # planted
    assert result.trials[0].state == "complete"  # never the start


def test_a_training_that_diverges_is_one_failed_trial(train: i2v.Sessions, validation: i2v.Sessions) -> None:
    space = {"alpha": [0.1, 1e6]}
    result = i2v.tune(train, validation, base=BASE, space=space, n_trials=30, config=SMALL)
    assert "failed" in {one.state for one in result.trials}
    assert result.train["alpha"] == 0.1
    with pytest.raises(TrainingError, match="diverged"):
        i2v.tune(train, validation, base={**BASE, "alpha": 1e6}, space=space, n_trials=2, config=SMALL)


def test_a_sample_is_a_share_of_the_users_and_of_min_count() -> None:
    import pyarrow as pa

    from item2vec.tuning.problem import pose

    train = walks(300, 1)
    users = [f"user-{number // 3}" for number in range(300)]
    train = replace(train, user_ids=pa.array(users))
    config = TuneConfig(max_sessions=100)
    problem = pose(train, walks(20, 2), {"min_count": 6}, None, None, config)
    chosen = problem.train.user_ids.to_pylist()
    assert 100 <= len(chosen) <= 102
    assert all(chosen.count(user) == 3 for user in chosen)  # whole users
    assert problem.train_settings(problem.base)["min_count"] == 2
    assert len(pose(train, walks(20, 2), None, None, None, TuneConfig(max_sessions=400)).train) == 300
    without = pose(replace(train, user_ids=None), walks(20, 2), None, None, None, config)
    assert len(without.train) == 100


def test_market_negatives_are_searched_only_where_there_are_markets() -> None:
    from item2vec.tuning.problem import pose

    lists = [["a", "b"], ["b", "c"]]
    plain, known = i2v.Sessions.from_lists(lists), i2v.Sessions.from_lists(lists, markets={"a": "Paris"})
    assert "train.market_negative" not in pose(plain, plain, None, None, None, TuneConfig()).space
    assert "train.market_negative" in pose(known, known, None, None, None, TuneConfig()).space
    cbow = pose(known, known, {"sg": 0}, None, None, TuneConfig())
    assert "train.market_negative" not in cbow.space


def window(**given: Any) -> dict[str, Any]:
    return {"n_trials": 1, "space": {"window": given}}


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no limit": ({}, UsageError, "say how long"),
    "no time": ({"budget_seconds": 0}, UsageError, "budget_seconds is 0"),
    "no trial": ({"n_trials": 0}, UsageError, "n_trials is 0"),
    "half a trial": ({"n_trials": 1.5}, UsageError, "n_trials is 1.5"),
    "unknown base": ({"n_trials": 1, "base": {"epoch": 3}}, ConfigError, "did you mean 'train.epochs'"),
    "bad base": ({"n_trials": 1, "base": {"epochs": 0}}, ConfigError, "epochs is 0"),
    "bad scoring": (
        {"n_trials": 1, "base": {"scoring.decay": 2}},
        UsageError,
        "scoring.decay is a number above 0 to 1",
    ),
    "unknown setting": (
        {"n_trials": 1, "space": {"windows": [1, 2]}},
        ConfigError,
        "unknown setting 'windows'",
    ),
    "not searched": ({"n_trials": 1, "space": {"seed": [1, 2]}}, ConfigError, "train.seed is not searched"),
    "no config": ({"n_trials": 1, "config": {"metric": "mrr"}}, UsageError, "TuneConfig.*not dict"),
    "bad range": (window(low=3, high=1), ConfigError, "low = 3"),
    "log of 0": (
        window(low=0, high=1, log=True),
        ConfigError,
        "above 0",
    ),
    "beyond the setting": (
        window(low=0, high=3),
        ConfigError,
        "window is 0",
    ),
    "no range": ({"n_trials": 1, "space": {"window": {"from": 0}}}, ConfigError, "give low and high"),
    "empty space": ({"n_trials": 1, "space": {}}, ConfigError, "empty one"),
    "no choice": ({"n_trials": 1, "space": {"window": []}}, ConfigError, "no choice"),
    "twice": ({"n_trials": 1, "space": {"window": [2, 2]}}, ConfigError, "twice"),
    "outside": (
        {"n_trials": 1, "base": {"window": "session"}, "space": {"window": {"low": 1, "high": 3}}},
        ConfigError,
        "'session' is outside 1 to 3",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused_before_any_training(
    case: str, train: i2v.Sessions, validation: i2v.Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(i2v.Item2Vec, "fit", lambda *_, **__: pytest.fail("it trained"))
    arguments, error, words = BAD[case]
    with pytest.raises(error, match=words):
        i2v.tune(train, validation, **arguments)


def test_data_that_say_nothing_are_refused(train: i2v.Sessions) -> None:
    single = i2v.Sessions.from_lists([["item-01"], ["item-02"]])
    with pytest.raises(EmptyDataError, match="no setting can be told from another"):
        i2v.tune(train, single, n_trials=1)
    with pytest.raises(EmptyDataError, match="0 validation sessions"):
        i2v.tune(train, train.take(np.zeros(0, np.int64)), n_trials=1)
    with pytest.raises(LeakError):
        i2v.tune(train, train, base=BASE, n_trials=1, config=SMALL)
    with pytest.raises(UsageError, match="pass Sessions"):
        i2v.tune([["a", "b"]], train, n_trials=1)  # type: ignore[arg-type]


def test_a_training_that_learns_nothing_ends_no_search(train: i2v.Sessions, validation: i2v.Sessions) -> None:
    """Subsampling may drop every click of a small log, and vectors of zeros cannot be ranked on the way."""
    base = {**BASE, "epochs": 4, "sample": 0.0}
    result = i2v.tune(train, validation, base=base, space={"sample": [0.0, 1e-12]}, n_trials=9, config=SMALL)
    states = {one.settings["train.sample"]: one.state for one in result.trials if one.state != "repeat"}
    assert states == {0.0: "complete", 1e-12: "failed"}


def test_a_budget_too_small_for_one_training_says_so(train: i2v.Sessions, validation: i2v.Sessions) -> None:
    base = {**BASE, "epochs": 100_000}
    with pytest.raises(UsageError, match=r"too small for one training .* of 100000 epochs .*max_sessions"):
        i2v.tune(train, validation, base=base, space=ORDER, budget_seconds=0.5, config=SMALL)


def test_the_budget_ends_the_search(train: i2v.Sessions, validation: i2v.Sessions) -> None:
    result = i2v.tune(
        train,
        validation,
        base=BASE,
        space={"alpha": {"low": 0.01, "high": 0.2}},
        budget_seconds=1.0,
        config=SMALL,
    )
    assert "budget" in result.stopped
    assert len(result.trials) >= 1
    assert result.cpu_seconds > 0  # it may stop before the second is over: the next training would not fit


def test_without_optuna_it_says_what_to_install(
    train: i2v.Sessions, validation: i2v.Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'item2vec\[tune\]'"):
        i2v.tune(train, validation, n_trials=1)


def test_the_summary_tells_all_of_it(found: TuneResult) -> None:
    text = repr(found)
    for words in ("Recall@1", "importance", "gained", "(paired)", "CPU s", "the test sessions"):
        assert words in text
    assert json.dumps(found.settings)
    assert "forward_only true" in text


def test_what_happens_from_t2_on_changes_nothing(train: i2v.Sessions) -> None:
    """The tuner is given two sides of a split; the third may hold anything."""
    from item2vec.tuning.problem import pose

    everything = walks(600, 3, last=60)
    honest = split_sessions(everything, validation=0.1, test=60 / 660)
    lists = everything.to_lists()
    other = i2v.Sessions.from_lists([*lists[:600], *[["item-00", "stranger"]] * 60])
    changed = split_sessions(other, validation=0.1, test=60 / 660)
    posed = [pose(one.train, one.validation, BASE, ORDER, None, SMALL).parts for one in (honest, changed)]
    assert posed[0] == posed[1]  # the same search, also by its fingerprint
    assert pose(changed.train, changed.test, BASE, ORDER, None, SMALL).parts != posed[0]
    results = [
        i2v.tune(one.train, one.validation, base=BASE, space=ORDER, n_trials=3, config=SMALL)
        for one in (honest, changed)
    ]
    assert results[0].settings == results[1].settings
    assert results[0].score == results[1].score
    assert [one.value for one in results[0].trials] == [one.value for one in results[1].trials]
