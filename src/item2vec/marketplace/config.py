"""Settings of the simulated marketplace."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from item2vec.settings import checked_settings

Share = Annotated[float, Field(ge=0, le=1)]

LISTINGS_PER_MARKET = 5


class MarketplaceConfig(BaseModel):
    """What is simulated; the same settings always give the same files.

    At the defaults a user produces about 160 events over the whole span, 19 of them clicks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: Annotated[int, Field(ge=0)] = 1
    """Seed of everything that is drawn."""
    n_users: Annotated[int, Field(ge=1, le=50_000_000)] = 2000
    """Number of users."""
    n_listings: Annotated[int, Field(ge=LISTINGS_PER_MARKET, le=20_000_000)] = 600
    """Number of listings over all markets, the new ones included; at least five per market."""
    n_markets: Annotated[int, Field(ge=1, le=100_000)] = 8
    """Number of markets (cities); their sizes fall slowly, as 1/√rank."""
    n_styles: Annotated[int, Field(ge=2, le=100)] = 5
    """Number of hidden styles; every market has all of them in equal shares."""
    style_geography_correlation: Share = 0.3
    """Share of listings that have their neighbourhood's style; the others' styles ignore geography."""
    taste: bool = True
    """Whether guests differ (style, listing type, budget, neighbourhood, size of the party). Off: everyone's
    choices follow popularity, quality, price and the distance from the centre, and nothing else."""
    days: Annotated[int, Field(ge=1, le=3650)] = 60
    """Length of the log in days."""
    start_date: date = date(2025, 1, 1)
    """First day of the log (UTC)."""
    trips_per_user: Annotated[float, Field(ge=1, le=100)] = 2.0
    """Mean number of trips a user plans in the span; one at least, and at most one a week."""
    impressions_per_search: Annotated[int, Field(ge=2, le=50)] = 10
    """Length of a result page."""
    popularity_skew: Annotated[float, Field(ge=0, le=3)] = 0.8
    """Standard deviation of the logarithm of the listings' popularity; 0 makes all equally popular."""
    book_share: Share = 0.5
    """Share of trips whose planner asks a host for a booking in the end."""
    rejection_rate: Share = 0.12
    """Mean share of booking requests the host turns down; six in ten of these guests book elsewhere."""
    new_listing_share: Annotated[float, Field(ge=0, le=0.9)] = 0.05
    """Share of listings too new to have been shown to anyone: they stand in the items table only."""
    bot_share: Share = 0.001
    """Share of users that are robots: hundreds of clicks of a second or two."""

    @model_validator(mode="after")
    def _enough_listings(self) -> Self:
        if self.n_listings < LISTINGS_PER_MARKET * self.n_markets:
            raise ValueError(
                f"n_listings={self.n_listings} is too few for n_markets={self.n_markets}:"
                f" give every market {LISTINGS_PER_MARKET} listings at least"
            )
        return self

    @classmethod
    def from_keywords(cls, **keywords: Any) -> MarketplaceConfig:
        """Build the settings from keywords.

        Raises
        ------
        ConfigError
            If a key is unknown or a value out of range; all of them are named.
        """
        return checked_settings(cls, keywords, "simulate")
