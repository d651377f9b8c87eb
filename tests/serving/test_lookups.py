"""The pure layer: ids, conditions, bodies, refusals, kept replies, logs. No HTTP."""

from __future__ import annotations

import datetime as dt
import gc
import io
import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import item2vec as i2v
from item2vec import errors
from item2vec.arrow import arrow_array
from item2vec.embeddings import ItemVectors
from item2vec.errors import UsageError
from item2vec.recommendations import LiveRecommender, UserHistory, live_items
from item2vec.recommendations.attributes import ItemAttributes
from item2vec.serving import Engine, Lookups, requests
from item2vec.serving.conditions import Conditions, query_pairs
from item2vec.serving.engine import Serving
from item2vec.serving.found import Wanted
from item2vec.serving.ids import ItemIds
from item2vec.serving.inventory import Inventory
from item2vec.serving.lifespan import start
from item2vec.serving.logs import LogLines
from item2vec.serving.problems import Problem, of_error
from item2vec.serving.puts import Put
from item2vec.serving.replies import ReplyCache, reply
from item2vec.serving.served_log import ServedList, ServedLog
from item2vec.serving.settings import ServeSettings, checked_token, is_loopback
from item2vec.serving.telemetry import Telemetry
from item2vec.vocabulary import Vocabulary


@pytest.fixture
def whole() -> Lookups:
    """A catalogue with whole numbers for ids and columns of every kind."""
    rng = np.random.default_rng(1)
    ids = pa.array([7, -3, 2**62, 11, 12, 13])
    vectors = ItemVectors(
        Vocabulary(ids, np.arange(6, 0, -1)), *rng.standard_normal((2, 6, 4)).astype(np.float32)
    )
    items = pa.table(
        {
            "item_id": ids,
            "city": ["a", "b", "a", None, "b", "a"],
            "price": [1.5, 2.5, 3.5, 4.5, 5.5, None],
            "beds": pa.array([1, 2, 3, 4, 5, 6], pa.int32()),
            "pool": [True, False, True, None, False, True],
            "listed": pa.array([dt.datetime(2025, 1, day) for day in range(1, 7)], pa.timestamp("us")),
            "tags": [["x"]] * 6,
        }
    )
    release = SimpleNamespace(id="0" * 32)
    return Lookups(release, i2v.Recommender(vectors, items=items))  # type: ignore[arg-type]


IDS = [
    *(("7", 7), ("-3", -3), (str(2**62), 2**62), (str(-(2**63)), -(2**63)), ("0", 0)),
    *(
        (text, None)
        for text in ("07", "+7", "7.0", "1e1", "-0", "", "٧", str(2**63), "9" * 5000, " 7", "7 ", "x")
    ),
]


@pytest.mark.parametrize(("text", "value"), IDS)
def test_whole_number_ids_are_read_from_text(text: str, value: int | None) -> None:
    assert ItemIds("int64").of_text(text) == value


def test_ids_in_bodies_have_the_type_of_the_release() -> None:
    whole, texts = ItemIds("int64"), ItemIds("string")
    assert whole.of_json("7", "x") == whole.of_json(7, "x") == 7
    assert whole.of_json("seven", "x") is None
    assert whole.of_json(2**63, "x") is None
    assert texts.of_json("7", "x") == "7"
    with pytest.raises(Problem, match="are texts"):
        texts.of_json(7, "x")
    assert texts.of_address("a%2Fb%20%C3%A9") == "a/b é"
    for segment in ("%00", "%0a", "%7f", "%c2%85", "%ff", "a" * 257, ""):
        with pytest.raises(Problem) as found:
            texts.of_address(segment)
        assert found.value.status == 422


def test_lookups_by_whole_numbers(whole: Lookups) -> None:
    found = whole.similar(7, Wanted(10, "similar"))
    assert sorted(found.ids) == [-3, 11, 12, 13, 2**62]
    assert all(isinstance(one, int) for one in found.ids)
    assert whole.names.search("1", 9, whole) == [11, 12, 13, 2**62]
    assert whole.item(11)["attributes"]["beds"] == 4
    assert "city" not in whole.item(11)["attributes"]
    assert json.loads(reply(whole, whole.item(7)).body)["attributes"]["listed"] == "2025-01-01T00:00:00"


