"""Settings of a run as a whole: its folder, what it keeps, and the gate before its releases."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(ge=1, allow_inf_nan=False)]

_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class RunSection(BaseModel):
    """Keys of ``[run]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Folder of the run below ``--runs-dir``; by default the name of the TOML file."""
    keep_releases: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Newest releases that stay when old ones are removed after publishing; so do the current one and
    everything younger than a day."""

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not _RUN_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot name a run's folder: use letters (a to z), digits, '.', '_' and '-', a"
                " letter or digit first, 100 characters at most; --set run.name=NAME gives another name"
            )
        return name


class GateConfig(BaseModel):
    """Keys of ``[gate]``: what a new release may lose against the current one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """Compare before publishing. Off: everything is published."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """How sure the gate must be (one-sided) that a difference is not chance before it refuses."""
    recall_tolerance: Share = 0.01
    """Share of the current Recall that may be lost on top of chance: another order of the same
    training moves it by half a percent."""
    min_coverage_ratio: Share = 0.8
    """Least catalogue coverage, as a share of the current one."""
    max_items_gone: Share = 0.2
    """Largest share of the current vocabulary that may be missing in the new one."""
    max_items_new: Share = 0.3
    """Largest share of the new vocabulary that may be unknown to the current one."""
    max_index_recall_loss: Share = 0.02
    """How far the index's recall@10 may fall, per mode."""
    max_quarantined_rise: Share = 0.002
    """How far the share of refused rows may rise, on top of chance: against the current release, and on a
    window's last day against its other days."""
    min_events_ratio: Share = 0.7
    """Fewest events of a type, against the current release. What a Poisson count explains is allowed."""
    max_events_ratio: Ratio = 2.0
    """Most events of a type, likewise."""
    min_last_day_ratio: Share = 0.5
    """Fewest events of a type on a window's last day, against its usual days, likewise."""
    max_last_day_ratio: Ratio = 2.0
    """Most events of a type on a window's last day, likewise."""
    min_neighbour_overlap: Share | None = None
    """Least mean share of an item's ten nearest neighbours that stay; by default it is only reported."""
