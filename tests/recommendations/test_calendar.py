"""Booked nights: a stay is free where no night of it is taken, told by a plain loop."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from marketplace_cases import make_catalogue

from item2vec.errors import DataError, UsageError
from item2vec.recommendations import Calendar, Recommender

DAY = dt.date(2026, 12, 1)


def nights(vectors, n: int = 2000, seed: int = 0) -> list[tuple[object, dt.date]]:
    rng = np.random.default_rng(seed)
    ids = vectors.vocabulary.ids.to_pylist()
    return [
        (ids[i], DAY + dt.timedelta(days=int(d)))
        for i, d in zip(*rng.integers([[400], [60]], size=(2, n)), strict=True)
    ]


def as_table(rows) -> pa.Table:
    ids, dates = zip(*rows, strict=True)
    return pa.table({"item_id": pa.array(ids), "date": pa.array(dates, pa.date32())})


@pytest.mark.parametrize("id_type", ["string", "int64"])
def test_free_items_are_those_of_a_plain_loop(id_type):
    vectors, _ = make_catalogue(id_type=id_type)
    rows = nights(vectors)
    stranger = ("zz" if id_type == "string" else 10**9, DAY)
    calendar = Calendar(as_table([*rows, stranger]), vectors.vocabulary)
    rng = np.random.default_rng(1)
    for _ in range(50):
        first = DAY + dt.timedelta(days=int(rng.integers(-5, 65)))
        last = first + dt.timedelta(days=int(rng.integers(1, 10)))
        taken = {item for item, night in rows if first <= night < last}
        expected = [item not in taken for item in vectors.vocabulary.ids.to_pylist()]
        assert calendar.free((first, last)).tolist() == expected
        assert calendar.free((first.isoformat(), last.isoformat())).tolist() == expected


def test_the_night_of_check_out_is_free_for_the_next_guest():
    vectors, _ = make_catalogue(n=40)
    item = vectors.vocabulary.ids[0].as_py()
    rec = Recommender(vectors, calendar=as_table([(item, DAY)]))
    num = vectors.vocabulary.num(item)
    calendar = rec._filters.calendar
    assert not calendar.free((DAY, DAY + dt.timedelta(days=1)))[num]
    assert calendar.free((DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=3)))[num]
    assert calendar.free((DAY - dt.timedelta(days=3), DAY))[num]


def test_availability_joins_the_other_conditions():
    vectors, items = make_catalogue()
    rows = nights(vectors)
    rec = Recommender(vectors, items=items, calendar=as_table(rows))
    stay = (DAY + dt.timedelta(days=10), DAY + dt.timedelta(days=14))
    taken = {item for item, night in rows if stay[0] <= night < stay[1]}
    paris = {row["item_id"] for row in items.to_pylist() if row["market"] == "Paris"}
    query = vectors.ids[0]
    found, _, info = rec.similar_items(
        query, N=600, where={"market": "Paris", "available": stay}, return_info=True
    )
    assert set(found.tolist()) == (paris & set(vectors.ids)) - taken - {query}
    assert "left after the filters" in info.reason


@pytest.mark.parametrize(
    ("stay", "words"),
    [
        ("2026-12-01", "a pair"),
        (("2026-12-01",), "a pair"),
        (("2026-12-01", "2026-12-01"), "no night"),
        (("2026-12-05", "2026-12-01"), "no night"),
        (("yesterday", "2026-12-01"), "dates"),
        ((1, 2), "dates"),
        (None, "a pair"),
    ],
)
def test_what_is_no_stay_is_refused(stay, words):
    vectors, _ = make_catalogue(n=40)
    rec = Recommender(vectors, calendar=as_table([(vectors.ids[0], DAY)]))
    with pytest.raises(UsageError, match=words):
        rec.similar_items(vectors.ids[0], where={"available": stay})


def test_calendars_that_do_not_fit_are_refused():
    vectors, _ = make_catalogue(n=40)
    with pytest.raises(UsageError, match="no column date"):
        Recommender(vectors, calendar=pa.table({"item_id": ["a"]}))
    with pytest.raises(UsageError, match="int64 in the calendar"):
        Recommender(vectors, calendar=as_table([(1, DAY)]))
    with pytest.raises(DataError, match="no date"):
        Recommender(vectors, calendar=pa.table({"item_id": ["a"], "date": pa.array([None], pa.date32())}))
    with pytest.raises(DataError, match="no date"):
        Recommender(vectors, calendar=pa.table({"item_id": ["a"], "date": ["someday"]}))
    with pytest.raises(UsageError, match="calendar=table"):
        Recommender(vectors).similar_items(vectors.ids[0], where={"available": ("2026-12-01", "2026-12-02")})


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64()])
def test_numbers_are_no_dates(kind):
    vectors, _ = make_catalogue(n=30)
    calendar = pa.table({"item_id": vectors.vocabulary.ids[:1], "date": pa.array([20261224], kind)})
    with pytest.raises(DataError, match="is a number"):
        Recommender(vectors, calendar=calendar)