def test_names_are_those_of_now(whole: Lookups) -> None:
    rows = np.ones((2, 4), np.float32)
    for _ in range(2):
        assert whole.names.search("1", 9, whole) == [11, 12, 13, 2**62]
        whole.live.rebuild().result(30)
    whole.live.put_items([14, 5], rows, rows)
    whole.live.remove_items([11, 12])
    for _ in range(2):  # beside the index, and in it
        assert sorted(whole.names.search("1", 9, whole)) == [13, 14, 2**62]
        assert sorted(whole.names.search("", 9, whole)) == [-3, 5, 7, 13, 14, 2**62]
        assert whole.names.search("", 2, whole) in ([14, 5], [5, 14])
        whole.live.rebuild().result(30)
    whole.live.remove_items([14])
    assert whole.names.search("1", 9, whole) == [13, 2**62]


CONDITIONS = [
    ("city=a", {"city": "a"}, {7, 2**62, 13}),
    ("city=a&city=b", {"city": ["a", "b"]}, {7, -3, 2**62, 12, 13}),
    ("min_price=2.5&max_price=4.5", {"price": (2.5, 4.5)}, {-3, 2**62, 11}),
    ("beds=3", {"beds": 3}, {2**62}),
    ("min_price=.45e1&max_price=%2b5.", {"price": (4.5, 5.0)}, {11}),
    ("beds=3&beds=4.0", {"beds": [3, 4.0]}, {2**62, 11}),
    ("min_beds=5", {"beds": (5, None)}, {12, 13}),
    ("pool=true", {"pool": True}, {7, 2**62, 13}),
    ("listed=2025-01-02", {"listed": dt.date(2025, 1, 2)}, {-3}),
    ("min_listed=2025-01-05T12:00:00Z", {"listed": (dt.datetime(2025, 1, 5, 12, tzinfo=dt.UTC), None)}, {13}),
    ("max_listed=2025-01-01", {"listed": (None, dt.date(2025, 1, 1))}, {7}),
    ("city=&min_price=", None, {7, -3, 2**62, 11, 12, 13}),
    ("city=&city=a&beds=", {"city": "a"}, {7, 2**62, 13}),
    ("city=a+b", {"city": "a b"}, set()),
    ("", None, {7, -3, 2**62, 11, 12, 13}),
]


@pytest.mark.parametrize(("query", "where", "ids"), CONDITIONS)
def test_conditions_of_addresses(whole: Lookups, query: str, where: object, ids: set[int]) -> None:
    found = whole.conditions.of_query(query_pairs(query.encode()))
    assert found == where
    left = whole.similar_to([1, 0, 0, 0], Wanted(10, "similar", found)).ids
    assert set(left) == ids


def test_the_same_conditions_in_bodies(whole: Lookups) -> None:
    for body, where in (
        ({"city": "a"}, {"city": "a"}),
        ({"city": ["a", "b"]}, {"city": ["a", "b"]}),
        ({"city": []}, {"city": []}),
        ({"price": {"min": 2, "max": 4.5}}, {"price": (2, 4.5)}),
        ({"listed": {"max": "2025-01-01"}}, {"listed": (None, dt.date(2025, 1, 1))}),
        ({"pool": False, "beds": 2}, {"pool": False, "beds": 2}),
    ):
        parsed = requests.parsed(
            requests.SimilarRequest, json.dumps({"item_ids": [7], "where": body}).encode()
        )
        assert whole.conditions.of_json(parsed.where) == where


BAD = [
    *(
        "price=x",
        "price=nan",
        "price=inf",
        "price=1e400",
        "price=99999999999999999999",
        "beds=true",
        "pool=1",
    ),
    *(
        "pool=TRUE",
        "listed=yesterday",
        "listed=20250101T",
        "price=1_0",
        "min_price=1_0",
        "beds=%D9%A7",
        "price=+7",
        "beds=3%0A",
        "price=infinity",
        "price=0x10",
        "min_city=a",
        "min_pool=true",
        "unknown=1",
        "tags=x",
    ),
    *(
        "min_price=2&min_price=3",
        "price=2&min_price=1",
        "min_price=3&max_price=2",
        "item_id=7",
        "city=%ff",
        "=1",
    ),
    "min_listed=2025-01-02&max_listed=2025-01-01T23:00:00Z",
    "min_listed=0001-01-01T00:00:00%2b14:00",  # in UTC that is the year 0
    "listed=9999-12-31T23:59:59-14:00",
    "&".join(["beds=1"] * 101),
    f"city={'a' * 257}",
]


