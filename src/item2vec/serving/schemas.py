"""What replies look like, for the OpenAPI document; answers themselves are encoded without it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ItemIdOut = str | int
Status = Literal["ok", "unknown"]


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScoredItem(_Out):
    """An item of a list."""

    item_id: ItemIdOut
    score: float


class ItemList(_Out):
    """Items, best first, what answered, and why there are fewer than were asked for."""

    items: list[ScoredItem]
    path: str
    reason: str | None


class SimilarItems(ItemList):
    """Items similar to one item."""

    item_id: ItemIdOut
    mode: str


class VectorFrom(_Out):
    """Where the vector of an item that is not listed comes from."""

    tier: str
    n_items: int
    shared: list[str]


class SimilarResult(ItemList):
    """One answer of several."""

    item_id: ItemIdOut | None
    status: Status
    vector_from: VectorFrom | None = None


class SimilarResults(_Out):
    """An answer per id that was asked, in their order."""

    mode: str
    results: list[SimilarResult]


class UserItems(ItemList):
    """Items for a user."""

    mode: str
    fallback: Literal["attributes", "popularity"] | None
    explanations: list[dict[str, Any]] | None = None


class EventsAccepted(_Out):
    """Events that are committed; the same event again is stored once."""

    accepted: int


class Forgotten(_Out):
    """Events that were deleted."""

    events: int


class Item(_Out):
    """What is known of an item."""

    item_id: ItemIdOut
    available: bool
    trained: bool
    n_clicks: int
    attributes: dict[str, Any]


class ItemPlaced(_Out):
    """An item that is listed now."""

    item_id: ItemIdOut
    new: bool


class ItemAvailability(_Out):
    """Whether an item may be recommended."""

    item_id: ItemIdOut
    available: bool


class ItemName(_Out):
    """An id that was found."""

    item_id: ItemIdOut


class ItemNamesFound(_Out):
    """Ids that begin with a text, then those that hold it."""

    items: list[ItemName]


class ItemFeatures(_Out):
    """The eight features of a candidate; null where one has no answer."""

    item_id: ItemIdOut
    status: Status
    features: Annotated[list[float | None], Field(min_length=8, max_length=8)] | None


class FeaturesFound(_Out):
    """Features by candidate, and what became of the history."""

    names: list[str]
    items: list[ItemFeatures]
    history: dict[str, int]


class ProblemPlace(_Out):
    """A place in the request that does not fit."""

    where: str
    what: str


class ProblemDocument(_Out):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ProblemPlace] | None = None
