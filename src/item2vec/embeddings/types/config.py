"""Settings of the type embeddings of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class TypesConfig(BaseModel):
    """How types of users and listings are learned; the keys of ``[types]`` in a run's TOML."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = False
    """Learn embeddings of user types and listing types from the bookings of the log."""
    map: str | None = None
    """TOML file of the rules from attributes to types; unset, those of the paper's Tables 3 and 4."""
    min_support: Annotated[int, Field(ge=1)] = 10
    """Fewest bookings behind a type with a vector of its own."""
    rejections: Literal["all", "booked_elsewhere", "none"] = "all"
    """Hosts' refusals that push types apart: all, those followed within 14 days by a booking of another
    listing, or none."""
    vector_size: Annotated[int, Field(ge=1, le=1024)] = 32
    window: Annotated[int, Field(ge=1, le=1000)] = 5
    """Types on either side, two to a booking."""
    negative: Annotated[int, Field(ge=1, le=100)] = 5
    epochs: Annotated[int, Field(ge=1, le=1000)] = 10
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.05
    min_alpha: Annotated[float, Field(gt=0, le=1)] = 1e-4
    ns_exponent: Annotated[float, Field(ge=-2, le=2)] = 0.75
    seed: Annotated[int, Field(ge=0)] = 1
