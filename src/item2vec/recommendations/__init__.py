"""Similar items, items for a history, and batch tables of them."""

from item2vec.recommendations.answers import QueryInfo
from item2vec.recommendations.batch import BatchSummary, write_similar_items
from item2vec.recommendations.config import RecommendConfig
from item2vec.recommendations.recommender import Recommender

__all__ = ["BatchSummary", "QueryInfo", "RecommendConfig", "Recommender", "write_similar_items"]
