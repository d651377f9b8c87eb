"""The explorer's routes: addresses in, pages out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response

from item2vec.errors import UnknownItemError, UsageError
from item2vec.serving.bodies import FORM, read_body
from item2vec.serving.conditions import query_pairs
from item2vec.serving.explorer import views
from item2vec.serving.explorer.looks import HOME, JOURNEY, LISTING, MAP, Journey, Look
from item2vec.serving.explorer.pages import Pages
from item2vec.serving.explorer.plane import Maps
from item2vec.serving.explorer.sign_in import NO_COOKIE, SIGN_IN, SIGN_OUT, STATIC, Pass, way_back
from item2vec.serving.explorer.titles import TitleSearch
from item2vec.serving.problems import Problem, of_error
from item2vec.serving.responses import serving_of

if TYPE_CHECKING:
    from item2vec.serving.conditions import Pairs
    from item2vec.serving.engine import Engine
    from item2vec.serving.lookups import Lookups

Handler = Callable[[Request], Awaitable[Response]]


def explorer_routes(engine: Engine) -> APIRouter:
    """Return the routes.

    They read only, and what they show is no list that was served: it is not in the served log.
    """
    router = APIRouter(include_in_schema=False)
    pages, search = Pages(engine.settings), TitleSearch()
    _looking(router, pages, search)
    _mapping(router, pages)
    _files(router, pages)
    _signing(router, pages, engine)
    _missing(router, pages)
    return router


def _looking(router: APIRouter, pages: Pages, search: TitleSearch) -> None:
    @router.get(HOME)
    @_readable(pages)
    async def home(request: Request) -> Response:
        lookups = _lookups(request)
        text = dict(reversed(_pairs(request))).get("q", "")
        shown = views.home(lookups, await search.of(lookups), text)
        return pages.page("home.html.j2", lookups, here="home", **shown)

    @router.get(LISTING)
    @_readable(pages)
    async def listing(request: Request) -> Response:
        lookups = _lookups(request)
        look = Look.of_query(_pairs(request), lookups.modes)
        return pages.page("listing.html.j2", lookups, here="listing", **views.listing(lookups, look))

    @router.get(JOURNEY)
    @_readable(pages)
    async def journey(request: Request) -> Response:
        lookups = _lookups(request)
        way = Journey.of_query(_pairs(request), lookups.modes, lookups.default_mode)
        shown = views.journey(lookups, await search.of(lookups), way)
        return pages.page("journey.html.j2", lookups, here="journey", **shown)


def _mapping(router: APIRouter, pages: Pages) -> None:
    maps = Maps()

    @router.get(MAP)
    @_readable(pages)
    async def show_map(request: Request) -> Response:
        return pages.page("map.html.j2", _lookups(request), here="map")

    @router.get(MAP + ".json")
    async def points(request: Request) -> Response:
        return Response(await maps.of(_lookups(request)), media_type="application/json")


def _files(router: APIRouter, pages: Pages) -> None:
    @router.get(STATIC + "{name:path}")
    async def file(request: Request) -> Response:
        return pages.file(request.path_params["name"])


def _signing(router: APIRouter, pages: Pages, engine: Engine) -> None:
    token, seconds = engine.settings.token, engine.settings.body_seconds
    own = Pass(None if token is None else token.get_secret_value())

    @router.get(SIGN_IN)
    @_readable(pages, for_everyone=True)
    async def form(request: Request) -> Response:
        target = way_back(dict(_pairs(request)).get("next", HOME))
        if not own.is_needed:
            return Response(status_code=303, headers={"Location": target})
        return pages.page("sign_in.html.j2", None, here="", target=target, wrong=False)

    @router.post(SIGN_IN)
    @_readable(pages, for_everyone=True)
    async def sign_in(request: Request) -> Response:
        body = await read_body(request, seconds, FORM)
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
        target = way_back(fields.get("next", [HOME])[0])
        if not own.is_needed:
            return Response(status_code=303, headers={"Location": target})
        if not own.is_token(fields.get("token", [""])[0].strip()):
            return pages.page("sign_in.html.j2", None, 401, here="", target=target, wrong=True)
        cookie = own.cookie(request.url.scheme == "https")
        return Response(status_code=303, headers={"Location": target, "Set-Cookie": cookie})

    @router.post(SIGN_OUT)
    async def sign_out(request: Request) -> Response:
        return Response(status_code=303, headers={"Location": SIGN_IN, "Set-Cookie": NO_COOKIE})


def _missing(router: APIRouter, pages: Pages) -> None:
    @router.get(HOME + "/{rest:path}")
    @_readable(pages)
    async def missing(request: Request) -> Response:
        raise Problem(404, "There is no such page.")


def _readable(pages: Pages, *, for_everyone: bool = False) -> Callable[[Handler], Handler]:
    """Show refusals as pages: whoever reads them sits before a browser.

    They lead on to listings, but not where everyone may ask, token or not.
    """

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def shown(request: Request) -> Response:
            try:
                return await handler(request)
            except (Problem, UnknownItemError, UsageError) as error:
                problem = error if isinstance(error, Problem) else of_error(error)
            lookups = None if for_everyone else _lookups(request)
            cards = [] if lookups is None else views.clicked_most(lookups)
            return pages.page(
                "refused.html.j2", lookups, problem.status, here="", problem=problem, cards=cards
            )

        return shown

    return decorate


def _lookups(request: Request) -> Lookups:
    return serving_of(request).a


def _pairs(request: Request) -> Pairs:
    return query_pairs(request.scope["query_string"])
