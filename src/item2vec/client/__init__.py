"""The lookup API from Python: one method per route, typed answers, retries; imports nothing heavy."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from item2vec.client.api import Client
    from item2vec.client.refusals import Refused
    from item2vec.client.requests import Event
    from item2vec.client.results import (
        Features,
        Item,
        ItemNames,
        ItemPlaced,
        Model,
        Ready,
        SimilarItems,
        SimilarResult,
        SimilarResults,
        UserItems,
    )

_HOMES = {
    "Client": "api",
    "Event": "requests",
    "Features": "results",
    "Item": "results",
    "ItemNames": "results",
    "ItemPlaced": "results",
    "Model": "results",
    "Ready": "results",
    "Refused": "refusals",
    "SimilarItems": "results",
    "SimilarResult": "results",
    "SimilarResults": "results",
    "UserItems": "results",
}
__all__ = [
    "Client",
    "Event",
    "Features",
    "Item",
    "ItemNames",
    "ItemPlaced",
    "Model",
    "Ready",
    "Refused",
    "SimilarItems",
    "SimilarResult",
    "SimilarResults",
    "UserItems",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
