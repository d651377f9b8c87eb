"""The importers bear damaged rows: each is refused with its reason, and the good ones stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_logs import csv_text

from item2vec.errors import SourceError
from item2vec.events import read_events

GOOGLE = {
    "full_visitor_id": "v1", "visit_id": "1", "hit_number": "3", "ts": "1500000000", "action_type": "view",
    "product_sku": "s1", "product_name": "Mug", "product_category": "Home/Drinkware/", "list_position": "2",
    "price_usd": "9.5",
}  # fmt: skip
TRIVAGO = {
    "user_id": "u1", "session_id": "s1", "timestamp": "1541000000", "step": "1", "city": "Rome",
    "action_type": "clickout item", "reference": "11", "impressions": "10|11", "prices": "50|60",
}  # fmt: skip
AIRBNB = {"reviewer_id": "r1", "date": "2020-05-01", "review_id": "1", "listing_id": "7", "market": "Oslo"}
CASES: list[tuple[str, dict[str, str], str, dict[str, str], str]] = [
    ("google_merch", GOOGLE, "hit_number", {"full_visitor_id": ""}, "no user_id"),
    ("google_merch", GOOGLE, "hit_number", {"ts": "1e400"}, "unreadable timestamp"),
    ("google_merch", GOOGLE, "hit_number", {"action_type": "promo"}, "unknown event_type"),
    ("google_merch", GOOGLE, "hit_number", {"list_position": "first"}, "position is not an int32"),
    ("google_merch", GOOGLE, "hit_number", {"product_name": "a\u202eb"}, "control character in an id"),
    ("trivago", TRIVAGO, "step", {"impressions": "10|x"}, "malformed row"),
    ("trivago", TRIVAGO, "step", {"impressions": "1" * 40}, "malformed row"),
    ("trivago", TRIVAGO, "step", {"reference": "unknown"}, "item_id is not an int64"),
    ("trivago", TRIVAGO, "step", {"timestamp": "9223372036854775807"}, "timestamp out of range"),
    ("airbnb_reviews", AIRBNB, "review_id", {"date": "2020-02-30"}, "unreadable timestamp"),
    ("airbnb_reviews", AIRBNB, "review_id", {"listing_id": " "}, "no item_id"),
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(("importer", "row", "key", "change", "reason"), CASES)
def test_a_damaged_row_is_refused_alone(
    importer: Any, row: dict[str, str], key: str, change: dict[str, str], reason: str, kind: str,
    write: Callable[..., Path],
) -> None:  # fmt: skip
    good = [row | {key: str(n)} for n in range(4)]
    clean = read_events(write(f"clean.{kind}", good), importer=importer)
    events = read_events(
        write(f"log.{kind}", [*good[:2], row | {key: "9"} | change, *good[2:]]),
        importer=importer,
        max_quarantined=1,
    )
    assert events.reconciliation.quarantined == {reason: 1}
    assert events.to_table().equals(clean.to_table())
    assert [one["line"] for one in events.quarantine().to_pylist()] == [4 if kind == "csv" else 3]


def test_damaged_lines_and_odd_prices_do_no_harm(write: Callable[..., Path]) -> None:
    rows = [TRIVAGO | {"step": "2", "prices": "x|"}, TRIVAGO | {"step": "3", "impressions": "", "prices": ""}]
    text = csv_text([TRIVAGO, *rows]) + 'u1,"open\n\0\n'
    events = read_events(write("log.csv", text), importer="trivago", max_quarantined=1)
    assert (events.reconciliation.ok, events.reconciliation.n_quarantined) == (3, 2)
    assert events.items is not None


@pytest.mark.parametrize(
    ("importer", "row", "column"),
    [
        ("google_merch", GOOGLE, "product_category"),
        ("google_merch", GOOGLE, "list_position"),
        ("trivago", TRIVAGO, "impressions"),
        ("trivago", TRIVAGO, "prices"),
        ("airbnb_reviews", AIRBNB, "date"),
    ],
)
def test_a_column_that_an_importer_needs_is_named(
    importer: Any, row: dict[str, str], column: str, write: Callable[..., Path]
) -> None:
    less = {name: value for name, value in row.items() if name != column}
    with pytest.raises(SourceError, match=f"no column '{column}'.*{importer if column != 'date' else 'ts'}"):
        read_events(write("log.csv", [less]), importer=importer)


@pytest.mark.parametrize("column", ["impressions", "prices", "reference"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_that_an_importer_needs_must_be_in_every_file(
    column: str, kind: str, write: Callable[..., Path]
) -> None:
    less = {name: value for name, value in TRIVAGO.items() if name != column} | {"step": "2"}
    paths = [write(f"a.{kind}", [TRIVAGO]), write(f"b.{kind}", [less])]
    with pytest.raises(SourceError, match=rf"b\.{kind} has no column '{column}', .*a\.{kind} has"):
        read_events(paths, importer="trivago")


@pytest.mark.parametrize("column", ["impressions", "prices"])
def test_a_flipped_bit_in_a_page_that_only_the_importer_reads_is_noticed(column: str, tmp_path: Path) -> None:
    rows = [TRIVAGO | {"step": str(n), column: f"{1000 + n}|11"} for n in range(50)]
    path = tmp_path / "log.parquet"
    pq.write_table(
        pa.Table.from_pylist(rows), path, write_page_checksum=True, use_dictionary=False, compression="none"
    )
    assert len(read_events(path, importer="trivago"))
    body = bytearray(path.read_bytes())
    at = body.index(b"1007|11")
    body[at + 3] ^= 1  # still a number: only the checksum tells
    path.write_bytes(body)
    with pytest.raises(SourceError, match=r"log\.parquet cannot be read: it is damaged"):
        read_events(path, importer="trivago")


OTHER_CATEGORY = {"product_category": "Home/Apparel/"}


@pytest.mark.parametrize(
    "change",
    [
        {"ts": "never"},
        {"action_type": "promo"},
        {"full_visitor_id": ""},
        {"action_type": "checkout"},
        {"action_type": "remove_from_cart"},
        {"list_position": "first"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_that_give_no_event_have_no_say_in_a_market(
    change: dict[str, str], kind: str, write: Callable[..., Path]
) -> None:
    good = [GOOGLE | {"hit_number": str(n)} for n in range(2)]
    bad = [GOOGLE | OTHER_CATEGORY | {"hit_number": str(10 + n)} | change for n in range(5)]
    clean = read_events(write(f"clean.{kind}", good), importer="google_merch")
    assert clean.to_table()["market"].to_pylist() == ["Drinkware", "Drinkware"]
    events = read_events(write(f"log.{kind}", [*bad, *good]), importer="google_merch", max_quarantined=1)
    assert events.reconciliation.ok == 2
    assert events.to_table().equals(clean.to_table())
    assert events.items is not None
    assert events.items.equals(clean.items)


def test_a_row_written_again_has_one_say_in_a_market(write: Callable[..., Path]) -> None:
    good = [GOOGLE | {"hit_number": str(n)} for n in range(2)]
    other = GOOGLE | OTHER_CATEGORY | {"hit_number": "9"}
    once = read_events(write("a.csv", [*good, other]), importer="google_merch")
    again = read_events(write("b.csv", [*good, *[other] * 5]), importer="google_merch")
    assert (again.reconciliation.ok, again.reconciliation.duplicate) == (3, 4)
    assert set(once.to_table()["market"].to_pylist()) == {"Drinkware"}
    assert again.to_table().equals(once.to_table())
    assert once.items is not None
    assert once.items.equals(again.items)


def test_a_market_that_the_user_maps_wins_over_the_importer(write: Callable[..., Path]) -> None:
    path = write("a.csv", [GOOGLE | {"shop": "Oslo"}])
    events = read_events(path, {"market": "shop"}, importer="google_merch")
    assert events.to_table()["market"].to_pylist() == ["Oslo"]
    assert events.items is not None
    assert events.items["market"].to_pylist() == ["Oslo"]
