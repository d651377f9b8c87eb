"""Similar items, items for a history, and batch tables of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from item2vec.recommendations.config import RecommendConfig

if TYPE_CHECKING:
    from item2vec.recommendations.answers import QueryInfo
    from item2vec.recommendations.batch import BatchSummary, write_recommendations, write_similar_items
    from item2vec.recommendations.calendar import Calendar
    from item2vec.recommendations.live import LiveRecommender
    from item2vec.recommendations.neighbour_table import NeighbourTable
    from item2vec.recommendations.recommender import Recommender
    from item2vec.recommendations.rules import ListRules
    from item2vec.recommendations.unlisted import Provenance

_HOMES = {
    "BatchSummary": "item2vec.recommendations.batch",
    "Calendar": "item2vec.recommendations.calendar",
    "ListRules": "item2vec.recommendations.rules",
    "LiveRecommender": "item2vec.recommendations.live",
    "NeighbourTable": "item2vec.recommendations.neighbour_table",
    "Provenance": "item2vec.recommendations.unlisted",
    "QueryInfo": "item2vec.recommendations.answers",
    "Recommender": "item2vec.recommendations.recommender",
    "write_recommendations": "item2vec.recommendations.batch",
    "write_similar_items": "item2vec.recommendations.batch",
}
__all__ = [
    "BatchSummary",
    "Calendar",
    "ListRules",
    "LiveRecommender",
    "NeighbourTable",
    "Provenance",
    "QueryInfo",
    "RecommendConfig",
    "Recommender",
    "write_recommendations",
    "write_similar_items",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
