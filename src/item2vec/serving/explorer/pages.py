"""Templates, what they are drawn with, and the headers that keep what they show from doing anything."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from item2vec.serving.explorer import looks
from item2vec.serving.explorer.sign_in import SIGN_IN, SIGN_OUT, STATIC
from item2vec.serving.problems import Problem

if TYPE_CHECKING:
    from item2vec.serving.lookups import Lookups
    from item2vec.serving.settings import ServeSettings

FOLDER = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


class Pages:
    """Renders the explorer's pages.

    Parameters
    ----------
    settings : ServeSettings
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._files = {
            path.relative_to(FOLDER / "static").as_posix(): path.read_bytes()
            for path in sorted((FOLDER / "static").rglob("*"))
            if path.suffix in _TYPES
        }
        self._digests = {
            name: hashlib.blake2b(body, digest_size=6).hexdigest() for name, body in self._files.items()
        }
        self._policy = content_policy(settings.tiles)
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,  # of every template, whatever its name ends in
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            static=self._address,
            listing_address=looks.listing_address,
            journey_address=looks.journey_address,
            at={
                "home": looks.HOME,
                "listing": looks.LISTING,
                "journey": looks.JOURNEY,
                "map": looks.MAP,
                "sign_in": SIGN_IN,
                "sign_out": SIGN_OUT,
            },
            filter_prefix=looks.FILTER,
            tiles=settings.tiles,
            tiles_credit=settings.tiles_credit,
            with_token=settings.token is not None,
        )

    def page(self, template: str, lookups: Lookups | None, status: int = 200, **values: Any) -> Response:
        """Return a page; without look-ups one for everyone, which tells nothing of what is served."""
        release = None if lookups is None else _release(lookups)
        text = self._environment.get_template(template).render(release=release, **values)
        headers = {"Content-Security-Policy": self._policy, "Cache-Control": "private, no-store"}
        return Response(text, status, headers, "text/html; charset=utf-8")

    def file(self, name: str) -> Response:
        """Return a style, a script or a picture.

        Raises
        ------
        Problem
            404 where there is none of that name.
        """
        if name not in self._files:
            raise Problem(404, "There is no such file.")
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",  # its address names its content
            "Content-Security-Policy": "default-src 'none'",
        }
        return Response(self._files[name], 200, headers, _TYPES[Path(name).suffix])

    def _address(self, name: str) -> str:
        return f"{STATIC}{name}?v={self._digests[name]}"


def _release(lookups: Lookups) -> dict[str, Any]:
    """Return what pages say of a release."""
    return {
        "id": lookups.release.id[:8],
        "run": lookups.release.folder.path.name,
        "items": len(lookups.loaded.vocabulary),
        "attributes": lookups.loaded.attributes is not None,
        "modes": lookups.modes,
    }


def content_policy(tiles: str | None) -> str:
    """Return the Content-Security-Policy: nothing from elsewhere but map tiles, and those only if set."""
    pictures = "'self'"
    if tiles is not None:
        parts = urlsplit(tiles)
        pictures += f" data: {parts.scheme}://{parts.netloc}"  # Leaflet empties a tile with a data: picture
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": pictures,
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
