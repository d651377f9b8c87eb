"""A type knows only what came before: against a plain loop, and against what happens later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.embeddings.types import TypeMap
from item2vec.embeddings.types.stays import Stays
from item2vec.errors import DataError, UsageError
from item2vec.sessions.container import Sessions

ROOMS = ("Entire home", "Private room", None)
RULES = TypeMap.from_document(
    {
        "listing_type": [
            {"code": "lt", "column": "room", "values": ["Entire home", "Private room"]},
            {"code": "pn", "column": "price", "edges": [50, 100]},
            {"code": "n", "count_of": "bookings", "edges": [1, 2, 4]},
        ],
        "user_type": [
            {"code": "", "column": "market", "own": True},
            {"code": "nb", "count_of": "bookings", "edges": [1, 2, 3]},
            {"code": "ppn", "mean_of": "price", "edges": [50, 60, 75, 100]},
            {"code": "plt", "mode_of": "room", "values": ["Entire home", "Private room"]},
        ],
    }
)
Log = list[tuple[str, str, int]]  # user, item, time


def bookings_of(log: Log, items: pa.Table) -> Sessions:
    """One sequence per user, in the order of time, as sessionize makes them."""
    users = sorted({user for user, _, _ in log})
    rows = sorted(log, key=lambda row: (row[0], row[2]))
    ids = items["item_id"].to_pylist()
    lengths = [sum(row[0] == user for row in rows) for user in users]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Sessions(
        item_ids=items["item_id"].combine_chunks(),
        tokens=np.array([ids.index(item) for _, item, _ in rows], np.int32),
        offsets=offsets,
        booked=np.zeros(0, np.int32),
        booked_offsets=np.zeros(len(users) + 1, np.int64),
        weights=np.ones(len(users), np.float32),
        session_ids=np.arange(len(users)),
        user_ids=pa.array(users, pa.string()),
        ts_us=np.array([ts for _, _, ts in rows], np.int64),
        markets=np.full(len(ids), -1, np.int32),
        items=items,
        kind="booking",
    )


def referee(log: Log, user: str, item: str, ts: int, items: pa.Table, users: pa.Table) -> tuple[str, str]:
    """The types of a user and a listing at a moment, by plain loops."""
    rows = {row["item_id"]: row for row in items.to_pylist()}
    of_user = {row["user_id"]: row for row in users.to_pylist()}.get(user, {})
    earlier = [rows[i] for u, i, t in log if u == user and t < ts]
    n_of_listing = sum(i == item and t < ts for _, i, t in log)
    return (
        RULES.user_type({"market": of_user.get("market")}, earlier),
        RULES.listing_type({**rows[item], "count_of bookings": n_of_listing}),
    )


ITEMS = pa.table(
    {
        "item_id": [f"i{k}" for k in range(7)],
        "room": pa.array([ROOMS[k % 3] for k in range(7)], pa.string()),
        "price": pa.array([20.0, 55.5, None, 75.0, 100.0, 44.5, float("nan")], pa.float64()),
    }
)
USERS = pa.table({"user_id": ["u0", "u1", "u9"], "market": ["A_B", None, "C"]})
LOGS = st.lists(
    st.tuples(
        st.sampled_from(["u0", "u1", "u2"]), st.sampled_from(ITEMS["item_id"].to_pylist()), st.integers(0, 9)
    ),
    min_size=1,
    max_size=25,
)


def all_types(log: Log) -> list[tuple[Any, ...]]:
    stays = Stays(bookings_of(log, ITEMS), USERS)
    user = stays.user_types(RULES, stays.owners, stays.ts_us).to_list()
    listing = stays.listing_types(RULES, stays.tokens, stays.ts_us).to_list()
    ids = ITEMS["item_id"].to_pylist()
    who = stays.user_ids.to_pylist()
    return [
        (who[owner], ids[token], int(ts), *types)
        for owner, token, ts, *types in zip(
            stays.owners.tolist(), stays.tokens.tolist(), stays.ts_us, user, listing, strict=True
        )
    ]


@settings(max_examples=80, deadline=None)
@given(log=LOGS)
def test_types_at_every_stay_are_those_of_a_plain_loop(log: Log) -> None:
    for user, item, ts, user_type, listing_type in all_types(log):
        assert (user_type, listing_type) == referee(log, user, item, ts, ITEMS, USERS)


@settings(max_examples=60, deadline=None)
@given(log=LOGS, later=LOGS, cut=st.integers(1, 9))
def test_what_happens_later_changes_no_type(log: Log, later: Log, cut: int) -> None:
    before = [row for row in log if row[2] < cut] or [("u0", "i0", 0)]
    after = [(user, item, cut + ts) for user, item, ts in later]
    known = sorted(all_types(before))
    assert sorted(row for row in all_types(before + after) if row[2] < cut) == known


def test_stays_of_one_day_do_not_know_each_other() -> None:
    rows = all_types([("u0", "i0", 5), ("u0", "i1", 5), ("u0", "i3", 6)])
    assert [row[3].split("_")[1] for row in rows] == ["nb1", "nb1", "nb3"]


def test_a_user_without_a_booking_has_the_type_of_a_new_one() -> None:
    stays = Stays(bookings_of([("u0", "i0", 5)], ITEMS), USERS)
    owners = stays.user_rows(pa.array(["u9", "nobody"]))
    assert owners.tolist()[1] == -1
    found = stays.user_types(RULES, owners, np.array([7, 7])).to_list()
    assert found == ["C_nb1_ppn0_plt0", "0_nb1_ppn0_plt0"]


def test_what_cannot_give_types_is_refused_in_words() -> None:
    clicks = Sessions.from_lists([["a", "b"]])
    with pytest.raises(UsageError, match="kind='booking'"):
        Stays(clicks)
    good = bookings_of([("u0", "i0", 5)], ITEMS)
    with pytest.raises(UsageError, match="user_id"):
        Stays(good, pa.table({"user": ["u0"]}))
    with pytest.raises(DataError, match="twice"):
        Stays(good, pa.table({"user_id": ["u0", "u0"]}))
