"""Settings of the batch recommendation stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from item2vec.index.space import Mode

BatchEngine = Literal["local", "spark"]


class UserTableConfig(BaseModel):
    """How the table of every user's recommendations is written; the keys of ``[recommend.users]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    N: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Items per user."""
    mode: Mode = "next"
    """``next`` (what follows a user's clicks) or ``similar`` (items like those clicked)."""
    filter_seen: bool = True
    """Leave out what a user has clicked."""
    max_clicks: Annotated[int, Field(ge=1, le=10_000)] = 50
    """The latest clicks of a user that are used."""


class RecommendConfig(BaseModel):
    """How the tables of a nightly job are written; the keys of ``[recommend]`` in a run's TOML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    N: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Similar items per target item."""
    mode: Mode = "similar"
    """``similar`` (interchangeable items) or ``next`` (what is clicked after the target)."""
    partition_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Target items (users) per Parquet part: the unit that is held in memory, written and resumed."""
    same_market: bool = False
    """Only items of the target's own market; targets without a market then get no rows."""
    market_column: str = "market"
    """Column of the item table that holds the market."""
    exact_up_to: Annotated[int, Field(ge=0)] = 200_000
    """Catalogues up to this size are searched exactly: in batches that is as fast as trees and misses
    nothing."""
    engine: BatchEngine = "local"
    """What makes the tables: this process, or Spark's workers. The files are the same."""
    users: UserTableConfig | None = None
    """A section ``[recommend.users]`` writes the recommendations of every user of the run's sessions too."""
