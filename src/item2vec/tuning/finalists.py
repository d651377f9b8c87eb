"""The end of a search: its best trials and its start, ranked on all validation sessions."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from item2vec.evaluation.bootstrap import Interval
from item2vec.evaluation.next_item.protocol import evaluate_next_item
from item2vec.recommendations import Recommender
from item2vec.tuning.problem import section
from item2vec.tuning.result import Trial, TuneResult
from item2vec.tuning.scoring import history_scorer
from item2vec.tuning.search import Search

if TYPE_CHECKING:
    import optuna

    from item2vec.evaluation.next_item.result import NextItemResult

START = "start"
ENOUGH = 4  # complete trials behind importances
NOTHING = Interval(0.0, 0.0, 0.0)


def rank_finalists(search: Search, began_cpu: float) -> TuneResult:
    """Measure the best trials and the start on all validation sessions, and choose.

    Parameters
    ----------
    search : Search
        It has run.
    began_cpu : float
        ``time.process_time()`` when this call began.
    """
    problem, config = search.problem, search.problem.config
    first = next(one for one in search.study.complete() if "base" in one.user_attrs)
    finalists = {f"trial {one.number}": (one, search.settings_of(one)) for one in _best_trials(search)}
    finalists[START] = (first, problem.base)
    base_scoring = section(problem.base, "scoring")
    scorers = {name: _scorer(search, *finalist) for name, finalist in finalists.items()}
    result = evaluate_next_item(
        scorers,
        problem.validation,
        k=config.k,
        n_bootstrap=config.n_bootstrap,
        seed=config.seed,
        first_targets=problem.first_targets,
    )
    reached = {name: _interval(one, config.metric) for name, one in result.scorers.items()}
    chosen = max(reversed(list(reached)), key=lambda name: reached[name].value)  # of equals the start
    scored = first.user_attrs["scored"]
    own = next(value for one, value in scored if one == base_scoring)
    return TuneResult(
        settings=dict(finalists[chosen][1]),
        base=dict(problem.base),
        searched=tuple(problem.space),
        metric=f"{'Recall' if config.metric == 'recall' else 'MRR'}@{config.k}",
        score=reached[chosen],
        base_score=reached[START],
        gain=_gain(result, chosen, config.metric),
        trials=tuple(_trial(search, one) for one in search.study.finished()),
        importances=_importances(search),
        scoring_gain=max(value for _, value in scored) - own,
        share=problem.share,
        n_sessions=result.n_sessions,
        n_prefixes=result.n_prefixes,
        seconds=search.seconds,
        cpu_seconds=search.cpu_before + time.process_time() - began_cpu,
        stopped=search.why,
    )


def _scorer(search: Search, trial: optuna.trial.FrozenTrial, settings: Mapping[str, Any]) -> Recommender:
    return history_scorer(search.vectors_of(trial), section(settings, "scoring"))


def _best_trials(search: Search) -> list[optuna.trial.FrozenTrial]:
    trained = [one for one in search.study.complete() if "tried" in one.user_attrs]
    ranked = sorted(trained, key=lambda one: (-(one.value or 0.0), one.number))
    return ranked[: search.problem.config.finalists]


def _interval(figures: Any, metric: str) -> Interval:
    found: Interval = getattr(figures, metric)
    return found


def _gain(result: NextItemResult, chosen: str, metric: str) -> Interval:
    pairs = (_interval(one, metric) for one in result.differences if (one.a, one.b) == (chosen, START))
    return next(pairs, NOTHING)


def _trial(search: Search, trial: optuna.trial.FrozenTrial) -> Trial:
    told = trial.user_attrs
    state = "complete" if trial.state.name == "COMPLETE" else "pruned"
    state = "failed" if "failed" in told else "repeat" if "repeat_of" in told else state
    value = trial.value if state == "complete" else None
    spent = told.get("seconds", 0.0), told.get("cpu_seconds", 0.0)
    return Trial(trial.number, state, value, search.settings_of(trial), *spent)


def _importances(search: Search) -> dict[str, float]:
    """Ask optuna which settings made the difference, where enough trials tell."""
    import optuna

    if len(search.study.complete()) < ENOUGH:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            found: dict[str, float] = optuna.importance.get_param_importances(search.study.optuna)
        except (UserWarning, RuntimeError):  # all trials are alike: nothing tells them apart
            return {}
    return found
