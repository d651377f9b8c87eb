"""A reply on its way out of a route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from item2vec.serving.guard import TRACE
from item2vec.serving.replies import Reply, is_current, unchanged_headers

if TYPE_CHECKING:
    from fastapi import Request

    from item2vec.serving.engine import Serving


def serving_of(request: Request) -> Serving:
    """Return the releases that were served when the request began."""
    serving: Serving = request.scope[TRACE].serving
    return serving


def sent(request: Request, reply: Reply, user_id: str | None = None) -> Response:
    """Return a reply as a response, or 304 where the client has it; remember it for the log."""
    trace = request.scope[TRACE]
    trace.reply, trace.user_id = reply, user_id
    given = [one.encode("latin-1") for one in request.headers.getlist("if-none-match")]
    if request.method == "GET" and is_current(reply, given):
        response = Response(status_code=304)
        response.raw_headers = unchanged_headers(reply)
        return response
    response = Response(reply.body)
    response.raw_headers = list(reply.headers)
    return response
