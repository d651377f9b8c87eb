"""The stages that measure: a twin model that never saw the test days, and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from item2vec.errors import EmptyDataError, MissingDependencyError
from item2vec.run.build import HISTORY, Builder, Objects, open_sessions
from item2vec.run.load import VECTORS, open_recommender
from item2vec.run.paired import RANKS
from item2vec.run.protocols import VARIANTS, Measured, run_protocols
from item2vec.run.twins import LEFT_OUT, MODEL, train_twins

if TYPE_CHECKING:
    from item2vec.config import RunConfig
    from item2vec.embeddings import ItemVectors
    from item2vec.evaluation import (
        BookedRankResult,
        LongTermResult,
        NextItemResult,
        ReportPayload,
        Split,
    )
    from item2vec.sessions import Sessions

INSUFFICIENT = "insufficient_data"
TWIN_NOTE = (
    "Next-item figures come from a twin model with the same settings that saw only the sessions whose"
    " clicks and bookings all lie before T1. The published model is trained on all sessions; map, probes,"
    " similar items, loss and index figures are its own."
)
STATIC_NOTE = "Item attributes are one static snapshot, not as of the day of each session."


def check_report_libraries() -> None:
    """Refuse a run whose report could not be written, before hours of training instead of after.

    Raises
    ------
    MissingDependencyError
        If matplotlib or Jinja2 is not installed.
    """
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"the report needs {' and '.join(missing)}: pip install 'item2vec[report]', or stop before the"
            " evaluation (`item2vec recommend RUN.toml`)"
        )


def holdout_settings(config: RunConfig) -> dict[str, Any]:
    """Return what the measured twins depend on: the training, the cuts, what else is trained beside."""
    hashed, chosen = config.stage_config, config.evaluate
    split = {key: value for key, value in hashed("evaluate").items() if key in chosen.split_options()}
    return {"train": hashed("train"), "split": split, "seeds": chosen.seeds, "equations": chosen.equations}


def holdout(config: RunConfig, bars: bool, checkpoints: Path) -> Builder:
    """Train the models that are measured: the same settings, only sessions that end before T1."""

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        try:
            split = _split(config, inputs)
        except EmptyDataError as error:  # a log too small to measure is still worth its vectors
            return {INSUFFICIENT: str(error)}
        try:
            return train_twins(config, split.train, out_dir, bars, checkpoints)
        except EmptyDataError as error:
            return {INSUFFICIENT: f"of the {len(split.train):,} training sessions: {error}"}

    return build


def evaluation(config: RunConfig, bars: bool) -> Builder:
    """Score the twin model and the baselines, probe the published model, write the report."""

    def build(inputs: Objects, out_dir: Path) -> Mapping[str, Any]:
        import pyarrow.parquet as pq

        from item2vec.evaluation import write_report

        if INSUFFICIENT in inputs["holdout"].figures:
            write_report(out_dir, _payload(config, inputs, None, None))
            return {INSUFFICIENT: inputs["holdout"].figures[INSUFFICIENT]}
        split = _split(config, inputs)
        measured = run_protocols(config, inputs, split, bars)
        write_report(out_dir, _payload(config, inputs, split, measured))
        ranks = measured.next_item.ranks_table(split.test)
        pq.write_table(ranks, out_dir / RANKS, compression="zstd", write_page_checksum=True)
        return _figures(measured)

    return build


def _payload(
    config: RunConfig, inputs: Objects, split: Split | None, measured: Measured | None
) -> ReportPayload:
    from item2vec.embeddings import ItemVectors
    from item2vec.evaluation import ReportPayload, probe
    from item2vec.events import Events

    sessions = open_sessions(inputs)
    vectors = ItemVectors.load(inputs["embeddings"].path / VECTORS)
    settings = config.evaluate
    result = None if measured is None else measured.next_item
    return ReportPayload(
        title=config.name,
        facts=_facts(sessions, vectors),
        reconciliation=Events.open(inputs["events"].path).reconciliation,
        funnel=sessions.funnel,
        split=split,
        next_item=result,
        variants=VARIANTS,
        booked_rank=() if measured is None else measured.booked_rank,
        long_term=None if measured is None else measured.long_term,
        probe=probe(vectors, sessions.items, price_bands=settings.price_bands, seed=settings.seed),
        index=_index_recall(config, inputs),
        vectors=vectors,
        items=sessions.items,
        history=json.loads((inputs["embeddings"].path / HISTORY).read_text("utf-8")),
        config={
            **{name: one.manifest["config"] for name, one in inputs.items() if name != "holdout"},
            "evaluation": config.stage_config("evaluate"),
        },
        notes=[*_notes(config, inputs, result), *_without_vector(config, sessions, vectors)],
        provenance=_provenance(inputs),
        embedding_map=settings.embedding_map,
        seed=settings.seed,
    )


def _split(config: RunConfig, inputs: Objects) -> Split:
    from item2vec.evaluation import split_sessions

    return split_sessions(open_sessions(inputs), **config.evaluate.split_options())


def _index_recall(config: RunConfig, inputs: Objects) -> list[Any]:
    from item2vec.evaluation import index_recall

    recommender = open_recommender(inputs["embeddings"].path, inputs["index"].path)
    indexes = [recommender.index(mode) for mode in config.index.modes]
    found = [index_recall(one, recommender.vectors, seed=config.evaluate.seed) for one in indexes]
    return [replace(figures, queries_per_second=None) for figures in found]  # no clock in an object


def _facts(sessions: Sessions, vectors: ItemVectors) -> dict[str, Any]:
    return {
        "sessions" if sessions.kind == "click" else "booking sequences": len(sessions),
        "clicks in sessions" if sessions.kind == "click" else "bookings in sequences": sessions.n_clicks,
        **({"booked items in sessions": len(sessions.booked)} if sessions.kind == "click" else {}),
        "items in sessions": sessions.n_items,
        "items with a vector": len(vectors.vocabulary),
        "markets": len(sessions.market_names),
    }


def _notes(config: RunConfig, inputs: Objects, result: NextItemResult | None) -> list[str]:
    reason = inputs["holdout"].figures.get(INSUFFICIENT)
    notes = [f"Insufficient data for next-item figures: {reason}." if reason else TWIN_NOTE, STATIC_NOTE]
    notes += inputs["holdout"].figures.get(LEFT_OUT, [])
    if result is not None and config.evaluate.hybrid and "hybrid" not in result.scorers:
        notes.append("There is no hybrid: no validation session says how to blend its parts.")
    if result is not None:
        left_out = [name for name in config.evaluate.baselines if name not in result.scorers]
        notes += [
            f"No item has a market, so there is no baseline {name.replace('_', ' ')}." for name in left_out
        ]
    return notes


def _without_vector(config: RunConfig, sessions: Sessions, vectors: ItemVectors) -> list[str]:
    """Explain the difference between the items in sessions and those with a vector."""
    clicked = len(np.unique(sessions.tokens))
    only_booked, rare = sessions.n_items - clicked, clicked - len(vectors.vocabulary)
    notes = []
    if only_booked:
        notes.append(
            f"{only_booked:,} of the {sessions.n_items:,} items in sessions were booked there but never"
            " clicked; vectors are trained from clicks, so these have none."
        )
    if rare:
        least = config.train["min_count"]
        notes.append(f"{rare:,} items were clicked fewer than {least} times (min_count) and have no vector.")
    return notes


def _provenance(inputs: Objects) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "item2vec": version("item2vec"),
        "inputs": {stage: stored.path.name for stage, stored in inputs.items()},
    }


def _figures(measured: Measured) -> Mapping[str, Any]:
    result = measured.next_item
    return {
        "k": result.k,
        "prefixes": result.n_prefixes,
        "sessions": result.n_sessions,
        "unseen_targets": result.scorers[MODEL].n_unseen_targets,
        "next_item": {
            name: {"recall": found.recall.to_json(), "mrr": found.mrr.to_json(), "coverage": found.coverage}
            for name, found in result.scorers.items()
        },
        "next_item_insufficient": _why_no_prefix(result),
        "booked_rank": [_booked_figures(found) for found in measured.booked_rank],
        "long_term": None if measured.long_term is None else _long_term_figures(measured.long_term),
    }


def _why_no_prefix(result: NextItemResult) -> str | None:
    if result.n_prefixes:
        return None
    n = result.n_sessions + result.cases.n_without_case
    if not n:
        return "no session starts at or after T2, so there is nothing to foretell"
    return f"none of the {n:,} test sessions has a click or a stay before one that could be foretold"


def _long_term_figures(result: LongTermResult) -> dict[str, Any]:
    found = result.to_json()
    told = ("recall", "type_accuracy", "n_empty_answers")
    return {
        **{name: found[name] for name in ("k", "n_cases", "n_users", "insufficient")},
        "scorers": {name: {key: one[key] for key in told} for name, one in found["scorers"].items()},
    }


def _booked_figures(result: BookedRankResult) -> dict[str, Any]:
    """Return the headline: mean ranks before the first click on what was booked."""
    found = result.to_json()
    lines, before = {name: line["before"] for name, line in found["lines"].items()}, found["before"]
    return {
        "candidates": found["candidates"],
        "mean_candidates": before["mean_candidates"],
        "cases": before["n_cases"],
        "insufficient": found["insufficient"],
        "lines": {name: line["mean_rank"] for name, line in lines.items()},
    }
