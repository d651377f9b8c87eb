"""The Python client against a live server: every route, every refusal, whole-number ids."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import datetime as dt
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_world import TOKEN, ServerProcess
from whole_numbers import IDS, write_log

import item2vec as i2v
from item2vec.artifacts import RunFolder, publish
from item2vec.client import Client, Event, Refused, transport
from item2vec.config import RunConfig
from item2vec.errors import Item2VecError, RunError, UnknownItemError, UsageError
from item2vec.recommendations import RANKING_FEATURES, UserEvent
from item2vec.run import run_pipeline

NOW = time.time_ns() // 1000


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url, token=TOKEN) as client:
        yield client


@pytest.fixture(scope="module")
def release(server: ServerProcess) -> str:
    found: str = server.client.get("/readyz").json()["release"]
    return found


def pairs(found: tuple[Any, Any]) -> list[tuple[Any, float]]:
    ids, scores = found
    return list(zip(ids.tolist(), [round(one, 6) for one in scores.tolist()], strict=True))


def listed(answer: Any) -> list[tuple[Any, float]]:
    return list(zip(answer.ids, answer.scores, strict=True))


def test_similar_is_the_library_s_answer(client: Client, rec: i2v.Recommender, release: str) -> None:
    one, other = rec.vectors.index_to_key[:2]
    assert listed(client.similar(one)) == pairs(rec.similar_items(one, 10))
    found = client.similar(one, k=3, mode="next", user_id="anna")
    assert listed(found) == pairs(rec.similar_items(one, 3, mode="next"))
    assert (found.item_id, found.mode, found.release, found.reason) == (one, "next", release, None)
    markets = sorted({row["market"] for row in rec.attributes.table.select(["market"]).to_pylist()})[:2]
    cases: list[dict[str, Any]] = [
        {"market": markets[0]},
        {"market": markets, "price": (None, 120.5)},
        {"price": (50, 120), "market": set(markets)},
    ]
    for where in cases:
        library = {name: list(value) if isinstance(value, set) else value for name, value in where.items()}
        expected = pairs(rec.similar_items(other, 8, where=library))
        assert expected
        assert listed(client.similar(other, k=8, where=where)) == expected
        (again,) = client.similar_batch([other], k=8, where=where).results
        assert listed(again) == expected
    assert client.similar(one, where={"market": "nowhere"}).reason


def test_several_ids_a_vector_and_attributes(client: Client, rec: i2v.Recommender, release: str) -> None:
    ids = rec.vectors.index_to_key
    found = client.similar_batch([ids[0], "nobody", ids[1]], k=3, deny=[ids[2]], allow=ids[1:9], mode=None)
    assert (found.mode, found.release) == ("similar", release)
    assert [(one.item_id, one.status) for one in found.results] == [
        (ids[0], "ok"),
        ("nobody", "unknown"),
        (ids[1], "ok"),
    ]
    expected = pairs(rec.similar_items(ids[0], 3, items=ids[1:9], filter_items=[ids[2]]))
    assert listed(found.results[0]) == expected
    assert found.results[1].ids == ()
    vector = rec.vectors[ids[4]]
    by_vector = client.similar_to_vector(vector, k=3)
    assert by_vector.item_id is None
    assert by_vector.ids[0] == ids[4]
    fresh = client.similar_to_attributes({"market": client.item(ids[0]).attributes["market"], "price": 80})
    assert len(fresh.ids) == 10
    assert fresh.vector_from is not None
    assert "market" in fresh.vector_from["shared"]


def test_items_for_a_history(client: Client, rec: i2v.Recommender, release: str) -> None:
    ids = rec.vectors.index_to_key
    events: list[Any] = [Event(ids[0], dwell_seconds=75.0), UserEvent(ids[1], "booking", NOW - 10**7)]
    found = client.recommend(events=events, k=4, explain=True, as_of_us=NOW, weights={"booking": 2.0})
    assert len(found.ids) == len(found.scores) == 4
    assert not {ids[0], ids[1]} & set(found.ids)
    assert found.release == release
    assert found.explanations is not None
    assert [one["item_id"] for one in found.explanations] == list(found.ids)
    seen = client.recommend(history=ids[:2], k=200, filter_seen=False)
    assert set(ids[:2]) <= set(seen.ids)
    assert seen.explanations is None
    assert client.recommend(k=2).fallback == "popularity"
    ones = client.recommend(history=ids[:3], where={"price": (None, 90)}, deny=[ids[5]]).ids
    assert all(client.item(one).attributes["price"] <= 90 for one in ones)


def test_a_user_s_events_count_until_they_are_deleted(client: Client, rec: i2v.Recommender) -> None:
    ids, user = rec.vectors.index_to_key, "Zoë / 7?#%"
    events = [Event(ids[0], ts_us=NOW - 2000), Event(ids[1], "wishlist", ts_us=NOW - 1000)]
    assert client.add_events(user, events) == 2
    assert client.add_events(user, events) == 2  # the same again is stored once
    found = client.recommend_user(user, k=5, mode="similar", explain=True)
    assert found.fallback is None
    assert found.explanations is not None
    assert not {ids[0], ids[1]} & set(found.ids)
    assert ids[0] in client.recommend_user(user, k=200, filter_seen=False).ids
    assert ids[0] in client.recommend_user(user, k=200, filter_seen="booked").ids
    assert client.delete_user(user) == 2
    assert client.delete_user(user) == 0
    assert client.recommend_user(user).fallback == "popularity"


STRANGE = ["a/b", "é ü", "100%", "%2F", "?q=1#x", ".", "..", "+&=", '"><script>', "🏠", "x" * 256]


@pytest.mark.parametrize("item_id", STRANGE)
def test_items_come_change_and_go(client: Client, rec: i2v.Recommender, release: str, item_id: str) -> None:
    like = rec.vectors.index_to_key[0]
    placed = client.put_item(item_id, like=[like], attributes={"market": "Paris", "price": np.float64(80.5)})
    assert (placed.item_id, placed.new, placed.release) == (item_id, True, release)
    try:
        assert not client.put_item(item_id, like=[like]).new
        assert client.similar(item_id, k=1).ids == (like,)
        assert client.set_available(item_id, False) is False
        assert item_id not in client.similar(like, k=200).ids
        assert client.set_available(item_id, True) is True
        assert client.similar(like, k=1).ids == (item_id,)
        assert client.item(item_id).item_id == item_id
        assert item_id in client.search_items(item_id, k=200).ids
    finally:
        client.delete_item(item_id)
    with pytest.raises(UnknownItemError, match="404 Not found: There is no such item"):
        client.item(item_id)


def test_features_model_names_and_readiness(client: Client, rec: i2v.Recommender, release: str) -> None:
    ids = rec.vectors.index_to_key
    found = client.features([ids[0], "nobody"], events=[Event(ids[1], ts_us=NOW)], as_of_us=NOW)
    assert found.names == tuple(RANKING_FEATURES)
    assert found.ids == (ids[0], "nobody")
    assert found.statuses == ("ok", "unknown")
    assert found.rows[0] is not None
    assert len(found.rows[0]) == len(found.names) == 8
    assert found.rows[1] is None
    assert found.release == release
    model = client.model()
    assert (model.release, model.run, model.id_type) == (release, "shop", "string")
    assert model.n_items == len(ids)
    assert model.vector_size == 8
    assert model.modes == ("similar", "next")
    assert model.columns["price"] == "number"
    assert model.facts["types"] is True
    ready = client.ready()
    assert (ready.release, ready.refused) == (release, None)
    names = client.search_items("l00000", k=4)
    assert names.release == release
    assert len(names.ids) == 4
    assert all(str(one).startswith("L00000") for one in names.ids)
    item = client.item(ids[0])
    assert (item.available, item.trained) == (True, True)
    assert item.n_clicks > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.available = False  # type: ignore[misc]


def test_every_route_of_the_document_has_its_method(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls are recorded as the client makes them, and compared with what the server says it has."""
    asked: set[tuple[str, str]] = set()

    def note(_: object, call: Any) -> None:
        path = re.sub(r"(?<=/items/)ID|(?<=/users/)ID", "{}", call.path.partition("?")[0])
        asked.add((call.method.lower(), path))
        raise RunError("noted")

    monkeypatch.setattr(transport.Transport, "ask", note)
    client = Client(server.url)
    calls: list[Callable[[], object]] = [
        lambda: client.similar("ID"),
        lambda: client.similar_batch(["ID"]),
        lambda: client.recommend(),
        lambda: client.add_events("ID", []),
        lambda: client.recommend_user("ID"),
        lambda: client.delete_user("ID"),
        lambda: client.put_item("ID", like=["ID"]),
        lambda: client.delete_item("ID"),
        lambda: client.set_available("ID", True),
        lambda: client.features(["ID"]),
        lambda: client.item("ID"),
        lambda: client.search_items(),
        lambda: client.model(),
        lambda: client.ready(),
    ]
    for call in calls:
        with pytest.raises(RunError, match="noted"):
            call()
    paths = server.client.get("/openapi.json").json()["paths"]
    there = {
        (method, re.sub(r"\{\w+\}", "{}", path)) for path, methods in paths.items() for method in methods
    }
    assert asked == there - {("get", "/livez"), ("get", "/metrics")}  # for who watches it, not for who asks


