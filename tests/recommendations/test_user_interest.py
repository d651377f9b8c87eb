"""A user's interests blended: against plain loops, in the odd cases, and taken apart again."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.embeddings import ItemVectors
from item2vec.embeddings.types import TypeEmbeddings, TypeMap
from item2vec.errors import DataError, UsageError
from item2vec.recommendations import InterestWeights, ListRules, Recommender, UserHistory
from item2vec.recommendations.user_events import DAY_US, UserEvent
from item2vec.sessions.container import Sessions
from item2vec.vocabulary import Vocabulary

N_ITEMS, D = 60, 5
NOW = 1_000 * DAY_US
IDS = [f"i{k:02d}" for k in range(N_ITEMS)]
MARKETS = [None if k % 10 == 9 else f"m{k % 3}" for k in range(N_ITEMS)]
RNG = np.random.default_rng(7)
INPUTS, OUTPUTS = RNG.standard_normal((2, N_ITEMS, D)).astype(np.float32)
COUNTS = np.sort(RNG.integers(0, 500, N_ITEMS))[::-1].astype(np.int64)
ITEMS = pa.table({"item_id": IDS, "market": MARKETS, "kind": [k % 4 for k in range(N_ITEMS)]})
VECTORS = ItemVectors(Vocabulary(pa.array(IDS), COUNTS), INPUTS, OUTPUTS)
WEIGHTS = InterestWeights(lately=1.0, skipped=0.3, booked=0.4, type=0.5, popular=0.2, half_life_days=2.0)
RULES = TypeMap.from_document(
    {
        "listing_type": [{"code": "k", "column": "kind", "edges": [1, 2, 3]}],
        "user_type": [
            {"code": "g", "column": "group", "own": True},
            {"code": "nb", "count_of": "bookings", "edges": [1, 2]},
        ],
    }
)


def fitted_types() -> TypeEmbeddings:
    """Users of group g book listings of kind g."""
    rng = np.random.default_rng(1)
    groups = np.arange(400) % 4
    tokens = groups[:, None] + 4 * rng.integers(15, size=(400, 3))
    bookings = Sessions(
        item_ids=pa.array(IDS),
        tokens=tokens.ravel().astype(np.int32),
        offsets=np.arange(0, 1201, 3),
        booked=np.zeros(0, np.int32),
        booked_offsets=np.zeros(401, np.int64),
        weights=np.ones(400, np.float32),
        session_ids=np.arange(400),
        user_ids=pa.array([f"u{k}" for k in range(400)]),
        ts_us=np.tile(np.arange(3), 400),
        markets=np.full(N_ITEMS, -1, np.int32),
        items=ITEMS,
        kind="booking",
    )
    users = pa.table({"user_id": [f"u{k}" for k in range(400)], "group": groups.tolist()})
    types = TypeEmbeddings(type_map=RULES, vector_size=8, epochs=5, workers=1)
    return types.fit(bookings, users, show_progress=False)


@pytest.fixture(scope="module")
def rec() -> Recommender:
    return Recommender(VECTORS, items=ITEMS, types=fitted_types())


@pytest.fixture(scope="module")
def plain() -> Recommender:
    return Recommender(VECTORS, items=ITEMS)


def unit(row: np.ndarray) -> np.ndarray:
    return row.astype(np.float64) / np.linalg.norm(row)


def referee(rec: Recommender, user: UserHistory, mode: str) -> list[float]:
    """Score every item by plain loops."""
    liked: dict[Any, np.ndarray] = {}
    passed: dict[Any, np.ndarray] = {}
    booked: dict[Any, np.ndarray] = {}
    weight = {"click": 1.0, "long_click": 2.0, "wishlist": 3.0, "inquiry": 4.0, "booking": 4.0}
    stays = []
    for event in user.events:
        if event.item_id not in IDS or event.ts_us >= NOW:
            continue
        num = IDS.index(event.item_id)
        market, row = MARKETS[num], unit(INPUTS[num])
        fade = 0.5 ** ((NOW - event.ts_us) / (2 * DAY_US))
        if event.event_type == "booking":
            booked[market] = booked.get(market, 0) + row
            stays.append((event.ts_us, num))
        if event.ts_us < NOW - 14 * DAY_US:
            continue
        if event.event_type == "skip":
            passed[market] = passed.get(market, 0) + fade * row
        kind = (
            "long_click"
            if event.event_type == "click" and (event.dwell_seconds or 0) > 60
            else event.event_type
        )
        if kind in weight:
            liked[market] = liked.get(market, 0) + fade * weight[kind] * row
    longest = np.linalg.norm(OUTPUTS, axis=1).max()
    scores = []
    for num in range(N_ITEMS):
        target = unit(INPUTS[num]) if mode == "similar" else OUTPUTS[num] / longest
        total = 0.2 * math.log1p(COUNTS[num]) / math.log1p(COUNTS.max())
        if liked:
            total += max(unit(one) @ target for one in liked.values())
        if passed:
            total -= 0.3 * max(0.0, *(unit(one) @ unit(INPUTS[num]) for one in passed.values()))
        if booked:
            total += 0.4 * max(unit(one) @ unit(INPUTS[num]) for one in booked.values())
        if rec.types is not None:
            rows = [{"kind": num % 4} for _, num in sorted(stays)]
            name = rec.types.user_type(user.attributes, rows)
            total += 0.5 * np.nan_to_num(rec.types.similarity(name, [f"k{1 + num % 4}"])[0])
        scores.append(total)
    return scores


EVENTS = st.lists(
    st.builds(
        UserEvent,
        st.sampled_from([*IDS, "unknown"]),
        st.sampled_from(["click", "skip", "wishlist", "inquiry", "booking", "rejection"]),
        st.integers(NOW - 20 * DAY_US, NOW + DAY_US),
        st.one_of(st.none(), st.floats(0, 200)),
    ),
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(events=EVENTS, mode=st.sampled_from(["similar", "next"]), with_types=st.booleans())
def test_scores_are_those_of_plain_loops(
    rec: Recommender, plain: Recommender, events: list[UserEvent], mode: Any, with_types: bool
) -> None:
    asked = rec if with_types else plain
    user = UserHistory(events, {"group": 2}, NOW)
    truth = np.array(referee(asked, user, mode))
    ids, scores = asked.recommend(user, N=N_ITEMS, mode=mode, weights=WEIGHTS, filter_seen=False)
    by_id = dict(zip(ids.tolist(), scores.tolist(), strict=True))
    np.testing.assert_allclose([by_id[one] for one in IDS], truth, atol=2e-6)
    assert (np.diff(scores) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(events=EVENTS, mode=st.sampled_from(["similar", "next"]))
def test_an_explanation_adds_up(rec: Recommender, events: list[UserEvent], mode: Any) -> None:
    user = UserHistory(events, {"group": 1}, NOW)
    ids, scores, why = rec.recommend(user, N=5, mode=mode, weights=WEIGHTS, explain=True)
    assert [one.item_id for one in why] == ids.tolist()
    for score, one in zip(scores.tolist(), why, strict=True):
        assert sum(one.parts.values()) == pytest.approx(score, abs=1e-6) == pytest.approx(one.score, abs=1e-6)
        for reasons, part in ((one.lately, "lately"), (one.booked, "booked")):
            assert len(reasons) <= 5
            assert (part in one.parts) or not reasons
            if 0 < len(reasons) < 5:
                total = sum(reason.share for reason in reasons)
                assert total == pytest.approx(np.sign(one.parts[part]), abs=1e-4)
        assert one.user_type is not None
        assert one.listing_type == f"k{1 + IDS.index(one.item_id) % 4}"
        assert str(one).startswith(one.item_id)


def events_of(*entries: tuple[str, str, float]) -> list[UserEvent]:
    """Events from (item, type, days ago)."""
    return [UserEvent(item, kind, int(NOW - days * DAY_US)) for item, kind, days in entries]


def test_the_click_that_was_meant_is_named(plain: Recommender) -> None:
    user = UserHistory(events_of(("i00", "click", 0.1), ("i01", "click", 0.1)), as_of_us=NOW)
    _, _, (first, *_) = plain.recommend(user, N=1, mode="similar", explain=True, filter_seen=False)
    assert first.item_id in ("i00", "i01")
    assert first.lately[0].item_id == first.item_id  # i00 and i01 are of two markets: one centroid each
    assert first.market == MARKETS[IDS.index(first.item_id)]


def test_skips_push_away_and_old_events_fade(plain: Recommender) -> None:
    def place(events: list[UserEvent], item: str) -> int:
        user = UserHistory(events, as_of_us=NOW)
        ids, _ = plain.recommend(user, N=N_ITEMS, mode="similar", filter_seen=False)
        return int(ids.tolist().index(item))

    near = events_of(("i00", "click", 1))
    target = plain.recommend(UserHistory(near, as_of_us=NOW), N=3, mode="similar")[0][1]
    assert place([*near, *events_of((target, "skip", 0.1))], target) > place(near, target)
    both = events_of(("i03", "click", 10), ("i00", "click", 0.1))  # of one market
    assert place(both, "i00") < place(both, "i03")


def test_users_of_whom_nothing_is_known(rec: Recommender, plain: Recommender) -> None:
    """Unknown: popularity. With attributes: what suits the type of a user who never booked."""
    ids, _ = plain.recommend(UserHistory(as_of_us=NOW), N=5)
    assert ids.tolist() == IDS[:5]  # counts fall with the number
    market = {"market": "m1"}
    ids, _ = plain.recommend(UserHistory(as_of_us=NOW), N=5, where=market)
    assert ids.tolist() == [one for one, where in zip(IDS, MARKETS, strict=True) if where == "m1"][:5]
    for group in range(4):
        user = UserHistory(attributes={"group": group}, as_of_us=NOW)
        ids, _, why = rec.recommend(user, N=8, weights=InterestWeights(popular=0.01), explain=True)
        assert {IDS.index(one) % 4 for one in ids.tolist()} == {group}
        assert why[0].user_type == f"g{group or '%30'}_nb1"


def test_one_event_is_enough_and_unknown_or_future_ones_are_none(plain: Recommender) -> None:
    one = UserHistory(events_of(("i05", "click", 1)), as_of_us=NOW)
    ids, _, info = plain.recommend(one, N=5, return_info=True)
    assert len(ids) == 5
    assert info.unknown_ids == 0
    odd = events_of(("nowhere", "click", 1), ("i05", "click", -1), ("i06", "click", 0))
    ids, _, info = plain.recommend(UserHistory(odd, as_of_us=NOW), N=3, return_info=True, filter_seen=False)
    assert ids.tolist() == IDS[:3]
    assert info.unknown_ids == 1


def test_events_stand_where_attributes_contradict_them(rec: Recommender) -> None:
    stays = events_of(("i00", "booking", 3), ("i04", "booking", 2))
    user = UserHistory(stays, {"group": 0, "count_of bookings": 0, "nb": 0}, NOW)
    *_, why = rec.recommend(user, N=1, explain=True)
    assert why[0].user_type == "g%30_nb3"


def test_what_was_seen_or_booked_stays_out_on_request(plain: Recommender) -> None:
    user = UserHistory(events_of(("i00", "click", 1), ("i03", "booking", 2)), as_of_us=NOW)

    def listed(**options: Any) -> set[str]:
        return set(plain.recommend(user, N=N_ITEMS, **options)[0].tolist())

    assert listed() == {*IDS} - {"i00", "i03"}
    assert listed(filter_seen="booked") == {*IDS} - {"i03"}
    assert listed(filter_seen=False) == {*IDS}
    assert listed(items=["i00", "i01"], filter_seen=False) == {"i00", "i01"}
    assert len(listed(rules=ListRules(at_most={"market": 2}))) < N_ITEMS


def test_several_users_are_answered_like_one(rec: Recommender) -> None:
    users = [
        UserHistory(events_of(("i00", "click", 1)), as_of_us=NOW),
        UserHistory(attributes={"group": 2}, as_of_us=NOW),
        UserHistory(as_of_us=NOW),
    ]
    ids, scores, infos, why = rec.recommend(users, N=4, return_info=True, explain=True)
    assert ids.shape == scores.shape == (3, 4)
    assert len(infos) == len(why) == 3
    for row, user in enumerate(users):
        one = rec.recommend(user, N=4)
        assert ids[row].tolist() == one[0].tolist()
        np.testing.assert_array_equal(scores[row], one[1])


def test_clicks_of_just_now(plain: Recommender) -> None:
    user = UserHistory.of_clicks(["i00", "i03"])
    assert [one.event_type for one in user.events] == ["click", "click"]
    ids, _ = plain.recommend(user, N=5)
    assert not {"i00", "i03"} & set(ids.tolist())


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: UserHistory([("i00", "click", 1)]), DataError, "UserEvent"),
        (lambda: UserHistory([UserEvent("i00", "like", 1)]), DataError, "unknown event type"),
        (lambda: UserHistory([UserEvent("", "click", 1)]), DataError, "characters"),
        (lambda: UserHistory([UserEvent("i", "click", -1)]), DataError, "ts_us"),
        (lambda: UserHistory([UserEvent("i", "click", True)]), DataError, "ts_us"),
        (lambda: UserHistory([UserEvent("i", "click", 1, -1.0)]), DataError, "dwell"),
        (lambda: UserHistory([UserEvent("i", "click", 1, "long")]), DataError, "dwell"),
        (lambda: UserHistory([UserEvent(1.5, "click", 1)]), DataError, "item id"),
        (lambda: UserHistory(attributes=[("a", 1)]), UsageError, "mapping"),
        (lambda: UserHistory(as_of_us="now"), UsageError, "as_of_us"),
        (lambda: InterestWeights(lately=-1), UsageError, "lately"),
        (lambda: InterestWeights(popular=float("nan")), UsageError, "popular"),
        (lambda: InterestWeights(half_life_days=0), UsageError, "half_life_days"),
    ],
)
def test_what_is_no_user_is_refused(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_numbers_of_numpy_and_pandas_are_numbers(plain: Recommender) -> None:
    event = UserEvent("i00", "click", np.int64(NOW - 1), np.float32(70))
    missing = UserEvent("i00", "click", NOW - 1, float("nan"))
    user = UserHistory([event, missing], as_of_us=np.int64(NOW))
    assert user.events == (UserEvent("i00", "click", NOW - 1, 70.0), UserEvent("i00", "click", NOW - 1))
    assert [one.is_long_click for one in user.events] == [True, False]
    numbered = ItemVectors(Vocabulary(pa.array(range(N_ITEMS)), COUNTS), INPUTS, OUTPUTS)
    asked = UserHistory([UserEvent(np.int64(3), "click", NOW - 1)], as_of_us=NOW)
    *_, why = Recommender(numbered).recommend(asked, N=2, explain=True)
    assert json.loads(json.dumps(why[0].to_json()))["lately"][0]["item_id"] == 3


def test_the_future_is_neither_hidden_nor_forgotten(plain: Recommender) -> None:
    """A back-test asks as of a booking: what comes then must not be left out of the answer."""
    user = UserHistory(
        events_of(("i05", "booking", -1), ("i06", "click", 0), ("i07", "click", 1)), as_of_us=NOW
    )
    for seen in (True, "booked", False):
        ids, _, info = plain.recommend(user, N=N_ITEMS, filter_seen=seen, return_info=True)
        assert {"i05", "i06"} <= set(ids.tolist())
        assert info.future_events == 2
    *_, info = plain.recommend(UserHistory(as_of_us=NOW), N=1, return_info=True)
    assert info.future_events == 0


def test_a_click_of_long_ago_still_points_somewhere(plain: Recommender) -> None:
    user = UserHistory(events_of(("i00", "click", 13)), as_of_us=NOW)
    weights = InterestWeights(half_life_days=0.1, popular=0.0)
    ids, _, why = plain.recommend(user, N=1, mode="similar", weights=weights, filter_seen=False, explain=True)
    assert ids.tolist() == ["i00"]
    assert why[0].parts["lately"] == pytest.approx(1, abs=1e-6)


def test_an_explanation_of_what_speaks_against_an_item_says_so(plain: Recommender) -> None:
    user = UserHistory(events_of(("i00", "click", 1)), as_of_us=NOW)
    *_, why = plain.recommend(user, N=N_ITEMS, mode="similar", explain=True, filter_seen=False)
    last = why[-1]
    assert last.parts["lately"] < 0
    assert last.lately[0].share == pytest.approx(-1)
    assert "because" not in str(last)
    assert "because of click i00 (100%)" in str(why[[one.item_id for one in why].index("i00")])


def test_a_skip_is_what_was_known_at_the_time() -> None:
    rows = [
        ("u", "a", "impression", 10, "s", 1),
        ("u", "b", "impression", 10, "s", 2),
        ("u", "b", "click", 20, "s", 2),
        ("u", "a", "click", 1000, "s", 1),
    ]
    names = ("user_id", "item_id", "event_type", "ts_us", "search_id", "position")
    log = pa.table({name: [row[k] for row in rows] for k, name in enumerate(names)})
    before, after = (UserHistory.from_events(log, "u", as_of_us=us).events for us in (100, 2000))
    assert UserEvent("a", "skip", 20) in before
    assert UserEvent("a", "skip", 20) not in after
    numbered = log.set_column(0, "user_id", pa.array([5] * 4))
    assert len(UserHistory.from_events(numbered, 5, as_of_us=100).events) == 2


def test_wrong_questions_are_refused(plain: Recommender) -> None:
    user = UserHistory(as_of_us=NOW)
    for wrong in ("bookings", ["i00"], None):
        with pytest.raises(UsageError, match="filter_seen"):
            plain.recommend(user, filter_seen=wrong)
    with pytest.raises(UsageError, match="InterestWeights"):
        plain.recommend(user, weights={})
    with pytest.raises(UsageError, match="event table"):
        UserHistory.from_events([], "u")
    with pytest.raises(UsageError, match="ids of this model are of type string"):
        plain.recommend(UserHistory([UserEvent(3, "click", 1)], as_of_us=NOW))
    with pytest.raises(UsageError, match="belong to a UserHistory"):
        plain.recommend(["i00"], explain=True)
    with pytest.raises(UsageError, match="list of users holds a str"):
        plain.recommend([user, "i00"])
    with pytest.raises(UsageError, match="mode"):
        plain.recommend(user, mode="nearest")
    with pytest.raises(UsageError, match="item table"):
        Recommender(VECTORS, types=fitted_types())


def test_a_history_is_read_from_a_log() -> None:
    columns = ("user_id", "item_id", "event_type", "ts_us", "dwell_seconds", "search_id", "position")
    rows = [
        ("u", "i00", "impression", 10, None, "s", 1),  # passed over at 20
        ("u", "i01", "impression", 10, None, "s", 2),  # clicked
        ("u", "i02", "impression", 10, None, "s", 3),  # above the second click: passed over at 30
        ("u", "i03", "impression", 10, None, "s", 4),
        ("u", "i04", "impression", 10, None, "s", 5),  # below every click: not seen, maybe
        ("u", "i01", "click", 20, 70.0, "s", 2),
        ("u", "i03", "click", 30, None, "s", 4),
        ("u", "i03", "booking", 40, None, None, None),
        ("v", "i05", "click", 15, None, "s", 6),
    ]
    log = pa.table({name: [row[k] for row in rows] for k, name in enumerate(columns)})
    user = UserHistory.from_events(log, "u", {"group": 1}, as_of_us=100)
    assert sorted(user.events, key=lambda one: (one.ts_us, one.item_id)) == [
        UserEvent("i00", "skip", 20),
        UserEvent("i01", "click", 20, 70.0),
        UserEvent("i02", "skip", 30),
        UserEvent("i03", "click", 30),
        UserEvent("i03", "booking", 40),
    ]
    assert user.attributes == {"group": 1}
    assert UserHistory.from_events(log, "nobody").events == ()
    assert UserHistory.from_events(log.select(columns[:4]), "u").events[0].event_type == "click"
    with pytest.raises(UsageError, match="no column ts_us"):
        UserHistory.from_events(log.drop_columns(["ts_us"]), "u")
