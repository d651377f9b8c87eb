"""Sessions → vectors: the skip-gram trainer, co-occurrence, cold start, and the vectors they leave."""

from importlib import import_module
from typing import Any

_HOMES = {
    "ColdStart": "item2vec.embeddings.cold_start",
    "ColdVectors": "item2vec.embeddings.cold_start",
    "Cooccurrence": "item2vec.embeddings.cooccurrence",
    "Item2Vec": "item2vec.embeddings.item2vec",
    "ItemVectors": "item2vec.embeddings.item_vectors",
    "StopTraining": "item2vec.embeddings.training",
}
__all__ = ["ColdStart", "ColdVectors", "Cooccurrence", "Item2Vec", "ItemVectors", "StopTraining"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
