"""What a ranker goes by, drawn: importance of its columns, and partial dependence on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from item2vec.evaluation.ranking.lambdarank import Curve
from item2vec.evaluation.report.drawing import OTHERS, PALETTE, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4


def draw_importance(importance: Mapping[str, float], highlighted: tuple[str, ...] = ()) -> Figure:
    """Draw shares of the gain as bars, the largest on top.

    Parameters
    ----------
    importance : mapping of str to float
        As :attr:`LambdaRank.importance_`, or a mean of several.
    highlighted : tuple of str
        Columns in colour; the others are grey.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    names = sorted(importance, key=lambda name: importance[name])
    figure = new_figure(6.4, 0.6 + 0.27 * max(len(names), 1))
    axes = figure.subplots()
    colours = [PALETTE[0] if name in highlighted else OTHERS for name in names]
    axes.barh(range(len(names)), [100 * importance[name] for name in names], color=colours)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("share of the gain of all splits, %")
    style_axes(axes, grid="x")
    return figure


def draw_partial_dependence(curves: Mapping[str, Curve]) -> Figure:
    """Draw how the mean score moves with each column, one panel each on a common scale.

    Parameters
    ----------
    curves : mapping of str to (values, scores)
        As :meth:`LambdaRank.partial_dependence` returns them; empty ones are left out.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    drawn = {name: curve for name, curve in curves.items() if len(curve[0])}
    n_rows = max(1, -(-len(drawn) // COLUMNS))
    figure = new_figure(2.6 * COLUMNS, 2.2 * n_rows)
    panels = figure.subplots(n_rows, COLUMNS, sharey=True, squeeze=False).ravel()
    for axes, (name, (values, scores)) in zip(panels, drawn.items(), strict=False):
        axes.plot(values, scores, color=PALETTE[0])
        style_axes(axes, name)
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    panels[0].set_ylabel("score, less its mean")
    return figure