def test_a_token_is_needed_and_never_told(server: ServerProcess) -> None:
    secret = "not-the-token-of-it-0123"
    steps = {None: "give the server's token", secret: "the token that was given is not this server's"}
    for token, step in steps.items():
        with Client(server.url, token=token) as stranger:
            assert stranger.ready().release
            words = f"401 This server's token is needed: .* Next: {step}"
            with pytest.raises(UsageError, match=words) as e:
                stranger.model()
            assert secret not in f"{e.value!r} {e.value} {e.value.__cause__!r} {stranger!r}"
    for bad in ("", "two words", "schlüssel-schlüssel", "a\nb-0123456789012"):
        with pytest.raises(UsageError, match="printable ASCII") as e:
            Client(token=bad)
        assert not bad or bad not in str(e.value)


REFUSED: dict[str, tuple[Callable[[Client], object], type[Item2VecError], str]] = {
    "unknown item": (lambda c: c.similar("nobody"), UnknownItemError, "404 Not found.*Next: search_items"),
    "unknown item, deleted": (lambda c: c.delete_item("nobody"), UnknownItemError, "404"),
    "unknown item, made available": (lambda c: c.set_available("nobody", True), UnknownItemError, "404"),
    "like an unknown item": (lambda c: c.put_item("x", like=["nobody"]), UnknownItemError, "404"),
    "k of 0": (
        lambda c: c.similar("L0000001", k=0),
        UsageError,
        "422 .*k: it is a whole number from 1 to 200",
    ),
    "k of 0 in a body": (lambda c: c.recommend(k=0), UsageError, r"422 .*body\.k: Input should be greater"),
    "unknown column": (lambda c: c.similar("L0000001", where={"colour": "red"}), UsageError, "422.*columns?"),
    "unknown column in a body": (
        lambda c: c.recommend(where={"colour": 1}),
        UsageError,
        "422 .*unknown column",
    ),
    "too many ids": (lambda c: c.similar_batch(["x"] * 101), UsageError, "422"),
    "a long body": (
        lambda c: c.recommend(history=["x" * 250 + str(n) for n in range(300)]),
        UsageError,
        "413",
    ),
    "a long address": (lambda c: c.search_items("é" * 1000), UsageError, "414 .*Next: ask with a body"),
    "a vector of another size": (lambda c: c.similar_to_vector([1.0]), UsageError, "422 .*8 numbers"),
    "no events": (lambda c: c.add_events("u", []), UsageError, "422"),
    "events to come": (lambda c: c.add_events("u", [Event("L0000001", ts_us=NOW * 2)]), UsageError, "422"),
    "events and a history": (lambda c: c.recommend(events=[], history=[]), UsageError, "not both"),
    "a control character": (lambda c: c.item("a\nb"), UsageError, "422 .*control"),
    "a number where ids are texts": (lambda c: c.similar_batch([7]), UsageError, "422 .*are texts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_become_errors_that_say_what_to_do(client: Client, name: str) -> None:
    call, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words) as found:
        call(client)
    assert type(found.value) is kind
    assert re.search(r"\[request [0-9a-f-]+\]$", str(found.value))
    cause = found.value.__cause__
    assert isinstance(cause, Refused)
    assert cause.status == int(str(found.value)[:3])
    assert cause.request_id in str(found.value)


UNSENT: dict[str, tuple[Callable[[Client], object], str]] = {
    "an empty id": (lambda c: c.item(""), "1 to 256 characters"),
    "a truth value": (lambda c: c.item(True), "not bool"),
    "a float": (lambda c: c.item(1.5), "not float"),  # type: ignore[arg-type]
    "half a character": (lambda c: c.item("\ud800"), "lone surrogate"),
    "one text for ids": (lambda c: c.similar_batch("L0000001"), r"write \['L0000001'\]"),
    "an empty condition": (lambda c: c.similar("x", where={"market": ""}), "similar_batch"),
    "no condition": (lambda c: c.similar("x", where={"market": None}), "similar_batch"),
    "an empty list": (lambda c: c.similar("x", where={"market": []}), "similar_batch"),
    "a column named k": (lambda c: c.similar("x", where={"k": 3}), "similar_batch"),
    "a range of three": (lambda c: c.similar("x", where={"price": (1, 2, 3)}), "range is"),
    "not a number": (lambda c: c.similar_to_vector([float("nan")]), "JSON"),
    "a text for a vector": (lambda c: c.similar_to_vector("abc"), "list of numbers"),  # type: ignore[arg-type]
    "an item like nothing": (lambda c: c.put_item("x"), "give attributes, like or vector"),
    "rows for a vector": (lambda c: c.put_item("x", vector=np.eye(2)), "list of numbers"),
    "a pair for an event": (lambda c: c.add_events("u", [("a", 1)]), "not tuple"),  # type: ignore[list-item]
    "no JSON": (lambda c: c.put_item("x", attributes={"a": object()}), "object is none of its types"),
}


@pytest.mark.parametrize("name", UNSENT)
def test_what_cannot_be_said_is_not_sent(name: str) -> None:
    call, words = UNSENT[name]
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(UsageError, match=words):  # nothing listens
        call(nobody)


def test_a_server_that_takes_no_changes_says_so(start: Callable[..., ServerProcess], shop: Path) -> None:
    with Client(start(str(shop), token=None).url) as client:
        assert client.model().run == "shop"
        with pytest.raises(UsageError, match=r"403 Not allowed here: .* Next: the server has no token"):
            client.delete_user("u")


def test_a_wrong_address_is_told_from_an_unknown_item(server: ServerProcess) -> None:
    with (
        Client(server.url + "/behind/", token=TOKEN) as lost,
        pytest.raises(UsageError, match=r"404 Not found: There is nothing at this path.*check .*base_url"),
    ):
        lost.model()


def test_dates_and_truth_values_in_conditions() -> None:
    from item2vec.client.requests import list_fields, query

    where = {"listed": (dt.date(2025, 1, 2), None), "pool": True, "beds": [1, np.int64(2)]}
    assert query({"k": 3, "mode": None}, where) == "?k=3&min_listed=2025-01-02&pool=true&beds=1&beds=2"
    fields = list_fields({"where": where})
    assert fields["where"]["listed"] == {"min": dt.date(2025, 1, 2)}


def test_unchanged_lists_are_not_sent_again(server: ServerProcess, rec: i2v.Recommender) -> None:
    one, other = rec.vectors.index_to_key[:2]
    statuses: list[int] = []
    with Client(server.url, token=TOKEN, cache=1) as client:
        client._transport._http.event_hooks = {"response": [lambda reply: statuses.append(reply.status_code)]}
        first = client.similar(one)
        assert client.similar(one) == first
        client.put_item("fresh", like=[one])
        try:
            assert client.similar(one).ids[0] == "fresh"
        finally:
            client.delete_item("fresh")
        assert client.similar(one) == client.similar(one) == first
        client.similar(other)  # takes the one place
        assert client.similar(one) == first
    assert statuses == [200, 304, 200, 200, 204, 200, 304, 200, 200]


def test_threads_share_a_client(server: ServerProcess, rec: i2v.Recommender) -> None:
    ids = rec.vectors.index_to_key[:8]
    with Client(server.url, token=TOKEN, cache=4) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: client.similar(one, k=1).item_id, ids * 25))
    assert found == ids * 25


