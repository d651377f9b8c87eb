"""Vectors → nearest neighbours: one index door, one file per library."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from item2vec.index.config import IndexConfig

if TYPE_CHECKING:
    from item2vec.index.backends import BACKENDS, Candidates
    from item2vec.index.item_index import ItemIndex
    from item2vec.index.item_set import ItemSet
    from item2vec.index.search import Neighbours

_HOMES = {
    "BACKENDS": "item2vec.index.backends",
    "Candidates": "item2vec.index.backends",
    "ItemIndex": "item2vec.index.item_index",
    "ItemSet": "item2vec.index.item_set",
    "Neighbours": "item2vec.index.search",
}
__all__ = ["BACKENDS", "Candidates", "IndexConfig", "ItemIndex", "ItemSet", "Neighbours"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
