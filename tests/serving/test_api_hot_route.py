"""The hot route and the ordinary one: the same bytes, whatever is asked."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serving_world import TOKEN, publish_release

from item2vec.errors import RunError
from item2vec.run.load import load_recommender
from item2vec.serving import Engine, Lookups, ServeSettings, create_app
from item2vec.serving.guard import Guard
from item2vec.serving.logs import LogLines
from item2vec.serving.puts import Put
from item2vec.serving.telemetry import Telemetry


class Reply(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Apps(NamedTuple):
    engine: Engine
    hot: Guard
    ordinary: Guard
    ids: list[str]
    log: io.BytesIO
    lines: LogLines


@pytest.fixture(scope="module")
def apps(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apps]:
    settings = ServeSettings(run=shop, history="sqlite://", token=TOKEN)
    engine = Engine(settings, load_recommender)
    engine.start()
    log = io.BytesIO()
    lines = LogLines(log)
    hot, ordinary = (create_app(engine, lines=lines, hot=hot) for hot in (True, False))
    yield Apps(engine, hot, ordinary, engine.serving.a.loaded.vectors.index_to_key, log, lines)
    engine.stop()
    lines.close()


def scope_of(target: bytes, headers: list[tuple[bytes, bytes]], method: str) -> dict[str, Any]:
    raw, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": raw.decode("latin-1"),
        "raw_path": raw,
        "query_string": query,
        "root_path": "",
        "headers": headers,
    }


def ask(
    app: Guard,
    target: bytes,
    headers: list[tuple[bytes, bytes]],
    method: str = "GET",
    server: tuple[str, int | None] = ("127.0.0.1", 8000),
) -> Reply:
    scope = {**scope_of(target, headers, method), "server": server}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    asyncio.run(app(scope, receive, send))
    body = b"".join(one.get("body", b"") for one in sent[1:])
    return Reply(sent[0]["status"], sorted(map(tuple, sent[0]["headers"])), body)


ALLOWED = [(b"authorization", f"Bearer {TOKEN}".encode())]
QUERIES = [
    *(b"", b"k=1", b"k=12", b"k=200", b"mode=next&k=5", b"mode=similar", b"k=3&market=Paris", b"market="),
    *(b"min_price=50&max_price=100", b"price=80", b"max_price=1e1", b"market=Paris&market=Rome&k=30"),
    *(b"k=0", b"k=true", b"k=-1", b"k=1e20", b"k=201", b"k=1&k=1", b"mode=x", b"zz=1", b"min_market=1"),
    *(b"price=nan", b"market=%ff", b"k=%31", b"k=+1", b"&&", b"=", b"k", b"user=u1", b"user=", b"user=%00"),
    *(b"k=1&", b"K=1", b"min_price=9&max_price=1", b"k=" + b"1" * 5000),
]
SEGMENTS = [b"", b"nope", b"%00", b"%2e%2e", b"%ff", b"a%2fb", b"a" * 257, b"%zz", "é".encode(), b"a/b"]


def same(apps: Apps, target: bytes, headers: list[tuple[bytes, bytes]], method: str = "GET") -> Reply:
    replies = [ask(app, target, headers, method) for app in (apps.hot, apps.hot, apps.ordinary)]
    own = [
        one._replace(
            headers=[pair for pair in one.headers if pair[0] != b"x-request-id"],
            body=one.body.replace(dict(one.headers)[b"x-request-id"], b"-"),
        )
        for one in replies
    ]
    assert own[0] == own[1] == own[2], target
    return own[0]


def test_both_routes_say_the_same(apps: Apps) -> None:
    statuses = set()
    for query in QUERIES:
        for segment in (apps.ids[0].encode(), apps.ids[-1].encode().replace(b"0", b"%30")):
            target = b"/v1/items/" + segment + b"/similar" + (b"?" + query if query else b"")
            statuses.add(same(apps, target, ALLOWED).status)
    for segment in SEGMENTS:
        statuses.add(same(apps, b"/v1/items/" + segment + b"/similar?k=3", ALLOWED).status)
    assert statuses == {200, 404, 414, 422}


def test_both_routes_ask_for_the_token_and_compare_etags(apps: Apps) -> None:
    target = f"/v1/items/{apps.ids[1]}/similar?k=4".encode()
    whole = same(apps, target, ALLOWED)
    etag = dict(whole.headers)[b"etag"]
    for given, status in ((etag, 304), (b'W/"x", ' + etag, 304), (b"*", 304), (b'"x"', 200), (b"", 200)):
        assert same(apps, target, [*ALLOWED, (b"if-none-match", given)]).status == status
    for headers in (
        [],
        [(b"authorization", b"Bearer wrong")],
        [(b"authorization", TOKEN.encode())],
        [*ALLOWED, *ALLOWED],
        [(b"authorization", f"Bearer{TOKEN}".encode())],
        [(b"authorization", f"Bearer {TOKEN} x".encode())],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", f"Basic {TOKEN}".encode())],
    ):
        assert same(apps, target, headers).status == 401
    for scheme in ("bearer", "BEARER", "Bearer "):  # a scheme has no case
        assert same(apps, target, [(b"authorization", f"{scheme} {TOKEN}".encode())]).status == 200
    for method in ("POST", "OPTIONS", "PUT"):
        refusal = same(apps, target, ALLOWED, method)
        assert refusal.status == 405
        assert dict(refusal.headers)[b"allow"] == b"GET, HEAD"


def test_if_none_match_is_one_list_however_it_comes(apps: Apps) -> None:
    target = f"/v1/items/{apps.ids[1]}/similar?k=4".encode()
    etag = dict(same(apps, target, ALLOWED).headers)[b"etag"]
    for lines, status in (
        ([b"W/" + etag], 304),
        ([b'"x" , "y",W/' + etag + b" , "], 304),
        ([b'"x"', etag], 304),
        ([etag, b'"x"'], 304),
        ([b'"x"', b'W/"y"'], 200),
        ([b" * "], 304),
        ([etag.strip(b'"')], 200),
        ([b"w/" + etag], 200),
        ([b",,"], 200),
    ):
        reply = same(apps, target, [*ALLOWED, *((b"if-none-match", line) for line in lines)])
        assert reply.status == status, lines
        assert (reply.body == b"") is (status == 304)


HEADS = [
    "/v1/items/{}/similar?k=4",
    "/v1/items/{}",
    "/v1/items?k=2",
    "/v1/model",
    "/livez",
    "/readyz",
    "/explore",
]


@pytest.mark.parametrize("path", HEADS)
def test_head_is_get_without_the_body(apps: Apps, path: str) -> None:
    target = path.format(apps.ids[1]).encode()
    whole, head = (same(apps, target, ALLOWED, method) for method in ("GET", "HEAD"))
    assert whole.status == head.status == 200
    assert head == whole._replace(body=b"")
    assert dict(head.headers)[b"content-length"] == str(len(whole.body)).encode()
    if b"etag" in dict(head.headers):
        etag = dict(head.headers)[b"etag"]
        assert same(apps, target, [*ALLOWED, (b"if-none-match", etag)], "HEAD").status == 304


def test_head_is_refused_as_get_is(apps: Apps) -> None:
    for path, status in ((b"/v1/items/nope/similar", 404), (b"/v1/similar", 405), (b"/nope", 404)):
        reply = same(apps, path, ALLOWED, "HEAD")
        assert (reply.status, reply.body) == (status, b"")
    assert same(apps, b"/v1/model", [], "HEAD").status == 401


def test_both_routes_see_live_changes_at_once(apps: Apps) -> None:
    target = f"/v1/items/{apps.ids[2]}/similar?k=3".encode()
    first = same(apps, target, ALLOWED)
    inventory = apps.engine.inventory
    inventory.put("brand-new", Put(like=(apps.ids[2],)))
    put = same(apps, target, ALLOWED)
    assert b"brand-new" in put.body
    inventory.set_available("brand-new", False)
    assert b"brand-new" not in same(apps, target, ALLOWED).body
    inventory.set_available("brand-new", True)
    assert same(apps, target, ALLOWED) == put
    inventory.remove("brand-new")
    without = same(apps, target, ALLOWED)
    assert without.body.split(b'"path"')[0] == first.body.split(b'"path"')[0]


def test_a_release_that_was_swapped_out_is_freed_at_once(own_shop: Path) -> None:
    """Not when the collector comes: a release is most of the memory."""
    engine = Engine(ServeSettings(run=own_shop, history="sqlite://", poll_seconds=3600), load_recommender)
    engine.start()
    app = create_app(engine, lines=LogLines(io.BytesIO()))
    one = engine.serving.a.loaded.vectors.index_to_key[0]
    assert ask(app, f"/v1/items/{one}/similar".encode(), []).status == 200
    old = weakref.ref(engine.serving.a.loaded)
    publish_release(own_shop.parent, seed=2)
    gc.disable()
    try:
        engine.reload()
        assert engine.refused is None
        assert old() is None
    finally:
        gc.enable()
    engine.stop()


def test_without_a_token_only_this_machine_is_answered(apps: Apps) -> None:
    app = configured(apps, {"token": None})
    target = f"/v1/items/{apps.ids[0]}/similar".encode()
    for server, status in (
        (("127.0.0.1", 80), 200),
        (("::1", 80), 200),
        (("/run/api.sock", None), 200),
        (("10.1.2.3", 80), 403),
    ):
        for path, expected in ((target, status), (b"/v1/model", status), (b"/livez", 200)):
            assert ask(app, path, [], server=server).status == expected
    for one in (app, apps.hot):  # with a token it is the token that counts
        allowed = ALLOWED if one is apps.hot else []
        assert ask(one, target, allowed, server=("10.1.2.3", 80)).status == (200 if allowed else 403)


@pytest.mark.parametrize("error", [RunError("no release"), OSError("no room"), RuntimeError("a bug")])
def test_what_cannot_start_says_so_to_the_server(apps: Apps, error: Exception) -> None:
    def broken(release: object) -> Any:
        raise error

    log = io.BytesIO()
    lines = LogLines(log)
    app = create_app(Engine(apps.engine.settings, broken), lines=lines)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))
    lines.close()
    assert sent == ["lifespan.startup.failed"]
    assert json.loads(log.getvalue())["event"] == "start_failed"


HOSTS = [
    (b"127.0.0.1:8000", "own"),
    (b"LocalHost", "own"),
    (b"[::1]:8000", "own"),
    (b"localhost.:80", "own"),
    (b"api.example.org", "named"),
    (b"API.example.org.:8000", "named"),
    (b"evil.example", "other"),
    (b"127.0.0.1.evil.example", "other"),
    (b"localhost.evil.example:8000", "other"),
    (b"api.example.org@evil.example", "other"),
    (b"0.0.0.0:8000", "other"),
    (b"", "other"),
    (b"127.0.0.1, evil.example", "other"),
]


@pytest.mark.parametrize(("host", "whose"), HOSTS)
def test_who_calls_the_server_by_another_name_is_not_answered(apps: Apps, host: bytes, whose: str) -> None:
    """A page elsewhere can point its own name at this machine: then a browser calls the server by that."""

    def status(changes: dict[str, Any], headers: list[tuple[bytes, bytes]]) -> set[int]:
        app = configured(apps, changes)
        targets = (f"/v1/items/{apps.ids[0]}/similar".encode(), b"/v1/model", b"/explore")
        assert ask(app, b"/livez", [(b"host", host)]).status == 200  # a probe goes by the address
        return {ask(app, target, [*headers, (b"host", host)]).status for target in targets}

    named = {"allowed_hosts": ("Api.example.org",)}
    assert status({"token": None}, []) == {200 if whose == "own" else 421}
    assert status({"token": None, **named}, []) == {421 if whose == "other" else 200}
    assert status({}, ALLOWED) == {200}  # strangers have no token
    assert status(named, ALLOWED) == {421 if whose == "other" else 200}


def configured(apps: Apps, changes: dict[str, Any]) -> Guard:
    """The application of other settings, over the same engine."""
    kept = apps.engine.settings
    try:
        apps.engine.settings = kept.model_copy(update=changes)
        return create_app(apps.engine, lines=apps.lines)
    finally:
        apps.engine.settings = kept


def test_two_names_for_one_request_are_one_too_many(apps: Apps) -> None:
    app = configured(apps, {"token": None})
    both = [(b"host", b"127.0.0.1"), (b"host", b"evil.example")]
    assert ask(app, b"/v1/model", both).status == 421


BODY = json.dumps({"attributes": {"market": "Paris"}, "k": 1}).encode()
JSON_HEAD = [*ALLOWED, (b"content-type", b"application/json")]


class Exchange:
    """A request that goes on when the test says so: its body comes late, or its reply is taken late."""

    def __init__(self, body: bytes = BODY) -> None:
        self.comes, self.taken, self.status = asyncio.Event(), asyncio.Event(), 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._body = body

    async def receive(self) -> dict[str, Any]:
        await self.comes.wait()
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
            if self.status == 200:
                await self.taken.wait()

    async def of(self, app: Guard, target: bytes, method: str) -> None:
        await app(
            {**scope_of(target, JSON_HEAD, method), "server": ("127.0.0.1", 80)}, self.receive, self.send
        )


async def until(exchanges: list[Exchange], told: list[int]) -> None:
    for _ in range(1000):
        if [one.status for one in exchanges] == told:
            return
        await asyncio.sleep(0.005)
    assert [one.status for one in exchanges] == told


def test_too_much_at_once_is_503_and_passes(apps: Apps) -> None:
    """On every route, the hot one too; what is at work is answered meanwhile."""
    app = configured(apps, {"max_concurrent": 3})
    hot = f"/v1/items/{apps.ids[0]}/similar?k=2".encode()
    targets = [
        (hot, "GET"),
        (b"/v1/model", "GET"),
        (b"/v1/similar", "POST"),
        (hot, "GET"),
        (b"/v1/items", "GET"),
    ]

    async def everything() -> None:
        exchanges = [Exchange() for _ in (*targets, "a probe")]
        tasks = []
        for one, (target, method) in zip(exchanges, (*targets, (b"/livez", "GET")), strict=True):
            one.comes.set()
            tasks.append(asyncio.create_task(one.of(app, target, method)))
            await asyncio.sleep(0.05)
        await until(exchanges, [200, 200, 200, 503, 503, 200])
        assert (b"retry-after", b"1") in exchanges[3].headers
        exchanges[0].taken.set()
        await tasks[0]
        again = Exchange()
        again.taken.set()
        await again.of(app, hot, "GET")
        assert again.status == 200
        for one in exchanges:
            one.taken.set()
        await asyncio.gather(*tasks)

    asyncio.run(everything())
    assert ask(app, b"/v1/model", ALLOWED).status == 200


def test_a_batch_holds_up_nobody_and_batches_have_a_bound(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked up beside the event loop, which answers others meanwhile."""
    monkeypatch.setattr("item2vec.serving.engine.WAITING", 3)
    engine = Engine(apps.engine.settings, load_recommender)
    engine.start()
    app = create_app(engine, lines=apps.lines)
    go, plain = threading.Event(), Lookups.similar_each

    def slow(self: Lookups, *arguments: Any) -> Any:
        assert go.wait(5)
        return plain(self, *arguments)

    monkeypatch.setattr(Lookups, "similar_each", slow)
    body = json.dumps({"item_ids": apps.ids[:20], "k": 2, "where": {"market": "Paris"}}).encode()
    hot = f"/v1/items/{apps.ids[0]}/similar?k=2".encode()

    async def everything() -> None:
        batches = [Exchange(body) for _ in range(4)]
        tasks = [asyncio.create_task(one.of(app, b"/v1/similar", "POST")) for one in batches]
        for one in batches:
            one.comes.set()
            one.taken.set()
        await until(batches, [0, 0, 0, 503])
        for target in (hot, b"/v1/model"):
            other = Exchange()
            other.taken.set()
            await other.of(app, target, "GET")
            assert other.status == 200
        go.set()
        await asyncio.gather(*tasks)
        assert [one.status for one in batches] == [200, 200, 200, 503]

    asyncio.run(everything())
    engine.stop()


