"""How a click history is scored: settings that cost no training, so several are tried on the same vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from item2vec.embeddings.repeats import repeat_rates
from item2vec.errors import ConfigError, UsageError
from item2vec.recommendations import HistoryScoring, Recommender
from item2vec.settings import nearest
from item2vec.tuning.space import DIGITS, Space

SCORING: dict[str, Any] = asdict(HistoryScoring())
"""The settings of ``scoring.`` with their defaults."""

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors
    from item2vec.sessions import Sessions

Scoring = Mapping[str, Any]
Tried = list[tuple[dict[str, Any], float]]
"""Scorings and what each reached, on the same vectors; the first is the one that all are compared with."""

BEST_KNOWN = 3  # scorings that gained most with earlier trainings and are tried again
REMEMBERED = 300  # earlier scorings that proposals learn from


def history_scorer(vectors: ItemVectors, scoring: Scoring) -> Recommender:
    """Return what scores in one way the histories of one training."""
    return Recommender(vectors, scoring=HistoryScoring(**scoring))


def search_scoring(
    score: Callable[[Scoring], float],
    base: Scoring,
    space: Space,
    earlier: Sequence[Tried],
    n: int,
    seed: int,
) -> Tried:
    """Try scorings on the vectors of one training.

    What a scoring gains over the base's is much the same whatever the vectors, so the gains of earlier
    trainings count as observations: their best are tried again, and the further proposals learn from all.

    Parameters
    ----------
    score : callable
        Measures a scoring.
    base : mapping
        Tried first; the others are compared with it.
    space : Space
        Its keys ``scoring.…`` are searched.
    earlier : sequence of Tried
        Of earlier trainings, oldest first.
    n : int
        Scorings to try, the base among them.
    seed : int

    Returns
    -------
    Tried
        In the order they were tried, each once.
    """
    searched = {name: one for name, one in space.items() if name.startswith("scoring.")}
    tried: Tried = [(dict(base), score(base))]
    if not searched:
        return tried
    proposals = _Proposals(searched, base, earlier, seed)
    for _ in range(n - 1):
        scoring = proposals.next_one(tried)
        if scoring is None:  # all there are
            break
        tried.append((scoring, score(scoring)))
        proposals.learn(scoring, tried[-1][1] - tried[0][1])
    return tried


class _Proposals:
    """Scorings worth trying: the best known ones, then those of a sampler that knows the gains so far."""

    def __init__(self, space: Space, base: Scoring, earlier: Sequence[Tried], seed: int) -> None:
        import optuna

        self._space, self._base = space, base
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=6)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._distributions = {name: one.distribution() for name, one in space.items()}
        gains = [(scoring, value - tried[0][1]) for tried in earlier for scoring, value in tried[1:]]
        for scoring, gain in gains[-REMEMBERED:]:
            self.learn(scoring, gain)
        self._known = _best_known(earlier)

    def next_one(self, tried: Tried) -> dict[str, Any] | None:
        """Return a scoring that was not tried yet; None if none is found any more."""
        done = [scoring for scoring, _ in tried]
        while self._known:
            if (scoring := self._known.pop(0)) not in done:
                return scoring
        for _ in range(20):
            asked = self._study.ask(self._distributions)
            found = {name: one.decode(asked.params[name]) for name, one in self._space.items()}
            scoring = {**self._base, **{name.removeprefix("scoring."): one for name, one in found.items()}}
            if scoring not in done and _is_allowed(scoring):
                return scoring
        return None

    def learn(self, scoring: Scoring, gain: float) -> None:
        """Add an observation."""
        import optuna

        params = {
            name: one.encode(scoring[name.removeprefix("scoring.")]) for name, one in self._space.items()
        }
        self._study.add_trial(
            optuna.trial.create_trial(params=params, distributions=self._distributions, value=gain)
        )


def _best_known(earlier: Sequence[Tried]) -> list[dict[str, Any]]:
    """Return the best scorings of the best trainings, the best first."""
    bests = [max(tried, key=lambda one: one[1]) for tried in earlier]
    found: list[dict[str, Any]] = []
    for scoring, _ in sorted(bests, key=lambda one: -one[1]):
        if scoring not in found:
            found.append(scoring)
    return found[:BEST_KNOWN]


def _is_allowed(scoring: Scoring) -> bool:
    """Tell whether the values fit together: each in its range is not enough for the repeats."""
    try:
        HistoryScoring(**scoring)
    except UsageError:
        return False
    return True


def checked_scoring(scoring: Scoring) -> HistoryScoring:
    """Return how histories are scored, or refuse it.

    Raises
    ------
    ConfigError
        With the names there are, or what a value may be.
    """
    if unknown := [name for name in scoring if name not in SCORING]:
        raise ConfigError(f"unknown scoring {unknown[0]!r}{nearest(unknown[0], list(SCORING))}")
    try:
        return HistoryScoring(**scoring)
    except UsageError as error:
        raise ConfigError(f"scoring.{error}") from error


def told_scoring(scoring: HistoryScoring, train: Sessions) -> dict[str, Any]:
    """Return the settings with numbers where they are told by the training sessions."""
    repeats = scoring.repeats(repeat_rates(train))
    told = {"repeat_last": repeats.last, "repeat_earlier": repeats.earlier}
    return {**asdict(scoring), **{name: float(f"{one:.{DIGITS}g}") for name, one in told.items()}}
