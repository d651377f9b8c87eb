"""Headline figures of two releases, each on its own cases: what no pairing of kept ranks can tell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from item2vec.artifacts import Release

REPORT = "report.json"
UNPAIRED = "each release on its own cases, which are not paired: no difference is drawn from them"

_EQUATION = re.compile(r"item2vec \((eq\. \d)\)")  # the model's own line where a run has evaluate.equations

Figure = Mapping[str, float | None]  # value, low and high
Side = Mapping[str, Mapping[str, Figure]]  # scorer → metric → figure


@dataclass(frozen=True)
class Headlines:
    """Figures that both releases hold, side by side and unpaired.

    Attributes
    ----------
    name, title : str
        The protocol, as a key and for people.
    metrics : mapping of str to str
        Metric → its column.
    n_cases : tuple of int
        Cases of A and of B.
    insufficient : tuple of str or None
        Why the figures of A, and of B, say little.
    a, b : mapping
        Scorer → metric → ``value``, ``low`` and ``high`` (None where there is no interval or no case); the
        scorers that both have, in the order of A. The model's own line is ``item2vec`` where the reports do
        not agree on the equation of the paper that it is, or only one of them names it.
    called : mapping of str to (str, str)
        Scorers that are not called so in both reports → what they are called in that of A and of B.
    """

    name: str
    title: str
    metrics: Mapping[str, str]
    n_cases: tuple[int, int]
    insufficient: tuple[str | None, str | None]
    a: Side
    b: Side
    called: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types."""
        return {
            "name": self.name,
            "title": self.title,
            "metrics": dict(self.metrics),
            "n_cases": dict(zip("ab", self.n_cases, strict=True)),
            "insufficient": dict(zip("ab", self.insufficient, strict=True)),
            "scorers": {name: {"a": dict(self.a[name]), "b": dict(self.b[name])} for name in self.a},
            "called": {name: dict(zip("ab", both, strict=True)) for name, both in self.called.items()},
            "note": self.note,
        }

    @property
    def note(self) -> str | None:
        """What the lines of two names stand for; None where all are called the same in both reports."""
        found = "; ".join(f"{name}: {a} in A, {b} in B" for name, (a, b) in self.called.items())
        return f"called otherwise in the reports: {found}" if found else None


def read_report(release: Release) -> dict[str, Any]:
    """Return the report of a release, empty if it has none.

    Raises
    ------
    CorruptArtifactError
        If it does not match its manifest.
    """
    stored = release.open("evaluation")
    if REPORT not in stored.manifest["files"]:
        return {}
    found: dict[str, Any] = json.loads((stored.path / REPORT).read_text("utf-8"))
    return found


def headlines(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Headlines, ...]:
    """Put side by side what two reports hold.

    Lists of two lengths have other figures for that alone, so they are left out.
    """
    one, two = ({found.name: found for found in _tables(report)} for report in (a, b))
    return tuple(
        _both(one[name], two[name]) for name in one if name in two and one[name].metrics == two[name].metrics
    )


def _both(one: Headlines, two: Headlines) -> Headlines:
    mine, others = _by_name(one.a), _by_name(two.a)
    pairs = [(name, (label, others[name])) for name, label in mine.items() if name in others]
    lines = {both[0] if both[0] == both[1] else name: both for name, both in pairs}
    return replace(
        one,
        n_cases=(one.n_cases[0], two.n_cases[0]),
        insufficient=(one.insufficient[0], two.insufficient[0]),
        a={name: one.a[label] for name, (label, _) in lines.items()},
        b={name: two.a[other] for name, (_, other) in lines.items()},
        called={name: both for name, both in lines.items() if both != (name, name)},
    )


def _by_name(labels: Iterable[str]) -> dict[str, str]:
    """Return each name that a line answers to → its label: the model's own is also its equation's."""
    found = {_EQUATION.sub("item2vec", label): label for label in labels}
    return {**found, **{_EQUATION.sub(r"\1", label): label for label in labels}}


def _tables(report: Mapping[str, Any]) -> Iterator[Headlines]:
    """Yield the tables of one release, as if it stood on both sides."""
    if found := report.get("next_item"):
        names = {"coverage": f"coverage@{found['k']}, %", "gini": f"Gini@{found['k']}"}
        yield _table("lists", "what the lists cover", names, found["n_prefixes"], found["scorers"])
    for found in report.get("booked_rank") or ():
        lines = {name: line["before"] for name, line in found["lines"].items()}
        place = found["candidates"]
        n_cases = found["before"]["n_cases"]
        title = f"booked, before its click, in its {place}"
        names = {"mean_rank": "mean rank"}
        yield _table(f"booked_rank_{place}", title, names, n_cases, lines, found["insufficient"])
    if found := report.get("long_term"):
        names = {"recall": f"Recall@{found['k']}, %", "type_accuracy": "right type first, %"}
        title, n_cases = "next booking, its market", found["n_cases"]
        yield _table("long_term", title, names, n_cases, found["scorers"], found["insufficient"])


def _table(
    name: str,
    title: str,
    metrics: Mapping[str, str],
    n_cases: int,
    scorers: Mapping[str, Any],
    insufficient: str | None = None,
) -> Headlines:
    side = {
        scorer: {metric: _figure(figures.get(metric)) for metric in metrics}
        for scorer, figures in scorers.items()
    }
    return Headlines(name, title, metrics, (n_cases, n_cases), (insufficient, insufficient), side, side)


def _figure(value: Any) -> Figure:
    return value if isinstance(value, Mapping) else {"value": value, "low": None, "high": None}
