"""Baselines without learning: what a model has to beat."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "ItemKNN": "item_knn",
    "Popularity": "popularity",
    "SequentialRules": "sequential_rules",
    "SessionKNN": "session_knn",
    "RepeatType": "types",
    "TypeTransitions": "types",
    "fit_baselines": "fit",
    "fit_long_term_baselines": "types",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"item2vec.evaluation.baselines.{_HOMES[name]}"), name)
