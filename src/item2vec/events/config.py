"""The settings of reading events: the ``[events]`` section of a run."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

EVENT_COLUMNS = (
    "user_id",
    "ts",
    "seq",
    "event_id",
    "event_type",
    "item_id",
    "dwell_seconds",
    "market",
    "search_id",
    "position",
)
EventType = Literal["impression", "click", "wishlist", "inquiry", "booking", "rejection"]
Format = Literal["auto", "csv", "jsonl", "parquet"]


def _paths(value: Any) -> Any:
    """Accept ``pathlib`` paths and one path as well as many."""
    if isinstance(value, str | PathLike):
        return (fspath(value),)
    if isinstance(value, list | tuple):
        return tuple(fspath(one) if isinstance(one, PathLike) else one for one in value)
    return value


Paths = Annotated[tuple[str, ...], BeforeValidator(_paths)]
Delimiter = Annotated[str, Field(min_length=1, max_length=1, pattern=r'^[^"\r\n]$')]


class AttributesConfig(BaseModel):
    """Where the attributes of items (or users) come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Paths | None = None
    """File, files, glob or folder of the table; one row per id."""
    format: Format = "auto"
    """File format; ``auto`` goes by the file's name and first bytes."""
    delimiter: Delimiter | None = None
    """Field separator of CSV; by default a comma, in ``.tsv`` files a tab."""
    columns: dict[str, str] = {}
    """Ours → theirs, e.g. ``{item_id = "id", capacity = "accommodates"}``; other columns are kept as is."""
    numbers: tuple[str, ...] = ()
    """Further columns (ours) of a text table to read as numbers; the usual ones (price, …) always are."""


class EventsConfig(BaseModel):
    """How a raw log becomes the event table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Paths | None = None
    """File, files, glob or folder of the log."""
    format: Format = "auto"
    """File format; ``auto`` goes by the file's name and first bytes."""
    delimiter: Delimiter | None = None
    """Field separator of CSV; by default a comma, in ``.tsv`` files a tab."""
    importer: Literal["google_merch", "trivago", "airbnb_reviews"] | None = None
    """A ready mapping for a public log; every key given beside it overrides the importer's."""
    columns: dict[str, str | tuple[str, ...]] = {}
    """Ours → theirs. ``event_id`` may name several columns. A column not named here is read when the log has
    one under our own name; an empty name (``market = ""``) leaves it out."""
    event_types: dict[str, EventType | Literal["ignore"]] = {}
    """Their value → ours, or ``"ignore"`` for rows nobody wants. Our own six names are always known."""
    event_type: EventType | None = None
    """The type of every row, for a log without such a column (reviews are bookings)."""
    timestamp_unit: Literal["auto", "s", "ms", "us", "iso"] = "auto"
    """Unit of numeric timestamps, or ISO 8601 text (UTC unless it has an offset). ``auto`` tells seconds,
    milliseconds and microseconds apart by size (10¹¹, 10¹⁴)."""
    id_type: Literal["string", "int64"] | None = None
    """Type of ``item_id`` for the whole run; by default int64 where Parquet stores integers, else string."""
    items: AttributesConfig | None = None
    """Item attributes (market, latitude, longitude, price, listing_type, capacity, …)."""
    users: AttributesConfig | None = None
    """User attributes."""
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Largest share of refused rows; above it nothing is published."""
    memory_limit: Annotated[str, Field(pattern=r"^[1-9][0-9]*(MB|GB)$")] = "900MB"
    """Memory the SQL engine may use before it spills to disk beside the output."""

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str | tuple[str, ...]]) -> dict[str, str | tuple[str, ...]]:
        """Refuse names that are not ours, and lists where one column is wanted."""
        for ours, theirs in columns.items():
            if ours not in EVENT_COLUMNS:
                raise ValueError(f"unknown event column {ours!r}; ours are {', '.join(EVENT_COLUMNS)}")
            if ours != "event_id" and not isinstance(theirs, str):
                raise ValueError(f"{ours!r} takes one column; only event_id may be made of several")
            if isinstance(theirs, tuple) and (not theirs or not all(theirs)):
                raise ValueError("event_id is an empty list of columns, or names an empty one")
        return columns
