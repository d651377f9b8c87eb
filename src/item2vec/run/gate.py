"""The gate: a new release is compared with the current one before it is published.

**Recall.** Both figures come with a 95 % bootstrap interval over sessions, whose width gives the standard
error, ``se = (high − low) / (2 · 1.96)``. The difference ``new − current`` has at most
``se = √(se_new² + se_current²)``: the two test sets are taken as independent, and sessions that are in both
(a window moves by a day) only make the true error smaller. The candidate is worse when it lies below the
current figure by more than ``z · se``, ``z`` being the one-sided quantile of ``confidence`` (1.645), plus
``recall_tolerance`` of the current figure, because an interval over sessions knows nothing of the chance in
training. The comparison is with one release only: many small losses in a row pass one by one. Where all n
test sessions gave the same (none was hit, or every one), the interval has no width, which is no certainty:
by the rule of three up to 3/n of all sessions may be others, so ``1.645 · se`` is 300/n points: a handful of
sessions refuses nothing, hundreds without a hit do. A single session is not compared.

**Counts** of events and refused rows may leave their bounds by what a Poisson count explains, ``z`` standard
errors again, so that a handful of rejections more or less stops nothing.

Figures that were made by other rules (another ``k``, another split, other sessions, another window of days)
are not compared, and the check says so instead of passing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from item2vec.artifacts import Release, StoredObject
from item2vec.errors import CorruptArtifactError, Item2VecError
from item2vec.run.config import GateConfig

if TYPE_CHECKING:
    from item2vec.run.stability import Stability

MODEL = "item2vec"
# What must be equal for two figures to mean the same, by the stage that holds the settings.
RULES_OF_COUNTS = {"events": ("days", "event_types", "event_type", "importer", "importer_mapping")}
RULES_OF_RECALL = {
    **RULES_OF_COUNTS,
    "sessions": (),  # all of them
    "evaluation": ("k", "validation", "test", "validation_from", "test_from", "max_sessions"),
}


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes
    ----------
    name : str
    current, new : float or None
        The figures; None where there is none.
    bound : float or None
        The least (most) that the new figure may be; None where nothing is refused.
    passed : bool or None
        None if the figures were not compared.
    sentence : str
        What was found, in words, with both figures.
    """

    name: str
    current: float | None
    new: float | None
    bound: float | None
    passed: bool | None
    sentence: str


@dataclass(frozen=True)
class Candidate:
    """What a finished run would publish: figures and settings by stage, and the folder of its vectors."""

    figures: Mapping[str, Any]
    config: Mapping[str, Any]
    embeddings: Path

    @classmethod
    def of_objects(cls, objects: Mapping[str, StoredObject]) -> Candidate:
        """Take them from the finished stages."""
        return cls(
            {stage: stored.figures for stage, stored in objects.items()},
            {stage: stored.manifest["config"] for stage, stored in objects.items()},
            objects["embeddings"].path,
        )


def compare(candidate: Candidate, current: Release, settings: GateConfig) -> list[Check]:
    """Compare a candidate with the current release.

    Parameters
    ----------
    candidate : Candidate
        Its objects are whole.
    current : Release
        What is served now, whatever run made it; a damaged object of it is not compared.
    settings : GateConfig
        The thresholds.

    Returns
    -------
    list of Check
        The candidate is refused if one of them has ``passed`` False.
    """
    comparison = _Comparison(candidate, current, settings)
    return [
        *comparison.next_item(),
        *comparison.items(),
        *comparison.index(),
        comparison.quarantine(),
        *comparison.events(),
        *comparison.last_day(),
    ]


def describe(checks: list[Check]) -> list[dict[str, Any]]:
    """Return checks as JSON values."""
    return [asdict(check) for check in checks]


