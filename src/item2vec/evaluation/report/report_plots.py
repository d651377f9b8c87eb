"""Which plots a report has: those whose figures are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from item2vec.evaluation.probes.attributes import aligned_attributes, label_codes
from item2vec.evaluation.report.embedding_map import project
from item2vec.evaluation.report.next_item_plots import enough, position_plot, rank_curve_plot, slice_plot

if TYPE_CHECKING:
    from item2vec.evaluation.report.drawing import Plot
    from item2vec.evaluation.report.write import ReportPayload

TERMS = ("window", "negative", "booked", "market_negative", "rejection")
POOLED = ", pooled"  # ends the name of a line that asks with the whole history


def draw(payload: ReportPayload, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Draw every plot of a report.

    Parameters
    ----------
    payload : ReportPayload
        For the map and the losses.
    figures : mapping
        The report's JSON.

    Returns
    -------
    dict
        Plots by name, None for one without figures; ``map_method`` is a word, ``booked_rank`` a list.
    """
    drawn: dict[str, Any] = dict.fromkeys(("loss", "ranks", "positions", "slices"))
    drawn["map"], drawn["map_method"] = _map(payload)
    losses = loss_terms(payload.history)
    if losses and losses[0]:
        from item2vec.evaluation.report.plots import loss_plot

        drawn["loss"] = loss_plot(losses)
    evaluated = figures["next_item"]
    if evaluated is not None and evaluated["n_prefixes"]:
        drawn.update(_next_item(evaluated))
    drawn["booked_rank"] = [_booked_rank(found, at) for at, found in enumerate(figures["booked_rank"])]
    return drawn


def loss_terms(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Pick the terms of the loss, term by epoch, out of a trainer's history; zero terms are left out."""
    epochs = [entry["loss"] if isinstance(entry.get("loss"), Mapping) else entry for entry in history]
    used = [term for term in TERMS if any(epoch.get(term) for epoch in epochs)]
    return [{term: float(epoch[term]) for term in used if epoch.get(term) is not None} for epoch in epochs]


def _map(payload: ReportPayload) -> tuple[Plot | None, str | None]:
    from item2vec.evaluation.report.plots import map_plot

    if payload.vectors is None or not len(payload.vectors.vocabulary):
        return None, None
    rows, places, method = project(payload.vectors.vectors, payload.embedding_map, payload.seed)
    markets = aligned_attributes(payload.items, payload.vectors.vocabulary).get("market")
    codes, names = label_codes(markets, len(payload.vectors.vocabulary))
    return map_plot(places, codes[rows], names), {"tsne": "t-SNE", "pca": "PCA"}[method]


def _next_item(evaluated: Mapping[str, Any]) -> dict[str, Plot | None]:
    scorers, k = evaluated["scorers"], evaluated["k"]
    slices = next(iter(scorers.values())).get("slices") or {}
    shown = [name for name, found in slices.items() if enough(found)]
    return {
        "ranks": rank_curve_plot(scorers, k),
        "positions": position_plot(scorers, k),
        "slices": slice_plot(scorers, k, shown) if shown else None,
    }


def _booked_rank(found: Mapping[str, Any], at: int) -> dict[str, Any]:
    """Draw the curves of one kind of candidates; `at` keeps their names apart on the page."""
    from item2vec.evaluation.report.booked_rank_plot import booked_rank_plot

    lines = found["lines"]
    last = {name: line for name, line in lines.items() if not name.endswith(POOLED)}
    pooled = {name: line for name, line in lines.items() if name.endswith(POOLED)}
    return {
        "before": booked_rank_plot(last, "before", f"rank-before-{at}"),
        "pooled": booked_rank_plot(pooled, "before", f"rank-pooled-{at}"),
        "all": booked_rank_plot(last, "all", f"rank-all-{at}"),
    }
