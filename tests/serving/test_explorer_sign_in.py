"""Who may see the explorer: a token, a cookie that opens the pages alone, nothing for anybody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from explorer_pages import Page, check_markup
from explorer_world import HOSTILE, Explorer, explorer, hostile_recommender
from serving_world import TOKEN

from item2vec.serving.explorer.sign_in import Pass, way_back


@pytest.fixture(scope="module")
def guarded(shop: Path) -> Iterator[Explorer]:
    with explorer(shop, hostile_recommender(), token=TOKEN) as server:
        yield server


def test_a_token_is_asked_for_once(guarded: Explorer) -> None:
    with httpx.Client(base_url=guarded.url, trust_env=False) as browser:
        first = browser.get("/explore/listing?id=P0001")
        assert first.status_code == 303
        form = browser.get(first.headers["location"])
        assert form.status_code == 200
        check_markup(form.text)
        assert TOKEN not in form.text
        target = next(one["value"] for one in Page(form.text).all("input") if one.get("name") == "next")
        assert target == "/explore/listing?id=P0001"
        wrong = browser.post("/explore/sign-in", data={"token": "wrong", "next": target})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        assert "This is not the token" in check_markup(wrong.text).text
        right = browser.post("/explore/sign-in", data={"token": TOKEN, "next": target})
        assert (right.status_code, right.headers["location"]) == (303, target)
        cookie = right.headers["set-cookie"]
        assert "HttpOnly; SameSite=Strict" in cookie
        assert "Path=/explore;" in cookie
        assert TOKEN not in cookie
        page = browser.get(target)
        assert page.status_code == 200
        assert "Sign out" in page.text
        value = browser.cookies["item2vec_explorer"]
        for path in ("/v1/items", "/metrics", "/explorer"):
            assert browser.get(path, headers={"Cookie": f"item2vec_explorer={value}"}).status_code == 401, (
                path
            )
        assert browser.post("/explore", headers={"Cookie": f"item2vec_explorer={value}"}).status_code == 401
        out = browser.post("/explore/sign-out")
        assert "Max-Age=0" in out.headers["set-cookie"]
        assert browser.get(target).status_code == 303


def test_the_bare_address_leads_to_the_explorer(guarded: Explorer, site: Explorer) -> None:
    with httpx.Client(base_url=guarded.url, trust_env=False) as stranger:
        assert stranger.get("/").status_code == 401
    for reply in (
        guarded.client.get("/", headers={"Authorization": f"Bearer {TOKEN}"}),
        site.client.get("/"),
    ):
        assert (reply.status_code, reply.headers["location"]) == (307, "/explore")


def test_who_has_not_signed_in_is_told_nothing_of_the_catalogue(guarded: Explorer) -> None:
    """Not by the form, and not by its refusals either, which elsewhere lead on to listings."""
    address = "/explore/sign-in"
    replies = [guarded.client.get(address), guarded.client.get(f"{address}?next=%FF")]
    replies += [
        guarded.client.post(address, content=b"x" * 70_000, headers={"Content-Type": kind})
        for kind in ("application/x-www-form-urlencoded", "text/plain")
    ]
    replies.append(guarded.client.post(address, data={"token": "wrong"}))
    assert [one.status_code for one in replies] == [200, 422, 413, 415, 401]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    replies.append(guarded.client.get("/explore", headers=headers))
    release = guarded.engine.serving.a.release.id[:8]
    words = [release, "100 listings", *(" ".join(one.split()) for one in HOSTILE)]
    told = [sum(word in check_markup(one.text).text for word in words) for one in replies]
    assert told[-1] > 20  # they would be seen
    assert told[:-1] == [0] * 5


@pytest.mark.parametrize("value", ["", "x", "9999999999.", "9999999999." + "0" * 64, "1.{mac}", '"', "a;b=c"])
def test_other_cookies_open_nothing(guarded: Explorer, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: -43_199.0)  # a cookie that held until a second after 1970 began
    old = Pass(TOKEN).cookie(secure=True)
    monkeypatch.undo()
    assert "; Secure" in old
    mac = old.partition(";")[0].partition(".")[2]
    headers = {"Cookie": f"item2vec_explorer={value.format(mac=mac)}"}
    for path in ("/explore", "/explore/map.json", "/explore/x"):
        assert guarded.client.get(path, headers=headers).status_code == 303


def test_a_bearer_token_opens_the_pages_too(guarded: Explorer) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.client.get("/explore", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "text",
    ["//evil.example", "https://evil.example/explore", "/explorer", "/explore\\evil", "/explore?\r\nX: y", "",
     "/explore/sign-out", "javascript:alert(1)", "/v1/items"],
)  # fmt: skip
def test_signing_in_leads_to_the_explorer_only(text: str) -> None:
    assert way_back(text) == "/explore"
    assert way_back("/explore/listing?id=a%20b") == "/explore/listing?id=a%20b"
