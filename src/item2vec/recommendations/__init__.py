"""Similar items, items for a history, and batch tables of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from item2vec.recommendations.config import RecommendConfig

if TYPE_CHECKING:
    from item2vec.recommendations.answers import QueryInfo
    from item2vec.recommendations.batch import BatchSummary, write_similar_items
    from item2vec.recommendations.recommender import Recommender

_HOMES = {
    "BatchSummary": "item2vec.recommendations.batch",
    "QueryInfo": "item2vec.recommendations.answers",
    "Recommender": "item2vec.recommendations.recommender",
    "write_similar_items": "item2vec.recommendations.batch",
}
__all__ = ["BatchSummary", "QueryInfo", "RecommendConfig", "Recommender", "write_similar_items"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
