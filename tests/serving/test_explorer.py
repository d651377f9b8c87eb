"""The explorer's pages as a server sends them: escaped, without scripts of their own, of use without any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from explorer_pages import Page, check_markup, get, query_of, steps_of
from explorer_world import HOSTILE, LONG_TITLE, N_PLAIN, Explorer, explorer, hostile_recommender

from item2vec.recommendations import UserHistory
from item2vec.serving.found import Wanted
from item2vec.serving.puts import Put


@pytest.fixture(scope="module")
def hostile(shop: Path) -> Iterator[Explorer]:
    with explorer(shop, hostile_recommender()) as server:
        yield server


@pytest.fixture(scope="module")
def bare(shop: Path) -> Iterator[Explorer]:
    with explorer(shop, hostile_recommender(with_items=False)) as server:
        yield server


@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_hostile_ids_and_titles_are_texts(hostile: Explorer, place: int) -> None:
    item_id = HOSTILE[place]
    shown = " ".join(item_id.split())[:39]
    own = get(hostile, "/explore/listing", id=item_id)
    assert shown in own.text
    home = get(hostile, "/explore", q=item_id)
    addresses = {query_of(one)["id"] for one in home.links("/explore/listing")}
    assert item_id in addresses
    walked = get(hostile, "/explore/listing", **{"id": "P0001", "from": item_id, "f.market": item_id})
    assert shown in walked.text
    journey = get(hostile, "/explore/journey", click=[item_id, "P0001"], q=item_id)
    assert shown in journey.text
    assert get(hostile, "/explore/listing", 404, id=item_id + "!").text  # unknown: not repeated


def test_a_title_of_ten_kilobytes_is_cut(hostile: Explorer) -> None:
    reply = hostile.client.get("/explore/listing", params={"id": "P0000"})
    assert LONG_TITLE[:150] in reply.text
    assert LONG_TITLE[:170] not in reply.text


def test_the_check_above_would_see_markup() -> None:
    for bad in ('<p onclick="x">', "<script>1</script>", "<img>", '<a href="//evil">', '<p style="x">'):
        with pytest.raises((AssertionError, KeyError)):
            check_markup(bad)


def test_each_form_works_without_javascript(hostile: Explorer) -> None:
    """Every form is filled in as its page gives it and sent as a browser without scripts would."""
    page = get(hostile, "/explore/listing", **{"id": "P0003", "from": ["P0001", "P0002"], "mode": "next"})
    hidden = [(one["name"], one["value"]) for one in page.all("input") if one.get("type") == "hidden"]
    assert hidden == [("id", "P0003"), ("mode", "next"), ("from", "P0001"), ("from", "P0002")]
    empty = [(one["name"], one.get("value", "")) for one in page.all("input") if "f." in one.get("name", "")]
    assert ("f.min_price", "") in empty
    sent = [pair for pair in [*hidden, *empty] if pair[0] != "f.max_price"] + [("f.max_price", "90")]
    found = get(hostile, "/explore/listing?" + urlencode([*sent, ("f.market", "Paris")]))
    steps = steps_of(found, "P0003")
    lookups = hostile.engine.serving.a
    rows = [lookups.item(query_of(one)["id"])["attributes"] for one in steps]
    assert rows
    assert all(one["market"] == "Paris" and one["price"] <= 90 for one in rows)
    assert all("f.max_price=90" in one and "f.market=Paris" in one for one in steps)
    assert all(
        tag["method"] in ("get", "post") and tag["action"].startswith("/explore") for tag in found.all("form")
    )


def test_a_walk_keeps_its_path(hostile: Explorer) -> None:
    address = "/explore/listing?id=P0001"
    for _ in range(3):
        been = query_of(address)
        steps = steps_of(get(hostile, address), been["id"])
        plain = [one for one in steps if query_of(one)["id"].startswith("P")]
        address = next(one for one in plain if query_of(one)["id"] not in been.get_list("from"))
    path = query_of(address).get_list("from")
    assert path[0] == "P0001"
    assert len(path) == 3
    links = [query_of(one) for one in get(hostile, address).links("/explore/listing?id=")]
    assert [one["id"] for one in links[:3]] == path
    assert [one.get_list("from") for one in links[:3]] == [[], path[:1], path[:2]]


def test_readings_differ_and_neighbours_are_those_of_the_library(hostile: Explorer) -> None:
    rec = hostile.engine.serving.a.loaded
    for mode in ("similar", "next"):
        page = get(hostile, "/explore/listing", id="P0007", mode=mode)
        walked = [query_of(one)["id"] for one in steps_of(page, "P0007")]
        ids, _ = rec.similar_items("P0007", 24, mode=mode)  # type: ignore[arg-type]
        assert walked == list(ids)


def test_a_journey_moves(hostile: Explorer) -> None:
    first = get(hostile, "/explore/journey")
    assert "what everyone likes" in first.text
    one = get(hostile, "/explore/journey", click="P0001")
    last = query_of(one.links("/explore/journey?")[-12]).get_list("click")[-1]  # recommended first
    two = get(hostile, "/explore/journey", click=["P0001", last])
    recommended = [
        [query_of(one).get_list("click")[-1] for one in page.links("/explore/journey?") if "click=" in one][
            -12:
        ]
        for page in (first, one, two)
    ]
    assert len({tuple(several) for several in recommended}) == 3
    assert "P0001" not in recommended[1]
    before, after = (
        _recommended(hostile, clicks, k) for clicks, k in ((["P0001"], 24), (["P0001", last], 12))
    )
    before.remove(last)  # that others follow where it left the list is no move
    assert recommended[2] == after
    ups = [before.index(one) - place if one in before else None for place, one in enumerate(after)]
    moves = [one["class"].split()[1] for one in two.all("p") if one.get("class", "").startswith("move ")]
    assert moves == ["new" if up is None else "same" if not up else "up" if up > 0 else "down" for up in ups]
    words = [f"▲ {up}" if up > 0 else f"▼ {-up}" for up in ups if up]
    assert re.findall(r"▲ \d+|▼ \d+", two.text) == words
    assert len(set(moves)) > 2
    gone = get(hostile, "/explore/journey", click=["P0001", "gone"])
    assert "1 of these is not listed, or put since the release, and counts for nothing" in gone.text


def _recommended(server: Explorer, clicks: list[str], k: int) -> list[object]:
    found = server.engine.serving.a.recommend(UserHistory.of_clicks(clicks), Wanted(k, "next")).found
    return list(found.ids)


def test_what_is_not_there_is_said_and_leads_on(hostile: Explorer) -> None:
    for path, query in (("/explore/listing", {"id": "nobody"}), ("/explore/nothing", {})):
        page = get(hostile, path, 404, **query)
        assert "Not here" in page.text
        assert page.links("/explore/listing?id=")
    assert "This cannot be shown" in get(hostile, "/explore/listing", 422).text
    assert "This cannot be shown" in get(hostile, "/explore?q=%FF", 422).text
    assert "No listing for" in get(hostile, "/explore", q="zzzzzz").text
    wrong = get(hostile, "/explore/listing", **{"id": "P0001", "f.min_price": "cheap"})
    assert "A filter does not fit: price is a number" in wrong.text
    assert "Clear filters" in wrong.text
    none = get(hostile, "/explore/listing", **{"id": "P0001", "f.min_price": "99999"})
    assert "No listing meets this" in none.text


def test_titles_are_searched_too(hostile: Explorer) -> None:
    assert "P0012" in get(hostile, "/explore", q="flat NUMBER 11").text


def test_what_is_put_live_is_found_by_its_title_of_now(shop: Path) -> None:
    """Beside the index and, after a rebuild, in it; what was removed is found no more."""
    with explorer(shop, hostile_recommender()) as server:
        engine = server.engine
        live = engine.serving.a.live

        def found(text: str) -> list[str]:
            addresses = get(server, "/explore", q=text).links("/explore/listing")
            ids = {query_of(one)["id"] for one in addresses}
            added = get(server, "/explore/journey", q=text).links("/explore/journey?")
            assert {query_of(one).get("click") for one in added} >= ids
            return sorted(ids)

        assert found("flat number 11") == ["P0012"]
        engine.inventory.put("fresh", Put({"title": "A  Lighthouse\n<b>by</b> the sea"}, like=("P0002",)))
        engine.inventory.put("P0012", Put({"title": "A windmill"}))
        engine.inventory.remove("P0013")
        for _ in range(2):
            assert found("lighthouse <B>by") == ["fresh"]
            assert found("windMILL") == ["P0012"]
            assert found("flat number 11") == found("flat number 12") == found("P0013") == []
            assert found("fres") == ["fresh"]
            walked = get(server, "/explore/listing", **{"id": "P0001", "from": "fresh"})
            assert "A Lighthouse <b>by</b> the sea" in walked.text
            live.rebuild().result(30)
        assert live.base is not engine.serving.a.loaded


def test_without_an_item_table(bare: Explorer) -> None:
    page = get(bare, "/explore")
    assert "no item table" in page.text
    listing = get(bare, "/explore/listing", id="P0001")
    assert "No coordinates are known" in listing.text
    assert len(steps_of(listing, "P0001")) == 24
    assert not [one for one in listing.all("form") if one.get("aria-label") == "Filters"]
    points = bare.client.get("/explore/map.json").json()
    assert [one["by"] for one in points["colours"]] == ["clicks"]
    assert points["titles"] is None
    assert "a filter" in get(bare, "/explore/listing", **{"id": "P0001", "f.market": "x"}).text.lower()


def test_without_coordinates(shop: Path) -> None:
    with explorer(shop, hostile_recommender(with_places=False)) as server:
        page = get(server, "/explore/listing", id="P0001")
    assert "No coordinates are known" in page.text
    assert not [one for one in page.all("div") if one.get("id") == "near"]


def test_an_empty_catalogue(shop: Path) -> None:
    with explorer(shop, hostile_recommender()) as server:
        for item_id in server.engine.serving.a.names.ids[1:]:
            server.engine.inventory.remove(item_id)
        assert "nothing else is served" in get(server, "/explore/listing", id=HOSTILE[0]).text
        server.engine.inventory.remove(HOSTILE[0])
        assert "The catalogue is empty" in get(server, "/explore").text
        assert "Nothing is left to recommend" in get(server, "/explore/journey").text
        get(server, "/explore/listing", 404, id="P0001")


def test_the_map_s_points(hostile: Explorer) -> None:
    found = hostile.client.get("/explore/map.json")
    assert found.headers["content-type"] == "application/json"
    points = found.json()
    n = len(HOSTILE) + N_PLAIN
    assert points["n"] == points["of"] == len(points["x"]) == len(points["y"]) == len(set(points["ids"])) == n
    assert max(max(points["x"]), max(points["y"])) == points["size"]
    assert [one["by"] for one in points["colours"]] == ["market", "listing type", "price", "clicks"]
    assert all(len(one["codes"]) == n for one in points["colours"])
    market, price = points["colours"][0], points["colours"][2]
    row = hostile.engine.serving.a.item(points["ids"][40])["attributes"]
    assert points["titles"][40] == row["title"][:60]
    assert market["names"][market["codes"][40]] == row["market"]
    assert price["ends"][0] <= row["price"] <= price["ends"][2]


def test_what_was_removed_is_not_on_the_map(shop: Path) -> None:
    """Beside the index and after a rebuild; the other points stay where they are."""

    def points(server: Explorer) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
        found = server.client.get("/explore/map.json").json()
        columns = [found[name] for name in ("x", "y", "titles")] + [one["codes"] for one in found["colours"]]
        assert {len(one) for one in columns} == {found["n"]}
        return found, dict(zip(found["ids"], zip(*columns, strict=True), strict=True))

    with explorer(shop, hostile_recommender()) as server:
        inventory, live = server.engine.inventory, server.engine.serving.a.live
        whole, places = points(server)
        inventory.remove("P0013")
        inventory.put("P0012", Put({"title": "A windmill"}))
        inventory.put("fresh", Put(like=("P0002",)))
        del places["P0013"]
        for _ in range(2):
            found, left = points(server)
            assert left == places
            assert found["n"] == found["of"] == whole["n"] - 1
            live.rebuild().result(30)
        inventory.remove("P0014")
        assert "P0014" not in points(server)[1]


def test_files_are_only_those_of_the_page(hostile: Explorer) -> None:
    page = Page(hostile.client.get("/explore").text)
    files = [one["src"] for one in page.all("script")] + [one["href"] for one in page.all("link")]
    assert len(files) >= 8
    for one in files:
        reply = hostile.client.get(one)
        assert reply.status_code == 200
        assert "immutable" in reply.headers["cache-control"]
        assert "http://" not in reply.text.replace("http://www.w3.org/", "") or "vendor" in one
    for other in ("../routes.py", "%2e%2e/routes.py", "vendor/README.md", "", "vendor/leaflet/LICENSE"):
        assert hostile.client.get(f"/explore/static/{other}").status_code == 404


def test_bars_are_cosines_or_shares_of_the_best(hostile: Explorer) -> None:
    def widths(page: Page) -> list[float]:
        return [float(one["width"]) for one in page.all("rect") if one["class"] == "value"]

    lookups = hostile.engine.serving.a
    _, scores = lookups.loaded.similar_items("P0001", 24)
    assert widths(get(hostile, "/explore/listing", id="P0001")) == [
        round(100 * one, 1) for one in scores.tolist()
    ]
    for mode in lookups.modes:
        blended = widths(get(hostile, "/explore/journey", click=["P0001", "P0002"], mode=mode))
        assert blended[0] == 100
        assert blended == sorted(blended, reverse=True)
        assert blended[-1] < 95


def test_where_changes_are_tested_chromium_is_too() -> None:
    ci = (Path(__file__).parents[2] / ".ci" / "run").read_text()
    before = ci[: ci.index("make test\n")]
    assert re.search(r"for tool in [^;]*\bchromium\b", before)
    assert "export ITEM2VEC_REQUIRE_CHROMIUM=1\n" in before


def test_pages_are_no_lists_that_were_served(hostile: Explorer) -> None:
    get(hostile, "/explore/listing", id="P0001")
    schema = hostile.client.get("/openapi.json").json()
    assert not [path for path in schema["paths"] if path.startswith("/explore")]
    rows = [json.loads(line) for line in hostile.log.getvalue().splitlines() if b'"request"' in line]
    assert all(row["results"] is None for row in rows if row["route"].startswith("/explore"))
