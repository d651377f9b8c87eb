"""How the explorer looks in Debian's Chromium: maps, widths, contrast, headings, hostile texts."""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import urlencode

import pytest
from explorer_browser import Open, listing
from explorer_world import HOSTILE


def test_the_embedding_map(open_page: Open) -> None:
    page = open_page("/explore/map")
    page.wait_for_selector("#plane:not([hidden]) canvas[data-ms]")
    painted = """() => {
        const c = document.createElement("canvas"), own = document.getElementById("plane-canvas");
        [c.width, c.height] = [own.width, own.height];
        const pen = c.getContext("2d", { willReadFrequently: true });
        pen.drawImage(own, 0, 0);
        const d = pen.getImageData(0, 0, c.width, c.height).data, seen = new Set();
        for (let i = 0; i < d.length; i += 4)
            if (d[i + 3] > 200) seen.add(d[i] + "," + d[i+1] + "," + d[i+2]);
        return [...seen].sort().join(" "); }"""
    by_market = page.evaluate(painted)
    assert len(by_market.split()) >= 3
    assert "<b>Bologna</b>" in page.locator("#plane-legend").inner_text()
    page.select_option("#plane-by", label="price")
    page.wait_for_timeout(80)
    assert page.evaluate(painted) != by_market
    assert page.locator("#plane-legend").inner_text().count("half are below") == 1
    page.focus("#plane-canvas")
    for key in ("+", "+", "ArrowLeft", "-", "0"):
        page.keyboard.press(key)
    for _ in range(12):
        if page.locator("#plane-at").inner_text():
            break
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("-")
    page.keyboard.press("Enter")
    page.wait_for_url("**/explore/listing?id=**")


LEGEND = {
    "n": 12,
    "of": 12,
    "share": 0.5,
    "size": 10_000,
    "ids": [f"P{one:04d}" for one in range(12)],
    "x": [800 * one for one in range(12)],
    "y": [5000] * 12,
    "colours": [
        {
            "by": "market",
            "names": [f"A market of a name that is far too long for its place {one}" for one in range(10)],
            "codes": [*range(10), -1, -2],
        },
        {"by": "price", "ends": [12.5, 6_543_210.25, 9_876_543.25], "codes": [*range(0, 96, 8)]},
    ],
}


@pytest.mark.parametrize("width", [1400, 390])
def test_the_map_s_legend_is_whole_or_says_that_it_is_cut(open_page: Open, width: int) -> None:
    page = open_page("/explore", viewport={"width": width, "height": 900})
    page.route("**/map.json", lambda route: route.fulfill(json=LEGEND))
    page.click("#nav a:has-text('Map')")
    page.wait_for_selector("#plane:not([hidden]) canvas[data-ms]")
    told = """() => [...document.querySelectorAll("#plane-legend span")].map((one) =>
        [one.scrollWidth > one.clientWidth, getComputedStyle(one).textOverflow,
         one.title === one.textContent])"""
    names = page.evaluate(told)
    assert names[0] == [True, "ellipsis", True]
    assert len(names) == 12
    fills = """() => [...document.querySelectorAll("#plane-legend rect")].map((one) => {
        const pen = document.createElement("canvas").getContext("2d");
        pen.fillStyle = one.getAttribute("fill"); return pen.fillStyle; })"""
    *colours, others, unknown = map(channels, page.evaluate(fills))
    for one in (*colours, unknown):  # two greys were 63 apart
        assert sum(abs(a - b) for a, b in zip(one, others, strict=True)) > 70, (one, others)
    page.select_option("#plane-by", label="price")
    (whole,) = page.evaluate(told)
    assert whole[0] is False
    assert page.locator("#plane-legend").inner_text().endswith("(half are below 6,543,210.25)")
    outside = """() => Math.max(...[...document.querySelectorAll("#plane-legend *")].map((one) =>
        one.getBoundingClientRect().right)) > innerWidth"""
    assert not page.evaluate(outside)


def channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def test_many_points_are_painted_as_pixels(open_page: Open) -> None:
    """Above 5,000 points the map writes pixels: they lie where the shapes of fewer points would."""
    n = 6000
    facts = {"n": n, "of": n, "share": 0.5, "size": 10_000, "ids": [f"P{one % 70:04d}" for one in range(n)]}
    points = facts | {
        "x": [10_000 * (one % 2) for one in range(n)],
        "y": [one % 3 * 5000 for one in range(n)],
        "colours": [{"by": "half", "names": ["left", "right"], "codes": [one % 2 for one in range(n)]}],
    }
    page = open_page("/explore")
    page.route("**/map.json", lambda route: route.fulfill(json=points))
    page.click("#nav a:has-text('Map')")
    page.wait_for_selector("#plane:not([hidden]) canvas[data-ms]")
    found = page.evaluate(
        """() => { const own = document.getElementById("plane-canvas"), c = document.createElement("canvas");
        [c.width, c.height] = [own.width, own.height];
        const pen = c.getContext("2d", { willReadFrequently: true });
        pen.drawImage(own, 0, 0);
        const d = pen.getImageData(0, 0, c.width, c.height).data, seen = {};
        for (let i = 0; i < d.length; i += 4) {
            if (!d[i + 3]) continue;
            const key = d[i] + "," + d[i + 1] + "," + d[i + 2];
            const x = (i / 4) % c.width, y = Math.floor(i / 4 / c.width);
            const box = seen[key] = seen[key] || [x, x, y, y];
            [box[0], box[1]] = [Math.min(box[0], x), Math.max(box[1], x)];
            [box[2], box[3]] = [Math.min(box[2], y), Math.max(box[3], y)];
        }
        return [seen, c.width, c.height]; }"""
    )
    boxes, width, height = found
    assert len(boxes) == 2
    left, right = sorted(boxes.values())
    assert left[1] - left[0] < 12  # one column of points each
    assert right[1] - right[0] < 12
    assert abs((right[0] - left[0]) - (right[3] - right[2])) < 12  # the plane keeps its shape
    assert left[2] > 10
    assert right[3] < height - 10
    assert 0 < left[0] < right[1] < width


@pytest.mark.parametrize(
    "path", ["/explore", listing("P0009"), "/explore/journey?click=P0009", "/explore/map"]
)
def test_a_phone_s_width(open_page: Open, path: str) -> None:
    page = open_page(path, viewport={"width": 360, "height": 740}, has_touch=True)
    small = """() => [...document.querySelectorAll("#nav a, .readings a, .search input, main button")]
        .filter((one) => one.offsetHeight && one.offsetHeight < 24).map((one) => one.outerHTML)"""
    assert page.evaluate(small) == []
    outside = """() => [...document.querySelectorAll("main h1, .card, .near, .plane-ground, .readings")]
        .filter((one) => one.getBoundingClientRect().right > innerWidth).length"""
    assert page.evaluate(outside) == 0


@pytest.mark.parametrize(
    "path", ["/explore", "/explore?q=P00", listing("P0009"), "/explore/journey?click=P0009"]
)
def test_headings_labels_and_landmarks(open_page: Open, path: str) -> None:
    page = open_page(path)
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    nameless = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, [role]")]
        .filter((one) => one.role !== "status" && ![one, ...(one.labels || [])].some((text) =>
            text.textContent.trim() || text.getAttribute("aria-label"))).map((one) => one.outerHTML)"""
    assert page.evaluate(nameless) == []
    assert page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)").count("told") == 1
    twice = (
        "(all => all.length - new Set(all).size)([...document.querySelectorAll('[id]')].map((one) => one.id))"
    )
    assert page.evaluate(twice) == 0


def luminance(colour: str) -> float:
    parts = [int(one) / 255 for one in re.findall(r"\d+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_by_day_and_night(open_page: Open, scheme: str) -> None:
    page = open_page(listing("P0009"), color_scheme=scheme)
    style = "(name) => getComputedStyle(document.querySelector(name))"
    ground = luminance(page.evaluate(f"({style})('body').backgroundColor"))
    assert (ground < 0.05) == (scheme == "dark")
    for name in ("h1", ".what", ".card h3 a", ".card .numbers dt", "#nav a", "summary", "footer p"):
        ink = luminance(page.evaluate(f"({style})('{name}').color"))
        assert contrast(ink, ground) >= 4.5, name
    edge, inside = (page.evaluate(f"({style})('#q').{name}Color") for name in ("border", "background"))
    assert min(contrast(luminance(edge), one) for one in (ground, luminance(inside))) >= 3  # where fields end


def test_hostile_texts_execute_nothing_and_break_nothing(open_page: Open) -> None:
    page = open_page("/explore")
    origin = page.watched.origin
    spilt = """() => [...document.querySelectorAll(".card, .hero, .trail")].filter((one) =>
        one.offsetHeight > (one.matches(".hero") ? 460 : 260) ||
        one.getBoundingClientRect().right > innerWidth).map((one) => one.className)"""
    assert len(HOSTILE) == 30
    for item_id, before in zip(HOSTILE[::2], HOSTILE[1::2], strict=True):
        page.goto(origin + listing(item_id, **{"from": before, "f.listing_type": "Room"}))
        assert page.locator("nav.trail a").count() == 1
        title = page.locator(".hero h1").text_content().strip()
        assert title == item_id.strip() or (title[-1] == "…" and item_id.strip().startswith(title[:150]))
        page.evaluate("document.querySelector('#neighbours .card h3 a').focus()")
        assert page.locator(".leaflet-tooltip").count() >= 1
        for width in (1200, 360):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(spilt) == []
            page.watched.check()
    page.goto(origin + listing("P0000"))  # its title has ten kilobytes
    assert page.evaluate(spilt) == []
    page.goto(origin + "/explore/journey?" + urlencode([("click", one) for one in HOSTILE[:9]]))
    page.watched.check()
    page.goto(origin + "/explore")
    page.fill("#q", HOSTILE[0])
    page.wait_for_selector("h1:has-text('1 listing')")