def test_a_store_that_hangs_holds_up_no_other_route(apps: Apps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that wait to be committed hold no place of those at work."""
    app = configured(apps, {"max_concurrent": 2})
    go, store = threading.Event(), apps.engine.history._store
    add = store.add

    def slow(*arguments: Any) -> Any:
        assert go.wait(5)
        return add(*arguments)

    monkeypatch.setattr(store, "add", slow)
    body = json.dumps({"user_id": "u", "events": [{"item_id": apps.ids[0]}]}).encode()

    async def everything() -> None:
        waiting = [Exchange(body) for _ in range(6)]
        tasks = [asyncio.create_task(one.of(app, b"/v1/events", "POST")) for one in waiting]
        for one in waiting:
            one.comes.set()
            one.taken.set()
            await asyncio.sleep(0.02)
        await until(waiting, [0] * 6)
        for target in (f"/v1/items/{apps.ids[0]}/similar?k=2".encode(), b"/v1/model"):
            other = Exchange()
            other.taken.set()
            await other.of(app, target, "GET")
            assert other.status == 200
        go.set()
        await asyncio.gather(*tasks)
        assert [one.status for one in waiting] == [200] * 6

    asyncio.run(everything())


def test_bodies_that_come_slowly_hold_up_nobody(apps: Apps) -> None:
    """They wait beside those at work, four to one, and begin to work when they are there."""
    app = configured(apps, {"max_concurrent": 2, "body_seconds": 5})
    hot = f"/v1/items/{apps.ids[0]}/similar?k=2".encode()

    async def everything() -> None:
        slow = [Exchange() for _ in range(9)]
        tasks = [asyncio.create_task(one.of(app, b"/v1/similar", "POST")) for one in slow]
        await until(slow, [0] * 8 + [503])
        for target in (hot, b"/v1/model"):
            other = Exchange()
            other.taken.set()
            await other.of(app, target, "GET")
            assert other.status == 200
        for one in slow[:3]:
            one.comes.set()
            await asyncio.sleep(0.05)
        await until(slow, [200, 200, 503] + [0] * 5 + [503])
        for one in slow:
            one.comes.set()
            one.taken.set()
        await asyncio.gather(*tasks)

    asyncio.run(everything())
    assert ask(app, b"/v1/model", ALLOWED).status == 200


def logged(apps: Apps) -> list[dict[str, Any]]:
    """Lines since the last call."""
    apps.lines.flush()
    lines = [json.loads(line) for line in apps.log.getvalue().splitlines()]
    apps.log.seek(0)
    apps.log.truncate()
    return lines


def test_a_bug_on_the_hot_route_is_told_and_answered(apps: Apps, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(Lookups, "similar", broken)
    target = f"/v1/items/{apps.ids[6]}/similar?k=7".encode()
    logged(apps)
    for app in (apps.hot, apps.ordinary):
        reply = ask(app, target, ALLOWED)
        assert reply.status == 500
        assert dict(reply.headers)[b"content-type"] == b"application/problem+json"
        errors = [line for line in logged(apps) if line["event"] == "error"]
        assert {line["kind"] for line in errors} == {"KeyError"}
        assert {line["request_id"].encode() for line in errors} == {dict(reply.headers)[b"x-request-id"]}


def test_a_user_is_told_apart_however_the_parameter_is_written(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    monkeypatch.setattr(Telemetry, "finish", lambda self, trace: seen.append(trace.user_id))
    for query in (b"user=ann", b"%75ser=ann", b"k=2&us%65r=ann", b"%75%73%65%72=ann", b"k=%32"):
        for app in (apps.hot, apps.ordinary):
            assert ask(app, f"/v1/items/{apps.ids[0]}/similar?".encode() + query, ALLOWED).status == 200
    assert seen == ["ann"] * 8 + [None] * 2


def test_writing_without_a_token_is_refused_whatever_the_server_says_of_the_path(apps: Apps) -> None:
    """A raw path may be left out, or be None (ASGI)."""
    app = configured(apps, {"token": None})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    for raw in ({"raw_path": None}, {}, {"raw_path": b"/v1/events"}):
        scope = {**scope_of(b"/v1/events", JSON_HEAD[1:], "POST"), "server": ("127.0.0.1", 80)}
        del scope["raw_path"]
        asyncio.run(app({**scope, **raw}, receive, send))
    assert [one["status"] for one in sent if "status" in one] == [403] * 3
    sent.clear()
    scope = {**scope_of(b"/v1/items/a b\xc3\xa9%2f/similar", [], "GET"), "server": ("127.0.0.1", 80)}
    del scope["raw_path"]
    asyncio.run(app({**scope, "path": "/v1/items/a bé%/similar"}, receive, send))
    assert sent[0]["status"] == 404  # an id like any other, and not one that is encoded wrongly


def test_every_list_of_a_batch_is_counted(apps: Apps) -> None:
    def figures() -> dict[str, float]:
        page = ask(apps.hot, b"/metrics", ALLOWED).body.decode()
        rows = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
        own = 'route="/v1/similar"'
        answers = sum(float(n) for name, n in rows.items() if name.startswith("item2vec_answers_total"))
        names = [f"item2vec_results_{end}{{{own}}}" for end in ("count", "sum")]
        names.append(f'item2vec_results_bucket{{le="5.0",{own}}}')
        return {"answers": answers, **{name: float(rows.get(name, 0)) for name in names}}

    body = json.dumps({"item_ids": [*apps.ids[:20], "nobody's"], "k": 5}).encode()
    before = figures()

    async def everything() -> None:
        one = Exchange(body)
        one.comes.set()
        one.taken.set()
        await one.of(apps.hot, b"/v1/similar", "POST")
        assert one.status == 200

    asyncio.run(everything())
    assert [figures()[name] - before[name] for name in before] == [20, 20, 100, 20]


def test_both_routes_are_counted_and_logged_alike(apps: Apps) -> None:
    apps.lines.flush()
    apps.log.seek(0)
    apps.log.truncate()
    target = f"/v1/items/{apps.ids[5]}/similar?k=6".encode()
    for app in (apps.hot, apps.ordinary):
        assert ask(app, target, ALLOWED).status == 200
    apps.lines.flush()
    lines = [json.loads(line) for line in apps.log.getvalue().splitlines()]
    own = [{key: line[key] for key in line if key not in ("ts", "request_id", "ms")} for line in lines]
    assert len(own) == 2
    assert own[0] == own[1]
    assert own[0]["route"] == "/v1/items/{item_id}/similar"
    assert own[0]["results"] == 6
