"""Vectors for listings that nobody has clicked yet, from the listings most like them."""

from item2vec.embeddings.cold_start.estimator import ColdStart
from item2vec.embeddings.cold_start.result import TIERS, ColdVectors

__all__ = ["TIERS", "ColdStart", "ColdVectors"]
