"""The search for what a user likes most leaves out most items, and never one that belongs into the list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.embeddings import ItemVectors
from item2vec.embeddings.types import TypeEmbeddings, TypeMap
from item2vec.recommendations import (
    InterestWeights,
    ListRules,
    LiveRecommender,
    Recommender,
    UserHistory,
    interest_search,
)
from item2vec.recommendations.blocks import BLOCK, Balls, nearest_products, places_of, side_by_side
from item2vec.recommendations.user_events import DAY_US, UserEvent
from item2vec.sessions.container import Sessions
from item2vec.vocabulary import Vocabulary

N_ITEMS, D, GROUP = 5003, 12, 40
NOW = 1_000 * DAY_US
RNG = np.random.default_rng(11)
IDS = [f"i{number:04d}" for number in RNG.permutation(N_ITEMS)]
GROUPS = RNG.integers(N_ITEMS // GROUP, size=N_ITEMS)
MARKETS = [None if group % 9 == 8 else f"m{group % 9}" for group in GROUPS.tolist()]
KINDS = [int(group) % 5 for group in GROUPS]  # nobody books kind 4: its type has no vector
PRICES = RNG.integers(20, 300, N_ITEMS).astype(float)
TWINS = np.flatnonzero(GROUPS == 3)
COUNTS = RNG.zipf(1.5, N_ITEMS).clip(0, 3000)
COUNTS[TWINS] = 7


def _table(length: float) -> np.ndarray:
    centres = RNG.standard_normal((N_ITEMS // GROUP, D))
    rows = centres[GROUPS] + length * RNG.standard_normal((N_ITEMS, D))
    rows[TWINS] = rows[TWINS[0]]  # they cannot be told apart, wherever they stand
    return (rows * RNG.uniform(0.5, 1.5, (len(centres), 1))[GROUPS]).astype(np.float32)


INPUTS, OUTPUTS = _table(0.15), _table(0.15)
ITEMS = pa.table({"item_id": IDS, "market": MARKETS, "kind": KINDS, "price": PRICES})
VECTORS = ItemVectors(Vocabulary(pa.array(IDS), COUNTS), INPUTS, OUTPUTS)
TYPE_MAP = TypeMap.from_document(
    {
        "listing_type": [{"code": "k", "column": "kind", "edges": [1, 2, 3, 4]}],
        "user_type": [{"code": "g", "column": "group", "own": True}],
    }
)


def fitted_types() -> TypeEmbeddings:
    """Users of group g book listings of kind g, none of them of kind 4."""
    rng = np.random.default_rng(1)
    groups = np.arange(200) % 4
    of_kind = [np.flatnonzero(np.array(KINDS) == kind) for kind in range(4)]
    ranks = np.argsort(np.argsort(IDS))  # sessions have their ids in order
    tokens = ranks[np.stack([rng.choice(of_kind[group], 3) for group in groups])]
    bookings = Sessions(
        item_ids=pa.array(sorted(IDS)),
        tokens=tokens.ravel().astype(np.int32),
        offsets=np.arange(0, 601, 3),
        booked=np.zeros(0, np.int32),
        booked_offsets=np.zeros(201, np.int64),
        weights=np.ones(200, np.float32),
        session_ids=np.arange(200),
        user_ids=pa.array([f"u{k}" for k in range(200)]),
        ts_us=np.tile(np.arange(3), 200),
        markets=np.full(N_ITEMS, -1, np.int32),
        items=ITEMS.sort_by("item_id"),
        kind="booking",
    )
    users = pa.table({"user_id": [f"u{k}" for k in range(200)], "group": groups.tolist()})
    types = TypeEmbeddings(type_map=TYPE_MAP, vector_size=8, epochs=5, workers=1)
    return types.fit(bookings, users, show_progress=False)


@pytest.fixture(scope="module")
def rec() -> Recommender:
    return Recommender(VECTORS, items=ITEMS, types=fitted_types())


def plain_scores(rec: Recommender, user: UserHistory, mode: str, weights: InterestWeights) -> np.ndarray:
    """Add the parts of all items up, in float64 and nothing left out."""
    units = INPUTS / np.linalg.norm(INPUTS.astype(np.float64), axis=1, keepdims=True)
    targets = (
        units if mode == "similar" else OUTPUTS / np.linalg.norm(OUTPUTS.astype(np.float64), axis=1).max()
    )
    sums: dict[str, dict[Any, np.ndarray]] = {"lately": {}, "skipped": {}, "booked": {}}
    for event in user.events:
        num = IDS.index(event.item_id)
        faded = 0.5 ** ((NOW - event.ts_us) / (weights.half_life_days * DAY_US))
        for part, weight in (
            ("lately", faded * weights.of_event(event)),
            ("skipped", faded * (event.event_type == "skip")),
            ("booked", 1.0 * (event.event_type == "booking")),
        ):
            if weight:
                of_market = sums[part].setdefault(MARKETS[num], np.zeros(D))
                of_market += weight * units[num]

    def nearness(part: str, table: np.ndarray) -> Any:
        found = [table @ (one / np.linalg.norm(one)) for one in sums[part].values()]
        return np.max(found, axis=0) if found else 0.0

    total = weights.popular * np.log1p(COUNTS) / np.log1p(COUNTS.max())
    total += weights.lately * nearness("lately", targets) + weights.booked * nearness("booked", units)
    total -= weights.skipped * np.maximum(nearness("skipped", units), 0.0)
    kinds = [f"k{1 + kind}" for kind in range(5)]
    typed = np.nan_to_num(rec.types.similarity(rec.types.user_type(user.attributes, []), kinds))
    return total + weights.type * typed[KINDS]


EVENTS = st.lists(
    st.builds(
        UserEvent,
        st.sampled_from([*(IDS[num] for num in TWINS[:5]), *IDS[:40]]),
        st.sampled_from(["click", "click", "skip", "wishlist", "booking", "rejection"]),
        st.integers(NOW - 13 * DAY_US, NOW - 1),
        st.none(),
    ),
    max_size=20,
)
HEAVY = st.sampled_from([0.0, 0.05, 0.3, 1.0, 1000.0])
WEIGHTS = st.one_of(
    st.just(InterestWeights()),
    st.builds(InterestWeights, lately=HEAVY, skipped=HEAVY, booked=HEAVY, type=HEAVY, popular=HEAVY),
)
FILTERS: list[dict[str, Any]] = [
    {},
    {"where": {"market": "m3"}},
    {"where": {"price": (30, None)}},
    {"where": {"market": "nowhere"}},
    {"items": [IDS[num] for num in TWINS[::2]] + IDS[:7]},
    {"filter_items": [IDS[num] for num in TWINS[:9]] + IDS[100:150]},
]


def allowed(row: int, options: dict[str, Any], hidden: set[str]) -> bool:
    where = options.get("where", {})
    return (
        IDS[row] not in hidden
        and ("market" not in where or MARKETS[row] == where["market"])
        and ("price" not in where or PRICES[row] >= where["price"][0])
        and ("items" not in options or IDS[row] in options["items"])
        and IDS[row] not in options.get("filter_items", ())
    )


@settings(max_examples=60, deadline=None)
@given(
    events=EVENTS,
    mode=st.sampled_from(["similar", "next"]),
    weights=WEIGHTS,
    options=st.sampled_from(FILTERS),
    seen=st.sampled_from([True, False, "booked"]),
    n=st.sampled_from([1, 12, 45, 700]),
)
def test_the_list_is_the_head_of_a_sort_of_all_sums(
    rec: Recommender,
    events: list[UserEvent],
    mode: Any,
    weights: InterestWeights,
    options: dict[str, Any],
    seen: Any,
    n: int,
) -> None:
    user = UserHistory(events, {"group": 1}, NOW)
    truth = plain_scores(rec, user, mode, weights)
    ids, scores = rec.recommend(user, N_ITEMS, mode=mode, weights=weights, filter_seen=False)
    assert sorted(ids.tolist()) == sorted(IDS)
    score_of = dict(zip(ids.tolist(), scores.tolist(), strict=True))
    heaviest = max(1.0, weights.lately, weights.skipped, weights.booked, weights.type, weights.popular)
    np.testing.assert_allclose([score_of[one] for one in IDS], truth, rtol=0, atol=3e-6 * heaviest)
    assert len({score_of[IDS[num]] for num in TWINS}) == 1

    hidden = {one.item_id for one in events if seen is True or (seen and one.event_type == "booking")}
    left = [one for row, one in enumerate(IDS) if allowed(row, options, hidden)]
    expected = sorted(left, key=lambda one: (-score_of[one], one))[:n]
    ids, scores = rec.recommend(user, n, mode=mode, weights=weights, filter_seen=seen, **options)
    assert ids.tolist() == expected
    assert scores.tolist() == [score_of[one] for one in expected]


@pytest.mark.parametrize("mode", ["similar", "next"])
def test_of_items_that_are_alike_the_first_ids_come_back(rec: Recommender, mode: Any) -> None:
    """Products of whole tables differ in the last digit by where a row stands."""
    twins = [IDS[num] for num in TWINS]
    for clicked in range(8):
        events = [UserEvent(IDS[clicked], "click", NOW - 5), UserEvent(IDS[clicked + 1], "skip", NOW - 5)]
        user = UserHistory(events, {"group": 1}, NOW)
        for size in range(5, len(twins)):
            ids, scores = rec.recommend(user, size - 1, twins[:size], None, False, mode=mode)
            assert ids.tolist() == sorted(twins[:size])[:-1]
            assert len(set(scores.tolist())) == 1


def test_rules_get_their_candidates_from_the_same_search(rec: Recommender) -> None:
    user = UserHistory([UserEvent(IDS[num], "click", NOW - 5) for num in (0, 1, 2)], {"group": 1}, NOW)
    everything = rec.recommend(user, N_ITEMS)[0].tolist()
    ids, _ = rec.recommend(user, 24, rules=ListRules(at_most={"market": 3}))
    taken: dict[Any, int] = {}
    expected = []
    for one in everything:
        market = MARKETS[IDS.index(one)]
        if market is None or taken.setdefault(market, 0) < 3:
            expected.append(one)
            taken[market] = taken.get(market, 0) + 1
    assert ids.tolist() == expected[:24]


def test_where_nothing_is_known_and_all_are_alike_the_ids_decide() -> None:
    vectors = ItemVectors(Vocabulary(pa.array(IDS), np.ones(N_ITEMS, np.int64)), INPUTS, OUTPUTS)
    ids, scores = Recommender(vectors).recommend(UserHistory(as_of_us=NOW), 30)
    assert ids.tolist() == sorted(IDS)[:30]
    assert set(scores.tolist()) == {np.float32(0.6)}


@pytest.mark.parametrize("mode", ["similar", "next"])
def test_most_items_are_not_looked_at(rec: Recommender, mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []

    def counted(rows: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        looked_at.append(len(rows))
        return nearest_products(rows, vectors)

    user = UserHistory([UserEvent(IDS[num], "click", NOW - 5) for num in TWINS[:3]], {"group": 1}, NOW)
    monkeypatch.setattr(interest_search, "nearest_products", counted)
    monkeypatch.setattr(interest_search, "_FIRST_BLOCKS", 8)
    rec.recommend(user, 5, mode=mode, weights=InterestWeights(popular=0.1))
    n_blocks, first, rest = looked_at
    assert n_blocks == -(-N_ITEMS // BLOCK)
    assert first + rest < N_ITEMS // 2


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 200), d=st.integers(1, 6), alike=st.integers(0, 200), seed=st.integers(0, 99))
def test_blocks_hold_every_item_once_inside_their_balls(n: int, d: int, alike: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n, d)).astype(np.float32)
    points[:alike] = points[0]
    order = side_by_side(points)
    assert sorted(order.tolist()) == list(range(n))
    rows, balls = points[order], Balls.around(points[order])
    everything = places_of(np.arange(len(balls.radii)), n)
    assert everything.tolist() == list(range(n))
    for block, (centre, radius) in enumerate(zip(*balls, strict=True)):
        inside = rows[places_of(np.array([block]), n)]
        assert (np.linalg.norm(inside - centre, axis=1) <= radius * (1 + 1e-5) + 1e-6).all()
    queries = rng.standard_normal((5, d)).astype(np.float32)
    for m in (1, 5):
        expected = (rows.astype(np.float64) @ queries[:m].T).max(axis=1)
        np.testing.assert_allclose(nearest_products(rows, queries[:m]), expected, atol=1e-5)


@pytest.mark.parametrize("half_life", [3.0, 0.02, 0.005, 1e-9, 1e-320])
def test_however_faded_a_history_points_somewhere(rec: Recommender, half_life: float) -> None:
    """In every market by itself: one is a thousand half-lives older than the other."""
    places = [next(row for row, one in enumerate(MARKETS) if one == name) for name in ("m0", "m1")]
    events = [
        UserEvent(IDS[row], "click", NOW - days * DAY_US, None)
        for row, days in zip(places, (13, 1), strict=True)
    ]
    weights = InterestWeights(half_life_days=half_life)
    blend = rec.user_lists.interest.blend(UserHistory(events, {}, NOW), NOW, "similar", weights)
    units = VECTORS.get_normed_vectors()
    nums = VECTORS.vocabulary.nums([IDS[row] for row in places])
    assert len(blend.lately) == 2
    for one, num in zip(blend.lately, nums, strict=True):
        assert np.allclose(one.vector, units[num], atol=1e-6)


def test_a_live_rebuild_keeps_the_types(rec: Recommender) -> None:
    live = LiveRecommender(rec)
    user, weights = UserHistory([], {"group": 1}, NOW), InterestWeights(type=1.0)
    live.rebuild().result(60)
    assert live.base is not rec
    before, after = (one.recommend(user, 5, weights=weights, explain=True) for one in (rec, live.base))
    assert after[0].tolist() == before[0].tolist()
    assert [one.to_json()["parts"] for one in after[2]] == [one.to_json()["parts"] for one in before[2]]
    assert "type" in after[2][0].to_json()["parts"]
