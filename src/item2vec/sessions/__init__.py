"""Click sessions and booking sequences from the event table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from item2vec.sessions.container import Sessions

if TYPE_CHECKING:
    from item2vec.sessions.build import sessionize
    from item2vec.sessions.config import SessionsConfig

__all__ = ["Sessions", "SessionsConfig", "sessionize"]

_LAZY = {"SessionsConfig": "item2vec.sessions.config", "sessionize": "item2vec.sessions.build"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
