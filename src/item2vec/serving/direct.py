"""Routes that are asked all the time, called without the framework's long way to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.routing import APIRoute

from item2vec.serving.guard import TRACE

if TYPE_CHECKING:
    from fastapi import APIRouter, Response

    from item2vec.serving.guard import App, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable["Response"]]


class Direct:
    """An ASGI application before another: calls endpoints of some routes by itself.

    The guard words what they refuse as the application's handlers do: both have it from the same place.

    Parameters
    ----------
    app : ASGI application
        Answers everything else.
    routers : sequence of APIRouter
        Their endpoints take a request and nothing else, and return responses.
    """

    def __init__(self, app: App, routers: Sequence[APIRouter]) -> None:
        self._app = app
        self._endpoints: dict[tuple[str, str], Any] = {
            (method, route.path): route.endpoint
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute) and not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        endpoint: Endpoint | None = self._endpoints.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope[TRACE].route = scope["path"]
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)
