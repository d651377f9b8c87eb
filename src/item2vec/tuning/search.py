"""The search itself: propose, train, score, tell; until the budget or the trials are used up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from item2vec.errors import EmptyDataError, TrainingError, UsageError
from item2vec.evaluation.leaks import check_no_leak
from item2vec.tuning.measuring import Measured
from item2vec.tuning.problem import Problem, section
from item2vec.tuning.scoring import Tried, history_scorer, search_scoring
from item2vec.tuning.space import Choice, Range
from item2vec.tuning.study import Study
from item2vec.tuning.training import Watched, train_watched

if TYPE_CHECKING:
    import optuna

    from item2vec.embeddings import ItemVectors

REPEATS = 25  # proposals in a row that were tried before: then nothing new is left
FIRST_TIMES = 3  # as many scorings with the first vectors, for all later trials learn from them
MEASURED = 2  # scorings of a training that are measured on the large sample
STARTUP = 8  # random trials before the sampler learns from them
Tick = Callable[["Search"], None]


@dataclass
class Search:
    """A search under way.

    Parameters
    ----------
    problem : Problem
    study : Study
    budget_seconds : float or None
        Of all calls for this study together.
    n_trials : int or None
        Likewise.
    tick : callable
        Told the search after each epoch and trial.
    """

    problem: Problem
    study: Study
    budget_seconds: float | None
    n_trials: int | None
    tick: Tick = lambda _search: None
    why: str = ""
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Choose the validation sessions that all trials are scored on."""
        problem, config = self.problem, self.problem.config

        def measured(n: int) -> Measured:
            where = problem.validation, problem.first_targets
            return Measured(*where, n, config.metric, config.k, config.seed)

        self._sample, self._small = measured(config.validation_sessions), measured(config.pruning_sessions)
        spent = [trial.user_attrs for trial in self.study.optuna.get_trials(deepcopy=False)]
        self._before = sum(one.get("seconds", 0.0) for one in spent)
        self.cpu_before = sum(one.get("cpu_seconds", 0.0) for one in spent)
        self._base_scoring = section(problem.base, "scoring")

    @property
    def seconds(self) -> float:
        """Seconds of this search so far, finished trials of earlier calls included."""
        earlier: float = self._before
        return earlier + time.monotonic() - self._began

    @property
    def best(self) -> optuna.trial.FrozenTrial | None:
        """The best trial so far: of equals the first."""
        return max(self.study.complete(), key=lambda one: one.value or 0.0, default=None)

    def run(self) -> None:
        """Search until there is a reason to stop, which is then in `why`.

        Raises
        ------
        UsageError
            If the budget is too small for one training.
        EmptyDataError, TrainingError
            If the settings that the search starts from cannot be trained.
        """
        self.study.start(self._encoded(self.problem.base))
        repeats = 0
        while not (why := self._reason_to_stop(repeats)):
            trial = self._ask()
            known = self._tried_before(trial)
            if known is not None:
                self._repeat(trial, known)
                repeats += 1
            elif self._run_trial(trial):
                repeats = 0
            else:
                why = "the time budget is used up"
                break
            self.tick(self)
        self.why = why

    def _reason_to_stop(self, repeats: int) -> str:
        if self.n_trials is not None and len(self.study.finished()) >= self.n_trials:
            return f"{self.n_trials:,} trials are done"
        if repeats >= REPEATS:
            return f"the last {repeats} proposals had all been tried before: nothing new is left"
        if self.budget_seconds is not None and self.seconds >= self.budget_seconds:
            if not self.study.complete():
                raise self._too_small(None)
            return "the time budget is used up"
        return ""

    def _ask(self) -> optuna.Trial:
        """Propose; the sampler depends on the finished trials alone, so a killed study goes on the same."""
        import optuna

        sampler = optuna.samplers.TPESampler(seed=self._seed(0), n_startup_trials=STARTUP)
        self.study.optuna.sampler = sampler
        names = [name for name in self.problem.space if name.startswith("train.")]
        return self.study.optuna.ask({name: self.problem.space[name].distribution() for name in names})

    def _seed(self, purpose: int) -> int:
        state = (self.problem.config.seed, len(self.study.finished()), purpose)
        return int(np.random.SeedSequence(state).generate_state(1)[0])

    def _encoded(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        train = {name: one for name, one in self.problem.space.items() if name.startswith("train.")}
        return {
            name: one.encode(settings[name]) for name, one in train.items() if _holds(one, settings[name])
        }

    def _settings(self, trial: optuna.Trial | optuna.trial.FrozenTrial) -> dict[str, Any]:
        """Return all settings that a trial stands for, with the base's scoring."""
        if "base" in trial.user_attrs:
            return self.problem.base
        return self.problem.complete(
            {name: self.problem.space[name].decode(one) for name, one in trial.params.items()}
        )

    def _tried_before(self, trial: optuna.Trial) -> optuna.trial.FrozenTrial | None:
        train = section(self._settings(trial), "train")
        earlier = (one for one in self.study.finished() if section(self._settings(one), "train") == train)
        return next(earlier, None)

    def _repeat(self, trial: optuna.Trial, known: optuna.trial.FrozenTrial) -> None:
        """Give a proposal that was trained before what it got then."""
        trial.set_user_attr("repeat_of", known.number)
        value = known.value if known.state.name == "COMPLETE" else None
        self.study.optuna.tell(trial, value, state=known.state)

    def _run_trial(self, trial: optuna.Trial) -> bool:
        """Train, score and tell; False, and the trial is left running, if the time is up before its end."""
        import optuna

        began, cpu = time.monotonic(), time.process_time()
        settings, is_base = self._settings(trial), "base" in trial.user_attrs
        chosen = self.problem.train_settings(settings)
        watched = self._watched(trial, chosen["epochs"], may_prune=not is_base)
        vectors = None
        try:
            vectors = train_watched(chosen, self.problem.train, watched)
        except (EmptyDataError, TrainingError) as error:  # diverged, or nothing was left to train on
            if is_base:
                raise
            trial.set_user_attr("failed", str(error))
        if watched.late:
            if not self.study.complete():
                raise self._too_small(watched)
            self._write_down(trial, watched, began, cpu)  # or a budget that is used up would go on and on
            return False
        if vectors is None or watched.pruned:
            self._write_down(trial, watched, began, cpu)
            self.study.optuna.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return True
        value = self._score(trial, vectors)
        self._keep(trial, value, vectors)
        self._write_down(trial, watched, began, cpu)
        self.study.optuna.tell(trial, value)
        return True

    def _watched(self, trial: optuna.Trial | None, epochs: int, may_prune: bool) -> Watched:
        def score(vectors: ItemVectors) -> float:
            return self._small.score(history_scorer(vectors, self._base_scoring))

        budget, spent = self.budget_seconds, self.seconds
        deadline = None if budget is None or trial is None else time.monotonic() + budget - spent
        return Watched(trial, may_prune, score, epochs, self._best_at, deadline, lambda: self.tick(self))

    def _best_at(self, rung: int) -> float:
        scores = [one.intermediate_values.get(rung, 0.0) for one in self.study.complete()]
        return max(scores, default=0.0)

    def _earlier(self) -> list[Tried]:
        return [one.user_attrs["tried"] for one in self.study.complete() if "tried" in one.user_attrs]

    def _score(self, trial: optuna.Trial, vectors: ItemVectors) -> float:
        """Try scorings on the small sample, measure the best of them on the large one; return the best value.

        Of the first vectors the base's own scoring is measured as well.
        """
        problem = self.problem
        is_base = "base" in trial.user_attrs
        if is_base:
            scorer = {"the model": history_scorer(vectors, self._base_scoring)}
            check_no_leak(scorer, problem.train, problem.validation, problem.first_targets)
        tried = search_scoring(
            lambda scoring: self._small.score(history_scorer(vectors, scoring)),
            self._base_scoring,
            problem.space,
            self._earlier(),
            problem.config.scorings * (FIRST_TIMES if is_base else 1),
            self._seed(1),
        )
        best = sorted(tried, key=lambda one: -one[1])[:MEASURED]
        chosen = [scoring for scoring, _ in best]
        if is_base and self._base_scoring not in chosen:
            chosen.append(self._base_scoring)
        scored = [(one, self._sample.score(history_scorer(vectors, one))) for one in chosen]
        trial.set_user_attr("tried", tried)
        trial.set_user_attr("scored", scored)
        return max(value for _, value in scored)

    def _write_down(self, trial: optuna.Trial, watched: Watched, began: float, cpu: float) -> None:
        told = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}
        for name, one in {**told, "epochs_done": watched.done}.items():
            trial.set_user_attr(name, one)

    def _keep(self, trial: optuna.Trial, value: float, vectors: ItemVectors) -> None:
        """Keep the vectors of what may be ranked in the end, before the trial counts as done."""
        found = {one.number: one.value or 0.0 for one in self.study.complete() if "tried" in one.user_attrs}
        found[trial.number] = value
        best = sorted(found, key=lambda number: (-found[number], number))[: self.problem.config.finalists]
        base = [one.number for one in self.study.complete() if "base" in one.user_attrs]
        if trial.number in best or "base" in trial.user_attrs:
            self.study.keep(trial.number, vectors)
        self.study.keep_only([*best, *base, trial.number])

    def vectors_of(self, trial: optuna.trial.FrozenTrial) -> ItemVectors:
        """Return the vectors of a trial, trained again if they are not there."""
        from item2vec.embeddings import ItemVectors
        from item2vec.errors import CorruptArtifactError

        try:
            return ItemVectors.load(self.study.vectors_path(trial.number))
        except CorruptArtifactError:
            chosen = self.problem.train_settings(self._settings(trial))
            return train_watched(chosen, self.problem.train, self._watched(None, chosen["epochs"], False))

    def settings_of(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        """Return all settings of a trial, with the best scoring that was found for it."""
        settings = self._settings(trial)
        scored: Tried = trial.user_attrs.get("scored") or [(self._base_scoring, 0.0)]
        scoring, _ = max(scored, key=lambda one: one[1])
        return {**settings, **{f"scoring.{name}": one for name, one in scoring.items()}}

    def _too_small(self, watched: Watched | None) -> UsageError:
        budget = self.budget_seconds or 0.0
        if watched is None:
            done, more = "it was used up before the first training began", 2 * budget
        else:
            more = self.seconds + watched.needed
            done = f"{watched.done} of {watched.epochs} epochs were done after {self.seconds:.0f} s"
        return UsageError(
            f"a budget of {budget:g} s is too small for one training of the settings the search starts from:"
            f" {done}, all would take about {more:.0f} s. Give several times that, fewer sessions"
            " (max_sessions), or a base with fewer epochs"
        )


def _holds(one: Range | Choice, value: Any) -> bool:
    """Tell what was widened to hold the base's value from what is fixed at another."""
    return isinstance(one, Range) or value in one.values