def test_a_loop_asks_in_threads(server: ServerProcess, rec: i2v.Recommender) -> None:
    ids = rec.vectors.index_to_key[:8]

    async def ask(client: Client) -> list[Any]:
        return await asyncio.gather(*(asyncio.to_thread(client.similar, one, k=1) for one in ids))

    with Client(server.url, token=TOKEN) as client:
        assert [one.item_id for one in asyncio.run(ask(client))] == ids


FORKED = """
import os, sys
from item2vec import Client
url, token, *ids = sys.argv[1:]
client = Client(url, token=token, retries=0)
client.ready()  # leaves a connection open
child = os.fork()
mine, wrong = ids[child == 0], 0
for _ in range(200):
    try:
        wrong += client.similar(mine, k=1).item_id != mine
    except Exception:
        wrong += 1
if not child:
    os._exit(wrong)
print(wrong, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_client_reads_its_own_replies(server: ServerProcess, rec: i2v.Recommender) -> None:
    arguments = [server.url, TOKEN, *rec.vectors.index_to_key[:2]]
    done = subprocess.run(
        [sys.executable, "-c", FORKED, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 0\n"


def test_a_client_is_closed_once_and_sent_nowhere(server: ServerProcess) -> None:
    client = Client(server.url, token=TOKEN)
    assert client.ready().release
    for send in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="make one where it is used"):
            send(client)
    for _ in range(2):
        client.close()
        with pytest.raises(UsageError, match="is closed"):
            client.ready()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, i2v.Recommender]]:
    """A client of a server whose item ids are whole numbers, and the library's recommender."""
    folder = tmp_path_factory.mktemp("whole")
    sections: dict[str, dict[str, Any]] = {
        "run": {"name": "whole"},
        "events": write_log(folder),
        "train": {"vector_size": 8, "epochs": 2, "workers": 1, "min_count": 1},
        "index": {"n_trees": 5, "neighbours": 10},
    }
    result = run_pipeline(RunConfig.from_sections(sections), folder, until="index")
    run = RunFolder(result.folder)
    with run.lock():
        publish(run, result.objects, {"follows": None})
    process = ServerProcess(folder, str(folder / "whole"), "--history", str(folder / "history.db"))
    try:
        with Client(process.url, token=TOKEN) as client:
            yield client, i2v.load(folder / "whole")
    finally:
        process.stop()


