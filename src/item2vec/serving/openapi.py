"""The OpenAPI document: what FastAPI cannot know of bodies, filters and refusals, and examples that work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from item2vec.serving import requests
from item2vec.serving.limits import DEFAULT_K, MAX_K
from item2vec.serving.problems import MEDIA_TYPE, TITLES
from item2vec.serving.schemas import ProblemDocument

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

_REF = "#/components/schemas/{model}"
_EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    requests.SimilarRequest: {"item_ids": ["L0000001", "L0000002"], "k": 5},
    requests.RecommendRequest: {
        "events": [{"item_id": "L0000001", "event_type": "click", "dwell_seconds": 75}],
        "k": 5,
        "explain": True,
    },
    requests.EventsRequest: {"user_id": "u1", "events": [{"item_id": "L0000001", "event_type": "click"}]},
    requests.PutItemRequest: {"like": ["L0000001"]},
    requests.AvailabilityRequest: {"available": False},
    requests.FeaturesRequest: {
        "item_ids": ["L0000001", "L0000002"],
        "events": [{"item_id": "L0000003", "event_type": "click"}],
    },
}


def body_of(kind: type[BaseModel]) -> dict[str, Any]:
    """Describe the body of a route that reads it by itself."""
    content = {"schema": {"$ref": _REF.format(model=kind.__name__)}, "example": _EXAMPLES[kind]}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the refusals of a route; those that every route has are added."""
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=ProblemDocument.__name__)}}}
    return {
        status: {"description": TITLES[status], "content": content}
        for status in sorted({*statuses, 401, 414, 500, 503})
    }


def parameter(
    name: str, where: str, text: str, schema: dict[str, Any], example: Any = None
) -> dict[str, Any]:
    """Describe a parameter."""
    found = {"name": name, "in": where, "required": where == "path", "description": text, "schema": schema}
    return found if example is None else found | {"example": example}


_ID = {"type": "string", "minLength": 1, "maxLength": 256}
ITEM_ID = parameter("item_id", "path", "An item's id, percent-encoded.", _ID, "L0000001")
USER_ID = parameter("user_id", "path", "A user's id, percent-encoded.", _ID, "u1")
K = parameter(
    "k",
    "query",
    "How many items to return.",
    {"type": "integer", "minimum": 1, "maximum": MAX_K, "default": DEFAULT_K},
)
MODE = parameter("mode", "query", "The reading.", {"type": "string", "enum": ["similar", "next"]})
USER = parameter("user", "query", "For the served log and the split between releases.", _ID)
Q = parameter("q", "query", "The text.", {"type": "string", "maxLength": 256}, "L00")
SEEN = parameter(
    "filter_seen",
    "query",
    "Leave out the items of the history, or those that were booked.",
    {"type": "string", "enum": ["true", "false", "booked"]},
)
EXPLAIN = parameter(
    "explain", "query", "Take each score apart.", {"type": "string", "enum": ["true", "false"]}
)
FILTERS = (
    "\n\nFilters are the item table's columns (`GET /v1/model` lists them): `market=Paris`, repeated for any"
    " of several; `min_price=50&max_price=90` for numbers and dates."
)


def document(app: FastAPI, with_token: bool) -> dict[str, Any]:
    """Return the document, made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        kinds = [(kind, "validation") for kind in (*requests.BODIES, ProblemDocument)]
        _, definitions = models_json_schema(kinds, ref_template=_REF)  # type: ignore[arg-type]
        components = found.setdefault("components", {})
        components.setdefault("schemas", {}).update(definitions["$defs"])
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        if with_token:
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            found["security"] = [{"token": []}]
            for path in ("/livez", "/readyz"):
                found["paths"][path]["get"]["security"] = []
        app.openapi_schema = found
    return app.openapi_schema
