"""Types of users and of listings, and their embeddings in one space."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from item2vec.embeddings.types.back_off import BackOff
    from item2vec.embeddings.types.fields import TypeField
    from item2vec.embeddings.types.refusals import rejections_of
    from item2vec.embeddings.types.type_embeddings import TypeEmbeddings
    from item2vec.embeddings.types.type_map import TypeMap

_HOMES = {
    "BackOff": "back_off",
    "TypeEmbeddings": "type_embeddings",
    "TypeField": "fields",
    "TypeMap": "type_map",
    "rejections_of": "refusals",
}
__all__ = ["BackOff", "TypeEmbeddings", "TypeField", "TypeMap", "rejections_of"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"item2vec.embeddings.types.{_HOMES[name]}"), name)
