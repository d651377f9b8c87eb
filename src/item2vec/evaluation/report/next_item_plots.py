"""Plots of the next-item figures, drawn from the JSON of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from item2vec.evaluation.bootstrap import FEWEST_CLUSTERS
from item2vec.evaluation.report.drawing import (
    INK,
    Plot,
    colours,
    draw_intervals,
    legend,
    new_figure,
    side_by_side,
    style_axes,
    to_svg,
)

MIN_CASES = 100  # that a point needs, of FEWEST_CLUSTERS sessions
Scorers = Mapping[str, Mapping[str, Any]]


def rank_curve_plot(scorers: Scorers, k: int) -> Plot:
    """Draw Recall@1 … Recall@100 of each scorer: the cumulative distribution of the target's rank.

    Parameters
    ----------
    scorers : mapping of str to mapping
        ``NextItemResult.to_json()["scorers"]``.
    k : int
        Marked on the axis.

    Returns
    -------
    Plot
    """
    figure = new_figure(9.6, 4.0)
    axes = figure.add_subplot()
    style_axes(axes)
    for colour, scorer in zip(colours(len(scorers)), scorers.values(), strict=True):
        curve = scorer["recall_curve"] or []
        axes.plot(np.arange(1, len(curve) + 1), curve, color=colour, linewidth=2)
    axes.axvline(k, color=INK, alpha=0.45, linewidth=0.9, dashes=(3, 3))
    axes.set_xscale("log")
    ticks = [1, 2, 5, 10, 20, 50, 100]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlim(1, 100)
    axes.set_xlabel("length of the list, k")
    axes.set_ylabel("Recall@k, %")
    return Plot(to_svg(figure, "ranks"), legend(list(scorers)))


def position_plot(scorers: Scorers, k: int, min_cases: int = MIN_CASES) -> Plot:
    """Draw Recall@k by the number of clicks so far; positions with few cases are left out.

    Parameters
    ----------
    scorers : mapping of str to mapping
        ``NextItemResult.to_json()["scorers"]``.
    k : int
        Length of a list.
    min_cases : int
        Cases that a point needs.

    Returns
    -------
    Plot
    """
    figure = new_figure(9.6, 3.6)
    axes = figure.add_subplot()
    style_axes(axes)
    labels: dict[int, str] = {}
    shifts = side_by_side(len(scorers))
    for colour, shift, scorer in zip(colours(len(scorers)), shifts, scorers.values(), strict=True):
        shown = {line["position"]: line for line in scorer["by_position"] if enough(line, min_cases)}
        span = range(min(shown, default=1), max(shown, default=0) + 1)
        recall = [shown[at]["recall"] if at in shown else None for at in span]
        draw_intervals(axes, [at + shift for at in span], recall, **_line(colour))
        for at, line in shown.items():
            labels[at] = f"{at}{'+' if line['or_more'] else ''}\nn={line['n']:,}"
    axes.set_xticks(sorted(labels), [labels[position] for position in sorted(labels)])
    axes.set_xlim(0.5, max([5, *labels]) + 0.5)  # a few points keep their distance
    axes.set_ylim(bottom=0)
    axes.set_xlabel("items so far")
    axes.set_ylabel(f"Recall@{k}, %")
    return Plot(to_svg(figure, "positions"), legend(list(scorers)))


def slice_plot(scorers: Scorers, k: int, names: Sequence[str]) -> Plot:
    """Draw Recall@k of each scorer on each slice of the cases, with its interval.

    Parameters
    ----------
    scorers : mapping of str to mapping
        ``NextItemResult.to_json()["scorers"]``, each with ``slices``.
    k : int
        Length of a list.
    names : sequence of str
        Slices to draw, from left to right.

    Returns
    -------
    Plot
    """
    figure = new_figure(9.6, 3.6)
    axes = figure.add_subplot()
    style_axes(axes)
    first = next(iter(scorers.values()))["slices"]
    shifts = side_by_side(len(scorers), 0.7)
    for colour, shift, scorer in zip(colours(len(scorers)), shifts, scorers.values(), strict=True):
        recall = [scorer["slices"][name]["recall"] for name in names]
        style = {**_line(colour), "linestyle": "none", "markersize": 6}
        draw_intervals(axes, [at + shift for at in range(len(names))], recall, **style)
    labels = [f"{name.replace('_', ' ')}\nn={first[name]['n']:,}" for name in names]
    axes.set_xticks(range(len(names)), labels)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"Recall@{k}, %")
    return Plot(to_svg(figure, "slices"), legend(list(scorers)))


def enough(part: Mapping[str, Any], min_cases: int = MIN_CASES) -> bool:
    """Say whether some of the cases (``n`` of ``n_sessions``) are enough to be drawn."""
    return bool(part["n"] >= min_cases and part["n_sessions"] >= FEWEST_CLUSTERS)


def _line(colour: str) -> dict[str, Any]:
    return {"color": colour, "linewidth": 1.8, "marker": "o", "markersize": 4, "elinewidth": 1.2}