@pytest.mark.parametrize("query", BAD)
def test_bad_conditions_are_refused(whole: Lookups, query: str) -> None:
    with pytest.raises(Problem) as found:
        whole.conditions.of_query(query_pairs(query.encode()))
    assert found.value.status == 422


def test_a_release_without_an_item_table_has_no_columns() -> None:
    with pytest.raises(Problem, match="no item table"):
        Conditions(None).of_query([("price", "1")])
    assert ItemAttributes is not None


def test_every_error_of_the_package_becomes_a_small_refusal() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.Item2VecError):
            problem = of_error(kind("secret " * 1000))
            assert 400 <= problem.status < 600
            body = problem.body("r1")
            assert len(body) < 1000
            assert b"secret" not in body
    many = Problem(422, "é" * 5000, [("é" * 500, "é" * 5000)] * 50)
    assert len(many.body("r1")) <= 4096 * 2
    assert of_error(ZeroDivisionError()).status == 500


def test_kept_replies_have_a_bound(whole: Lookups) -> None:
    cache = ReplyCache(limit=20_000)
    for number in range(100):
        cache.keep(str(number).encode(), reply(whole, {"n": number, "text": "x" * 500}))
    assert 5 <= len(cache) <= 15
    assert cache.get(b"99") is not None
    assert cache.get(b"0") is None
    for _ in range(100):  # the ordinary route keeps its replies anew
        cache.keep(b"99", reply(whole, {"n": 99, "text": "x" * 500}))
    assert len(cache) >= 5
    assert cache.get(b"99") is not None


