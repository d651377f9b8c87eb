"""Plots of the report as SVG inside the page: they take its text colour and need no file."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Mid tones that hold on a white and on a black page; the last one is for "everything else".
PALETTE = (
    "#3b82f6",
    "#f08a24",
    "#22a06b",
    "#d6569b",
    "#8b6ce8",
    "#12a3b4",
    "#c79a1b",
    "#e2534f",
    "#8c9a3a",
    "#b0735a",
)
OTHERS = "#8d949e"
INK = "#010203"  # written by matplotlib, replaced by the page's text colour


@dataclass(frozen=True)
class Plot:
    """One figure of the report.

    Attributes
    ----------
    svg : str
        An ``<svg>`` element without any outside reference.
    legend : tuple of (str, str)
        Label and colour; the page draws it, so labels may hold any text.
    """

    svg: str
    legend: tuple[tuple[str, str], ...] = ()


def map_plot(
    places: npt.NDArray[np.float64], codes: npt.NDArray[np.int64], names: Sequence[str], n_colours: int = 10
) -> Plot:
    """Draw the embedding map, one dot per item, coloured by market.

    Parameters
    ----------
    places : ndarray of float64, shape (n_points, 2)
        Coordinates.
    codes : ndarray of int64, shape (n_points,)
        Market of each point as a position in `names` (most frequent first), −1 unknown.
    names : sequence of str
        Market names.
    n_colours : int
        Markets with a colour of their own; the other ones share a grey.

    Returns
    -------
    Plot
    """
    shown = min(n_colours, len(PALETTE), len(names))
    colours = np.array([*PALETTE[:shown], OTHERS])
    picked = np.where((codes >= 0) & (codes < shown), codes, shown)
    order = np.random.default_rng(0).permutation(len(places))  # so that no market lies on top of the others
    figure = _figure(9.6, 6.2)
    axes = figure.add_subplot()
    size = float(np.clip(12_000 / max(len(places), 1), 2.0, 26.0))
    grey_last = order[np.argsort(picked[order] != shown, kind="stable")]
    axes.scatter(
        places[grey_last, 0],
        places[grey_last, 1],
        s=size,
        c=colours[picked[grey_last]],
        alpha=0.75,
        linewidths=0,
        rasterized=True,
    )
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    legend = [(str(names[i]), PALETTE[i]) for i in range(shown)]
    if (picked == shown).any():
        legend.append(("other markets" if shown else "all items", OTHERS))
    return Plot(_svg(figure, "map"), tuple(legend))


def loss_plot(history: Sequence[Mapping[str, float]]) -> Plot:
    """Draw the loss of each term of the objective over the epochs, a panel per term with its own scale.

    Parameters
    ----------
    history : sequence of mapping of str to float
        Per epoch: term → loss.

    Returns
    -------
    Plot
    """
    terms = list(dict.fromkeys(term for epoch in history for term in epoch))
    figure = _figure(max(4.8, 9.6 * len(terms) / 4), 2.6)
    from matplotlib.ticker import MaxNLocator  # behind the check that matplotlib is there

    for panel, term in enumerate(terms):
        axes = figure.add_subplot(1, len(terms), panel + 1)
        _style(axes, term.replace("_", " "))
        values = [epoch.get(term, float("nan")) for epoch in history]
        axes.plot(
            np.arange(1, len(values) + 1), values, color=PALETTE[panel % len(PALETTE)], marker="o", ms=3
        )
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return Plot(_svg(figure, "loss"))


def rank_curve_plot(curves: Mapping[str, npt.NDArray[np.float64]], k: int) -> Plot:
    """Draw Recall@1 … Recall@100 of each scorer: the cumulative distribution of the target's rank.

    Parameters
    ----------
    curves : mapping of str to ndarray of float64, shape (max_k,)
        Recall in %.
    k : int
        Marked on the axis.

    Returns
    -------
    Plot
    """
    figure = _figure(9.6, 4.0)
    axes = figure.add_subplot()
    _style(axes)
    for colour, curve in zip(_cycle(len(curves)), curves.values(), strict=True):
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
    return Plot(_svg(figure, "ranks"), _legend(list(curves)))


def position_plot(
    by_position: Mapping[str, Sequence[Mapping[str, Any]]], k: int, min_cases: int = 100
) -> Plot:
    """Draw Recall@k by the number of clicks so far; positions with few cases are left out.

    Parameters
    ----------
    by_position : mapping of str to sequence of mapping
        ``NextItemResult.by_position`` per scorer.
    k : int
        Length of a list.
    min_cases : int
        Cases that a point needs.

    Returns
    -------
    Plot
    """
    figure = _figure(9.6, 3.3)
    axes = figure.add_subplot()
    _style(axes)
    labels: dict[int, str] = {}
    for colour, lines in zip(_cycle(len(by_position)), by_position.values(), strict=True):
        shown = [line for line in lines if line["n"] >= min_cases]
        recall = {line["position"]: line["recall"] for line in shown}
        span = range(min(recall, default=1), max(recall, default=0) + 1)
        values = [recall.get(position, np.nan) for position in span]  # a hidden position breaks the line
        axes.plot(list(span), values, color=colour, linewidth=2, marker="o", ms=4)
        for line in shown:
            name = f"{line['position']}{'+' if line['or_more'] else ''}"
            labels[line["position"]] = f"{name}\nn={line['n']:,}"
    axes.set_xticks(sorted(labels), [labels[position] for position in sorted(labels)])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("items so far")
    axes.set_ylabel(f"Recall@{k}, %")
    return Plot(_svg(figure, "positions"), _legend(list(by_position)))


def _cycle(n: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(n)]


def _legend(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(names, _cycle(len(names)), strict=True))


def _figure(width: float, height: float) -> Figure:
    """Start a figure (in inches) that no window system and no global state knows about."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "the report draws with matplotlib, which is not installed: pip install 'item2vec[report]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _style(axes: Any, title: str | None = None) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(INK)
        spine.set_alpha(0.4)
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.8)
    axes.xaxis.label.set(color=INK, size=9.5)
    axes.yaxis.label.set(color=INK, size=9.5)
    if title is not None:
        axes.set_title(title, color=INK, fontsize=10, loc="left")


def _svg(figure: Figure, name: str) -> str:
    """Render to an SVG element that scales with the page; equal input gives equal bytes."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "savefig.transparent": True}):
        figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(xmlns(:\w+)?|width|height|version)="[^"]*"', "", head)
    rest = rest.replace(f"stroke: {INK}", "stroke: currentColor").replace(
        f"fill: {INK}", "fill: currentColor"
    )
    rest = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", rest)
    # Two plots of one page must not share names of clip paths and markers.
    rest = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", rest)
    widest = round(104 * figure.get_figwidth())  # letters stay about as large as the page's
    return f'{head} style="max-width:{widest}px">{rest}'.strip()
