"""What stands before every route: limits, the token, the last word on errors, one line per request."""

from __future__ import annotations

import hmac
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from item2vec.errors import Item2VecError
from item2vec.serving.explorer.sign_in import Pass, is_explorer, is_open, sign_in_address
from item2vec.serving.hosts import AllowedHosts
from item2vec.serving.limits import MAX_TARGET
from item2vec.serving.problems import MEDIA_TYPE, Problem, of_error
from item2vec.serving.replies import EVERYWHERE, Headers, release_headers
from item2vec.serving.settings import is_loopback
from item2vec.serving.slots import SLOT, Slot, Slots
from item2vec.serving.telemetry import Telemetry, Trace

if TYPE_CHECKING:
    from item2vec.serving.hot_route import HotRoute
    from item2vec.serving.lifespan import Lifespan
    from item2vec.serving.settings import ServeSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TRACE = "item2vec.trace"
OPEN = (b"/livez", b"/readyz")
"""Routes that need no token: an orchestrator asks them."""
WITH_BODY = ("POST", "PUT", "PATCH")


class Guard:
    """An ASGI application around another.

    Parameters
    ----------
    app : ASGI application
    settings : ServeSettings
    telemetry : Telemetry
    lifespan : Lifespan
    hot : HotRoute, optional
        Answers look-ups by id before anything else is asked.
    """

    def __init__(
        self,
        app: App,
        settings: ServeSettings,
        telemetry: Telemetry,
        lifespan: Lifespan,
        hot: HotRoute | None = None,
    ) -> None:
        self._app, self._telemetry, self._hot, self._lifespan = app, telemetry, hot, lifespan
        token = None if settings.token is None else settings.token.get_secret_value()
        self._expected = None if token is None else token.encode()
        self._pass = Pass(token)
        self._hosts = AllowedHosts(settings.allowed_hosts, is_needed=token is None)
        self._slots = Slots(settings.max_concurrent)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass the server's own messages on."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return  # a WebSocket: the server closes it
        trace = self._telemetry.begin(_method(scope["method"]))
        slot = Slot(self._slots)
        try:
            if not await self._answered_hot(scope, send, trace, slot):
                await self._answer(scope, receive, send, trace, slot)
        finally:
            slot.free()
            self._telemetry.finish(trace)

    async def _answered_hot(self, scope: Scope, send: Send, trace: Trace, slot: Slot) -> bool:
        """Answer by the hot route, or leave a request, and every refusal, to the ordinary one."""
        if self._hot is None or not self._slots.are_free or not self._hosts.hold(scope["headers"]):
            return False
        if self._expected is None and not _stays_here(scope):
            return False
        slot.take()
        try:
            if await self._hot.answered(scope, send, trace, self.is_allowed):
                return True
        except Exception as error:  # a bug: the ordinary route answers, or meets it too and says so
            self.report(error, trace)
            if trace.reply is not None:  # it was being sent
                return True
        slot.free()
        return False

    async def _answer(self, scope: Scope, receive: Receive, send: Send, trace: Trace, slot: Slot) -> None:
        started, inner = False, scope
        head_only, body_is_there = scope["method"] == "HEAD", not _has_body(scope["headers"])

        async def heard() -> MutableMapping[str, Any]:
            nonlocal body_is_there
            message = await receive()
            body_is_there = body_is_there or not message.get("more_body", False)
            return message

        async def told(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started, trace.status = True, message["status"]
                trace.route = getattr(inner.get("route"), "path", trace.route)
                message["headers"] = [*message["headers"], *self._own_headers(trace, message["headers"])]
                if (
                    not body_is_there
                ):  # servers close after a body that nobody read: say so, or the next is lost
                    message["headers"].append((b"connection", b"close"))
            elif head_only:
                message["body"] = b""
            await send(message)

        try:
            self._check(scope, slot)
            # Routes see the path as it was sent: an id may hold an encoded slash. HEAD is GET to them.
            inner = {**scope, "path": _raw_path(scope).decode("ascii", "replace"), TRACE: trace, SLOT: slot}
            inner["method"] = "GET" if head_only else scope["method"]
            await self._app(inner, heard, told)
        except Problem as problem:
            await _send(problem, trace, told)
        except Exception as error:
            self.report(error, trace)
            if not started:
                await _send(of_error(error), trace, told)

    def _check(self, scope: Scope, slot: Slot) -> None:
        """Refuse what no route is to see.

        Raises
        ------
        Problem
        """
        raw = _raw_path(scope)
        if len(raw) + len(scope["query_string"]) > MAX_TARGET:
            raise Problem(414, f"Path and query have at most {MAX_TARGET} bytes.")
        if raw in OPEN:
            return
        if not self._hosts.hold(scope["headers"]):
            raise Problem(421, "The server goes by another name: start it with --allowed-host for this one.")
        if scope["method"] not in WITH_BODY:  # the others begin when their bodies are there
            slot.take()
        if self._expected is None:
            if not _stays_here(scope):
                raise Problem(403, "Other machines need a token: start the server with one.")
            if writes(scope["method"], raw):
                raise Problem(403, "Writing needs a token: start the server with --token-file.")
        elif not self.is_allowed(scope["headers"]) and not self._may_look(scope, raw):
            if is_explorer(raw) and scope["method"] in ("GET", "HEAD"):
                location = {"Location": sign_in_address(raw, scope["query_string"])}
                raise Problem(303, "Sign in with the token first.", headers=location)
            headers = {"WWW-Authenticate": "Bearer"}
            raise Problem(401, "Send the token as `Authorization: Bearer …`.", headers=headers)

    def is_allowed(self, headers: Headers) -> bool:
        """Whether a request has the token; compared in constant time."""
        if self._expected is None:
            return True
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")  # a scheme has no case (RFC 9110)
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(b" "), self._expected)

    def _may_look(self, scope: Scope, raw: bytes) -> bool:
        """Whether a browser may see a page of the explorer: by its cookie, which opens nothing else."""
        if not is_explorer(raw):
            return False
        if is_open(raw):
            return True
        return scope["method"] in ("GET", "HEAD") and self._pass.holds(scope["headers"])

    def _own_headers(self, trace: Trace, others: Headers) -> Headers:
        there = {name for name, _ in others}
        own = [(b"x-request-id", trace.request_id.encode()), *EVERYWHERE]
        if b"x-release" not in there:
            own += release_headers(trace.serving.a)
        if b"cache-control" not in there:
            own.append((b"cache-control", b"no-store"))
        return own

    def report(self, error: Exception, trace: Trace) -> None:
        """Log what went wrong: a refusal of the package by its message, a bug with its traceback."""
        lines, known = self._telemetry.lines, isinstance(error, Item2VecError)
        trail = "" if known else "".join(traceback.format_exception(error))[-1900:]
        lines.event(
            "refused" if known else "error",
            "warning" if known else "error",
            request_id=trace.request_id,
            kind=type(error).__name__,
            message=str(error)[:300],
            **({} if known else {"traceback": trail}),
        )


def _stays_here(scope: Scope) -> bool:
    """Tell a request to an address that only this machine reaches: uvicorn by itself may listen at any."""
    server = scope.get("server")
    return server is None or server[1] is None or is_loopback(server[0])


def _raw_path(scope: Scope) -> bytes:
    """Return the path as it was sent; servers may leave it out and give only what they decoded (ASGI)."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~").encode()
    return raw


def _has_body(headers: Headers) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in headers
    )


def writes(method: str, path: bytes) -> bool:
    """Tell routes that change something."""
    return method in ("PUT", "DELETE", "PATCH") or (method == "POST" and path.rstrip(b"/") == b"/v1/events")


def _method(method: str) -> str:
    """Return a method's name for logs and figures: the client may send any word."""
    return method if method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH") else "OTHER"


async def _send(problem: Problem, trace: Trace, send: Send) -> None:
    body = problem.body(trace.request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