def test_whole_number_ids_are_exact_over_http(whole: tuple[Client, i2v.Recommender]) -> None:
    client, rec = whole
    assert client.model().id_type == "int64"
    assert set(rec.vectors.index_to_key) == set(IDS)
    for one in IDS[:9]:
        found = client.similar(one, k=20)
        assert found.item_id == one
        assert all(type(other) is int for other in found.ids)
        assert listed(found) == pairs(rec.similar_items(one, 20))
        assert client.item(one).item_id == one
        assert client.item(np.int64(one)) == client.item(str(one))
        assert client.similar_batch([one, np.int64(one)], k=20).results[1].ids == found.ids
    reached = {other for one in IDS for other in client.similar(one, k=200).ids}
    assert reached == set(IDS)


def test_whole_number_ids_everywhere_else(whole: tuple[Client, i2v.Recommender]) -> None:
    client, rec = whole
    large, small, odd = 2**63 - 1, -(2**63), 2**53 + 1
    found = client.similar_batch([large, small, 2**53, "7", "seven"], k=2, deny=[odd], allow=IDS[:8])
    assert [(one.item_id, one.status) for one in found.results] == [
        (large, "ok"),
        (small, "ok"),
        (2**53, "unknown"),  # the float next to 2**53 + 1: rounded it would be found
        ("7", "ok"),
        ("seven", "unknown"),
    ]
    assert listed(found.results[0]) == pairs(rec.similar_items(large, 2, items=IDS[:8], filter_items=[odd]))
    assert client.features([large, 1]).statuses == ("ok", "unknown")
    assert large not in client.recommend(history=[large, odd], k=200).ids
    assert client.recommend(history=[large], k=200, filter_seen=False, allow=[large, small]).ids
    assert client.add_events("u", [Event(large, ts_us=NOW), Event(small, "booking", ts_us=NOW + 1)]) == 2
    lately = client.recommend_user("u", k=200)
    assert lately.fallback is None
    assert set(IDS) - set(lately.ids) >= {large, small}
    assert client.recommend_user("u", k=200, filter_seen="booked").ids.count(large) == 1
    assert client.delete_user("u") == 2
    assert client.search_items(str(large)).ids == (large,)
    assert client.search_items("-9223").ids == (small,)
    where = {"market": "odd", "price": (None, 9.0)}
    assert listed(client.similar(7, where=where)) == pairs(rec.similar_items(7, 10, where=where))


