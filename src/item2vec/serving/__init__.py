"""The lookup API: a loaded release answers over HTTP, in one process without the training libraries."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from item2vec.serving.app import create_app
    from item2vec.serving.engine import Engine
    from item2vec.serving.lookups import Lookups
    from item2vec.serving.settings import ServeSettings

_HOMES = {
    "Engine": "engine",
    "Lookups": "lookups",
    "ServeSettings": "settings",
    "create_app": "app",
}
__all__ = ["Engine", "Lookups", "ServeSettings", "create_app"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
