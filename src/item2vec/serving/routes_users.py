"""Routes for users whose histories are kept here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from item2vec.serving import openapi, schemas
from item2vec.serving.answers import new_events
from item2vec.serving.bodies import read_body
from item2vec.serving.ids import plain_text
from item2vec.serving.openapi import body_of, problems
from item2vec.serving.replies import reply
from item2vec.serving.requests import EventsRequest, parsed
from item2vec.serving.responses import sent, serving_of
from item2vec.serving.slots import SLOT

if TYPE_CHECKING:
    from item2vec.serving.answers import Answers
    from item2vec.serving.engine import Engine

_QUERY = [openapi.K, openapi.MODE, openapi.SEEN, openapi.EXPLAIN]


def user_routes(engine: Engine, answers: Answers) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["users"])
    _events(router, engine)
    _lists(router, engine, answers)
    return router


def _events(router: APIRouter, engine: Engine) -> None:
    seconds = engine.settings.body_seconds

    @router.post(
        "/v1/events",
        response_model=schemas.EventsAccepted,
        responses=problems(400, 403, 408, 413, 415, 422),
        openapi_extra=body_of(EventsRequest),
    )
    async def events(request: Request) -> Response:
        """Keep what a user did just now; it counts from the next answer on."""
        body = parsed(EventsRequest, await read_body(request, seconds))
        user = plain_text(body.user_id, "body.user_id")
        lookups = serving_of(request).of(user)
        given = new_events(lookups, body)
        request.scope[SLOT].free()  # it only waits: a store that hangs holds up no other route
        await engine.history.add(user, given)
        return sent(request, reply(lookups, {"accepted": len(given)}))


def _lists(router: APIRouter, engine: Engine, answers: Answers) -> None:
    @router.get(
        "/v1/users/{user_id}/recommend",
        response_model=schemas.UserItems,
        responses=problems(422),
        openapi_extra={"parameters": [openapi.USER_ID, *_QUERY]},
        description="Items for a user by the history that is kept here; for one who is not known, what is"
        " popular." + openapi.FILTERS,
    )
    async def recommend(request: Request) -> Response:
        user = answers.user_of(request.path_params["user_id"])
        lookups = serving_of(request).of(user)
        history = await engine.history.history(user)
        found = answers.for_user(lookups, user, history, request.scope["query_string"])
        return sent(request, found, user)

    @router.delete(
        "/v1/users/{user_id}",
        response_model=schemas.Forgotten,
        responses=problems(403, 422),
        openapi_extra={"parameters": [openapi.USER_ID]},
    )
    async def forget(request: Request) -> Response:
        """Delete everything that is kept of a user here; the served log is not touched."""
        user = answers.user_of(request.path_params["user_id"])
        lookups = serving_of(request).of(user)
        request.scope[SLOT].free()
        return sent(request, reply(lookups, {"events": await engine.history.forget(user)}))
