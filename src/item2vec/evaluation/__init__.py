"""Offline evaluation: splits without leaks, protocols with intervals, baselines, the report."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "BookedRankResult": "booked_ranks.result",
    "ColdStartReport": "probes.cold_start_figures",
    "EvaluateConfig": "config",
    "Hybrid": "hybrid",
    "ItemKNN": "baselines",
    "LABEL_GAIN": "ranking.labels",
    "LambdaRank": "ranking.lambdarank",
    "LongTermResult": "long_term.result",
    "NextItemResult": "next_item.result",
    "OUTCOMES": "ranking.labels",
    "Popularity": "baselines",
    "RankingResult": "ranking.result",
    "RepeatType": "baselines",
    "ReportPayload": "report.write",
    "Scorer": "scorer",
    "SearchLists": "booked_ranks.searches",
    "SequentialRules": "baselines",
    "SessionKNN": "baselines",
    "Split": "splits",
    "TypeTransitions": "baselines",
    "UTILITIES": "ranking.labels",
    "booked_rank": "booked_ranks.protocol",
    "check_no_leak": "leaks",
    "cold_start_report": "probes.cold_start",
    "draw_importance": "ranking.plots",
    "draw_partial_dependence": "ranking.plots",
    "evaluate_long_term": "long_term.protocol",
    "evaluate_next_item": "next_item.protocol",
    "evaluate_ranking": "ranking.protocol",
    "fit_baselines": "baselines",
    "fit_long_term_baselines": "baselines",
    "hold_out_items": "probes.held_out",
    "index_recall": "index_quality",
    "neighbour_agreement": "probes.neighbours",
    "probe": "probes.probe",
    "search_labels": "ranking.labels",
    "search_lists": "booked_ranks.searches",
    "split_sessions": "splits",
    "write_report": "report.write",
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"item2vec.evaluation.{_LAZY[name]}"), name)
