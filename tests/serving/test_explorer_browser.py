"""The explorer in Debian's Chromium: what readers do; nothing refused, foreign or executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from explorer_browser import Open, Watched, asked, listing, until
from explorer_world import explorer, hostile_recommender
from serving_world import TOKEN

TILE = "<svg xmlns='http://www.w3.org/2000/svg' width='256' height='256'/>"


def test_the_watch_sees_what_it_is_to_see(open_page: Open) -> None:
    page = open_page("/explore", check=False)
    page.evaluate(
        """() => { const script = document.createElement("script"); script.textContent = "window.pwned = 1";
        document.body.append(script); const image = new Image(); image.src = "http://127.0.0.2:9/x.png"; }"""
    )
    until(page, "window.violations.length >= 2")
    assert set(page.evaluate("window.violations")) == {"script-src-elem", "img-src"}
    assert page.evaluate("window.pwned") is None
    assert page.watched.wrong
    with pytest.raises(AssertionError):
        page.watched.check()
    page.context.close()


def test_search_neighbours_and_markers(open_page: Open) -> None:
    page = open_page("/explore")
    page.keyboard.press("/")
    page.keyboard.type("P0012")
    page.wait_for_url("**/explore?q=P0012")
    page.wait_for_selector("h1:has-text('1 listing')")
    assert page.evaluate("document.activeElement.id") == "q"
    page.click(".card h3 a")
    page.wait_for_selector("#near .own")
    assert asked(page, "id") == ["P0012"]
    assert page.locator("#neighbours .card").count() == 24
    assert page.locator("#near path.neighbour").count() == 24
    fills = page.eval_on_selector_all(
        "#near path.neighbour", "all => all.map(one => one.getAttribute('fill'))"
    )
    assert len(set(fills)) >= 4  # similarity is colour
    second = page.locator("#neighbours .card h3 a").nth(1)
    second.focus()
    assert page.locator(".leaflet-tooltip").inner_text().startswith(second.inner_text()[:20])
    page.locator("#near path.neighbour").first.dispatch_event("click")
    page.wait_for_selector("nav.trail")
    assert asked(page, "from") == ["P0012"]
    page.go_back()
    page.wait_for_url(lambda url: "from" not in url)
    page.wait_for_selector("#near .own")


def test_filters_apply_as_they_are_chosen(open_page: Open) -> None:
    page = open_page(listing("P0003"))
    page.click("form.filters summary")
    page.select_option("select[name='f.market']", "Paris")
    page.wait_for_url("**f.market=Paris**")
    until(page, "document.querySelector('form.filters summary').textContent.includes('(1)')")
    markets = page.locator("#neighbours .names dd:first-of-type").all_inner_texts()
    assert markets
    assert set(page.locator("#neighbours .card .names div:first-child dd").all_inner_texts()) == {"Paris"}
    assert "f.min_price" not in page.url
    page.fill("input[name='f.max_price']", "100")
    page.keyboard.press("Tab")
    page.wait_for_url("**f.max_price=100**")
    until(page, "document.activeElement.name === 'f.min_capacity'")  # who fills the form in goes on
    prices = [int(one) for one in page.locator("#neighbours .numbers div:first-child dd").all_inner_texts()]
    assert prices
    assert max(prices) <= 100
    page.click("nav.readings a:has-text('Next')")
    page.wait_for_url("**mode=next**")
    assert asked(page, "f.market") == ["Paris"]
    n_left = page.locator("#neighbours .card").count()
    assert 0 < n_left < 24
    page.fill("input[name='f.max_price']", "")
    page.keyboard.press("Tab")
    until(page, "!location.search.includes('max_price')")
    shown = "document.querySelectorAll('#neighbours .card').length"
    until(page, f"document.getElementById('told').textContent === {shown} + ' neighbours'")  # to who listens
    page.focus("select[name='f.market']")
    page.select_option("select[name='f.market']", "")
    page.wait_for_selector("summary:text-is('Filters')")
    until(page, "document.activeElement.name === 'f.market'")
    assert page.locator("#neighbours .card").count() == 24


def test_tiles_come_from_one_host_that_learns_no_address(browser: Any, shop: Path) -> None:
    host, asked_for = "http://tiles.example", []

    def tile(route: Any) -> None:
        asked_for.append((route.request.url, route.request.all_headers().get("referer")))
        route.fulfill(body=TILE, content_type="image/svg+xml")

    tiles = {"tiles": host + "/{z}/{x}/{y}.svg", "tiles_credit": "© <b>Maps</b> & more"}
    with explorer(shop, hostile_recommender(), **tiles) as server:
        page = browser.new_page()
        watched = Watched(page, server.url)
        page.route(f"{host}/**", tile)
        page.goto(server.url + listing("P0001"))
        page.wait_for_selector("#near img.leaflet-tile-loaded")
        assert "© <b>Maps</b> & more" in page.locator(".leaflet-control-attribution").inner_text()
        page.click("#neighbours .card h3 a")
        page.wait_for_selector("nav.trail")
        assert page.evaluate("window.violations") == []
        assert {one.partition(": ")[2].rpartition("/")[0].rpartition("/")[0] for one in watched.wrong} == {
            url.rpartition("/")[0].rpartition("/")[0] for url, _ in asked_for
        }
        page.close()
    assert len(asked_for) > 3
    assert {referrer for _, referrer in asked_for} == {server.url + "/"}


def test_a_server_that_gives_no_page_is_told_of_and_takes_none_away(open_page: Open) -> None:
    page = open_page(listing("P0001"), check=False)
    busy = {"status": 503, "content_type": "application/problem+json", "body": '{"title": "Busy"}'}
    for refuse in (lambda route: route.fulfill(**busy), lambda route: route.abort()):
        before = page.url
        page.route("**/explore/listing?*", refuse)
        page.click("#neighbours .card h3 a")
        page.wait_for_selector("#lost:visible")
        assert page.locator("#neighbours .card").count() == 24
        assert page.url == before
        page.unroute("**/explore/listing?*")
        page.click("#neighbours .card h3 a")
        page.wait_for_selector("#lost", state="hidden")
        assert page.url != before
    page.context.close()


def test_a_journey_in_the_address(open_page: Open) -> None:
    page = open_page("/explore/journey")
    for n_clicks in (1, 2, 3):
        page.locator("#recommended .card h3 a").nth(2).click()
        until(page, f"document.querySelectorAll('.clicks li').length === {n_clicks}")
    clicks = asked(page, "click")
    assert len(clicks) == 3
    assert page.locator("#recommended .move").count() == 12
    page.reload()
    assert page.locator(".clicks li").count() == 3
    page.locator(".clicks .remove").first.click()
    until(page, "document.querySelectorAll('.clicks li').length === 2")
    assert asked(page, "click") == clicks[1:]
    page.fill("form.add input[name='q']", "P0033")
    page.keyboard.press("Enter")
    page.click(".hits a")
    until(page, "document.querySelectorAll('.clicks li').length === 3")
    assert asked(page, "click") == [*clicks[1:], "P0033"]


def test_all_of_it_with_the_keyboard(open_page: Open) -> None:
    page = open_page(listing("P0005"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('#neighbours')"):
            break
    here = "[...document.querySelectorAll('#neighbours h3 a')].indexOf(document.activeElement)"
    assert page.evaluate(here) == 0
    page.keyboard.press("ArrowRight")
    assert page.evaluate(here) == 1
    page.keyboard.press("ArrowDown")
    assert page.evaluate(here) > 2
    page.keyboard.press("Enter")
    page.wait_for_selector("nav.trail")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.evaluate("getComputedStyle(document.querySelector('.skip')).position") == "absolute"


def test_without_javascript(open_page: Open) -> None:
    page = open_page("/explore", java_script_enabled=False)
    page.fill("#q", "P0012")
    page.keyboard.press("Enter")
    page.wait_for_url("**/explore?q=P0012")
    page.click(".card h3 a")
    assert page.locator("#neighbours .card").count() == 24
    assert "needs JavaScript" in page.locator("#near").inner_text()
    page.click("form.filters summary")
    page.select_option("select[name='f.market']", "Paris")
    page.click("form.filters button")
    assert set(page.locator("#neighbours .card .names div:first-child dd").all_inner_texts()) == {"Paris"}
    page.locator("#neighbours h3 a").first.click()
    assert asked(page, "from") == ["P0012"]


def test_signing_in(open_page: Open, shop: Path) -> None:
    with explorer(shop, hostile_recommender(), token=TOKEN) as server:
        page = open_page(listing("P0001"), server=server)
        page.fill("input[name=token]", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#near .own")
        assert page.evaluate("document.cookie") == ""
        page.click("#neighbours .card h3 a")
        page.wait_for_selector("nav.trail")
        page.click("text=Sign out")
        page.wait_for_selector("h1:has-text('Sign in')")
        page.watched.check()
