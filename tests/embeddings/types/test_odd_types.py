"""Mistakes in rules and odd values in tables: each has an outcome, none spoils another's type."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from test_stays import bookings_of
from test_type_embeddings import SMALL, world

from item2vec.embeddings.types import TypeEmbeddings, TypeMap, rejections_of
from item2vec.embeddings.types.fields import TypeField
from item2vec.embeddings.types.stays import Stays
from item2vec.errors import ConfigError, CorruptArtifactError, DataError, UsageError
from item2vec.recommendations import TypeInterest
from item2vec.vocabulary import Vocabulary

FIELD = {"code": "a", "column": "x", "edges": [1, 2]}


def rules(**kinds: list[dict[str, Any]]) -> TypeMap:
    return TypeMap.from_document({"listing_type": [FIELD], "user_type": [FIELD], **kinds})


ITEMS = pa.table({"item_id": ["cheap", "dear", "huge"], "price": [10.0, 90.0, 1e22]})
USERS = pa.table({"user_id": ["l1", "p1", "l2", "p2"], "market": ["L", "P", "L", "P"]})


def test_edges_by_a_group_are_used_where_the_value_comes_from_bookings() -> None:
    """Londoners book dear listings and Parisians cheap ones: each market has its own edge."""
    log = [
        (user, "dear" if user[0] == "l" else "cheap", ts)
        for user in ("l1", "p1", "l2", "p2")
        for ts in (1, 2)
    ]
    stays = Stays(bookings_of(log, ITEMS), USERS)
    field = {"code": "p", "mean_of": "price", "edges": {"L": [95.0], "P": [5.0]}, "by": "market"}
    made = rules(user_type=[field])
    found = stays.user_types(made, stays.owners, stays.ts_us).to_list()
    by_user = dict(zip(stays.user_ids.take(pa.array(stays.owners.tolist())).to_pylist(), found, strict=True))
    assert by_user == {"l1": "p1", "l2": "p1", "p1": "p2", "p2": "p2"}
    assert made.user_type({"market": "L"}, [{"price": 90.0}]) == "p1"
    assert made.user_type({"market": "P"}, [{"price": 10.0}]) == "p2"


def test_one_absurd_price_spoils_nobody_else_s_mean() -> None:
    log = [("a", "huge", 1), ("a", "huge", 2), ("b", "cheap", 1), ("b", "dear", 2), ("b", "cheap", 3)]
    stays = Stays(bookings_of(log, ITEMS))
    prices = np.array(ITEMS["price"].to_pylist())[stays.tokens]
    means = stays._of_users.means(prices, np.array([0, 1]), np.array([9, 9]))
    assert means.tolist() == [1e22, round(110 / 3, 6)]


def test_a_long_text_costs_what_it_is_long() -> None:
    values = ["short"] * 200_000 + ["x" * 5000]
    field = TypeField(code="o", column="x", own=True)
    items = pa.table({"x": values})
    made = TypeMap([field], [field])
    found = made.listing_types(items)  # as a table of wide texts it would be a gigabyte
    assert len(set(found)) == 2


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([1, 2], DataError),
        (np.array([1, 2]), DataError),
        ({"a": 1}, DataError),
        (10**400, None),
        (np.float32(1.5), None),
        (True, None),
    ],
)
def test_odd_values_have_an_outcome(value: Any, error: type[Exception] | None) -> None:
    number = rules(listing_type=[FIELD])
    text = rules(listing_type=[{"code": "o", "column": "x", "own": True}])
    if error is None:
        assert number.listing_type({"x": value}) in ("a0", "a2")
        assert text.listing_type({"x": value}).startswith("o")
        return
    for made in (number, text):
        with pytest.raises(error):
            made.listing_type({"x": value})


def test_a_star_is_no_type_of_all() -> None:
    own = rules(listing_type=[{"code": "", "column": "x", "own": True}])
    assert own.listing_type({"x": "*"}) == "%2A"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"edges": {"a": [1, 3]}}, "say by which column"),
        ({"edges": None, "values": []}, "values"),
        ({"edges": None, "values": ["a", "A"]}, "one twice"),
        ({"edges": None, "values": [["a", "b"], "b"]}, "one twice"),
        ({"column": ""}, "name"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(field: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rules(listing_type=[FIELD | field])


def test_frequent_values_are_counted_as_they_are_matched() -> None:
    values = ["Mac"] * 3 + ["mac"] * 3 + ["pc"] * 5
    fitted = TypeField(code="d", column="x", frequent=2, min_support=4).fitted({"x": values}, 11)
    assert fitted.values == ("mac", "pc")
    assert fitted.buckets({"x": ["MAC", "pc", "tv"]}, 3) == ["d1", "d2", "d3"]


def test_a_column_that_nobody_has_is_told(caplog: pytest.LogCaptureFixture) -> None:
    bookings, _ = world(60)
    with caplog.at_level(logging.WARNING):
        types = TypeEmbeddings(**SMALL).fit(bookings, show_progress=False)
    assert "user_type g" in caplog.text
    assert types.known_["user_type g"] == 0
    assert types.known_["listing_type k"] == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        TypeEmbeddings(vector_size=8, epochs=1).fit(bookings, show_progress=False)
    assert caplog.text.count("users=table") == 1, "of the paper's rules no log has every column"


def test_a_guest_of_whom_the_market_is_known_is_like_those_of_the_market() -> None:
    """The rest of the name is missing, and no booking taught just this: the mean of the market's types."""
    made = TypeMap.from_document(
        {
            "listing_type": [{"code": "k", "column": "kind", "own": True}],
            "user_type": [
                {"code": "", "column": "group", "own": True},
                {"code": "d", "column": "device", "values": ["a", "b"]},
            ],
        }
    )
    bookings, users = world(600)
    users = users.append_column("device", pa.array(["a", "b"] * 300))
    types = TypeEmbeddings(**{**SMALL, "type_map": made}).fit(bookings, users, show_progress=False)
    for group in range(1, 6):
        name = types.user_type({"group": str(group)})
        assert not types.has_own_vector("user", name)
        found = types.similarity(name, [made.listing_type({"kind": kind}) for kind in range(6)])
        assert found.argmax() == group