def test_live_items_are_in_every_answer_until_they_go(
    whole: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = Inventory(lambda: [whole])
    assert inventory.put(99, Put({"city": "b", "price": 2.5})) is True
    assert inventory.put(99, Put({"city": "a"})) is False
    assert whole.item(99)["attributes"] == {"city": "a", "price": 2.5}
    assert 99 in whole.similar(7, Wanted(9, "similar")).ids
    assert 99 in whole.similar(7, Wanted(9, "next")).ids
    for put in (
        Put(),
        Put(vector=[1.0]),
        Put(vector=[0.0] * 4),
        Put(like=(12345,)),
        Put({"city": "nowhere"}),
    ):
        with pytest.raises(errors.Item2VecError):
            inventory.put(100, put)
        assert not whole.has(100)
    inventory.set_available(99, False)
    assert 99 not in whole.similar(7, Wanted(9, "similar")).ids
    assert whole.similar(99, Wanted(9, "similar")).ids
    inventory.remove(99)
    with pytest.raises(errors.UnknownItemError):
        inventory.remove(99)
    with pytest.raises(errors.UnknownItemError):
        inventory.set_available(99, True)
    assert inventory.counts == {"put": 0, "removed": 1, "unavailable": 0}
    monkeypatch.setattr("item2vec.serving.rebuilds.REBUILD_AT", 2)
    for one in (201, 202, 203):
        inventory.put(one, Put(like=(7, 11)))
    for _ in range(200):
        if whole.live.n_beside < 2:
            break
        time.sleep(0.02)
    assert {201, 202, 203} <= set(whole.similar(7, Wanted(20, "similar")).ids)


def catalogue(n: int = 6) -> Lookups:
    """A release of its own, without an item table."""
    rng = np.random.default_rng(2)
    ids = pa.array([f"i{number}" for number in range(n)])
    vectors = ItemVectors(
        Vocabulary(ids, np.arange(n, 0, -1)), *rng.standard_normal((2, n, 4)).astype(np.float32)
    )
    return Lookups(SimpleNamespace(id="0" * 32), i2v.Recommender(vectors))  # type: ignore[arg-type]


def waited_for(is_so: Callable[[], object]) -> bool:
    for _ in range(500):
        if is_so():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("fails", [False, True])
def test_a_release_is_freed_after_a_rebuild(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """Without the collector, which does not walk what was there when the server began."""
    monkeypatch.setattr("item2vec.serving.rebuilds.REBUILD_AT", 2)
    if fails:
        monkeypatch.setattr(live_items, "rebuilt", lambda parts: [][parts.n_items])
    served, events = [catalogue()], list[str]()
    inventory = Inventory(lambda: served, lambda event, facts: events.append(event))
    gc.collect()
    gc.disable()
    try:
        for name in ("a", "b"):
            inventory.put(name, Put(like=("i0",)))
        assert waited_for(lambda: events)
        rebuilding = [one for one in threading.enumerate() if one.name == "item2vec-rebuild"]
        for one in rebuilding:
            one.join(10)
        refs = [
            weakref.ref(one) for one in (served[0], served[0].live, served[0].loaded, served[0].live.base)
        ]
        served[0] = catalogue()
        assert [one() for one in refs] == [None] * 4
    finally:
        gc.enable()
    assert events == ["rebuild_failed" if fails else "index_rebuilt"]


def test_a_rebuild_that_fails_is_told_and_not_tried_with_every_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("item2vec.serving.rebuilds.REBUILD_AT", 5)
    tries, told = list[int](), list[dict[str, Any]]()

    def fail(parts: Any) -> None:
        tries.append(parts.n_items)
        raise MemoryError("no room")

    def put(*numbers: int) -> None:
        for number in numbers:
            inventory.put(f"x{number}", Put(like=("i0",)))
            assert waited_for(lambda: len(told) == len(tries) and not rebuilding())

    def rebuilding() -> bool:
        return any(one.name == "item2vec-rebuild" for one in threading.enumerate())

    monkeypatch.setattr(live_items, "rebuilt", fail)
    one = catalogue()
    inventory = Inventory(lambda: [one], lambda event, facts: told.append({"event": event, **facts}))
    put(*range(9))
    assert tries == [11]
    put(9)  # five changes after the first try
    assert tries == [11, 16]
    put(10)
    monkeypatch.setattr("item2vec.serving.rebuilds.RETRY_SECONDS", 0.0)
    put(11)
    assert tries == [11, 16, 18]
    assert {(row["event"], row["kind"], row["error"]) for row in told} == {
        ("rebuild_failed", "MemoryError", "no room")
    }
    assert "fail" in told[0]["traceback"]
    monkeypatch.undo()
    monkeypatch.setattr("item2vec.serving.rebuilds.REBUILD_AT", 5)
    for _ in range(5):
        inventory.put("x1", Put(like=("i1",)))
    assert waited_for(lambda: told[-1]["event"] == "index_rebuilt")
    assert one.live.n_beside < 5


def test_rebuilds_are_counted_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    out, package = io.BytesIO(), logging.getLogger("item2vec")
    lines = LogLines(out)
    engine = Engine(ServeSettings(run=Path("nowhere")), lambda release: None)  # type: ignore[arg-type, return-value]
    engine.serving, engine.history = Serving(catalogue()), SimpleNamespace(waiting=0)  # type: ignore[assignment]
    monkeypatch.setattr(engine, "start", lambda: None)
    monkeypatch.setattr("item2vec.serving.rebuilds.REBUILD_AT", 1)
    monkeypatch.setattr("gc.freeze", lambda: None)
    telemetry, handlers = Telemetry(engine, lines), list(package.handlers)
    try:
        start(engine, telemetry)
        monkeypatch.setattr(live_items, "rebuilt", lambda parts: [][parts.n_items])
        engine.inventory.put("a", Put(like=("i0",)))
        assert waited_for(lambda: b'rebuilds_total{outcome="failed"} 1.0' in telemetry.page())
        monkeypatch.undo()
        monkeypatch.setattr("item2vec.serving.rebuilds.REBUILD_AT", 1)
        engine.inventory.put("a", Put(like=("i0",)))
        assert waited_for(lambda: b'index_rebuilds_total{outcome="built"} 1.0' in telemetry.page())
    finally:
        package.handlers[:] = handlers
    waited_for(lambda: not any(one.name == "item2vec-rebuild" for one in threading.enumerate()))
    lines.close()
    told = {row["event"]: row["level"] for row in map(json.loads, out.getvalue().splitlines())}
    assert told == {"release_loaded": "info", "rebuild_failed": "error", "index_rebuilt": "info"}


def test_many_items_alike_can_be_put(whole: Lookups) -> None:
    inventory = Inventory(lambda: [whole])
    for number in range(100, 125):  # the nearest ten of the last are put items, all of them
        assert inventory.put(number, Put({"city": "a"})) is True
    _, context = whole.live.vectors_of(124)
    assert context is not None
    assert np.isfinite(context).all()
    assert 124 in whole.similar(7, Wanted(50, "next")).ids


def test_what_fits_one_release_of_two_changes_none(whole: Lookups) -> None:
    table = whole.loaded.attributes.table.drop_columns(["city"])  # type: ignore[union-attr]
    other = Lookups(whole.release, i2v.Recommender(whole.loaded.vectors, items=table), "b")
    inventory = Inventory(lambda: [whole, other])
    with pytest.raises(UsageError, match="city"):
        inventory.put(99, Put({"city": "a"}, like=(7,)))
    assert (whole.has(99), other.has(99)) == (False, False)
    assert inventory.put(99, Put({"pool": True}, like=(7,))) is True
    assert (whole.has(99), other.has(99)) == (True, True)


def test_changes_pass_to_a_release_all_at_once(whole: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = Inventory(lambda: [whole])
    for number in range(100, 110):
        inventory.put(number, Put({"pool": True} if number % 2 else {}, like=(7, 11)))
    for number in (7, 12):
        inventory.remove(number)
    inventory.set_available(13, False)
    calls: list[str] = []

    def count(name: str) -> None:
        plain = getattr(i2v.LiveRecommender, name)

        def counted(self: object, *arguments: object) -> object:
            calls.append(name)
            return plain(self, *arguments)

        monkeypatch.setattr(i2v.LiveRecommender, name, counted)

    count("put_items")
    count("remove_items")
    new = Lookups(whole.release, whole.loaded)
    assert inventory.carry_over(new) == 0
    assert calls == ["remove_items", "put_items"]
    assert all(new.has(number) for number in range(100, 110))
    assert new.item(101)["attributes"] == {"pool": True}
    assert not new.has(7)
    assert not new.has(12)
    assert 13 not in new.similar(11, Wanted(50, "similar")).ids

    bare = Lookups(whole.release, i2v.Recommender(whole.loaded.vectors))  # has no columns to put
    inventory = Inventory(lambda: [whole])
    inventory.put(201, Put({"pool": True}, like=(11,)))
    inventory.put(202, Put(like=(11,)))
    assert inventory.carry_over(bare) == 1
    assert bare.has(202)
    assert not bare.has(201)
    assert inventory.counts["put"] == 1


def test_what_is_not_put_stays(whole: Lookups) -> None:
    inventory = Inventory(lambda: [whole])
    before = whole.item(7)["attributes"]
    inventory.put(7, Put({"price": 9.5}))
    assert whole.item(7)["attributes"] == {**before, "price": 9.5}
    own, _ = whole.live.vectors_of(7)
    inventory.put(7, Put(like=(11,)))
    assert whole.item(7)["attributes"] == {**before, "price": 9.5}
    assert not np.array_equal(whole.live.vectors_of(7)[0], own)
    with pytest.raises(UsageError, match="nothing to change"):
        inventory.put(7, Put())
    assert of_error(UsageError("x")).status == 422
    inventory.put(99, Put({"city": "a"}, like=(7, 11)))
    inventory.put(99, Put({"price": 1.0}))
    new = Lookups(whole.release, whole.loaded)  # and to the next release it passes as a whole
    assert inventory.carry_over(new) == 0
    assert new.item(99)["attributes"] == {"city": "a", "price": 1.0}
    assert np.allclose(new.live.vectors_of(99)[0], whole.loaded.vector_of([7, 11]))


def test_a_release_that_is_refused_takes_no_changes_with_it(
    whole: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = Inventory(lambda: [whole])
    inventory.put(7, Put({"price": 9.5}))  # the next release's own
    inventory.put(99, Put(vector=[1.0, 0, 0, 0], context_vector=[1.0, 0, 0, 0]))  # lost at a swap
    inventory.put(98, Put(like=(7,)))

    def fail(*arguments: object) -> None:
        raise MemoryError

    new = Lookups(whole.release, whole.loaded)
    monkeypatch.setattr(new.live, "set_available", fail)
    with pytest.raises(MemoryError):
        inventory.carry_over(new)
    assert inventory.counts["put"] == 3
    assert inventory.carry_over(Lookups(whole.release, whole.loaded)) == 1
    assert inventory.counts["put"] == 1


def test_live_changes_have_a_bound(whole: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no release was trained with is forgotten first; then one more is refused, and nothing changes."""
    monkeypatch.setattr("item2vec.serving.inventory.MAX_CHANGES", 3)
    inventory = Inventory(lambda: [whole])
    for number in range(100, 120):  # came and went: nobody will list them again
        inventory.put(number, Put(like=(7,)))
        inventory.set_available(number, False)
        inventory.remove(number)
    assert inventory.counts["unavailable"] == len(whole.live.unavailable) == 0
    for one in (7, -3, 11):
        inventory.remove(one)
    with pytest.raises(Problem, match="3 items were removed live") as found:
        inventory.remove(12)
    assert found.value.status == 409
    assert whole.has(12)
    assert 12 in whole.similar(13, Wanted(9, "similar")).ids
    assert inventory.counts == {"put": 0, "removed": 3, "unavailable": 0}
    inventory.put(7, Put(like=(12,)))  # and there is room again
    inventory.remove(12)

    for number in (200, 201):
        inventory.put(number, Put(like=(13,)))
    with pytest.raises(Problem, match="3 items were put live"):
        inventory.put(202, Put(like=(13,)))
    assert not whole.has(202)
    assert inventory.put(201, Put({"city": "a"}, like=(13,))) is False

    for one in (200, 201, 13):
        inventory.set_available(one, False)
    with pytest.raises(Problem, match="3 items were made unavailable live"):
        inventory.set_available(7, False)
    assert 7 not in whole.live.unavailable
    inventory.set_available(13, False)  # it is not
    inventory.remove(200)
    inventory.set_available(7, False)
    assert whole.live.unavailable == {201, 13, 7}


def test_what_is_gone_with_its_release_is_not_unavailable_for_ever(
    whole: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("item2vec.serving.inventory.MAX_CHANGES", 1)
    served = [whole]
    inventory = Inventory(lambda: served)
    inventory.put(99, Put(vector=[1.0, 0.0, 0.0, 0.0], context_vector=[1.0, 0.0, 0.0, 0.0]))
    inventory.set_available(99, False)
    served[0] = new = Lookups(whole.release, whole.loaded)
    assert inventory.carry_over(new) == 1
    inventory.set_available(7, False)
    assert new.live.unavailable == {7}


def test_a_batch_has_the_answers_of_its_items_however_the_inventory_is(whole: Lookups) -> None:
    inventory = Inventory(lambda: [whole])
    ids = [7, 11, None, 12345, 7, -3, 99]
    wanted = [
        *(Wanted(k, mode) for k in (1, 3, 50) for mode in ("similar", "next")),
        Wanted(3, "similar", {"city": ["a", "b"]}),
        Wanted(3, "next", {"price": (0, 3)}, allow=[7, 11, 12], deny=[12]),
        Wanted(3, "similar", allow=[]),
        Wanted(3, "similar", {"beds": 17}),
    ]

    def check() -> None:
        for one in wanted:
            expected = [
                None if each is None or not whole.has(each) else whole.similar(each, one) for each in ids
            ]
            assert whole.similar_each(ids, one) == expected

    check()
    inventory.set_available(12, False)
    check()
    inventory.put(99, Put({"city": "b", "price": 2.5}))
    inventory.remove(-3)
    check()
    assert whole.similar_each([None, None], wanted[0]) == [None, None]


def test_an_item_whose_price_changed_stays_in_users_lists(whole: Lookups) -> None:
    """It is found by the attributes of today; one whose vector changed waits for the next index."""

    def listed(**where: Any) -> set[Any]:
        return set(whole.recommend(user, Wanted(9, "next", where or None)).found.ids)

    inventory, user = Inventory(lambda: [whole]), UserHistory.of_clicks([7])
    before = whole.recommend(user, Wanted(9, "next")).found
    inventory.put(-3, Put({"price": 99.0, "city": "c"}))
    assert whole.recommend(user, Wanted(9, "next")).found[:2] == before[:2]
    assert listed(price=(90, None)) == listed(city="c") == {-3}
    assert listed(city="b") == {12}
    assert listed(price=(2, 4)) == {2**62}
    assert whole.recommend(user, Wanted(9, "next", {"city": ["b", "c"]}, allow=[-3, 7])).found.ids == [-3]
    with pytest.raises(UsageError):
        listed(nowhere=1)
    inventory.set_available(-3, False)
    assert listed() == {2**62, 11, 12, 13}
    assert listed(city="c") == set()
    inventory.set_available(-3, True)
    inventory.put(11, Put(like=(7, 12)))
    inventory.put(99, Put({"city": "c"}, like=(7,)))
    inventory.remove(13)
    assert listed() == {-3, 2**62, 12}
    assert listed(city="c") == {-3}
    whole.live.rebuild().result(30)
    assert listed() == {-3, 2**62, 11, 12, 99}
    assert listed(city="c") == {-3, 99}


def test_a_list_for_a_user_is_of_one_moment(whole: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild that ends while a list is asked for takes nothing out of it, and lets nothing in."""
    inventory = Inventory(lambda: [whole])
    inventory.remove(-3)
    inventory.set_available(11, False)
    seen = set()
    offered = LiveRecommender.offered_to_users

    def rebuilt_after(self: LiveRecommender, where: None) -> object:
        found = offered(self, where)
        seen.add(found[0])
        self.rebuild().result(30)
        return found

    monkeypatch.setattr(LiveRecommender, "offered_to_users", rebuilt_after)
    user = UserHistory.of_clicks([7])
    for _ in range(2):
        ids = whole.recommend(user, Wanted(9, "next")).found.ids
        assert set(ids) == {2**62, 12, 13}
    assert len(seen) == 2
    allowed = whole.recommend(user, Wanted(9, "next", allow=[-3, 11, 12, 4711], deny=[13])).found.ids
    assert allowed == [12]


def test_a_served_log_outlives_its_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = ServedLog(tmp_path / "log", "string", rows_per_file=2)
    (tmp_path / "log").rmdir()
    log.add(shown(1))
    for _ in range(200):
        if list(tmp_path.glob("log/served-*")):
            break
        time.sleep(0.02)
    (path,) = (tmp_path / "log").iterdir()
    path.unlink()
    (tmp_path / "log").rmdir()
    (tmp_path / "log").touch()  # and a file where the folder was
    log.add(shown(2))
    for _ in range(200):
        if log.dropped:
            break
        time.sleep(0.02)
    (tmp_path / "log").unlink()
    log.add(shown(3))
    log.close()
    assert log.dropped == 1
    assert "1 lists that were shown are lost" in caplog.text
    (path,) = (tmp_path / "log").iterdir()
    assert pq.read_table(path).column("request_id").to_pylist() == ["r3"] * 2


def test_no_line_is_lost_to_a_writing_at_the_same_time() -> None:
    out = io.BytesIO()
    lines = LogLines(out)
    waiting = lines._lines  # as a line has it that is about to be added
    lines.flush()
    waiting.append("late")
    lines.close()
    assert out.getvalue() == b"late\n"


def shown(number: int) -> ServedList:
    user = None if number % 2 else f"u{number}"
    return ServedList(f"r{number}", number, "/x", user, "q", ["a", "b"], [0.5, 0.25], "rel", "a")


def test_the_served_log_turns_its_pages_and_loses_none(tmp_path: Path) -> None:
    log = ServedLog(tmp_path / "log", "string", rows_per_file=20)
    for number in range(35):
        log.add(shown(number))
    log.close()
    files = sorted((tmp_path / "log").iterdir())
    assert len(files) == 4
    tables = [pq.read_table(path) for path in files]
    rows = [row for table in tables for row in table.to_pylist()]
    assert [row["request_id"] for row in rows] == [f"r{n}" for n in range(35) for _ in "ab"]
    assert [row["position"] for row in rows[:4]] == [1, 2, 1, 2]
    assert [row["user_id"] for row in rows[:3]] == ["u0", "u0", None]
    assert tables[0].schema.field("score").type == pa.float32()
    assert log.dropped == 0
    log = ServedLog(tmp_path / "timed", "string", seconds_per_file=0.05)
    log.add(shown(1))
    for _ in range(100):
        if list((tmp_path / "timed").glob("served-*")):
            break
        time.sleep(0.02)
    assert list((tmp_path / "timed").glob("served-*"))
    log.close()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="no folder"):
        ServedLog(tmp_path / "file", "string")


def test_a_reader_that_does_not_read_stops_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("item2vec.serving.logs.MOST_WAITING", 100)
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as out:
        lines = LogLines(out)
        done = threading.Event()

        def fill() -> None:
            for _ in range(5000):
                lines.line("x" * 1000)
            done.set()

        threading.Thread(target=fill, daemon=True).start()
        assert done.wait(10)
        for _ in range(100):
            if lines.dropped:
                break
            lines.line("x" * 1000)
            time.sleep(0.01)
        assert lines.dropped
        os.close(reading)
        lines.close()
    out = io.BytesIO()
    lines = LogLines(out)
    lines.event("odd", text="line\nbreak \x1b[31m " + "é" * 5000)
    lines.close()
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["text"].startswith("line\nbreak")
    assert len(line) < 20_000


def test_settings_travel_as_text_without_the_token(tmp_path: Path) -> None:
    settings = ServeSettings(run=tmp_path, token="x" * 20, split={"release": "ab", "share": 0.5})
    again = ServeSettings.model_validate_json(settings.to_json())
    assert again.token is None
    assert again.model_copy(update={"token": settings.token}) == settings
    assert "x" * 20 not in repr(settings) + settings.to_json()
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9")] == [True] * 4
    assert not any(
        is_loopback(host) for host in ("0.0.0.0", "::", "example.org", "10.0.0.1", "", "localhost.evil")
    )
    for text in ("short", "a b" * 20, "é" * 20, "x" * 5000, ""):
        with pytest.raises(UsageError):
            checked_token(text)
    assert checked_token("x" * 16 + "\n") == "x" * 16


ARROWS = [
    (pa.string(), ["a", None, "é"]),
    (pa.float64(), [1.5, None, -2]),
    (pa.float32(), [1.5, None]),
    (pa.int64(), [1, None, -(2**63)]),
    (pa.uint8(), [0, 255, None]),
    (pa.bool_(), [True, None, False, True, True, True, True, True, None, False]),
    (pa.timestamp("us"), [dt.datetime(2025, 1, 2, 3, 4, 5, 6), None]),
    (pa.timestamp("s"), [dt.datetime(1960, 1, 2)]),
    (pa.timestamp("us", "UTC"), [dt.datetime(2025, 1, 2, tzinfo=dt.UTC), None]),
    (pa.date32(), [dt.date(2025, 1, 2), None, dt.date(1960, 1, 1)]),
    (pa.string(), []),
    (pa.int64(), [None, None]),
]


@pytest.mark.parametrize(("kind", "values"), ARROWS, ids=str)
def test_values_become_arrow_as_pyarrow_does_it(kind: pa.DataType, values: list[object]) -> None:
    assert arrow_array(values, kind).equals(pa.array(values, kind))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.int64(), 1.5),
        (pa.float64(), "1"),
        (pa.string(), 1),
        (pa.bool_(), 1),
        (pa.uint8(), 256),
        (pa.date32(), "x"),
    ],
)
def test_what_does_not_fit_a_column_is_refused(kind: pa.DataType, value: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        arrow_array([value], kind)
