"""The composition of the stages into runs, and the door back in: :func:`load`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from item2vec.run.load import load

if TYPE_CHECKING:
    from item2vec.run.comparison import Comparison, compare
    from item2vec.run.pipeline import RUN_STAGES, RunResult, run_pipeline

__all__ = ["RUN_STAGES", "Comparison", "RunResult", "compare", "load", "run_pipeline"]

_LAZY = {
    "Comparison": "comparison",
    "RUN_STAGES": "pipeline",
    "RunResult": "pipeline",
    "compare": "comparison",
    "run_pipeline": "pipeline",
}


def __getattr__(name: str) -> Any:
    """Import the pipeline when it is asked for: :func:`load` must not pay for the trainer."""
    if name in _LAZY:
        return getattr(import_module(f"item2vec.run.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
