"""Routes about the server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from item2vec.serving.explorer.looks import HOME
from item2vec.serving.model_facts import model_facts, refused_facts
from item2vec.serving.openapi import problems
from item2vec.serving.replies import encoded, reply
from item2vec.serving.responses import sent, serving_of

if TYPE_CHECKING:
    from item2vec.serving.engine import Engine
    from item2vec.serving.telemetry import Telemetry


def service_routes(engine: Engine, telemetry: Telemetry) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["service"])

    @router.get("/v1/model", response_model=dict[str, Any], responses=problems())
    async def model(request: Request) -> Response:
        """The release that answers: its data, figures, columns, and what changed live."""
        return sent(
            request,
            reply(serving_of(request).a, model_facts(engine, serving_of(request)), "private, no-cache"),
        )

    @router.get("/", include_in_schema=False)
    async def root() -> Response:
        """What a browser is shown that knows no more than the server's name."""
        return Response(status_code=307, headers={"Location": HOME})

    @router.get("/livez", response_model=dict[str, Any], responses=problems())
    async def livez() -> Response:
        """Whether the process answers at all; asks nothing of the model."""
        return Response(b'{"status":"alive"}', media_type="application/json")

    @router.get("/readyz", response_model=dict[str, Any], responses=problems())
    async def readyz(request: Request) -> Response:
        """Whether requests are answered, from which release, and whether a newer one was refused."""
        facts = {
            "status": "ready",
            "release": serving_of(request).a.release.id,
            "refused": refused_facts(engine),
        }
        return Response(encoded(facts), media_type="application/json")

    @router.get(
        "/metrics",
        response_class=Response,
        responses={**problems(), 200: {"description": "Prometheus text.", "content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(telemetry.page(), media_type=CONTENT_TYPE_LATEST)

    return router
