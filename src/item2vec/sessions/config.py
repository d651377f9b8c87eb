"""The settings of sessionizing: the ``[sessions]`` section of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from item2vec.events.config import MemoryLimit

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]

_CLICKS_ONLY = (
    "gap_minutes",
    "min_dwell_seconds",
    "max_sessions_per_user_item",
    "pairs_once_per_day",
    "booking_window_hours",
    "booked_weight",
)


class SessionsConfig(BaseModel):
    """How events become click sessions or booking sequences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["click", "booking"] = "click"
    """Click sessions, or one sequence per user of the bookings in time order."""
    gap_minutes: Positive = 30.0
    """A longer gap between two clicks of a user starts a new session."""
    min_dwell_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Clicks with a shorter stay are dropped (an unknown stay is kept); at most the gap. 30 in the paper."""
    repeats: Literal["keep", "collapse", "unique"] = "keep"
    """Keep repeated items, collapse consecutive ones, or keep a session's first click on each item."""
    min_length: Count = 2
    """Shorter sessions are dropped, counted after all other rules."""
    max_session_length: Count | None = None
    """A user with a longer session (as split, before any other rule) is taken for a robot and dropped."""
    max_clicks_per_user_day: Count | None = None
    """A user with more clicks (bookings, for ``kind = "booking"``) on one day (UTC) is dropped as well."""
    max_sessions_per_user_item: Count | None = None
    """A user with one item in more sessions than this, over the whole log, promotes it and is dropped."""
    min_users_per_item: Count | None = None
    """Items that fewer users clicked (booked, for ``kind = "booking"``) are dropped, with their bookings."""
    pairs_once_per_day: bool = False
    """In a user's day (UTC) two items meet in one session only; a later session loses the second of them."""
    booking_window_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 24.0
    """A booking belongs to a session that ended no longer than this before it."""
    booked_weight: Annotated[float, Field(gt=0, le=1000)] = 5.0
    """Weight of a session with bookings, its visits per epoch; the others weigh 1."""
    engine: Literal["duckdb", "spark"] = "duckdb"
    """What runs the rules: DuckDB in this process, or Spark. The rows are the same."""
    memory_limit: MemoryLimit = "900MB"
    """Memory the SQL engine may use before it spills to disk."""

    @model_validator(mode="after")
    def _fits_together(self) -> SessionsConfig:
        """Refuse settings that could have no effect or no meaning."""
        if self.min_dwell_seconds is not None and self.min_dwell_seconds > 60 * self.gap_minutes:
            raise ValueError("min_dwell_seconds is longer than the gap that ends a session")
        if self.pairs_once_per_day and not (self.max_session_length or self.max_clicks_per_user_day):
            raise ValueError(
                "pairs_once_per_day needs max_session_length or max_clicks_per_user_day beside it:"
                " the pairs of a session grow with the square of its length"
            )
        fields = type(self).model_fields
        changed = [name for name in _CLICKS_ONLY if getattr(self, name) != fields[name].default]
        if self.kind == "booking" and changed:
            raise ValueError(f"{', '.join(changed)}: of no meaning for booking sequences (kind = 'booking')")
        return self
