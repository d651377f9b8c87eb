"""How the notebooks draw: one palette that holds for colour-blind eyes, names outside the data, no box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

# Okabe & Ito's colours, the yellow left out: it does not hold on white.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#5B4B8A", "#7A7A7A")
BLUE, ORANGE, GREEN, PINK, RED, SKY, VIOLET, GREY = PALETTE
FAINT = "#D9D9D9"
INK = "#333333"
MARKERS = "osD^vPX*"  # beside colours: shapes tell lines apart in print


def style() -> None:
    """Set fonts, colours and the size of the pictures; call it once, in a notebook's first cell."""
    plt.rcParams.update(
        {
            "figure.dpi": 88,
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#999999",
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#E8E8E8",
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.frameon": False,
            "axes.prop_cycle": plt.cycler(color=PALETTE),
        }
    )


def legend_beside(axes: Any, title: str | None = None, **more: Any) -> None:
    """Put the legend to the right of the data, where it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, title=title, **more)


def in_thousands(axis: Any) -> None:
    """Write the numbers of an axis of counts with separators, and not too many of them."""
    axis.set_major_locator(plt.MaxNLocator(5, integer=True))
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def waterfall(axes: Any, steps: Sequence[tuple[str, int]], unit: str) -> None:
    """Draw what came in, what each step took, and what is left.

    Parameters
    ----------
    axes : matplotlib Axes
    steps : sequence of (str, int)
        The first is what came in; each further one is taken from it, in this order; the rest is added.
    unit : str
        Of the numbers, for the axis.
    """
    (first, total), *taken = steps
    left, rows = total, [(first, 0, total, BLUE, f"{total:,}")]
    for name, n in taken:
        left -= n
        rows.append((name, left, n, ORANGE, f"−{n:,} ({n / max(total, 1):.1%})"))
    rows.append(("kept", 0, left, GREEN, f"{left:,} ({left / max(total, 1):.1%})"))
    for place, (_, start, width, colour, text) in enumerate(rows):
        axes.barh(place, width, left=start, color=colour, height=0.62)
        end, gap = start + width, 0.012 * total
        if end < 0.72 * total:  # beside the bar, wherever there is room; inside it else
            at, side, ink = end + gap, "left", INK
        elif start > 0.28 * total:
            at, side, ink = start - gap, "right", INK
        else:
            at, side, ink = end - gap, "right", "white"
        axes.text(at, place, text, va="center", ha=side, color=ink, fontsize=10)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, total * 1.01)
    in_thousands(axes.xaxis)
    axes.set_xlabel(unit)


def intervals(axes: Any, rows: Mapping[str, Any], colours: Mapping[str, str] | None = None) -> None:
    """Draw one point with its 95 % interval per row, the first row on top.

    Parameters
    ----------
    axes : matplotlib Axes
    rows : mapping of str to Interval
        Anything with `value`, `low` and `high`; NaN is left out.
    colours : mapping of str to str, optional
        By row; grey for the others, blue for all where none are given.
    """
    for place, (name, found) in enumerate(rows.items()):
        if np.isnan(found.value):
            continue
        colour = BLUE if colours is None else colours.get(name, GREY)
        if np.isfinite([found.low, found.high]).all():
            axes.plot([found.low, found.high], [place, place], color=colour, linewidth=3, alpha=0.5)
        axes.plot(found.value, place, "o", color=colour, markersize=8)
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def heat_table(axes: Any, labels: Sequence[str], cells: Sequence[Sequence[float | None]]) -> Any:
    """Draw a symmetric table of numbers as colours, the numbers in it."""
    values = np.array([[np.nan if cell is None else cell for cell in row] for row in cells])
    picture = axes.imshow(values, cmap="cividis")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = "black" if value > middle else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=11)
    axes.set_xticks(range(len(labels)), labels, rotation=20)
    axes.set_yticks(range(len(labels)), labels)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return picture
