"""Junk of every kind: refused with 4xx, small, fast, and never with anything of the request in it."""

from __future__ import annotations

import json
import socket
import time

import pytest
from serving_world import HEADERS, TOKEN, ServerProcess

SECRET = "zq7SECRETzq7"
SIMILAR, EVENTS = "/v1/similar", "/v1/events"


def body_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


BODIES = {
    "no JSON": (SIMILAR, b"not json " + SECRET.encode()),
    "nothing": (SIMILAR, b""),
    "null": (SIMILAR, b"null"),
    "a list": (SIMILAR, b"[1]"),
    "NaN": (SIMILAR, b'{"vector": [NaN, 1, 1, 1, 1, 1, 1, 1]}'),
    "Infinity": (SIMILAR, b'{"vector": [Infinity, 1, 1, 1, 1, 1, 1, 1]}'),
    "-Infinity": (SIMILAR, b'{"vector": [-Infinity, 1, 1, 1, 1, 1, 1, 1]}'),
    "1e400": (SIMILAR, b'{"vector": [1e400, 1, 1, 1, 1, 1, 1, 1]}'),
    "huge": (SIMILAR, b'{"vector": [1e300, 1, 1, 1, 1, 1, 1, 1]}'),
    "zero vector": (SIMILAR, b'{"vector": [0, 0, 0, 0, 0, 0, 0, 0]}'),
    "short vector": (SIMILAR, b'{"vector": [1, 2]}'),
    "texts in a vector": (SIMILAR, b'{"vector": ["1", "2"]}'),
    "lone surrogate": (SIMILAR, b'{"item_ids": ["\\ud800"]}'),
    "lone surrogate in a key": (SIMILAR, b'{"where": {"\\udfff": 1}, "item_ids": ["a"]}'),
    "raw surrogate": (SIMILAR, body_of('{"item_ids": ["\ud800"]}')),
    "bad UTF-8": (SIMILAR, b'{"item_ids": ["\xff\xfe"]}'),
    "UTF-16": (SIMILAR, '{"item_ids": ["a"]}'.encode("utf-16")),
    "deep lists": (SIMILAR, b"[" * 30_000 + b"]" * 30_000),
    "deep objects": (SIMILAR, b'{"where":' * 7000 + b"1" + b"}" * 7000),
    "deep value": (SIMILAR, b'{"item_ids": ["a"], "where": {"market": ' + b"[" * 9000 + b"]" * 9000 + b"}}"),
    "endless integer": (SIMILAR, b'{"item_ids": ["a"], "k": ' + b"9" * 5000 + b"}"),
    "endless integer in a filter": (
        SIMILAR,
        b'{"item_ids": ["a"], "where": {"price": ' + b"9" * 5000 + b"}}",
    ),
    "endless fraction": (SIMILAR, b'{"vector": [0.' + b"9" * 60_000 + b"]}"),
    "k true": (SIMILAR, b'{"item_ids": ["a"], "k": true}'),
    "k 0": (SIMILAR, b'{"item_ids": ["a"], "k": 0}'),
    "k -1": (SIMILAR, b'{"item_ids": ["a"], "k": -1}'),
    "k 1e20": (SIMILAR, b'{"item_ids": ["a"], "k": 1e20}'),
    "k 10**20": (SIMILAR, b'{"item_ids": ["a"], "k": 100000000000000000000}'),
    "k 5.0": (SIMILAR, b'{"item_ids": ["a"], "k": 5.0}'),
    "k text": (SIMILAR, b'{"item_ids": ["a"], "k": "5"}'),
    "k 201": (SIMILAR, b'{"item_ids": ["a"], "k": 201}'),
    "k null": (SIMILAR, b'{"item_ids": ["a"], "k": null}'),
    "101 ids": (SIMILAR, json.dumps({"item_ids": ["a"] * 101}).encode()),
    "no ids": (SIMILAR, b'{"item_ids": []}'),
    "empty id": (SIMILAR, b'{"item_ids": [""]}'),
    "NUL in an id": (SIMILAR, b'{"item_ids": ["a\\u0000"]}'),
    "long id": (SIMILAR, json.dumps({"item_ids": ["a" * 257]}).encode()),
    "id is a list": (SIMILAR, b'{"item_ids": [["a"]]}'),
    "id is true": (SIMILAR, b'{"item_ids": [true]}'),
    "id is a number": (SIMILAR, b'{"item_ids": [1]}'),
    "id is null": (SIMILAR, b'{"item_ids": [null]}'),
    "two questions": (SIMILAR, b'{"item_ids": ["a"], "vector": [1]}'),
    "unknown key": (SIMILAR, f'{{"item_ids": ["a"], "{SECRET}": 1}}'.encode()),
    "unknown column": (SIMILAR, f'{{"item_ids": ["a"], "where": {{"{SECRET}": 1}}}}'.encode()),
    "text for a number": (SIMILAR, f'{{"item_ids": ["a"], "where": {{"price": "{SECRET}"}}}}'.encode()),
    "number for a text": (SIMILAR, b'{"item_ids": ["a"], "where": {"market": 5}}'),
    "range of texts": (SIMILAR, b'{"item_ids": ["a"], "where": {"market": {"min": "a"}}}'),
    "empty range": (SIMILAR, b'{"item_ids": ["a"], "where": {"price": {"min": 9, "max": 1}}}'),
    "unknown mode": (SIMILAR, f'{{"item_ids": ["a"], "mode": "{SECRET}"}}'.encode()),
    "unknown attributes": (SIMILAR, b'{"attributes": {"market": "Nowhere"}}'),
    "no such attribute": (SIMILAR, f'{{"attributes": {{"{SECRET}": 1}}}}'.encode()),
    "unknown event type": (
        EVENTS,
        f'{{"user_id":"u","events":[{{"item_id":"a","event_type":"{SECRET}"}}]}}'.encode(),
    ),
    "time true": (EVENTS, b'{"user_id":"u","events":[{"item_id":"a","ts_us":true}]}'),
    "time negative": (EVENTS, b'{"user_id":"u","events":[{"item_id":"a","ts_us":-1}]}'),
    "time far ahead": (EVENTS, b'{"user_id":"u","events":[{"item_id":"a","ts_us":4000000000000000000}]}'),
    "time endless": (EVENTS, b'{"user_id":"u","events":[{"item_id":"a","ts_us":1e30}]}'),
    "stay NaN": (EVENTS, b'{"user_id":"u","events":[{"item_id":"a","dwell_seconds":NaN}]}'),
    "stay negative": (EVENTS, b'{"user_id":"u","events":[{"item_id":"a","dwell_seconds":-1}]}'),
    "no events": (EVENTS, b'{"user_id":"u","events":[]}'),
    "user NUL": (EVENTS, b'{"user_id":"\\u0000","events":[{"item_id":"a"}]}'),
    "user long": (EVENTS, json.dumps({"user_id": "u" * 300, "events": [{"item_id": "a"}]}).encode()),
    "501 events": (EVENTS, json.dumps({"user_id": "u", "events": [{"item_id": "a"}] * 501}).encode()),
    "weights negative": ("/v1/recommend", b'{"history": [], "weights": {"click": -1}}'),
    "weights huge": ("/v1/recommend", b'{"history": [], "weights": {"half_life_days": 0}}'),
    "both histories": ("/v1/recommend", b'{"history": [], "events": []}'),
    "features of nothing": ("/v1/features", b'{"item_ids": []}'),
    "a large body": (SIMILAR, b'{"item_ids": ["' + b"a" * 70_000 + b'"]}'),
}


