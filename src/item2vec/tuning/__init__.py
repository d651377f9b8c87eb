"""Hyper-parameter search: settings of training and scoring, chosen on validation sessions."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "Choice": "space",
    "DEFAULT_SPACE": "space",
    "Range": "space",
    "SCORING": "scoring",
    "Trial": "result",
    "TuneConfig": "config",
    "TuneResult": "result",
    "read_space": "space_file",
    "tune": "tuner",
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"item2vec.tuning.{_LAZY[name]}"), name)
