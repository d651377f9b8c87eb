"""The settings of reading events: the ``[events]`` section of a run."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from os import PathLike, fspath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

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


def _delimiter(value: str) -> str:
    if len(value.encode()) != 1 or value in '"\r\n\0':
        raise ValueError(
            f"{value!r} cannot separate fields; give one ASCII character other than a quote or a line break,"
            ' such as "," or ";" or "\\t"'
        )
    return value


def _memory(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}(MB|GB)", value):
        raise ValueError(f'{value!r} is no size; give whole megabytes or gigabytes, such as "900MB" or "4GB"')
    return value


def _instant(value: Any) -> Any:
    """Take dates, times and their text only: a bare number would silently mean seconds since 1970."""
    if not isinstance(value, date | str):
        raise ValueError(f"{value!r} is no date; give one such as 2025-03-31, or 2025-03-31T06:00:00 (UTC)")
    return value


Delimiter = Annotated[str, AfterValidator(_delimiter)]
MemoryLimit = Annotated[str, AfterValidator(_memory)]
Instant = Annotated[date | datetime, BeforeValidator(_instant)]
DATE = "{date}"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)  # later stamps are placeholders or a unit mix-up
CLOCK_SKEW = timedelta(minutes=5)  # what clocks of honest sources may be ahead


def utc(instant: date | datetime) -> datetime:
    """Return the instant with its zone: a date is its midnight, a time without an offset is UTC."""
    if not isinstance(instant, datetime):
        return datetime.combine(instant, time(), UTC)
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{instant} is outside the years 1 to 9999 in UTC") from None


def _microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


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
    """File, files, glob or folder of the log. ``{date}`` in it is a day (YYYY-MM-DD); see ``days``."""
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
    as_of: Instant | None = None
    """The day (its midnight, UTC) or time at which the log is read. Later events, by more than five minutes,
    are refused. Never the clock: without it no event is too late."""
    days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """Read this many days of a log with ``{date}`` in its path, the last being the day before ``as_of``."""
    earliest: Instant = date(1971, 1, 1)
    """Earlier events are refused; stamps of the year 1970 are mostly placeholders."""
    id_type: Literal["string", "int64"] | None = None
    """Type of ``item_id`` for the whole run; by default int64 where Parquet stores integers, else string."""
    items: AttributesConfig | None = None
    """Item attributes (market, latitude, longitude, price, listing_type, capacity, …)."""
    users: AttributesConfig | None = None
    """User attributes."""
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Largest share of refused rows; above it nothing is published."""
    engine: Literal["duckdb", "spark"] = "duckdb"
    """What reads the log: DuckDB in this process, or Spark's workers. The tables are the same."""
    memory_limit: MemoryLimit = "900MB"
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

    @model_validator(mode="after")
    def _times_fit(self) -> EventsConfig:
        """Refuse a window of days without its parts, and bounds that leave no time."""
        dated = any(DATE in path for path in self.path or ())
        if dated and (self.days is None or self.as_of is None):
            raise ValueError(f"path holds {DATE}, so it needs days and as_of: how many days, and until when")
        if self.days is not None and not dated:
            raise ValueError(f'days needs {DATE} in path, as in path = "logs/{DATE}.csv.gz"')
        if not EPOCH <= utc(self.earliest) < LATEST:
            raise ValueError(f"earliest is {self.earliest}, but must lie between 1970 and 2100")
        if self.as_of is not None and not utc(self.earliest) < utc(self.as_of) <= LATEST:
            raise ValueError(
                f"as_of is {self.as_of}, but must lie after earliest = {self.earliest}, before 2100"
            )
        return self

    @property
    def earliest_us(self) -> int:
        """The first accepted instant, in microseconds since 1970 (UTC)."""
        return _microseconds(utc(self.earliest))

    @property
    def latest_us(self) -> int | None:
        """The last accepted instant, in microseconds since 1970 (UTC), None without ``as_of``."""
        return None if self.as_of is None else _microseconds(utc(self.as_of) + CLOCK_SKEW)

    @property
    def partitions(self) -> dict[str, tuple[str, ...]]:
        """The paths of each day of the window, oldest day first; without ``days`` there are none."""
        if self.as_of is None or self.days is None:
            return {}
        end = utc(self.as_of).date()
        window = [(end - timedelta(days=back)).isoformat() for back in range(self.days, 0, -1)]
        return {day: tuple(path.replace(DATE, day) for path in self.path or ()) for day in window}
