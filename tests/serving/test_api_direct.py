"""Routes that are called without the framework's routing: the same bytes as with it, whatever is asked."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serving_world import TOKEN

from item2vec.run.load import load_recommender
from item2vec.serving import Engine, ServeSettings, create_app
from item2vec.serving.guard import Guard
from item2vec.serving.logs import LogLines

JSON = (b"content-type", b"application/json")
ALLOWED = (b"authorization", f"Bearer {TOKEN}".encode())
NOW = 1_700_000_000_000_000


class Apps(NamedTuple):
    direct: Guard
    routed: Guard
    ids: list[str]
    log: io.BytesIO
    lines: LogLines


@pytest.fixture(scope="module")
def apps(shop: Path) -> Iterator[Apps]:
    engine = Engine(ServeSettings(run=shop, history="sqlite://", token=TOKEN), load_recommender)
    engine.start()
    log = io.BytesIO()
    lines = LogLines(log)
    direct, routed = (create_app(engine, lines=lines, hot=hot) for hot in (True, False))
    yield Apps(direct, routed, engine.serving.a.loaded.vectors.index_to_key, log, lines)
    engine.stop()
    lines.close()


def ask(app: Guard, path: str, body: list[bytes], headers: list[Any], method: str) -> dict[str, Any]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000"), *headers],
        "server": ("127.0.0.1", 8000),
    }
    waiting = [{"type": "http.request", "body": one, "more_body": True} for one in body]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    asyncio.run(app(scope, receive, send))
    said = dict(sent[0]["headers"])
    own = said.pop(b"x-request-id")
    body_said = b"".join(one.get("body", b"") for one in sent[1:]).replace(own, b"-")
    return {"status": sent[0]["status"], "headers": said, "body": body_said}


def same(apps: Apps, path: str, *body: bytes, headers: Any = (JSON, ALLOWED), method: str = "POST") -> Any:
    answers = [ask(app, path, list(body), list(headers), method) for app in (apps.direct, apps.routed)]
    assert answers[0] == answers[1], (path, body)
    return answers[0]


def test_lists_and_refusals_are_the_same(apps: Apps) -> None:
    one = apps.ids[0]
    events = [{"item_id": one, "ts_us": NOW - 1}, {"item_id": apps.ids[1], "event_type": "skip", "ts_us": 5}]
    asked = [
        ("/v1/recommend", {"events": events, "as_of_us": NOW, "k": 5}, 200),
        ("/v1/recommend", {"events": events, "as_of_us": NOW, "explain": True, "user_id": "u1"}, 200),
        ("/v1/recommend", {"as_of_us": NOW, "where": {"market": "Paris"}, "deny": [one]}, 200),
        ("/v1/recommend", {"events": [{"item_id": "a\x00"}], "as_of_us": NOW}, 422),
        ("/v1/recommend", {"events": events, "history": [one]}, 422),
        ("/v1/recommend", {"k": 0}, 422),
        ("/v1/recommend", {"mode": "nearest"}, 422),
        ("/v1/similar", {"item_ids": [one, "nope"], "k": 3}, 200),
        ("/v1/similar", {}, 422),
        ("/v1/features", {"item_ids": [one, "nope"], "as_of_us": NOW}, 200),
        ("/v1/features", {"item_ids": []}, 422),
    ]
    for path, body, status in asked:
        assert same(apps, path, json.dumps(body).encode())["status"] == status, (path, body)


def test_what_is_no_such_request_is_refused_alike(apps: Apps) -> None:
    for body, headers, status in (
        ([b"{"], (JSON, ALLOWED), 400),
        ([b"\xff"], (JSON, ALLOWED), 400),
        ([b"{}"], (ALLOWED,), 415),
        ([b"{}"], (JSON,), 401),
        ([b"{}"], (JSON, ALLOWED, (b"content-length", b"99999999")), 413),
        ([b" " * 40_000, b" " * 40_000], (JSON, ALLOWED), 413),
        ([b'{"as_of_us":', b"5}"], (JSON, ALLOWED), 200),
    ):
        assert same(apps, "/v1/recommend", *body, headers=headers)["status"] == status
    for method in ("GET", "PUT", "OPTIONS"):
        assert same(apps, "/v1/recommend", method=method)["status"] == 405
    assert same(apps, "/v1/recommend/", b"{}")["status"] == 404
    assert same(apps, "/v1/events", b"{}")["status"] == 422  # by its route: it is not asked all the time


def test_the_log_names_the_route(apps: Apps) -> None:
    for app in (apps.direct, apps.routed):
        ask(app, "/v1/recommend", [b"{}"], [JSON, ALLOWED], "POST")
        ask(app, "/v1/recommend", [b"{"], [JSON, ALLOWED], "POST")
    apps.lines.flush()
    rows = [json.loads(line) for line in apps.log.getvalue().splitlines()][-4:]
    assert [(row["route"], row["status"]) for row in rows] == [
        ("/v1/recommend", 200),
        ("/v1/recommend", 400),
    ] * 2