def answer(server: ServerProcess, head: bytes, body: bytes = b"") -> tuple[int, bytes, float]:
    started = time.perf_counter()
    reply = server.raw(head + body, 8)
    seconds = time.perf_counter() - started
    status, _, text = reply.partition(b"\r\n\r\n")
    return int(status.split(b" ", 2)[1]), text, seconds


def head_of(method: str, target: bytes, *headers: str) -> bytes:
    lines = ["Host: x", f"Authorization: Bearer {TOKEN}", "Connection: close", *headers]
    return method.encode() + b" " + target + b" HTTP/1.1\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies_are_refused_in_few_words(server: ServerProcess, name: str) -> None:
    path, body = BODIES[name]
    started = time.perf_counter()
    reply = server.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert len(reply.content) <= 4096
    assert SECRET not in reply.text
    problem = reply.json()
    assert problem["status"] == reply.status_code
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert time.perf_counter() - started < 5  # no clock of a machine: a hang


TARGETS = {
    "dots": (b"/v1/items/%2e%2e/similar", {404}),
    "dots and a slash": (b"/v1/items/%2e%2e%2f%2e%2e%2fetc%2fpasswd/similar", {404}),
    "NUL": (b"/v1/items/%00/similar", {422}),
    "CR LF": (b"/v1/items/a%0d%0aX-Evil:%201/similar", {422}),
    "bad UTF-8": (b"/v1/items/%ff%fe/similar", {422}),
    "encoded surrogate": (b"/v1/items/%ed%a0%80/similar", {422}),
    "broken escape": (b"/v1/items/%zz/similar", {404}),
    "long id": (b"/v1/items/" + b"a" * 300 + b"/similar", {422}),
    "no id": (b"/v1/items//similar", {404, 422}),
    "60 kB": (b"/v1/items/" + b"a" * 60_000 + b"/similar", {414}),
    "60 kB of query": (b"/v1/items/a/similar?k=" + b"1" * 60_000, {414}),
    "70 kB": (b"/" + b"a" * 70_000, {400, 414, 431}),
    **{
        f"k={text.decode()}": (b"/v1/items/a/similar?k=" + text, {422})
        for text in (
            b"true",
            b"0",
            b"-1",
            b"1e20",
            b"100000000000000000000",
            b"",
            b"201",
            b"%D9%A3",
            b"5.0",
            b"+5",
        )
    },
    "k twice": (b"/v1/items/a/similar?k=1&k=2", {422}),
    "k NaN": (b"/v1/items/a/similar?k=NaN", {422}),
    "unknown filter": (b"/v1/items/a/similar?" + SECRET.encode() + b"=1", {422}),
    "price NaN": (b"/v1/items/a/similar?min_price=nan", {422}),
    "price inf": (b"/v1/items/a/similar?min_price=inf", {422}),
    "price text": (b"/v1/items/a/similar?price=" + SECRET.encode(), {422}),
    "price endless": (b"/v1/items/a/similar?price=" + b"9" * 3000, {422}),
    "market range": (b"/v1/items/a/similar?min_market=a", {422}),
    "bad query": (b"/v1/items/a/similar?market=%ff", {422}),
    "mode": (b"/v1/items/a/similar?mode=" + SECRET.encode(), {422}),
    "search NUL": (b"/v1/items?q=%00", {422}),
    "search twice": (b"/v1/items?q=a&q=b", {422}),
    "search unknown": (b"/v1/items?x=a", {422}),
    "user NUL": (b"/v1/users/%00/recommend", {422}),
    "explain": (b"/v1/users/u/recommend?explain=1", {422}),
    "seen": (b"/v1/users/u/recommend?filter_seen=" + SECRET.encode(), {422}),
    "nowhere": (b"/" + SECRET.encode(), {404}),
    "docs": (b"/docs", {404}),
    "star": (b"*", {400, 404}),
    "double slash": (b"//v1/model", {400, 404}),
    "dot segments": (b"/v1/../v1/model", {404}),
}


