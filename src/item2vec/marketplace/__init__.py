"""A simulated marketplace whose hidden truth is known: the world the rest of the package is tested on."""

from item2vec.marketplace.config import MarketplaceConfig
from item2vec.marketplace.simulation import simulate

__all__ = ["MarketplaceConfig", "simulate"]
