"""Headline figures of two releases, each on its own cases: what no pairing of kept ranks can tell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from item2vec.artifacts import Release

REPORT = "report.json"
UNPAIRED = "each release on its own cases, which are not paired: no difference is drawn from them"

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
        scorers that both have, in the order of A.
    """

    name: str
    title: str
    metrics: Mapping[str, str]
    n_cases: tuple[int, int]
    insufficient: tuple[str | None, str | None]
    a: Side
    b: Side

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types."""
        return {
            "name": self.name,
            "title": self.title,
            "metrics": dict(self.metrics),
            "n_cases": dict(zip("ab", self.n_cases, strict=True)),
            "insufficient": dict(zip("ab", self.insufficient, strict=True)),
            "scorers": {name: {"a": dict(self.a[name]), "b": dict(self.b[name])} for name in self.a},
        }


def headlines(a: Release, b: Release) -> tuple[Headlines, ...]:
    """Read the reports of two releases and put side by side what both hold.

    Lists of two lengths have other figures for that alone, so they are left out.

    Raises
    ------
    CorruptArtifactError
        If a report does not match its manifest.
    """
    one, two = ({found.name: found for found in _tables(release)} for release in (a, b))
    return tuple(
        _both(one[name], two[name]) for name in one if name in two and one[name].metrics == two[name].metrics
    )


def _both(one: Headlines, two: Headlines) -> Headlines:
    names = [name for name in one.a if name in two.a]
    sides = ({name: found.a[name] for name in names} for found in (one, two))
    n_cases = (one.n_cases[0], two.n_cases[0])
    insufficient = (one.insufficient[0], two.insufficient[0])
    return Headlines(one.name, one.title, one.metrics, n_cases, insufficient, *sides)


def _tables(release: Release) -> Iterator[Headlines]:
    """Yield the tables of one release, as if it stood on both sides."""
    stored = release.open("evaluation")
    if REPORT not in stored.manifest["files"]:
        return
    report = json.loads((stored.path / REPORT).read_text("utf-8"))
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
