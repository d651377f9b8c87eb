"""Listing embeddings from session logs: train, index, recommend and measure.

>>> import item2vec as i2v
>>> rec = i2v.load("runs/demo")                                  # doctest: +SKIP
>>> ids, scores = rec.similar_items("listing-1", N=10)           # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from item2vec import errors

if TYPE_CHECKING:
    from item2vec.client import Client
    from item2vec.embeddings import ColdStart, Cooccurrence, Item2Vec, ItemVectors
    from item2vec.embeddings.types import TypeEmbeddings, TypeMap, rejections_of
    from item2vec.evaluation import (
        ItemKNN,
        Popularity,
        SequentialRules,
        SessionKNN,
        booked_rank,
        evaluate_long_term,
        evaluate_next_item,
        evaluate_ranking,
        index_recall,
        probe,
        search_labels,
    )
    from item2vec.events import read_events
    from item2vec.index import ItemIndex
    from item2vec.marketplace import simulate
    from item2vec.recommendations import (
        InterestWeights,
        ListRules,
        LiveRecommender,
        NeighbourTable,
        RankingFeatures,
        Recommender,
        UserHistory,
        ranking_feature_table,
    )
    from item2vec.run import compare, load
    from item2vec.sessions import Sessions, sessionize
    from item2vec.tuning import tune

__all__ = [
    "STAGES",
    "Client",
    "ColdStart",
    "Cooccurrence",
    "HistoryScoring",
    "Hybrid",
    "InterestWeights",
    "Item2Vec",
    "ItemIndex",
    "ItemKNN",
    "ItemVectors",
    "ListRules",
    "LiveRecommender",
    "NeighbourTable",
    "Popularity",
    "RankingFeatures",
    "Recommender",
    "SequentialRules",
    "SessionKNN",
    "Sessions",
    "TypeEmbeddings",
    "TypeMap",
    "UserHistory",
    "__version__",
    "booked_rank",
    "compare",
    "errors",
    "evaluate_long_term",
    "evaluate_next_item",
    "evaluate_ranking",
    "index_recall",
    "load",
    "probe",
    "ranking_feature_table",
    "read_events",
    "rejections_of",
    "search_labels",
    "sessionize",
    "simulate",
    "tune",
]

__version__: str

# The way of the data. A stage may import the ones before it, never one behind it.
STAGES = (
    "events",
    "sessions",
    "embeddings",
    "index",
    "recommendations",
    "evaluation",
    "tuning",
    "serving",
)

# Where each public name lives: `import item2vec` stays instant, a name costs what its module costs.
_HOMES = {
    "Client": "client",
    "ColdStart": "embeddings",
    "Cooccurrence": "embeddings",
    "HistoryScoring": "recommendations",
    "Hybrid": "evaluation",
    "InterestWeights": "recommendations",
    "Item2Vec": "embeddings",
    "ItemIndex": "index",
    "ItemKNN": "evaluation",
    "ItemVectors": "embeddings",
    "ListRules": "recommendations",
    "LiveRecommender": "recommendations",
    "NeighbourTable": "recommendations",
    "Popularity": "evaluation",
    "RankingFeatures": "recommendations",
    "Recommender": "recommendations",
    "SequentialRules": "evaluation",
    "SessionKNN": "evaluation",
    "Sessions": "sessions",
    "TypeEmbeddings": "embeddings.types",
    "TypeMap": "embeddings.types",
    "UserHistory": "recommendations",
    "booked_rank": "evaluation",
    "compare": "run",
    "evaluate_long_term": "evaluation",
    "evaluate_next_item": "evaluation",
    "evaluate_ranking": "evaluation",
    "index_recall": "evaluation",
    "load": "run",
    "probe": "evaluation",
    "ranking_feature_table": "recommendations",
    "read_events": "events",
    "rejections_of": "embeddings.types",
    "search_labels": "evaluation",
    "sessionize": "sessions",
    "simulate": "marketplace",
    "tune": "tuning",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        found: Any = version("item2vec")
    elif name in _HOMES:
        found = getattr(import_module(f"item2vec.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'item2vec' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
