"""The offline report: all figures in `report.json`, for the eye in one self-contained `report.html`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from item2vec.errors import RunError
from item2vec.evaluation import readings
from item2vec.evaluation.attributes import aligned_attributes, label_codes
from item2vec.evaluation.embedding_map import project
from item2vec.evaluation.next_item import NextItemResult
from item2vec.evaluation.page import FOLDER, render_page
from item2vec.evaluation.probes import ProbeResult, Vectors
from item2vec.evaluation.similar_sample import similar_sample

if TYPE_CHECKING:
    from item2vec.evaluation.index_quality import IndexRecall
    from item2vec.evaluation.plots import Plot
    from item2vec.evaluation.splits import Split

FORMAT = 3
TERMS = ("window", "negative", "booked", "market_negative", "rejection")


class Result(Protocol):
    """Figures of a protocol."""

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types."""


@dataclass(frozen=True, eq=False)
class ReportPayload:
    """What a report is made from; a part that is missing is reported as such.

    Attributes
    ----------
    title : str
        Heading, such as the run's name.
    facts : mapping
        Short facts below the heading (release, source, sessions, …).
    reconciliation : Reconciliation or mapping, optional
        ``rows_in, ok, duplicate, quarantined, ignored, events``.
    funnel : mapping, optional
        ``Sessions.funnel``.
    split : Split, optional
        Its cuts and counts.
    next_item : NextItemResult, optional
        The first scorer is the model, the other ones its baselines, except `variants`.
    variants : sequence of str
        Scorers that are other readings of the model and no baselines.
    booked_rank : sequence of BookedRankResult
        One per kind of candidates: the search's own list, the market's items.
    long_term : LongTermResult, optional
        Booking sequences only.
    probe : ProbeResult, optional
    index : sequence of IndexRecall
        One per reading of the index.
    vectors : ItemVectors, optional
        For the map and the sample of similar items.
    items : pyarrow.Table, optional
        ``item_id`` and attributes.
    history : sequence of mapping
        ``Item2Vec.history_``.
    config : mapping
        Settings of the run, by section.
    notes : sequence of str
        Remarks, such as which attributes are one static snapshot.
    provenance : mapping
        What the report was made from: the package's version and the objects it read. No clock.
    embedding_map : {"auto", "pca", "tsne"}
    seed : int
    """

    title: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    reconciliation: Any = None
    funnel: Mapping[str, Any] | None = None
    split: Split | None = None
    next_item: NextItemResult | None = None
    variants: Sequence[str] = ()
    booked_rank: Sequence[Result] = ()
    long_term: Result | None = None
    probe: ProbeResult | None = None
    index: Sequence[IndexRecall] = ()
    vectors: Vectors | None = None
    items: pa.Table | None = None
    history: Sequence[Mapping[str, Any]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    embedding_map: Literal["auto", "pca", "tsne"] = "auto"
    seed: int = 1


def write_report(out_dir: str | Path, payload: ReportPayload) -> tuple[Path, Path]:
    """Write `report.json` and `report.html`.

    Parameters
    ----------
    out_dir : str or Path
        Folder to write into; made if needed.
    payload : ReportPayload
        The figures.

    Returns
    -------
    tuple of Path
        ``report.json`` (strict JSON: null for a figure without a case, no clock) and ``report.html`` (no
        script, no outside file).

    Raises
    ------
    MissingDependencyError
        If matplotlib or Jinja2 is not installed.
    RunError
        If the folder cannot be written.
    """
    figures = report_figures(payload)
    page = render_page(
        FOLDER / "report.html.j2",
        {"report": figures, "plots": _plots(payload, figures), "notes": list(payload.notes)},
    )
    folder = Path(out_dir)
    paths = folder / "report.json", folder / "report.html"
    texts = json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False) + "\n", page
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write the report into {folder}: {error.strerror}") from error
    return paths


def report_figures(payload: ReportPayload) -> dict[str, Any]:
    """Return everything the report says as strict JSON types (None for NaN)."""
    account = payload.reconciliation
    account = asdict(account) if is_dataclass(account) else account  # type: ignore[arg-type]
    if account is not None:
        account = {**account, "events": readings.in_flow_order(account["events"])}
    evaluated = payload.next_item.to_json() if payload.next_item else None
    sample = None
    if payload.vectors is not None:
        sample = similar_sample(payload.vectors, payload.items, seed=payload.seed)
    figures: dict[str, Any] = json_value(
        {
            "format": FORMAT,
            "title": payload.title,
            "facts": payload.facts,
            "reconciliation": account,
            "funnel": readings.in_flow_order(payload.funnel),
            "split": payload.split.to_json() if payload.split else None,
            "next_item": evaluated,
            "verdict": readings.verdict(evaluated, payload.variants),
            "booked_rank": [entry.to_json() for entry in payload.booked_rank],
            "long_term": payload.long_term.to_json() if payload.long_term else None,
            "probe": payload.probe.to_json() if payload.probe else None,
            "index": [entry.to_json() for entry in payload.index],
            "similar": sample,
            "history": list(payload.history),
            "config": payload.config,
            "notes": list(payload.notes),
            "provenance": payload.provenance,
        }
    )
    return figures


def json_value(value: Any) -> Any:
    """Turn numpy scalars, tuples, paths, dates and NaN into what strict JSON can say."""
    if isinstance(value, Mapping):
        return {str(key): json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(entry) for entry in value]
    if isinstance(value, np.generic | np.ndarray):
        return json_value(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)


def loss_terms(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Pick the terms of the loss, term by epoch, out of a trainer's history; zero terms are left out."""
    epochs = [entry["loss"] if isinstance(entry.get("loss"), Mapping) else entry for entry in history]
    used = [term for term in TERMS if any(epoch.get(term) for epoch in epochs)]
    return [{term: float(epoch[term]) for term in used if epoch.get(term) is not None} for epoch in epochs]


def _plots(payload: ReportPayload, figures: Mapping[str, Any]) -> dict[str, Any]:
    from item2vec.evaluation import plots

    drawn: dict[str, Plot | str | None] = dict.fromkeys(("map", "loss", "ranks", "positions", "map_method"))
    if payload.vectors is not None and len(payload.vectors.vocabulary):
        rows, places, method = project(payload.vectors.vectors, payload.embedding_map, payload.seed)
        markets = aligned_attributes(payload.items, payload.vectors.vocabulary).get("market")
        codes, names = label_codes(markets, len(payload.vectors.vocabulary))
        drawn["map"] = plots.map_plot(places, codes[rows], names)
        drawn["map_method"] = {"tsne": "t-SNE", "pca": "PCA"}[method]
    losses = loss_terms(payload.history)
    if losses and losses[0]:
        drawn["loss"] = plots.loss_plot(losses)
    result = payload.next_item
    if result is not None and result.n_prefixes:
        drawn["ranks"] = plots.rank_curve_plot(
            {name: result.recall_curve(name) for name in result.scorers}, result.k
        )
        scorers = figures["next_item"]["scorers"]
        by_position = {name: scorer["by_position"] for name, scorer in scorers.items()}
        drawn["positions"] = plots.position_plot(by_position, result.k)
    return drawn