class _Comparison:
    def __init__(self, candidate: Candidate, current: Release, settings: GateConfig) -> None:
        self.new, self.now, self.settings = candidate, current, settings
        self.z = NormalDist().inv_cdf(settings.confidence)

    def figures(self, stage: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        return self.now.figures.get(stage, {}), self.new.figures[stage]

    def other_rules(self, rules: Mapping[str, tuple[str, ...]]) -> str:
        """Name the settings that make figures incomparable, or nothing."""
        if not self.now.config:
            return "the current release does not say its settings"
        found = []
        for stage, names in rules.items():
            old, new = self.now.config.get(stage, {}), self.new.config[stage]
            found += [
                f"{stage}.{name} was {old.get(name)!r} and is {new.get(name)!r}"
                for name in names or sorted({*old, *new})
                if old.get(name) != new.get(name)
            ]
        return "; ".join(found)

    def next_item(self) -> Iterator[Check]:
        current, new = self.figures("evaluation")
        old, found = (side.get("next_item", {}).get(MODEL, {}) for side in (current, new))
        other = self.other_rules(RULES_OF_RECALL)
        yield self._recall(old, found, f"Recall@{new.get('k', current.get('k', '?'))}", new, other)
        before, after = old.get("coverage"), found.get("coverage")
        if before is None or after is None or other:
            reason = other or "one side has none"
            yield _not_compared("coverage", before, after, f"catalogue coverage: {reason}")
            return
        bound = self.settings.min_coverage_ratio * before
        words = f"catalogue coverage is {after:.1f} %, the current release has {before:.1f} %"
        yield _at_least("coverage", before, after, bound, words)

    def _recall(
        self, old: Mapping[str, Any], found: Mapping[str, Any], name: str, new: Mapping[str, Any], other: str
    ) -> Check:
        before, after = (side.get("recall", {}).get("value") for side in (old, found))
        if before is None:
            return _not_compared("recall", None, after, f"{name}: the current release has none")
        if after is None:
            reason = new.get("insufficient_data", "it has no test case")
            words = f"the candidate has no {name} ({reason}), the current release has {before:.2f}"
            return Check("recall", before, None, None, False, words)
        if other:
            return _not_compared("recall", before, after, f"{name}: {other}")
        errors = [_standard_error(figures) for figures in self.figures("evaluation")]
        if None in errors:
            return _not_compared("recall", before, after, f"{name}: a single test session gives no interval")
        chance = self.z * math.hypot(*(error or 0.0 for error in errors))
        bound = before - chance - self.settings.recall_tolerance * before
        words = (
            f"{name} is {after:.2f}, the current release has {before:.2f} (by chance two such figures differ"
            f" by up to {chance:.2f})"
        )
        return _at_least("recall", before, after, bound, words)

    def items(self) -> Iterator[Check]:
        stability = self._stability()
        if isinstance(stability, str):
            for name in ("items gone", "items new", "neighbour overlap"):
                yield _not_compared(name, None, None, f"{name}: {stability}")
            return
        settings, n_old, n_new = self.settings, stability.n_current, stability.n_new
        gone, new = n_old - stability.n_both, n_new - stability.n_both
        words = f"{gone:,} of the current release's {n_old:,} items are gone ({gone / n_old:.1%})"
        yield _at_most("items gone", 0.0, gone / n_old, settings.max_items_gone, words)
        words = f"{new:,} of the candidate's {n_new:,} items are new ({new / n_new:.1%})"
        yield _at_most("items new", 0.0, new / n_new, settings.max_items_new, words)
        overlap, least = stability.overlap, settings.min_neighbour_overlap
        if overlap is None:
            yield _not_compared("neighbour overlap", 1.0, None, "neighbour overlap: no item is in both")
            return
        words = f"of an item's {stability.k} nearest neighbours {overlap:.1%} are the current release's"
        words += f" (mean over {stability.n_asked:,} items)"
        yield Check("neighbour overlap", 1.0, overlap, least, least is None or overlap >= least, words)

    def _stability(self) -> Stability | str:
        """Compare the vectors, or say why they cannot be compared."""
        from item2vec.run.stability import compare_vectors

        try:
            current = self.now.open("embeddings").path
        except CorruptArtifactError as error:
            return f"the current release is damaged: {error}"
        try:
            return compare_vectors(current, self.new.embeddings)
        except Item2VecError as error:
            return str(error)

    def index(self) -> Iterator[Check]:
        current, new = self.figures("index")
        for name in sorted({*current, *new}):
            before, after, what = current.get(name), new.get(name), name.replace("_", " of mode ")
            if before is None or after is None:
                side = "the current release" if before is None else "the candidate"
                yield _not_compared(name, before, after, f"{what}: {side} has no such index")
                continue
            words = f"{what} is {after:.4f}, the current release has {before:.4f}"
            yield _at_least(name, before, after, before - self.settings.max_index_recall_loss, words)

    def quarantine(self) -> Check:
        current, new = self.figures("events")
        before, after = (side["quarantined"] / max(1, side["rows_in"]) for side in (current, new))
        words = f"{new['quarantined']:,} of {new['rows_in']:,} rows were refused ({after:.2%})"
        words += f", in the current release {before:.2%}"
        return self._risen("refused rows", before, after, new["rows_in"], words)

    def _risen(self, name: str, before: float, after: float, n: int, words: str) -> Check:
        chance = self.z * math.sqrt(after * (1 - after) / max(1, n))
        return _at_most(name, before, after, before + self.settings.max_quarantined_rise + chance, words)

    def events(self) -> Iterator[Check]:
        current, new = (side["by_type"] for side in self.figures("events"))
        other = self.other_rules(RULES_OF_COUNTS)
        bounds = self.settings.min_events_ratio, self.settings.max_events_ratio
        for kind in sorted({*current, *new}):
            before, after = current.get(kind, 0), new.get(kind, 0)
            if other:
                yield _not_compared(f"events {kind}", before, after, f"number of {kind} events: {other}")
            else:
                words = f"there are {after:,} {kind} events, in the current release {before:,}"
                yield self._count(f"events {kind}", before, after, words, bounds)

    def last_day(self) -> Iterator[Check]:
        """Compare a window's last day with its own usual: in a long window one bad day hardly shows."""
        last = self.new.figures["events"].get("last_day")
        if last is None:
            return
        bounds = self.settings.min_last_day_ratio, self.settings.max_last_day_ratio
        for kind in sorted({*last["usual"], *last["events"]}):
            before, after = last["usual"].get(kind, 0), last["events"].get(kind, 0)
            words = f"{last['day']} has {after:,} {kind} events, {last['compared_with']} has {before:,.0f}"
            yield self._count(f"last day {kind}", before, after, words, bounds)
        if refused := last.get("refused"):
            usual, share, rows = refused["usual"], refused["share"], refused["rows"]
            n = sum(last["events"].values())
            words = f"{last['day']} has {rows:,} refused rows beside {n:,} events"
            words += f" ({share:.2%}), usual is {usual:.2%}"
            yield self._risen("last day refused rows", usual, share, rows + n, words)

    def _count(
        self, name: str, before: float, after: float, words: str, ratios: tuple[float, float]
    ) -> Check:
        """Bound a count by ratios to another one, give or take what two Poisson counts explain."""
        low, high = (
            ratio * before + sign * self.z * math.sqrt(after + ratio**2 * before)
            for ratio, sign in zip(ratios, (-1, 1), strict=True)
        )
        if after < low:
            return Check(name, before, after, low, False, words + (": they vanished" if after == 0 else ""))
        if after > high:
            return Check(name, before, after, high, False, words + (": they are new" if before == 0 else ""))
        return Check(name, before, after, low if after < before else high, True, words)


def _standard_error(figures: Mapping[str, Any]) -> float | None:
    interval, n_sessions = figures["next_item"][MODEL]["recall"], figures.get("sessions")
    low, high = interval.get("low"), interval.get("high")
    if low is None or high is None:
        return None
    if high > low:
        return float(high - low) / (2 * NormalDist().inv_cdf(0.975))
    return 300 / n_sessions / NormalDist().inv_cdf(0.95) if n_sessions else None


def _at_least(name: str, current: float, new: float, bound: float, words: str) -> Check:
    return Check(name, current, new, bound, new >= bound, words)


def _at_most(name: str, current: float, new: float, bound: float, words: str) -> Check:
    return Check(name, current, new, bound, new <= bound, words)


def _not_compared(name: str, current: float | None, new: float | None, words: str) -> Check:
    return Check(name, current, new, None, None, words)
