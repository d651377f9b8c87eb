"""The offline report: all figures in `report.json`, for the eye in one self-contained `report.html`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from item2vec.errors import RunError
from item2vec.evaluation.bootstrap import FEWEST_CLUSTERS
from item2vec.evaluation.report import readings
from item2vec.evaluation.report.page import FOLDER, render_page
from item2vec.evaluation.report.report_plots import draw
from item2vec.evaluation.report.similar_sample import similar_sample

if TYPE_CHECKING:
    from item2vec.evaluation.booked_ranks.result import BookedRankResult
    from item2vec.evaluation.index_quality import IndexRecall
    from item2vec.evaluation.long_term.result import LongTermResult
    from item2vec.evaluation.next_item.result import NextItemResult
    from item2vec.evaluation.probes.probe import ProbeResult, Vectors
    from item2vec.evaluation.splits import Split

FORMAT = 3


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
    booked_rank: Sequence[BookedRankResult] = ()
    long_term: LongTermResult | None = None
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
        {
            "report": figures,
            "plots": draw(payload, figures),
            "notes": list(payload.notes),
            "slice_words": readings.SLICES,
            "production": readings.PRODUCTION,
            "fewest": FEWEST_CLUSTERS,
        },
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
            "chance": _chance(evaluated),
            "booked_rank": [_with_chance(entry.to_json()) for entry in payload.booked_rank],
            "long_term": _with_commonest(payload.long_term.to_json()) if payload.long_term else None,
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


def _chance(evaluated: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Say what random lists reach; only where one item is relevant and there is a case."""
    if evaluated is None or evaluated["relevant"] != "next" or not evaluated["n_prefixes"]:
        return None
    known = evaluated["n_targets_known_by_any"] / evaluated["n_prefixes"]
    return readings.chance(evaluated["k"], evaluated["n_catalogue"], known)


def _with_chance(found: dict[str, Any]) -> dict[str, Any]:
    """Add the mean rank of the booked listing in shuffled lists."""
    chances = {}
    for curve in ("before", "all"):
        size = found[curve]["mean_candidates"]
        known = size is not None
        chances[curve] = {
            "mean_rank": (size + 1) / 2 if known else None,
            "normalised": 0.5 if known else None,
        }
    return {**found, "chance": {**chances["before"], **chances}}


def _with_commonest(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "commonest": readings.commonest(found["support"])}
