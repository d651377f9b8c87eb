"""Settings of the index stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from item2vec.index.space import Mode


class IndexConfig(BaseModel):
    """How item vectors are indexed; the keys of ``[index]`` in a run's TOML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modes: Annotated[tuple[Mode, ...], Field(min_length=1)] = ("similar", "next")
    """Readings to index: ``similar`` (cosine of input vectors), ``next`` (product, and popularity)."""
    backend: Literal["annoy", "exact", "hnsw"] = "annoy"
    """What proposes candidates: trees, a scan of the whole table, or a graph (needs ``faiss-cpu``)."""
    n_trees: Annotated[int, Field(ge=1, le=1000)] = 50
    """Annoy: trees in the forest; more trees cost memory and raise recall."""
    search_k: Annotated[int, Field(ge=1)] | None = None
    """Effort per query of up to 10 results: nodes inspected (Annoy, an item once per tree) or candidates in
    hand (HNSW); unset, the least that reaches `recall`."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the trees and of the sample on which recall is measured."""
    recall: Annotated[float, Field(gt=0.0, le=1.0)] = 0.99
    """Recall@10 that the effort is chosen for."""
    min_recall: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    """The build fails when the measured recall@10 is below this."""
    n_links: Annotated[int, Field(ge=2, le=256)] = 32
    """HNSW: links per item; more links cost memory and raise recall."""
    neighbours: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Neighbours per item that are found beforehand, in the first of `modes`: look-ups by id then read a row.
    Takes 8 bytes each on disk; 0 makes no table."""
