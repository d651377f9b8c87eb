"""Similar items by id, the hot route: a small path before the application, for replies that are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from item2vec.errors import Item2VecError
from item2vec.serving.limits import MAX_TARGET
from item2vec.serving.problems import Problem
from item2vec.serving.replies import EVERYWHERE, Headers, Reply, is_current, unchanged_headers

if TYPE_CHECKING:
    from item2vec.serving.answers import Answers
    from item2vec.serving.telemetry import Trace

PREFIX, SUFFIX = b"/v1/items/", b"/similar"
ROUTE = "/v1/items/{item_id}/similar"


class HotRoute:
    """Answers ``GET /v1/items/{item_id}/similar`` where that takes no more than a reply that is kept or made.

    Whatever is refused, or asks for a user's own release, is left to the ordinary route, which gives the
    same answers.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def answered(
        self, scope: Any, send: Any, trace: Trace, is_allowed: Callable[[Headers], bool]
    ) -> bool:
        """Answer a request, or say that this is left to others."""
        if scope["method"] != "GET":
            return False
        raw: bytes = scope.get("raw_path") or b""
        if not (raw.startswith(PREFIX) and raw.endswith(SUFFIX)):
            return False
        query: bytes = scope["query_string"]
        headers = scope["headers"]
        if _may_name_user(query) or len(raw) + len(query) > MAX_TARGET or not is_allowed(headers):
            return False
        segment = raw[len(PREFIX) : -len(SUFFIX)]
        if b"/" in segment:
            return False
        try:
            reply = self._answers.similar_by_id(trace.serving, segment, query)
        except (Problem, Item2VecError):
            return False
        trace.route, trace.reply = ROUTE, reply
        await _sent(reply, headers, trace, send)
        return True


def _may_name_user(query: bytes) -> bool:
    """Whether a query may hold the parameter ``user``, encoded in whatever way; conditions go on."""
    return b"user" in query or (b"%" in query and b"user" in unquote_to_bytes(query))


async def _sent(reply: Reply, headers: Headers, trace: Trace, send: Any) -> None:
    status, body, own = 200, reply.body, reply.headers
    if is_current(reply, [value for name, value in headers if name == b"if-none-match"]):
        status, body, own = 304, b"", unchanged_headers(reply)
    trace.status = status
    extra = (b"x-request-id", trace.request_id.encode())
    await send({"type": "http.response.start", "status": status, "headers": [*own, extra, *EVERYWHERE]})
    await send({"type": "http.response.body", "body": body})