def test_a_whole_number_item_comes_and_goes(whole: tuple[Client, i2v.Recommender]) -> None:
    client, _ = whole
    fresh = 2**63 - 2
    with pytest.raises(UnknownItemError):
        client.item(fresh)
    assert client.put_item(fresh, like=[2**63 - 1]).item_id == fresh
    assert client.similar(2**63 - 1, k=1).ids == (fresh,)
    assert client.similar(fresh, k=1).ids == (2**63 - 1,)
    client.delete_item(fresh)
    assert fresh not in client.similar(2**63 - 1, k=200).ids
    for none in (2**63, -(2**63) - 1, "07", "7.0", "+7", "-0"):
        with pytest.raises(UnknownItemError):
            client.item(none)
    with pytest.raises(UsageError, match="422"):
        client.similar_batch([2**63])
    with pytest.raises(UsageError, match="whole numbers"):
        client.add_events("u", [Event("seven")])


@pytest.mark.parametrize("code", ["import item2vec.client", "from item2vec import Client"])
def test_the_client_imports_nothing_heavy(code: str) -> None:
    heavy = (
        "numpy torch pandas pyarrow pydantic fastapi httpx" if "." in code else "numpy torch pydantic pyarrow"
    )
    code += f"; import sys; print(sorted(set({heavy.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_readme_s_block_runs(server: ServerProcess, tmp_path: Path) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    (block,) = [one for one in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "Client(" in one]
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    code = block.replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert lines[2] == "nobody unknown ()"
    assert lines[-1].startswith("404 Not found: ")