@pytest.mark.parametrize("name", TARGETS)
def test_bad_addresses_are_refused_in_few_words(server: ServerProcess, name: str) -> None:
    target, statuses = TARGETS[name]
    status, text, _ = answer(server, head_of("GET", target))
    assert status in statuses, text
    assert len(text) <= 4096
    assert SECRET.encode() not in text


HEADS = {
    "no such method": (head_of("BREW", b"/v1/model"), {400, 405}),
    "wrong method": (head_of("POST", b"/v1/model", "Content-Length: 0"), {405}),
    "no content type": (head_of("POST", b"/v1/similar", "Content-Length: 2") + b"{}", {415}),
    "a form": (
        head_of(
            "POST", b"/v1/similar", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 3"
        )
        + b"a=b",
        {415},
    ),
    "two lengths": (
        head_of(
            "POST", b"/v1/similar", "Content-Type: application/json", "Content-Length: 2", "Content-Length: 3"
        )
        + b"{}",
        {400},
    ),
    "length −1": (
        head_of("POST", b"/v1/similar", "Content-Type: application/json", "Content-Length: -1") + b"{}",
        {400},
    ),
    "length and chunks": (
        head_of(
            "POST",
            b"/v1/similar",
            "Content-Type: application/json",
            "Content-Length: 2",
            "Transfer-Encoding: chunked",
        )
        + b"0\r\n\r\n",
        {400, 422},
    ),
    "length and broken chunks": (
        head_of(
            "POST",
            b"/v1/similar",
            "Content-Type: application/json",
            "Content-Length: 2",
            "Transfer-Encoding: chunked",
        )
        + b"{}",
        {400},
    ),
    "no HTTP": (b"hello\r\n\r\n", {400}),
    "header with NUL": (head_of("GET", b"/v1/model", "X-A: a\0b"), {400}),
    "a thousand headers": (head_of("GET", b"/v1/model", *(f"X-{n}: 1" for n in range(1000))), {400, 431}),
}


