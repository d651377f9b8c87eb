"""Offline evaluation: splits without leaks, protocols with intervals, baselines, the report."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "BookedRankResult": "booked_ranks.result",
    "EvaluateConfig": "config",
    "ItemKNN": "baselines",
    "LongTermResult": "long_term.result",
    "NextItemResult": "next_item.result",
    "Popularity": "baselines",
    "RepeatType": "baselines",
    "ReportPayload": "report.write",
    "Scorer": "scorer",
    "SearchLists": "booked_ranks.searches",
    "SequentialRules": "baselines",
    "SessionKNN": "baselines",
    "Split": "splits",
    "TypeTransitions": "baselines",
    "booked_rank": "booked_ranks.protocol",
    "check_no_leak": "leaks",
    "evaluate_long_term": "long_term.protocol",
    "evaluate_next_item": "next_item.protocol",
    "fit_baselines": "baselines",
    "fit_long_term_baselines": "baselines",
    "index_recall": "index_quality",
    "neighbour_agreement": "probes.neighbours",
    "probe": "probes.probe",
    "search_lists": "booked_ranks.searches",
    "split_sessions": "splits",
    "write_report": "report.write",
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"item2vec.evaluation.{_LAZY[name]}"), name)
