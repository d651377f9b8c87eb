"""How the report puts its figures: verdicts in words, counts in the order of the flow, numbers and times."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from item2vec.evaluation.bootstrap import FEWEST_CLUSTERS
from item2vec.events.schema import EVENT_TYPES

# The way of the data from top to bottom, and within each step from what came in to what was left.
FLOW = (
    *("events", "clicks", "tokens", "sessions", "users", "bookings"),
    *EVENT_TYPES,
    *("in", "split", "over_active", "short_dwell", "few_users", "repeats", "repeated_pairs"),
    *("emptied", "too_short"),
    *("booked_clicked", "booked_market", "unattributed", "kept"),
)
PRODUCTION = "production order"  # the line of the lists as they were shown
SLICES = {  # kinds of next-item cases, as the report explains them
    "head": "the target is one of the items with the first half of all training clicks",
    "torso": "of the next 30 %",
    "tail": "of the last 20 %",
    "cold": "the target has fewer than 5 training clicks, or none",
    "warm": "it has 5 or more",
    "repeat": "the target was clicked earlier in the session",
    "new": "it was not",
    "history_cold": "no item of the history was in training",
    "history_warm": "at least one was",
}
_UTC = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)\S*(\+00:00|Z)")


def bounded(figure: Mapping[str, Any] | None, n_clusters: int) -> Mapping[str, Any] | None:
    """Take the interval off a figure of fewer than :data:`FEWEST_CLUSTERS` sessions (or users)."""
    if figure is None or n_clusters >= FEWEST_CLUSTERS:
        return figure
    return {**figure, "low": None, "high": None}


def reading(difference: Mapping[str, Any], n_clusters: int, lower_is_better: bool = False) -> str:
    """Say what an interval of a paired difference means for the scorer that stands first.

    Parameters
    ----------
    difference : mapping
        ``value``, ``low`` and ``high`` in points, None without a case.
    n_clusters : int
        Sessions (or users) that were resampled.
    lower_is_better : bool
        As for ranks.

    Returns
    -------
    str
        "better" or "worse" where the interval leaves out 0, "the same" where no resample shows any
        difference, "insufficient data" without an interval or with fewer than :data:`FEWEST_CLUSTERS`
        sessions, else "not told apart".
    """
    if difference["low"] is None or n_clusters < FEWEST_CLUSTERS:
        return "insufficient data"
    if difference["value"] == difference["low"] == difference["high"] == 0:
        return "the same"
    if difference["low"] <= 0 <= difference["high"]:
        return "not told apart"
    return "better" if (difference["high"] < 0) == lower_is_better else "worse"


def verdict(evaluated: Mapping[str, Any] | None, variants: Sequence[str] = ()) -> dict[str, Any] | None:
    """Compare the model with its best baseline, once by Recall and once by MRR.

    Parameters
    ----------
    evaluated : mapping, optional
        ``NextItemResult.to_json()``; its first scorer is the model.
    variants : sequence of str
        Scorers that are other readings of the model and no baselines.

    Returns
    -------
    dict or None
        ``recall`` and ``mrr``, each with ``baseline``, its ``value`` in %, ``difference`` in points (model −
        baseline, with the paired interval) and ``reading``; None without a baseline or a case.
    """
    if evaluated is None:
        return None
    model, *others = evaluated["scorers"]
    found: dict[str, Any] = {"model": model}
    for metric in ("recall", "mrr"):
        values = {
            name: evaluated["scorers"][name][metric]["value"] for name in others if name not in variants
        }
        if not values or None in values.values():
            return None
        best = max(values, key=values.__getitem__)
        difference = next(
            pair[metric] for pair in evaluated["differences"] if (pair["a"], pair["b"]) == (model, best)
        )
        found[metric] = {
            "baseline": best,
            "value": values[best],
            "difference": difference,
            "reading": reading(difference, evaluated["n_sessions"]),
        }
    return found


def chance(k: int, n_items: int, known: float = 1.0) -> dict[str, float] | None:
    """Return what lists drawn at random would reach, in %, with one relevant item among `n_items`.

    Parameters
    ----------
    k : int
        Length of a list.
    n_items : int
        Items that it is drawn from.
    known : float
        Share of the cases whose relevant item is among them; the other ones are misses.

    Returns
    -------
    dict or None
        ``recall``, ``ndcg`` and ``mrr``: each rank from 1 to `n_items` is as likely as any other one. None
        without an item.
    """
    if not n_items:
        return None
    ranks = range(1, min(k, n_items) + 1)
    return {
        "recall": 100.0 * known * len(ranks) / n_items,
        "ndcg": 100.0 * known * sum(1 / math.log2(rank + 1) for rank in ranks) / n_items,
        "mrr": 100.0 * known * sum(1 / rank for rank in ranks) / n_items,
    }


def lowest_rank(lines: Mapping[str, Any]) -> str | None:
    """Name the line that is best before the first click, production's own apart; None without a case."""
    found = {name: line["before"]["mean_rank"] for name, line in lines.items() if name != PRODUCTION}
    ranks = {name: one["value"] for name, one in found.items() if one and one["value"] is not None}
    return min(ranks, key=ranks.__getitem__) if ranks else None


def commonest(support: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Name the type of most targets and its share in %: the accuracy of guessing it alone, in hindsight."""
    n_targets = sum(entry["n_targets"] for entry in support)
    if not n_targets:
        return None
    most = max(support, key=lambda entry: entry["n_targets"])
    return {"type": most["type"], "share": 100.0 * most["n_targets"] / n_targets}


def in_flow_order(counts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Sort nested counts by :data:`FLOW`; names that are not there keep their order, behind the others."""
    if counts is None:
        return None
    place = {name: at for at, name in enumerate(FLOW)}
    return {
        name: in_flow_order(counts[name]) if isinstance(counts[name], Mapping) else counts[name]
        for name in sorted(counts, key=lambda name: place.get(name, len(FLOW)))
    }


def shades(table: Sequence[Sequence[float | None]], strongest: float = 55.0) -> list[list[float]]:
    """Give each figure of a symmetric table a shade in %, from the table's lowest (0) to its highest."""
    known = [value for row in table for value in row if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    scale = strongest / (high - low) if high > low else 0.0
    return [[0.0 if value is None else round(scale * (value - low), 1) for value in row] for row in table]


def number(value: Any, digits: int | None = 1) -> str:
    """Write a figure, in short where `digits` is None; "–" stands for one without a case."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    fraction = f"{value:,g}" if digits is None else f"{value:,.{digits}f}"
    text = f"{value:,}" if isinstance(value, int) else fraction
    return text.replace("-", "−")


def times(value: float | None, factor: float) -> float | None:
    """Multiply a figure, such as a share into %; None stays None."""
    return None if value is None else factor * value


def signed(value: float | None, digits: int = 2) -> str:
    """Write a difference with its sign."""
    return f"+{number(value, digits)}" if value is not None and value > 0 else number(value, digits)


def utc(value: Any) -> Any:
    """Write a time as ``2025-02-18 03:53 UTC``; anything else is returned as it is."""
    found = _UTC.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1]} {found[2]} UTC" if found else value


def flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """List the leaves of nested settings as (path, value)."""
    leaves: list[tuple[str, Any]] = []
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            leaves += flat(entry, f"{prefix}{key} › ") or [(f"{prefix}{key}", "none")]
        else:
            leaves.append((f"{prefix}{key}", utc(entry)))
    return leaves


def words(name: Any) -> str:
    """Write a key as words."""
    return str(name).replace("_", " ")
