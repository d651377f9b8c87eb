"""Plots of the trained model: the map of its items and its losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from item2vec.evaluation.report.drawing import OTHERS, PALETTE, Plot, new_figure, style_axes, to_svg


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
    figure = new_figure(9.6, 6.2)
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
    return Plot(to_svg(figure, "map"), tuple(legend))


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
    figure = new_figure(max(4.8, 9.6 * len(terms) / 4), 2.6)
    from matplotlib.ticker import MaxNLocator  # behind the check that matplotlib is there

    for panel, term in enumerate(terms):
        axes = figure.add_subplot(1, len(terms), panel + 1)
        style_axes(axes, term.replace("_", " "))
        values = [epoch.get(term, float("nan")) for epoch in history]
        axes.plot(
            np.arange(1, len(values) + 1), values, color=PALETTE[panel % len(PALETTE)], marker="o", ms=3
        )
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return Plot(to_svg(figure, "loss"))
