"""What a browser would make of the explorer's pages, read without one."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import httpx
from explorer_world import Explorer


class Page(HTMLParser):
    """What a browser would make of a page: elements with their attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def links(self, start: str) -> list[str]:
        return [
            one["href"] for tag, one in self.elements if tag == "a" and one.get("href", "").startswith(start)
        ]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [one for name, one in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


TAGS = """html head meta title link script body header nav main footer section a form label input button
select option fieldset legend kbd span p h1 h2 h3 small ol ul li dl div dt dd bdi svg rect i code
details summary noscript canvas"""
ALLOWED = set(TAGS.split())


def check_markup(text: str) -> Page:
    """Assert that a page holds only elements of the templates, and no script or style of its own."""
    page = Page(text)
    assert {tag for tag, _ in page.elements} <= ALLOWED
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith(("on", "hx-on")) or name == "style"], tag
        if tag == "script":
            assert attributes["src"].startswith("/explore/static/")
        for name in ("href", "action", "src"):
            if name in attributes:
                assert attributes[name].startswith(("/explore", "#")), attributes[name]
    assert "<script>" not in re.sub(r'<script src="[^"]+" defer></script>', "", text)
    return page


def query_of(address: str) -> httpx.QueryParams:
    return httpx.QueryParams(urlsplit(address).query)


def steps_of(page: Page, item_id: str) -> list[str]:
    """Addresses of a listing's neighbours: one step on from it."""
    links = page.links("/explore/listing?id=")
    return [one for one in links if query_of(one).get_list("from")[-1:] == [item_id]]


def get(server: Explorer, path: str, status: int = 200, **query: object) -> Page:
    reply = server.client.get(path, params=query or None)  # type: ignore[arg-type]
    assert reply.status_code == status, reply.text[:300]
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; ")
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    return check_markup(reply.text)
