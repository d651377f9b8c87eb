"""Vectors → nearest neighbours: one index door, one file per library."""

from item2vec.index.backends import BACKENDS, Candidates
from item2vec.index.config import IndexConfig
from item2vec.index.item_index import ItemIndex
from item2vec.index.search import Neighbours

__all__ = ["BACKENDS", "Candidates", "IndexConfig", "ItemIndex", "Neighbours"]
