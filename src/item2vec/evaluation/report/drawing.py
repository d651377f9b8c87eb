"""SVG inside a page: it takes the page's text colour, needs no file, and equal input gives equal bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

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


def colours(n: int) -> list[str]:
    """Name the colours of `n` lines, in their order."""
    return [PALETTE[i % len(PALETTE)] for i in range(n)]


def legend(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pair names, written as words, with the colours that :func:`colours` gives them."""
    return tuple(zip((name.replace("_", " ") for name in names), colours(len(names)), strict=True))


def side_by_side(n: int, width: float = 0.5) -> list[float]:
    """Shift `n` lines sideways, so that their intervals at one place do not lie on each other."""
    return [width * (i - (n - 1) / 2) / max(n, 5) for i in range(n)]


def draw_intervals(
    axes: Any, places: Sequence[float], intervals: Sequence[Mapping[str, Any] | None], **style: Any
) -> None:
    """Draw points with their intervals (``value, low, high``); None breaks a line."""
    known = [dict.fromkeys(("value", "low", "high")) if one is None else one for one in intervals]
    value, low, high = (np.array([one[key] for one in known], float) for key in ("value", "low", "high"))
    reach = np.maximum(np.stack([value - low, high - value]), 0.0)
    axes.errorbar(places, value, yerr=np.where(np.isfinite(reach), reach, 0.0), clip_on=False, **style)


def new_figure(width: float, height: float) -> Figure:
    """Start a figure (in inches) that no window system and no global state knows about."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "the report draws with matplotlib, which is not installed: pip install 'item2vec[report]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def style_axes(axes: Any, title: str | None = None, grid: Literal["x", "y"] = "y") -> None:
    """Give axes the page's ink, a faint grid and no box; a title must be plain text of ours."""
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(INK)
        spine.set_alpha(0.4)
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.grid(axis=grid, color=INK, alpha=0.12, linewidth=0.8)
    axes.xaxis.label.set(color=INK, size=9.5)
    axes.yaxis.label.set(color=INK, size=9.5)
    if title is not None:
        axes.set_title(title, color=INK, fontsize=10, loc="left")


def to_svg(figure: Figure, name: str) -> str:
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
    rest = re.sub(r"font-family: [^;\"]*; ", "", rest)  # letters are those of the page
    # Two plots of one page must not share names of clip paths and markers.
    rest = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", rest)
    widest = round(104 * figure.get_figwidth())  # letters stay about as large as the page's
    return f'{head} style="max-width:{widest}px">{rest}'.strip()
