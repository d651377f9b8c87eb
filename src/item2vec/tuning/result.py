"""What a search found, as data and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from item2vec.evaluation.bootstrap import Interval
from item2vec.tuning.problem import section

SHOWN = 8  # trials of the text
WIDTH = 110  # of its lines
OPTIMISTIC = (
    "The best of many on the validation sessions looks better there than it is: the test sessions, which the"
    " search did not open, tell what it is worth."
)


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes
    ----------
    number : int
        In the study's order; 0 is what the search started from.
    state : {"complete", "pruned", "failed", "repeat"}
        Trained to the end; given up on the way; diverged, or without anything to train on; a proposal that
        was known already.
    value : float or None
        The metric in % on the sample of validation sessions, with the best scoring that was tried.
    settings : mapping
        Every setting, by its dotted name.
    seconds, cpu_seconds : float
    """

    number: int
    state: str
    value: float | None
    settings: Mapping[str, Any]
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, eq=False)
class TuneResult:
    """The settings that a search chose, and why.

    Attributes
    ----------
    settings : dict
        Every setting, by its dotted name: the best of the finalists on all validation sessions.
    base : dict
        Where the search started.
    searched : tuple of str
        The settings that were searched.
    metric : str
        ``"Recall@20"`` or the like.
    score, base_score : Interval
        In % on all validation sessions, with 95 % intervals over sessions.
    gain : Interval
        Paired difference, in points; 0 where nothing was better than the base.
    trials : tuple of Trial
    importances : dict of str to float
        Share of each setting in the differences between the trials (PED-ANOVA); empty below four of them.
    scoring_gain : float
        Points that the best scoring gained on the base's own vectors, on the sample.
    share : float
        Of the training sessions, as far as they were trained on.
    n_sessions, n_prefixes : int
        Of the validation.
    seconds, cpu_seconds : float
        Of the whole search; threads and calls together.
    stopped : str
        Why it ended.
    """

    settings: dict[str, Any]
    base: dict[str, Any]
    searched: tuple[str, ...]
    metric: str
    score: Interval
    base_score: Interval
    gain: Interval
    trials: tuple[Trial, ...]
    importances: dict[str, float]
    scoring_gain: float
    share: float
    n_sessions: int
    n_prefixes: int
    seconds: float
    cpu_seconds: float
    stopped: str

    @property
    def train(self) -> dict[str, Any]:
        """Keywords of :class:`item2vec.Item2Vec`."""
        return section(self.settings, "train")

    @property
    def scoring(self) -> dict[str, Any]:
        """How a history is scored."""
        return section(self.settings, "scoring")

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that are other ones than the base's."""
        return _changed(self.settings, self.base)

    def counts(self) -> str:
        """Say how many trials ended how."""
        states = [one.state for one in self.trials]
        words = {"complete": "complete", "pruned": "pruned", "failed": "failed", "repeat": "proposed again"}
        found = ", ".join(f"{states.count(state)} {word}" for state, word in words.items() if state in states)
        return f"{len(states):,} trials: {found}"

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Write the summary: trials, importances, what was gained and what it is worth."""
        yield f"{'trial':>5} {self.metric:>10}  settings that differ from the start"
        best = sorted(
            (one for one in self.trials if one.state == "complete"), key=lambda one: -(one.value or 0)
        )
        for one in best[:SHOWN]:
            told = settings_text(_changed(one.settings, self.base)) or "none: the start"
            yield from _folded(f"{one.number:>5} {one.value:>10.2f}  ", told)
        yield f"{self.counts()}; {self.seconds:,.0f} s, {self.cpu_seconds:,.0f} CPU s; {self.stopped}"
        if self.importances:
            ranked = sorted(self.importances.items(), key=lambda one: -one[1])
            told = " · ".join(f"{name.split('.')[1]} {share:.0%}" for name, share in ranked if share >= 0.005)
            yield from _folded("importance    ", told)
        if any(name.startswith("scoring.") for name in self.searched):
            yield f"scoring       +{self.scoring_gain:.2f} points on the start's vectors, without training"
        yield ""
        where = f"{self.n_prefixes:,} prefixes of {self.n_sessions:,} validation sessions"
        yield f"{self.metric}, %, {where}"
        yield f"  start       {self.base_score}"
        yield f"  chosen      {self.score}"
        yield f"  gained      {self.gain} (paired)"
        yield from _folded("chosen        ", settings_text(self.changed) or "the start: nothing was better")
        for warning in self.warnings():
            yield from wrap(warning, WIDTH)

    def warnings(self) -> Iterator[str]:
        """Say what the figures do not."""
        if self.share < 1.0:
            yield (
                f"Trained on {self.share:.1%} of the sessions: all of them show an item more often, so fewer"
                " epochs may do; min_count was taken as the same share of clicks."
            )
        yield OPTIMISTIC


def _folded(head: str, text: str) -> list[str]:
    """Break a long line, with the rest below its beginning; a setting is not torn from its value."""
    whole = text.replace(" · ", "\0").replace(" ", "\1").replace("\0", " · ")
    lines = wrap(whole, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
    return [line.replace("\1", " ") for line in lines]


def settings_text(settings: Mapping[str, Any]) -> str:
    """Write settings on one line."""
    return " · ".join(f"{name.removeprefix('train.')} {_value(one)}" for name, one in settings.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _changed(settings: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in settings.items() if base.get(name) != one}
