"""Routes for lists and features of what a request says: nothing is looked up elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from item2vec.serving import schemas
from item2vec.serving.bodies import read_body
from item2vec.serving.openapi import body_of, problems
from item2vec.serving.requests import FeaturesRequest, RecommendRequest, SimilarRequest, parsed
from item2vec.serving.responses import sent, serving_of

if TYPE_CHECKING:
    from item2vec.serving.answers import Answers
    from item2vec.serving.engine import Engine

FEW = 4
"""Item ids that are looked up at once: for more, others would wait too long."""
_REFUSALS = problems(400, 408, 413, 415, 422)


def list_routes(engine: Engine, answers: Answers) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["lists"])
    _lists(router, engine, answers)
    _features(router, engine, answers)
    return router


def _lists(router: APIRouter, engine: Engine, answers: Answers) -> None:
    seconds = engine.settings.body_seconds

    @router.post(
        "/v1/similar",
        response_model=schemas.SimilarResults,
        responses=_REFUSALS,
        openapi_extra=body_of(SimilarRequest),
    )
    async def similar(request: Request) -> Response:
        """Items like several items, like a vector, or like an item that is not listed yet.

        Each id has its own status: an unknown one spoils no other.
        """
        body = parsed(SimilarRequest, await read_body(request, seconds))
        serving = serving_of(request)
        if body.attributes is not None:
            await serving.of(body.user_id).ready_for_attributes()
        if len(body.item_ids or ()) > FEW:
            found = await engine.batches.run(answers.similar, serving, body)
        else:
            found = answers.similar(serving, body)
        return sent(request, found, body.user_id)

    @router.post(
        "/v1/recommend",
        response_model=schemas.UserItems,
        responses=_REFUSALS,
        openapi_extra=body_of(RecommendRequest),
    )
    async def recommend(request: Request) -> Response:
        """Items for a user: what they did lately and booked, their type, and what everyone likes."""
        body = parsed(RecommendRequest, await read_body(request, seconds))
        return sent(request, answers.recommend(serving_of(request), body), body.user_id)


def _features(router: APIRouter, engine: Engine, answers: Answers) -> None:
    seconds = engine.settings.body_seconds

    @router.post(
        "/v1/features",
        response_model=schemas.FeaturesFound,
        responses=_REFUSALS,
        openapi_extra=body_of(FeaturesRequest),
    )
    async def features(request: Request) -> Response:
        """The eight ranking features of a search's candidates (Grbovic & Cheng 2018, Table 7)."""
        body = parsed(FeaturesRequest, await read_body(request, seconds))
        return sent(request, answers.features(serving_of(request), body))
