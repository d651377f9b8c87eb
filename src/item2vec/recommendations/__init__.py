"""Similar items, items for a history, and batch tables of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from item2vec.recommendations.config import RecommendConfig

if TYPE_CHECKING:
    from item2vec.recommendations.answers import QueryInfo
    from item2vec.recommendations.batch import BatchSummary, write_recommendations, write_similar_items
    from item2vec.recommendations.calendar import Calendar
    from item2vec.recommendations.centroids import InterestWeights
    from item2vec.recommendations.explanations import Explanation
    from item2vec.recommendations.history_stores import HistoryStore, open_history_store
    from item2vec.recommendations.live import LiveRecommender
    from item2vec.recommendations.neighbour_table import NeighbourTable
    from item2vec.recommendations.ranking_features.features import (
        RANKING_FEATURES,
        HistoryUse,
        RankingFeatures,
    )
    from item2vec.recommendations.ranking_features.table import ranking_feature_table
    from item2vec.recommendations.ranking_features.type_similarity import TypeSimilarity
    from item2vec.recommendations.recommender import Recommender
    from item2vec.recommendations.rules import ListRules
    from item2vec.recommendations.scoring import HistoryScoring
    from item2vec.recommendations.type_interest import TypeInterest
    from item2vec.recommendations.unlisted import Provenance
    from item2vec.recommendations.user_events import UserEvent
    from item2vec.recommendations.user_history import UserHistory

_HOMES = {
    "RANKING_FEATURES": "item2vec.recommendations.ranking_features.features",
    "BatchSummary": "item2vec.recommendations.batch",
    "Calendar": "item2vec.recommendations.calendar",
    "HistoryScoring": "item2vec.recommendations.scoring",
    "HistoryUse": "item2vec.recommendations.ranking_features.features",
    "HistoryStore": "item2vec.recommendations.history_stores",
    "ListRules": "item2vec.recommendations.rules",
    "LiveRecommender": "item2vec.recommendations.live",
    "NeighbourTable": "item2vec.recommendations.neighbour_table",
    "Provenance": "item2vec.recommendations.unlisted",
    "QueryInfo": "item2vec.recommendations.answers",
    "RankingFeatures": "item2vec.recommendations.ranking_features.features",
    "Recommender": "item2vec.recommendations.recommender",
    "Explanation": "item2vec.recommendations.explanations",
    "InterestWeights": "item2vec.recommendations.centroids",
    "TypeInterest": "item2vec.recommendations.type_interest",
    "UserEvent": "item2vec.recommendations.user_events",
    "UserHistory": "item2vec.recommendations.user_history",
    "TypeSimilarity": "item2vec.recommendations.ranking_features.type_similarity",
    "ranking_feature_table": "item2vec.recommendations.ranking_features.table",
    "open_history_store": "item2vec.recommendations.history_stores",
    "write_recommendations": "item2vec.recommendations.batch",
    "write_similar_items": "item2vec.recommendations.batch",
}
__all__ = [
    "RANKING_FEATURES",
    "BatchSummary",
    "Calendar",
    "Explanation",
    "HistoryScoring",
    "HistoryStore",
    "HistoryUse",
    "InterestWeights",
    "ListRules",
    "LiveRecommender",
    "NeighbourTable",
    "Provenance",
    "QueryInfo",
    "RankingFeatures",
    "RecommendConfig",
    "Recommender",
    "TypeInterest",
    "TypeSimilarity",
    "UserEvent",
    "UserHistory",
    "open_history_store",
    "ranking_feature_table",
    "write_recommendations",
    "write_similar_items",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