def test_listings_are_as_often_booked_as_the_types_learned() -> None:
    made = rules(
        listing_type=[{"code": "n", "count_of": "bookings", "edges": [1, 5, 50]}],
        user_type=[{"code": "nb", "count_of": "bookings", "edges": [1, 2]}],
    )
    bookings, _ = world(300)
    types = TypeEmbeddings(**{**SMALL, "type_map": made}).fit(bookings, show_progress=False)
    n_items = bookings.n_items
    clicks = Vocabulary(bookings.item_ids, np.full(n_items, 10_000, np.int64))  # clicks are no bookings
    interest = TypeInterest(types, clicks, bookings.items)
    counts = np.bincount(bookings.tokens, minlength=n_items)
    expected = [f"n{1 + sum(n >= edge for edge in (1, 5, 50))}" for n in counts.tolist()]
    assert interest.listing_types == expected


def test_the_protocol_asks_of_each_user_what_the_table_knows() -> None:
    bookings, users = world(200)
    types = TypeEmbeddings(**SMALL).fit(bookings, users, show_progress=False)
    vocabulary = Vocabulary(bookings.item_ids, np.full(bookings.n_items, 3, np.int64))
    interest = TypeInterest(types, vocabulary, bookings.items, users, by="cosine")
    nothing = np.zeros(0, np.int32)
    ids = [*users["user_id"].to_pylist()[:2], "stranger"]
    asked = interest.for_users(ids)
    scores = asked.scores([nothing] * 3)
    groups = dict(zip(users["user_id"].to_pylist(), users["group"].to_pylist(), strict=True))
    for row, user in enumerate(ids[:2]):
        np.testing.assert_array_equal(scores[row], interest.of_type(types.user_type({"group": groups[user]})))
    np.testing.assert_array_equal(scores[2], interest.scores([nothing])[0])
    assert asked.backs_off([nothing] * 3, np.arange(3)).tolist() == [False, False, True]


def test_refusals_of_the_wrong_kind_are_refused() -> None:
    bookings, users = world(20)
    types = TypeEmbeddings(**SMALL)
    good = {"user_id": ["u0001"], "item_id": ["i01"], "ts_us": [9]}
    for bad, error, words in (
        ([], UsageError, "rejections_of"),
        (pa.table({**good, "item_id": [5]}), UsageError, "item ids"),
        (pa.table({**good, "ts_us": pa.array([None], pa.int64())}), DataError, "no time"),
    ):
        with pytest.raises(error, match=words):
            types.fit(bookings, users, bad, show_progress=False)
    log = pa.table({**good, "event_type": ["click"]})
    none = rejections_of(log, booked_elsewhere_within_days=14)
    assert none.num_rows == 0
    assert types.fit(bookings, users, none, show_progress=False).n_rejections_ == 0


def test_damaged_files_are_refused_by_name(tmp_path: Any) -> None:
    bookings, users = world(60)
    types = TypeEmbeddings(**SMALL).fit(bookings, users, show_progress=False)
    types.save(tmp_path / "types")
    file = tmp_path / "types" / "types.json"
    whole = file.read_text()
    for text in ("[" * 100_000, whole.replace('"min_support": 10', '"min_support": {}'), "", whole[:-40]):
        file.write_text(text)
        with pytest.raises(CorruptArtifactError, match=r"types\.json"):
            TypeEmbeddings.load(tmp_path / "types")
    file.write_text(whole)
    (tmp_path / "types" / "bookings.parquet").write_bytes(b"no table")
    with pytest.raises(CorruptArtifactError):
        TypeEmbeddings.load(tmp_path / "types")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="new folder"):
        types.save(tmp_path / "file")
