"""The application: an engine behind routes behind a guard."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route

from item2vec.errors import Item2VecError
from item2vec.serving.answers import Answers
from item2vec.serving.direct import Direct
from item2vec.serving.explorer.routes import explorer_routes
from item2vec.serving.guard import TRACE, Guard
from item2vec.serving.hot_route import HotRoute
from item2vec.serving.lifespan import Lifespan
from item2vec.serving.logs import LogLines
from item2vec.serving.openapi import document
from item2vec.serving.problems import MEDIA_TYPE, Problem, of_error
from item2vec.serving.replies import encoded
from item2vec.serving.routes_items import item_routes
from item2vec.serving.routes_lists import list_routes
from item2vec.serving.routes_service import service_routes
from item2vec.serving.routes_users import user_routes
from item2vec.serving.telemetry import Telemetry

if TYPE_CHECKING:
    from item2vec.serving.engine import Engine

DESCRIPTION = """Similar items, items for a user, features for a ranker; every answer belongs to one release
(`X-Release`). Refusals are `application/problem+json`."""


def create_app(engine: Engine, *, lines: LogLines | None = None, hot: bool = True) -> Guard:
    """Return the ASGI application of an engine; its lifespan loads the release and writes what waits.

    Parameters
    ----------
    engine : Engine
        Not started yet.
    lines : LogLines, optional
        Where lines go; to standard output by default.
    hot : bool
        Whether similar items by id are answered before the application, and lists and features without the
        framework's routing; the answers are the same.
    """
    settings = engine.settings
    lines = LogLines() if lines is None else lines
    telemetry = Telemetry(engine, lines)
    answers = Answers(settings.cache_control, settings.served_log is not None)

    app = FastAPI(
        title="item2vec",
        version=version("item2vec"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    lists = list_routes(engine, answers)
    routers = [
        item_routes(engine, answers),
        lists,
        user_routes(engine, answers),
        service_routes(engine, telemetry),
        explorer_routes(engine),
    ]
    for router in routers:
        app.include_router(router)
    document_route = _document_route(app, settings.token is not None)
    app.add_api_route("/openapi.json", document_route, include_in_schema=False)
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refusing([one for router in routers for one in router.routes]))
    app.add_exception_handler(Problem, _of_problem)  # type: ignore[arg-type]
    inner = Direct(app, [lists]) if hot else app
    guard = Guard(inner, settings, telemetry, Lifespan(engine, telemetry), HotRoute(answers) if hot else None)

    async def of_package(request: Request, error: Exception) -> Response:
        guard.report(error, request.scope[TRACE])
        return await _of_problem(request, of_error(error))

    app.add_exception_handler(Item2VecError, of_package)
    app.add_exception_handler(Exception, _of_bug)  # the guard sees it next, and reports it
    return guard


def _document_route(app: FastAPI, with_token: bool) -> Any:
    async def openapi() -> Response:
        return Response(encoded(document(app, with_token)), media_type="application/json")

    return openapi


async def _of_problem(request: Request, problem: Problem) -> Response:
    body = problem.body(request.scope[TRACE].request_id)
    return Response(body, problem.status, problem.headers, MEDIA_TYPE)


def _refusing(routes: Sequence[BaseRoute]) -> Any:
    """Return what words the refusals of the framework itself: unknown paths and methods."""

    async def of_framework(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            details = {
                404: "There is nothing at this path; /openapi.json lists the routes.",
                405: "This path has other methods; `Allow` lists them.",
            }
            detail = details.get(error.status_code, "The request is none that this server takes.")
            allowed = {"Allow": _methods(request.scope["path"], routes)}
            headers = allowed if error.status_code == 405 else error.headers
            return await _of_problem(request, Problem(error.status_code, detail, headers=headers))
        return await _of_problem(request, Problem(422, "The request does not fit this route."))

    return of_framework


async def _of_bug(request: Request, error: Exception) -> Response:
    return await _of_problem(request, of_error(error))


def _methods(path: str, routes: Sequence[BaseRoute]) -> str:
    """Return the methods of a path; the framework knows those of the first route that matches."""
    found = [one for one in routes if isinstance(one, Route) and one.path_regex.match(path)]
    methods = {method for one in found for method in one.methods or ()} or {"GET"}  # of the document
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
