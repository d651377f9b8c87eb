"""The bodies that requests may have: checked once, at the door, strictly."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from item2vec.recommendations.user_events import LONGEST_ID
from item2vec.serving.limits import DEFAULT_K, MAX_BATCH, MAX_EVENTS, MAX_K, MAX_NAME, MAX_TEXT, MAX_VALUES
from item2vec.serving.problems import of_validation

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=-(2.0**63), lt=2.0**63)]
Whole = Annotated[int, Field(strict=True, gt=-(2**63), lt=2**63)]
Id = (
    Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_ID)]
    | Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
)
UserId = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_ID)]
Text = Annotated[StrictStr, Field(max_length=MAX_TEXT)]
Value = StrictBool | Whole | Number | Text
Name = Annotated[StrictStr, Field(min_length=1, max_length=MAX_NAME)]
K = Annotated[int, Field(strict=True, ge=1, le=MAX_K, description="How many items to return.")]
Ids = Annotated[list[Id], Field(max_length=MAX_BATCH)]
Moment = Annotated[int, Field(strict=True, ge=0, lt=2**62, description="Microseconds since 1970 (UTC).")]
Mode = Literal["similar", "next"]
Weight = Annotated[float, Field(strict=True, ge=0, le=1e6, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Body):
    """Numbers or dates between two ends, both included; an end that is left out is open."""

    min: Value | None = None
    max: Value | None = None


Where = Annotated[
    dict[Name, Value | Annotated[list[Value], Field(max_length=MAX_VALUES)] | Range],
    Field(
        max_length=20,
        description="Conditions on item attributes: a value, a list of values, or a range.",
        examples=[{"market": "Paris", "price": {"min": 50, "max": 90}}],
    ),
]
Attributes = Annotated[dict[Name, Value], Field(max_length=50)]


class Event(_Body):
    """Something a user did."""

    item_id: Id
    event_type: Literal["click", "skip", "wishlist", "inquiry", "booking", "rejection"] = "click"
    ts_us: Moment | None = Field(default=None, description="Microseconds since 1970 (UTC); now, if left out.")
    dwell_seconds: Annotated[float, Field(strict=True, ge=0, lt=2**31, allow_inf_nan=False)] | None = None


class _List(_Body):
    k: K = DEFAULT_K
    where: Where | None = None
    allow: Ids | None = Field(default=None, description="Only these items may be returned.")
    deny: Ids | None = Field(default=None, description="These items are not returned.")
    user_id: UserId | None = Field(
        default=None, description="For the served log and the split between releases."
    )


class SimilarRequest(_List):
    """Items like several items, like a vector, or like an item that is not listed yet: one of the three."""

    item_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_BATCH)] | None = None
    vector: Annotated[list[Number], Field(min_length=1, max_length=2048)] | None = None
    attributes: Annotated[dict[Name, Value], Field(min_length=1, max_length=50)] | None = None
    mode: Mode = "similar"


class Weights(_Body):
    """What counts how much in the blend; those left out keep their defaults."""

    click: Weight | None = None
    long_click: Weight | None = None
    wishlist: Weight | None = None
    inquiry: Weight | None = None
    booking: Weight | None = None
    half_life_days: Annotated[float, Field(strict=True, gt=0, le=36_500, allow_inf_nan=False)] | None = None
    days: Annotated[float, Field(strict=True, gt=0, le=36_500, allow_inf_nan=False)] | None = None
    lately: Weight | None = None
    skipped: Weight | None = None
    booked: Weight | None = None
    type: Weight | None = None
    popular: Weight | None = None


class RecommendRequest(_List):
    """Items for a user: what they did, and what is known of them."""

    events: Annotated[list[Event], Field(max_length=MAX_EVENTS)] | None = None
    history: Annotated[list[Id], Field(max_length=MAX_BATCH)] | None = Field(
        default=None, description="Clicked items, oldest first; instead of `events`."
    )
    attributes: Attributes | None = Field(default=None, description="Of the user, for the user's type.")
    as_of_us: Moment | None = None
    mode: Mode | None = None
    filter_seen: StrictBool | Literal["booked"] = True
    weights: Weights | None = None
    explain: StrictBool = False


class EventsRequest(_Body):
    """What one user did just now."""

    user_id: UserId
    events: Annotated[list[Event], Field(min_length=1, max_length=MAX_EVENTS)]


class PutItemRequest(_Body):
    """An item that is listed now, or what changed of it.

    What is not given of an item that is listed already stays: `attributes` are merged over those known of it.
    The vector of a new one is given (with `context_vector` where the model has output vectors), taken from
    the items it is `like`, or from the listed items that share its attributes.
    """

    attributes: Attributes = Field(default_factory=dict)
    vector: Annotated[list[Number], Field(min_length=1, max_length=2048)] | None = None
    context_vector: Annotated[list[Number], Field(min_length=1, max_length=2048)] | None = None
    like: Annotated[list[Id], Field(min_length=1, max_length=MAX_BATCH)] | None = None


class AvailabilityRequest(_Body):
    """Whether an item may be recommended now."""

    available: StrictBool


class FeaturesRequest(_Body):
    """The candidates of a search and what its user did, for the eight ranking features."""

    item_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_BATCH)]
    events: Annotated[list[Event], Field(max_length=MAX_EVENTS)] = Field(default_factory=list)
    attributes: Attributes = Field(default_factory=dict)
    as_of_us: Moment | None = None


BODIES: tuple[type[BaseModel], ...] = (
    SimilarRequest,
    RecommendRequest,
    EventsRequest,
    PutItemRequest,
    AvailabilityRequest,
    FeaturesRequest,
)
B = TypeVar("B", bound=BaseModel)


def _names(kinds: tuple[type[BaseModel], ...]) -> frozenset[str]:
    everything: list[type[BaseModel]] = [*kinds, Event, Range, Weights]
    return frozenset(name for kind in everything for name in kind.model_fields)


NAMES = _names(BODIES)


def parsed(kind: type[B], body: bytes) -> B:
    """Return a checked body.

    Raises
    ------
    Problem
        400 where it is no JSON, 422 where it does not fit.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise of_validation(error, NAMES) from None


def given(model: BaseModel) -> dict[str, Any]:
    """Return the fields that a part of a body sets, without those it leaves out."""
    return model.model_dump(exclude_none=True)
