"""Rules from attributes to types: the paper's tables, on, between and beside their edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.embeddings.types import TypeMap
from item2vec.embeddings.types.fields import TypeField
from item2vec.embeddings.types.type_map import ANY, ancestors, coded, joined
from item2vec.errors import ConfigError, DataError

PAPER: dict[str, Any] = {
    "country": "US",
    "listing_type": "Entire home",
    "price": 60.8,
    "price_per_guest": 29.3,
    "n_reviews": 5,
    "five_star_share": 1.0,
    "capacity": 2,
    "beds": 1,
    "bedrooms": 1,
    "bathrooms": 1,
    "new_guest_accept_share": 1.0,
}
GUEST: dict[str, Any] = {
    "market": "SF",
    "language": "en",
    "device": "Mac",
    "full_profile": True,
    "profile_photo": True,
    "guest_five_star_share": 0.8,
}


def test_the_paper_s_listing_and_guest_become_their_types() -> None:
    rules = TypeMap.from_toml()
    assert rules.listing_type(PAPER) == "US_lt1_pn3_pg3_r3_5s4_c2_b1_bd2_bt2_nu3"
    stay = {"price": 50, "price_per_guest": 30, "capacity": 2.3, "n_reviews": 5, "five_star_share": 0.7}
    # the paper prints nb1 for its guest of 3 bookings; Table 4 makes that nb3
    assert rules.user_type(GUEST, [stay] * 3) == "SF_lg1_dt1_fp1_pp1_nb3_ppn2_ppg3_c2_nr3_l5s3_g5s3"


@pytest.mark.parametrize(
    ("column", "code", "table"),
    [
        (
            "price",
            "pn",
            {0: 1, 39.99: 1, 40: 2, 55: 2, 55.5: 2, 56: 3, 69.99: 3, 70: 4, 84: 5, 100: 5, 101: 6},
        ),
        ("price", "pn", {129: 6, 129.5: 6, 130: 7, 189: 7, 190: 8, 9999: 8}),
        (
            "price_per_guest",
            "pg",
            {20.9: 1, 21: 2, 27.5: 2, 28: 3, 35: 4, 42.9: 4, 43: 5, 53: 6, 75: 6, 76: 7},
        ),
        ("n_reviews", "r", {0: 1, 1: 2, 2: 3, 5: 3, 6: 4, 10: 4, 11: 5, 35: 5, 36: 6}),
        ("five_star_share", "5s", {0: 1, 0.405: 1, 0.41: 2, 0.6: 2, 0.61: 3, 0.9: 3, 0.91: 4, 1: 4}),
        ("capacity", "c", {1: 1, 2: 2, 5: 5, 6: 6, 16: 6}),
        ("beds", "b", {0: 1, 1: 1, 2: 2, 3: 3, 4: 4}),
        ("bedrooms", "bd", {0: 1, 1: 2, 3: 4, 4: 5, 9: 5}),
        ("bathrooms", "bt", {0: 1, 0.5: 1, 1: 2, 1.5: 2, 2: 3, 3: 4}),
        ("new_guest_accept_share", "nu", {0.6: 1, 0.61: 2, 0.905: 2, 0.91: 3}),
        ("listing_type", "lt", {"Private room": 2, "private ROOM": 2, "Entire home/apt": 1, "Boat": 4}),
    ],
)
def test_every_bucket_of_table_3(column: str, code: str, table: dict[Any, int]) -> None:
    rules = TypeMap.from_toml()
    for value, bucket in table.items():
        name = rules.listing_type(PAPER | {column: value})
        assert f"_{code}{bucket}" in "_" + name, (value, name)


def _stay(**attributes: Any) -> dict[str, Any]:
    return attributes


@pytest.mark.parametrize(
    ("part", "attributes", "earlier"),
    [
        ("nb1", {}, []),
        ("nb2", {}, [_stay()]),
        ("nb3", {}, [_stay()] * 2),
        ("nb3", {}, [_stay()] * 7),
        ("nb4", {}, [_stay()] * 8),
        ("ppn0", {}, [_stay()]),
        ("ppn2", {}, [_stay(price=50), _stay(price=None), _stay(price=float("nan")), _stay(price=61.9)]),
        ("ppn3", {}, [_stay(price=50), _stay(price=62)]),
        ("ppg2", {}, [_stay(price=60, capacity=2), _stay(price=100, capacity=4)]),  # 30 and 25 a guest
        ("c1", {}, [_stay(capacity=1), _stay(capacity=2)]),
        ("c2", {}, [_stay(capacity=2)]),
        ("c3", {}, [_stay(capacity=n) for n in (2, 3, 3, 3)]),
        ("c6", {}, [_stay(capacity=9)]),
        ("nr1", {}, [_stay(n_reviews=0)]),
        ("nr2", {}, [_stay(n_reviews=1), _stay(n_reviews=6)]),
        ("nr4", {}, [_stay(n_reviews=11)]),
        ("lg8", {"language": "xx"}, []),
        ("lg0", {"language": None}, []),
        ("dt3", {"device": "ANDROID"}, []),
        ("fp2", {"full_profile": False}, []),
        ("fp0", {"full_profile": None}, []),
    ],
)
def test_buckets_of_table_4(part: str, attributes: dict[str, Any], earlier: list[dict[str, Any]]) -> None:
    name = TypeMap.from_toml().user_type(GUEST | attributes, earlier)
    assert part in name.split("_"), name


def test_a_new_user_s_type_has_its_first_five_fields() -> None:
    name = TypeMap.from_toml().user_type(GUEST)
    assert name.startswith("SF_lg1_dt1_fp1_pp1_nb1_ppn0_ppg0_c0_nr0_l5s0")
    assert TypeMap.from_toml().user_type() == "0_lg0_dt0_fp0_pp0_nb1_ppn0_ppg0_c0_nr0_l5s0_g5s0"


def test_an_own_bucket_can_hold_what_parts_names() -> None:
    rules = TypeMap.from_toml()
    names = [rules.listing_type(PAPER | {"country": one}) for one in ("A_B", "A", "0", "%5F", None, "x%")]
    assert len(set(names)) == len(names)
    for name in names:
        assert len(name.split("_")) == len(rules.listing_fields)


def test_ancestors_lose_their_last_field_first() -> None:
    assert ancestors("US_lt1_pn3") == ["US_lt1_pn3", "US_lt1", "US", ANY]


def test_a_table_s_types_are_those_of_its_rows() -> None:
    rows = [PAPER, PAPER | {"price": None, "country": "A_B"}, PAPER | {"price_per_guest": 500.0}]
    rules = TypeMap.from_toml()
    assert rules.listing_types(pa.Table.from_pylist(rows)) == [rules.listing_type(row) for row in rows]


def test_the_price_per_guest_is_computed_where_there_is_no_column() -> None:
    without = {key: value for key, value in PAPER.items() if key != "price_per_guest"}
    assert "_pg3_" in TypeMap.from_toml().listing_type(without)
    assert "_pg0_" in TypeMap.from_toml().listing_type(without | {"capacity": 0, "price": 0})


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan"), None])
def test_what_is_no_number_is_missing(bad: Any) -> None:
    assert "_pn0_" in TypeMap.from_toml().listing_type(PAPER | {"price": bad})


def test_text_where_numbers_are_bucketed_is_refused() -> None:
    with pytest.raises(DataError, match="'price' holds text"):
        TypeMap.from_toml().listing_type(PAPER | {"price": "dear"})


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.floats(-50, 50), st.integers(-3, 3)), min_size=1, max_size=80),
    n=st.integers(2, 6),
    support=st.integers(1, 20),
)
def test_fitted_quantiles_ascend_and_no_bucket_is_thin(values: list[Any], n: int, support: int) -> None:
    field = TypeField(code="q", column="x", quantiles=n, min_support=support)
    fitted = field.fitted({"x": values}, len(values))
    assert isinstance(fitted.edges, dict)
    edges = list(fitted.edges.get("", ()))
    assert edges == sorted(set(edges))
    assert len(edges) < n
    parts = [one for one in fitted.buckets({"x": values}, len(values)) if one != "q0"]
    counts = [parts.count(one) for one in set(parts)]
    assert not edges or min(counts) >= support
    assert len(set(parts)) == len(edges) + bool(parts)


def test_quantiles_go_by_currency() -> None:
    prices = [*range(1, 101), *range(1000, 101_000, 1000)]
    columns = {"price": prices, "market": ["US"] * 100 + ["JP"] * 100}
    field = TypeField(code="pn", column="price", quantiles=2, by="market", min_support=10)
    fitted = field.fitted(columns, 200)
    assert fitted.edges == {"JP": (51000.0,), "US": (51.0,)}
    asked = {"price": [50, 51, 51_000, 50_999, 51], "market": ["US", "US", "JP", "JP", "FR"]}
    assert fitted.buckets(asked, 5) == ["pn1", "pn2", "pn2", "pn1", "pn1"]


def test_frequent_values_get_buckets() -> None:
    columns = {"x": ["b"] * 5 + ["a"] * 5 + ["c"] * 9 + ["d"] + [None]}
    fitted = TypeField(code="f", column="x", frequent=3, min_support=2).fitted(columns, 21)
    assert fitted.values == ("c", "a", "b")
    assert fitted.buckets({"x": ["c", "a", "b", "d", None, "C"]}, 6) == ["f1", "f2", "f3", "f4", "f0", "f1"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from("abc")] * 3), min_size=1, max_size=40))
def test_joined_names_are_those_joined_by_hand(rows: list[tuple[str, ...]]) -> None:
    found = joined([coded([row[k] for row in rows]) for k in range(3)])
    assert found.to_list() == ["_".join(row) for row in rows]
    assert found.names == sorted(set(found.to_list()))


FIELD = {"code": "a", "column": "x", "edges": [1, 2]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edges": [2, 1]}, "do not ascend"),
        ({"edges": [1, 1]}, "do not ascend"),
        ({"edges": []}, "edges"),
        ({"edges": None}, "how it is bucketed"),
        ({"own": True}, "how it is bucketed"),
        ({"column": None}, "where its value comes from"),
        ({"mean_of": "y"}, "where its value comes from"),
        ({"code": "a_b"}, "code"),
        ({"columns": "x"}, "columns"),
        ({"by": "market"}, "by belongs to quantiles"),
        ({"column": None, "count_of": "clicks"}, "count_of"),
        ({"column": None, "mean_of": "price"}, "no earlier bookings"),
        ({"edges": [float("nan")]}, "edges"),
    ],
)
def test_wrong_rules_are_refused_in_words(changes: dict[str, Any], words: str) -> None:
    document = {"listing_type": [FIELD | changes], "user_type": [FIELD]}
    with pytest.raises(ConfigError, match=words):
        TypeMap.from_document(document, "types.toml")


def test_two_fields_of_one_code_are_refused() -> None:
    with pytest.raises(ConfigError, match="two fields have the code 'a'"):
        TypeMap.from_document({"listing_type": [FIELD, FIELD], "user_type": [FIELD]})


@pytest.mark.parametrize("text", [None, "listing_type = 3", "[", "x" * 2_000_000, "[[user_type]]\ncode='a'"])
def test_a_file_that_is_no_type_map_is_refused_by_name(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "types.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match="types\\.toml"):
        TypeMap.from_toml(file)


def test_fitted_rules_survive_as_a_document() -> None:
    columns = {"price": np.arange(300.0).tolist(), "market": ["US"] * 150 + ["JP"] * 150}
    fitted = TypeField(code="pn", column="price", quantiles=3, by="market").fitted(columns, 300)
    plain = TypeMap.from_toml()
    listing = [fitted if one.code == "pn" else one for one in plain.listing_fields]
    rules = TypeMap(listing, plain.user_fields)
    assert TypeMap.from_document(rules.to_document()) == rules != plain
