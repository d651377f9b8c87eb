"""One small run, one server over it and one explorer in a browser, for all tests of the lookup API."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from explorer_browser import CHROMIUM, Open, Watched
from explorer_world import Explorer, explorer, hostile_recommender
from serving_world import ServerProcess, publish_release

import item2vec as i2v


@pytest.fixture(scope="session", autouse=True)
def _needs_the_libraries() -> None:
    missing = [name for name in ("fastapi", "granian", "httpx") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.fail(
            f"the lookup API is not tested: {', '.join(missing)} missing (pip install 'item2vec[test]')"
        )


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one release; nobody publishes another one in it."""
    runs = tmp_path_factory.mktemp("shop")
    publish_release(runs)
    return runs / "shop"


@pytest.fixture(scope="session")
def rec(shop: Path) -> i2v.Recommender:
    """The library's own answers."""
    return i2v.load(shop)


@pytest.fixture(scope="session")
def server(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose items nobody changes for long."""
    folder = tmp_path_factory.mktemp("server")
    process = ServerProcess(folder, str(shop), "--history", str(folder / "history.db"))
    yield process
    process.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers that end with the test."""
    started = []

    def begin(*arguments: str, **settings: Any) -> ServerProcess:
        history = [] if {"--history", "--redis"} & set(arguments) else ["--history", str(tmp_path / "h.db")]
        started.append(ServerProcess(tmp_path, *arguments, *history, **settings))
        return started[-1]

    yield begin
    for process in started:
        process.stop()


@pytest.fixture
def own_shop(shop: Path, tmp_path: Path) -> Path:
    """A copy of the run in which a test may publish."""
    shutil.copytree(shop, tmp_path / "shop", copy_function=_linked)
    return tmp_path / "shop"


def _linked(source: str, target: str) -> None:
    """Link what never changes, copy what does."""
    if "objects" in Path(source).parts:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    missing = []
    if importlib.util.find_spec("playwright") is None:
        missing.append("playwright (pip install 'item2vec[e2e]')")
    if CHROMIUM is None:
        missing.append("Chromium (apt-get install chromium, or its path in ITEM2VEC_CHROMIUM)")
    if missing:
        told = f"the explorer is not tested in a browser: {', '.join(missing)} missing"
        (pytest.fail if os.environ.get("ITEM2VEC_REQUIRE_CHROMIUM") else pytest.skip)(told)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Of one module alone: while it lives, no other test can run an event loop.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(shop: Path) -> Iterator[Explorer]:
    with explorer(shop, hostile_recommender()) as server:
        yield server


@pytest.fixture
def open_page(browser: Any, site: Explorer) -> Iterator[Open]:
    """Open pages; at the end none may have erred, asked elsewhere, or be wider than its window."""
    opened: list[Watched] = []

    def begin(path: str, server: Explorer = site, check: bool = True, **settings: Any) -> Any:
        settings = {"viewport": {"width": 1200, "height": 800}, **settings}
        context = browser.new_context(**settings)
        context.set_default_timeout(8000)
        context.javascript_on = settings.get("java_script_enabled", True)
        watched = Watched(context.new_page(), server.url)
        if check:
            opened.append(watched)
        watched.page.goto(server.url + path)
        watched.page.watched = watched
        return watched.page

    yield begin
    for one in opened:
        one.check()
        one.page.context.close()
