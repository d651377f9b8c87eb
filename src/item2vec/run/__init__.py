"""The composition of the stages into runs, and the door back in: :func:`load`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from item2vec.run.load import load

if TYPE_CHECKING:
    from item2vec.run.pipeline import RUN_STAGES, RunResult, run_pipeline

__all__ = ["RUN_STAGES", "RunResult", "load", "run_pipeline"]

_LAZY = ("RUN_STAGES", "RunResult", "run_pipeline")


def __getattr__(name: str) -> Any:
    """Import the pipeline when it is asked for: :func:`load` must not pay for the trainer."""
    if name in _LAZY:
        return getattr(import_module("item2vec.run.pipeline"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
