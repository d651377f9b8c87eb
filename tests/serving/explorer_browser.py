"""A browser's page and what it must not do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CHROMIUM = os.environ.get("ITEM2VEC_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (one) => window.violations.push(one.violatedDirective));
"""
Open = Callable[..., Any]


class Watched:
    """A page and what it must not do."""

    def __init__(self, page: Any, origin: str) -> None:
        self.page, self.origin = page, origin
        self.wrong: list[str] = []
        page.on("console", lambda one: self._said(one))
        page.on("pageerror", lambda one: self.wrong.append(f"error: {one}"))
        page.on("dialog", lambda one: (self.wrong.append("dialog"), one.dismiss()))
        page.on("request", lambda one: self._asked(one.url))
        page.add_init_script(WATCH)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        if not url.startswith(self.origin + "/"):
            self.wrong.append(f"foreign: {url}")

    def check(self) -> None:
        if self.page.context.javascript_on:
            found = self.page.evaluate("[window.violations, window.pwned || 0]")
            assert found == [[], 0]
        assert self.wrong == []
        too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert not self.page.context.javascript_on or self.page.evaluate(too_wide) == 0


def until(page: Any, expression: str) -> None:
    """Wait; the browser's own way to would evaluate a string in the page, which its policy refuses."""
    for _ in range(160):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {expression}")


def listing(item_id: str, **more: str) -> str:
    return "/explore/listing?" + urlencode({"id": item_id, **more})


def asked(page: Any, name: str) -> list[str]:
    return parse_qs(urlsplit(page.url).query).get(name, [])