@pytest.mark.parametrize("name", HEADS)
def test_bad_heads_are_refused(server: ServerProcess, name: str) -> None:
    request, statuses = HEADS[name]
    status, text, _ = answer(server, request)
    assert status in statuses, text
    assert len(text) <= 4096


def test_ten_megabytes_are_refused_while_they_stream(server: ServerProcess) -> None:
    size = 10_000_000
    head = head_of("POST", b"/v1/similar", "Content-Type: application/json", f"Content-Length: {size}")
    status, _, seconds = answer(server, head, b"a" * size)
    assert status == 413
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    head = head_of("POST", b"/v1/similar", "Content-Type: application/json", "Transfer-Encoding: chunked")
    status, text, more = answer(server, head, chunk * 150 + b"0\r\n\r\n")
    assert status == 413, text
    assert seconds < 7
    assert more < 7
    assert server.client.get("/readyz").status_code == 200


def test_who_sends_a_body_that_nobody_reads_is_told_that_the_connection_ends(server: ServerProcess) -> None:
    """Or their next request would go into a connection that is being closed."""
    body = b'{"item_ids": ["' + b"a" * 60_000 + b'"]}'
    unread = [("POST", "/nope", 404), ("DELETE", "/v1/similar", 405), ("PATCH", "/v1/similar", 405)]
    for method, path, status in unread * 5:
        reply = server.client.request(method, path, content=body)
        assert (reply.status_code, reply.headers.get("connection")) == (status, "close")
        reply = server.client.request("POST", "/v1/similar", content=body)  # 415: no kind is said
        assert (reply.status_code, reply.headers.get("connection")) == (415, "close")
        assert server.client.get("/v1/model").status_code == 200
    json_kind = {"Content-Type": "application/json"}
    for content, status in ((body, 422), (b"{", 400), (b'{"item_ids": ["nope"]}', 200)):
        reply = server.client.post("/v1/similar", content=content, headers=json_kind)
        assert (reply.status_code, reply.headers.get("connection")) == (status, None)
    assert "connection" not in server.client.get("/nope").headers


def test_log_lines_stay_lines(server: ServerProcess) -> None:
    before = len(server.lines("request"))
    server.raw(head_of("GET", b"/v1/items/a%0d%0a%1b%5b31m%22%7d/similar"))
    server.raw(head_of("GET", b"/v1/model", 'User-Agent: "},{"event":"forged"'))
    for _ in range(100):
        lines = server.log.read_text().splitlines()
        if len(server.lines("request")) >= before + 2:
            break
        time.sleep(0.02)
    assert all(json.loads(line)["event"] != "forged" for line in lines if line)
    assert len(server.lines("request")) >= before + 2


@pytest.mark.long
def test_slow_heads_and_bodies_are_cut_off(server: ServerProcess) -> None:
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        slow.sendall(b"GET /v1/model HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        ended = False
        while not ended and time.perf_counter() - started < 20:
            try:
                slow.sendall(b"a")
                slow.settimeout(0.5)
                ended = not slow.recv(1024).startswith(b"HTTP/1.1 2")
            except TimeoutError:
                continue
            except OSError:
                ended = True
    assert ended
    head = head_of("POST", b"/v1/similar", "Content-Type: application/json", "Content-Length: 100")
    status = server.raw(head + b"{", 20)
    assert b" 408 " in status.split(b"\r\n")[0]
    assert time.perf_counter() - started < 40
    assert server.client.get("/v1/model", headers=HEADERS).status_code == 200


def test_a_client_that_goes_is_no_fault_of_the_server(server: ServerProcess) -> None:
    head = head_of("POST", SIMILAR.encode(), "Content-Type: application/json", "Content-Length: 999")
    n_before = sum(one["status"] == 400 for one in server.lines("request"))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + b"{")
        time.sleep(0.2)
    for _ in range(100):
        if sum(one["status"] == 400 for one in server.lines("request")) > n_before:
            break
        time.sleep(0.05)
    assert sum(one["status"] == 400 for one in server.lines("request")) > n_before
    assert not server.lines("error")
