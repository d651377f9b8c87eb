"""Settings of the batch recommendation stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from item2vec.index.space import Mode


class RecommendConfig(BaseModel):
    """How the table of similar items is written; the keys of ``[recommend]`` in a run's TOML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    N: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Similar items per target item."""
    mode: Mode = "similar"
    """``similar`` (interchangeable items) or ``next`` (what is clicked after the target)."""
    partition_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Target items per Parquet part: the unit that is held in memory, written and resumed."""
    same_market: bool = False
    """Only items of the target's own market; targets without a market then get no rows."""
    market_column: str = "market"
    """Column of the item table that holds the market."""
    exact_up_to: Annotated[int, Field(ge=0)] = 200_000
    """Catalogues up to this size are searched exactly: in batches that is as fast as trees and misses
    nothing."""
