"""The booked-rank curve: where the booked listing stands in the list, click by click before the booking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from item2vec.evaluation.report.drawing import (
    OTHERS,
    Plot,
    colours,
    draw_intervals,
    new_figure,
    side_by_side,
    style_axes,
    to_svg,
)
from item2vec.evaluation.report.readings import PRODUCTION, bounded

SHORTEST = 8  # positions on the axis, however few have cases enough


def booked_rank_plot(
    lines: Mapping[str, Mapping[str, Any]],
    curve: Literal["before", "all"],
    name: str,
    figure_of: Literal["mean_rank", "normalised"] = "mean_rank",
) -> Plot | None:
    """Draw the mean rank of the booked listing by the clicks that are left before the booking.

    As the paper's Fig. 6: from 17 clicks before the booking to the last click, lower is better. Only lines at
    one position may be compared: each position has cases of its own.

    Parameters
    ----------
    lines : mapping of str to mapping
        ``BookedRankResult.to_json()["lines"]``, or some of them.
    curve : {"before", "all"}
        Cases before the first click on the booked listing, or every case.
    name : str
        Name of the plot, unique on its page.
    figure_of : {"mean_rank", "normalised"}
        What to draw.

    Returns
    -------
    Plot or None
        None where no position has enough cases.
    """
    points = {line: {p["position"]: p for p in found[curve]["by_position"]} for line, found in lines.items()}
    counts = {at: point["n"] for found in points.values() for at, point in found.items()}
    drawn = [at for found in points.values() for at, p in found.items() if p[figure_of] is not None]
    if not drawn:
        return None
    figure = new_figure(9.6, 4.3)
    axes = figure.add_subplot()
    style_axes(axes)
    farthest = min(max(*drawn, SHORTEST), max(counts))
    span = range(farthest, min(counts) - 1, -1)
    # The line to beat is drawn in grey, whatever its place.
    palette = dict(zip([line for line in lines if line != PRODUCTION], colours(len(lines)), strict=False))
    for shift, (line, found) in zip(side_by_side(len(lines)), points.items(), strict=True):
        known = [found.get(at) for at in span]
        ranks = [None if p is None else bounded(p[figure_of], p.get("n_sessions", p["n"])) for p in known]
        style = {"color": palette.get(line, OTHERS), "linestyle": "-" if line in palette else "--"}
        shape = {"linewidth": 1.8, "marker": "o", "markersize": 4, "elinewidth": 1.2}
        draw_intervals(axes, [at - shift for at in span], ranks, **style, **shape)
    axes.set_xticks(list(span), [_label(at, counts.get(at, 0)) for at in span])
    axes.set_xlim(farthest + 0.5, min(counts) - 0.5)
    axes.set_xlabel("clicks before the booking; below them the number of cases")
    better = "lower is better"
    label = "mean rank of the booked listing" if figure_of == "mean_rank" else "mean rank, 0 first … 1 last"
    axes.set_ylabel(f"{label}\n({better})")
    return Plot(
        to_svg(figure, name), tuple((line.replace("_", " "), palette.get(line, OTHERS)) for line in lines)
    )


def _label(position: int, n: int) -> str:
    return f"{'last click' if position == 1 else position}\n{n:,}"
