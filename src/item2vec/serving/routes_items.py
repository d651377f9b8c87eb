"""Routes for items: what is like one, what is known of it, and live changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from item2vec.serving import openapi, schemas
from item2vec.serving.bodies import read_body
from item2vec.serving.hot_route import ROUTE
from item2vec.serving.openapi import ITEM_ID, body_of, problems
from item2vec.serving.problems import Problem, refused
from item2vec.serving.puts import Put
from item2vec.serving.replies import reply
from item2vec.serving.requests import AvailabilityRequest, PutItemRequest, parsed
from item2vec.serving.responses import sent, serving_of

if TYPE_CHECKING:
    from item2vec.serving.answers import Answers
    from item2vec.serving.engine import Engine, Serving

_ITEM = "/v1/items/{item_id}"
_SIMILAR_QUERY = [openapi.K, openapi.MODE, openapi.USER]
_WRITE_REFUSALS = (400, 403, 404, 408, 409, 413, 415, 422)


def item_routes(engine: Engine, answers: Answers) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["items"])
    _similar(router, answers)
    _reading(router, answers)
    _putting(router, engine)
    _removing(router, engine)
    _availability(router, engine)
    return router


def _similar(router: APIRouter, answers: Answers) -> None:
    # The hot route stands before this one and answers the same; its entry in the document is this.
    @router.get(
        ROUTE,
        response_model=schemas.SimilarItems,
        responses={**problems(404, 422), 304: {"description": "The client has it."}},
        openapi_extra={"parameters": [ITEM_ID, *_SIMILAR_QUERY]},
        description="The items most similar to an item." + openapi.FILTERS,
    )
    async def similar(request: Request) -> Response:
        segment = request.path_params["item_id"]
        found = answers.similar_by_id(serving_of(request), segment, request.scope["query_string"], kept=False)
        return sent(request, found, request.query_params.get("user"))


def _reading(router: APIRouter, answers: Answers) -> None:
    @router.get(
        "/v1/items",
        response_model=schemas.ItemNamesFound,
        responses=problems(422),
        openapi_extra={"parameters": [openapi.Q, openapi.K]},
    )
    async def search(request: Request) -> Response:
        """Ids that begin with a text, then those that hold it; without a text those clicked most."""
        return sent(request, answers.search(serving_of(request), request.scope["query_string"]))

    @router.get(
        _ITEM,
        response_model=schemas.Item,
        responses=problems(404, 422),
        openapi_extra={"parameters": [ITEM_ID]},
    )
    async def item(request: Request) -> Response:
        """What is known of an item."""
        return sent(request, answers.item(serving_of(request), request.path_params["item_id"]))


def _putting(router: APIRouter, engine: Engine) -> None:
    seconds = engine.settings.body_seconds

    @router.put(
        _ITEM,
        response_model=schemas.ItemPlaced,
        responses=problems(*_WRITE_REFUSALS),
        openapi_extra={"parameters": [ITEM_ID], **body_of(PutItemRequest)},
    )
    async def put(request: Request) -> Response:
        """List an item, or change it.

        Of an item that is listed what is not given stays: attributes are merged over those known of it, and
        a body that changes nothing is refused.

        It is in lists of similar items from the next answer on. A new item, or one whose vector changed, is
        in users' lists once a thousand changes have led to a new index, or with the next release; one of
        which attributes alone changed stays in them, filtered by its attributes of now.
        """
        serving = _writable(engine, request)
        first = serving.a
        item_id = first.ids.of_address(request.path_params["item_id"])
        body = parsed(PutItemRequest, await read_body(request, seconds))
        put = Put(
            first.conditions.attributes(body.attributes, "body.attributes"),
            body.vector,
            body.context_vector,
            tuple(first.ids.known_kind(body.like or (), "body.like")),
        )
        if put == Put():  # what a release would refuse, in words that name the body's fields
            raise refused("body", "give attributes, like or vector")
        if put.vector is None and not put.like:
            for one in serving.both:
                await one.ready_for_attributes()
        new = await engine.changes.run(engine.inventory.put, item_id, put)
        return sent(request, reply(first, {"item_id": item_id, "new": new}))


def _removing(router: APIRouter, engine: Engine) -> None:
    @router.delete(
        _ITEM,
        status_code=204,
        responses=problems(403, 404, 409, 422),
        openapi_extra={"parameters": [ITEM_ID]},
    )
    async def remove(request: Request) -> Response:
        """Take an item out of every answer; releases to come too, until it is put again."""
        serving = _writable(engine, request)
        item_id = serving.a.ids.of_address(request.path_params["item_id"])
        await engine.changes.run(engine.inventory.remove, item_id)
        return Response(status_code=204)


def _availability(router: APIRouter, engine: Engine) -> None:
    seconds = engine.settings.body_seconds

    @router.put(
        _ITEM + "/availability",
        response_model=schemas.ItemAvailability,
        responses=problems(*_WRITE_REFUSALS),
        openapi_extra={"parameters": [ITEM_ID], **body_of(AvailabilityRequest)},
    )
    async def availability(request: Request) -> Response:
        """Keep an item out of lists for now, or let it in again; it can still be asked about."""
        serving = _writable(engine, request)
        item_id = serving.a.ids.of_address(request.path_params["item_id"])
        body = parsed(AvailabilityRequest, await read_body(request, seconds))
        await engine.changes.run(engine.inventory.set_available, item_id, body.available)
        return sent(request, reply(serving.a, {"item_id": item_id, "available": body.available}))


# Live changes are made in a thread: they wait for a release that is being swapped in.
def _writable(engine: Engine, request: Request) -> Serving:
    """Return what is served, where items can be changed.

    Raises
    ------
    Problem
        409 with several workers: each would know of its own changes only.
    """
    if engine.settings.workers > 1:
        raise Problem(409, "Live changes are kept by one process: start the server with --workers 1.")
    return serving_of(request)
