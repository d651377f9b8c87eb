"""Settings of the index stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from item2vec.index.space import Mode


class IndexConfig(BaseModel):
    """How item vectors are indexed; the keys of ``[index]`` in a run's TOML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modes: Annotated[tuple[Mode, ...], Field(min_length=1)] = ("similar", "next")
    """Readings to index: ``similar`` (cosine of input vectors), ``next`` (input·output inner product)."""
    backend: Literal["annoy", "exact"] = "annoy"
    """Library that proposes candidates; ``exact`` scans the whole table and needs no trees."""
    n_trees: Annotated[int, Field(ge=1, le=1000)] = 50
    """Annoy: trees in the forest; more trees cost memory and raise recall."""
    search_k: Annotated[int, Field(ge=1)] | None = None
    """Annoy: nodes inspected per query of up to 10 results, an item once per tree; unset, 10 · n_trees
    doubled until recall@10 reaches 0.99."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the trees and of the sample on which recall is measured."""
    min_recall: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    """The build fails when the measured recall@10 is below this."""
