"""Every route gives the library's own answers, to the digit."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from serving_world import ServerProcess

import item2vec as i2v
from item2vec.recommendations import RANKING_FEATURES, InterestWeights, UserEvent, UserHistory

NOW = 1_800_000_000_000_000


def pairs(found: Any) -> list[tuple[Any, float]]:
    ids, scores = found[:2]
    return list(zip(ids.tolist(), [round(one, 6) for one in scores.tolist()], strict=True))


def items(document: dict[str, Any]) -> list[tuple[Any, float]]:
    return [(one["item_id"], one["score"]) for one in document["items"]]


@pytest.fixture(scope="module")
def ids(rec: i2v.Recommender) -> list[str]:
    return rec.vectors.index_to_key


@pytest.mark.parametrize("mode", ["similar", "next"])
def test_similar_by_id(server: ServerProcess, rec: i2v.Recommender, ids: list[str], mode: str) -> None:
    for one in ids[:10]:
        for k in (1, 12, 200):
            reply = server.client.get(f"/v1/items/{one}/similar", params={"k": k, "mode": mode})
            assert reply.status_code == 200
            assert items(reply.json()) == pairs(rec.similar_items(one, k, mode=mode))
            assert reply.json()["item_id"] == one
    short = server.client.get(f"/v1/items/{ids[0]}/similar?k=200").json()
    assert len(short["items"]) == len(ids) - 1
    assert "only" in short["reason"]
    assert len(server.client.get(f"/v1/items/{ids[0]}/similar").json()["items"]) == 10


def test_filters_in_the_address(server: ServerProcess, rec: i2v.Recommender, ids: list[str]) -> None:
    table = rec.attributes.rows(np.arange(len(ids), dtype=np.int32)).to_pylist()
    markets = sorted({row["market"] for row in table if row["market"]})
    cases: list[tuple[str, dict[str, Any]]] = [
        (f"market={quote(markets[0])}", {"market": markets[0]}),
        (f"market={quote(markets[0])}&market={quote(markets[1])}", {"market": markets[:2]}),
        ("min_price=50&max_price=120", {"price": (50, 120)}),
        ("min_price=80.5", {"price": (80.5, None)}),
        (f"market={quote(markets[1])}&max_price=1e2", {"market": markets[1], "price": (None, 100.0)}),
        ("market=nowhere", {"market": "nowhere"}),
    ]
    for query, where in cases:
        reply = server.client.get(f"/v1/items/{ids[3]}/similar?k=8&{query}")
        assert items(reply.json()) == pairs(rec.similar_items(ids[3], 8, where=where)), query
    for _, where in cases[:1]:
        body = {"item_ids": ids[:3], "where": where, "k": 4}
        found = server.client.post("/v1/similar", json=body).json()["results"]
        assert [items(one) for one in found] == [pairs(rec.similar_items(i, 4, where=where)) for i in ids[:3]]
    body = {"item_ids": [ids[3]], "k": 8, "where": {"price": {"min": 50, "max": 120}, "market": markets[:2]}}
    found = server.client.post("/v1/similar", json=body).json()["results"][0]
    assert items(found) == pairs(
        rec.similar_items(ids[3], 8, where={"price": (50, 120), "market": markets[:2]})
    )


def test_a_batch_has_a_status_per_id(server: ServerProcess, rec: i2v.Recommender, ids: list[str]) -> None:
    body = {"item_ids": [ids[0], "nobody", ids[0], ids[1]], "k": 3, "deny": [ids[2]], "allow": ids[1:9]}
    found = server.client.post("/v1/similar", json=body).json()["results"]
    assert [one["status"] for one in found] == ["ok", "unknown", "ok", "ok"]
    assert [one["item_id"] for one in found] == body["item_ids"]
    expected = pairs(rec.similar_items(ids[0], 3, items=ids[1:9], filter_items=[ids[2]]))
    assert items(found[0]) == items(found[2]) == expected
    assert found[1]["items"] == []


def test_vectors_and_items_not_listed_yet(
    server: ServerProcess, rec: i2v.Recommender, ids: list[str]
) -> None:
    vector = np.asarray(rec.vectors.vectors)[4].tolist()
    (found,) = server.client.post("/v1/similar", json={"vector": vector, "k": 5}).json()["results"]
    assert items(found) == pairs(rec.similar_to(np.array(vector), 5))
    (found,) = server.client.post("/v1/similar", json={"vector": vector, "k": 5, "mode": "next"}).json()[
        "results"
    ]
    assert items(found) == pairs(rec.similar_to(np.array(vector), 5, mode="next"))
    row = rec.attributes.rows(np.arange(1, dtype=np.int32)).to_pylist()[0]
    known = {"market": row["market"], "price": row["price"]}
    (found,) = server.client.post("/v1/similar", json={"attributes": known, "k": 5}).json()["results"]
    own, provenance = rec.vector_for(known)
    assert items(found) == pairs(rec.similar_to(own, 5))
    assert found["vector_from"] == {
        "tier": provenance.tier,
        "n_items": provenance.n_items,
        "shared": list(provenance.shared),
    }


def test_recommend_blends_what_is_said(server: ServerProcess, rec: i2v.Recommender, ids: list[str]) -> None:
    events = [
        {
            "item_id": ids[place],
            "event_type": kind,
            "ts_us": NOW - 3_600_000_000 * (place + 1),
            "dwell_seconds": 70,
        }
        for place, kind in enumerate(["click", "skip", "booking", "wishlist", "click"])
    ]
    body = {"events": events, "as_of_us": NOW, "k": 6, "attributes": {"market": "Paris"}, "explain": True}
    user = UserHistory(
        [UserEvent(e["item_id"], e["event_type"], e["ts_us"], 70.0) for e in events], {"market": "Paris"}, NOW
    )
    for changes, settings in (
        ({}, {}),
        ({"mode": "similar"}, {"mode": "similar"}),
        ({"filter_seen": False}, {"filter_seen": False}),
        ({"filter_seen": "booked"}, {"filter_seen": "booked"}),
        ({"weights": {"popular": 0, "lately": 2}}, {"weights": InterestWeights(popular=0, lately=2)}),
        ({"where": {"price": {"max": 90}}}, {"where": {"price": (None, 90)}}),
        ({"deny": ids[5:9]}, {"filter_items": ids[5:9]}),
    ):
        reply = server.client.post("/v1/recommend", json={**body, **changes})
        assert reply.status_code == 200, reply.text
        *found, why = rec.recommend(user, 6, explain=True, **settings)
        assert items(reply.json()) == pairs(found), changes
        assert [one["item_id"] for one in reply.json()["explanations"]] == [one.item_id for one in why]
        assert reply.json()["explanations"][0]["parts"] == why[0].parts
        assert reply.json()["fallback"] is None


def test_recommend_says_what_stood_in(server: ServerProcess, rec: i2v.Recommender) -> None:
    nobody = server.client.post("/v1/recommend", json={"k": 4}).json()
    assert items(nobody) == pairs(rec.recommend(UserHistory(), 4))
    assert nobody["fallback"] == "popularity"
    unknown = server.client.post("/v1/recommend", json={"history": ["nope"], "k": 4}).json()
    assert unknown["fallback"] == "popularity"
    of_type = server.client.post("/v1/recommend", json={"attributes": {"market": "Paris"}}).json()
    assert of_type["fallback"] == "attributes"
    page = server.client.get("/metrics").text
    assert 'item2vec_fallbacks_total{kind="popularity"}' in page
    assert 'item2vec_fallbacks_total{kind="attributes"}' in page


def test_a_user_s_events_count_from_the_next_answer_on(
    server: ServerProcess, rec: i2v.Recommender, ids: list[str]
) -> None:
    path = "/v1/users/anna%2Fb/recommend?k=5"
    before = server.client.get(path).json()
    assert before["fallback"] == "popularity"
    now = time.time_ns() // 1000
    events = [{"item_id": ids[7], "ts_us": now - 60_000_000, "dwell_seconds": 90}, {"item_id": ids[8]}]
    reply = server.client.post("/v1/events", json={"user_id": "anna/b", "events": events})
    assert reply.json() == {"accepted": 2}
    after = server.client.get(path).json()
    assert after["fallback"] is None
    assert {ids[7], ids[8]}.isdisjoint(one["item_id"] for one in after["items"])
    said = server.client.post("/v1/recommend", json={"events": events, "k": 5}).json()
    assert [one["item_id"] for one in said["items"]] == [one["item_id"] for one in after["items"]]
    seen = server.client.get(path + "&filter_seen=false&explain=true&mode=similar").json()
    assert len(seen["explanations"]) == 5
    assert server.client.delete("/v1/users/anna%2Fb").json() == {"events": 2}
    assert server.client.delete("/v1/users/anna%2Fb").json() == {"events": 0}
    assert server.client.get(path).json() == before


def test_the_eight_features(server: ServerProcess, rec: i2v.Recommender, ids: list[str]) -> None:
    events = [
        {"item_id": ids[1], "event_type": "click", "ts_us": NOW - 10_000_000_000, "dwell_seconds": 90},
        {"item_id": ids[2], "event_type": "skip", "ts_us": NOW - 9_000_000_000},
        {"item_id": "unknown", "event_type": "click", "ts_us": NOW - 8_000_000_000},
        {"item_id": ids[3], "event_type": "booking", "ts_us": NOW + 1},
    ]
    body = {"item_ids": [ids[0], "nobody", ids[5]], "events": events, "as_of_us": NOW}
    reply = server.client.post("/v1/features", json=body).json()
    assert tuple(reply["names"]) == RANKING_FEATURES
    assert [one["status"] for one in reply["items"]] == ["ok", "unknown", "ok"]
    history = [UserEvent(e["item_id"], e["event_type"], e["ts_us"], e.get("dwell_seconds")) for e in events]
    features = i2v.RankingFeatures(rec.vectors, rec.attributes.table)
    expected, use = features.of([ids[0], ids[5]], history, NOW, return_info=True)
    assert reply["history"] == use._asdict()
    for row, one in zip(expected.tolist(), (reply["items"][0], reply["items"][2]), strict=True):
        own = [None if value != value else round(value, 6) for value in row[:7]]
        assert one["features"][:7] == own
        assert -1 <= one["features"][7] <= 1


def test_items_are_shown_and_found(server: ServerProcess, rec: i2v.Recommender, ids: list[str]) -> None:
    found = server.client.get(f"/v1/items/{ids[2]}").json()
    row = rec.attributes.rows(np.array([2], np.int32)).to_pylist()[0]
    assert found["attributes"] == {key: row[key] for key in row if key != "item_id" and row[key] is not None}
    assert found["n_clicks"] == int(rec.vocabulary.counts[2])
    assert found["available"] is found["trained"] is True
    most = [one["item_id"] for one in server.client.get("/v1/items?k=5").json()["items"]]
    assert most == ids[:5]
    searched = [
        one["item_id"] for one in server.client.get(f"/v1/items?q={ids[2].lower()[:6]}&k=200").json()["items"]
    ]
    assert set(searched) == {one for one in ids if ids[2][:6] in one}
    inner = [
        one["item_id"]
        for one in server.client.get("/v1/items", params={"q": ids[2][-2:], "k": 200}).json()["items"]
    ]
    assert set(inner) == {one for one in ids if ids[2][-2:] in one}
    assert server.client.get("/v1/items?q=nothing-like-it").json() == {"items": []}


def test_the_model_is_described(server: ServerProcess, rec: i2v.Recommender, ids: list[str]) -> None:
    reply = server.client.get("/v1/model")
    model = reply.json()
    assert model["release"] == reply.headers["x-release"]
    assert model["items"] == len(ids)
    assert model["id_type"] == "string"
    assert model["columns"]["price"] == "number"
    assert model["neighbours"] == 30
    assert model["data"]["first_day"] < model["data"]["last_day"]
    assert model["figures"]["events"]["rows_in"] > 1000
    assert model["refused"] is None


def test_etags_spare_the_body(server: ServerProcess, ids: list[str]) -> None:
    for path in (f"/v1/items/{ids[0]}/similar?k=3", f"/v1/items/{ids[0]}", "/v1/items?q=L", "/v1/model"):
        first = server.client.get(path)
        etag = first.headers["etag"]
        for given in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            again = server.client.get(path, headers={"If-None-Match": given})
            assert (again.status_code, again.content) == (304, b""), path
            assert again.headers["etag"] == etag
            assert again.headers["x-release"] == first.headers["x-release"]
        assert server.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert server.client.get(f"/v1/items/{ids[0]}/similar").headers["cache-control"] == "private, max-age=60"
    assert server.client.post("/v1/recommend", json={}).headers["cache-control"] == "no-store"


def test_requests_are_counted_and_logged(server: ServerProcess, ids: list[str]) -> None:
    reply = server.client.get(f"/v1/items/{ids[0]}/similar?k=7")
    page = server.client.get("/metrics").text
    route = "/v1/items/{item_id}/similar"
    assert f'item2vec_requests_total{{method="GET",route="{route}",status="200"}}' in page
    assert f'item2vec_request_seconds_bucket{{le="0.005",route="{route}"}}' in page
    assert f'item2vec_results_count{{route="{route}"}}' in page
    assert 'item2vec_answers_total{path="table"}' in page
    assert f'item2vec_release{{release="{reply.headers["x-release"]}",variant="a"}}' in page
    for _ in range(100):
        found = [one for one in server.lines("request") if one["request_id"] == reply.headers["x-request-id"]]
        if found:
            break
        time.sleep(0.02)
    assert len(found) == 1
    assert found[0]["route"] == route
    assert found[0]["results"] == 7
    assert found[0]["status"] == 200
    assert found[0]["release"] == reply.headers["x-release"]


def test_the_document_lists_every_route_with_an_example(server: ServerProcess) -> None:
    document = server.client.get("/openapi.json").json()
    routes = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert routes == {
        ("/v1/items/{item_id}/similar", "get"),
        ("/v1/similar", "post"),
        ("/v1/recommend", "post"),
        ("/v1/events", "post"),
        ("/v1/users/{user_id}/recommend", "get"),
        ("/v1/users/{user_id}", "delete"),
        ("/v1/items/{item_id}", "get"),
        ("/v1/items/{item_id}", "put"),
        ("/v1/items/{item_id}", "delete"),
        ("/v1/items/{item_id}/availability", "put"),
        ("/v1/items", "get"),
        ("/v1/features", "post"),
        ("/v1/model", "get"),
        ("/livez", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "requestBody" in operation:
                (content,) = operation["requestBody"]["content"].values()
                assert content["example"], (path, method)
    body = document["paths"]["/v1/similar"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert server.client.post("/v1/similar", json=body).status_code == 200
