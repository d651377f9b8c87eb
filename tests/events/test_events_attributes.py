"""Item and user tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from event_logs import event_row, write_parquet

from item2vec.errors import QuarantineError, SourceError
from item2vec.events import Events, read_events

ROWS = [event_row(n) for n in range(8)]


@pytest.fixture
def read(write: Callable[..., Path]) -> Callable[..., Events]:
    log = write("log.csv", ROWS)

    def read_items(text: str, **keys: Any) -> Events:
        return read_events(log, items={"path": write("items.csv", text), **keys})

    return read_items


def test_columns_are_mapped_and_the_others_kept(read: Callable[..., Events]) -> None:
    events = read(
        'id,room,price,lat,colour\ni2,Private,"$1,234.00",1.5,red\ni1,Entire,80,x,\n',
        columns={"item_id": "id", "listing_type": "room", "latitude": "lat"},
    )
    assert events.items is not None
    assert events.items.to_pylist() == [
        {"item_id": "i1", "listing_type": "Entire", "latitude": None, "price": 80.0, "colour": None},
        {"item_id": "i2", "listing_type": "Private", "latitude": 1.5, "price": 1234.0, "colour": "red"},
    ]
    assert events.reconciliation.attributes["items"] == {
        "rows_in": 2, "ok": 2, "duplicate": 0, "ignored": 0, "quarantined": 0, "unreadable latitude": 1,
        "items of the events": 5, "of these with a row": 2,
    }  # fmt: skip
    assert Events.open(events.path).items.equals(events.items)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1,234.00", 1234.0),
        ("$80", 80.0),
        ("80.5", 80.5),
        ("€ 12,50", 12.5),
        ("1.234,50 €", 1234.5),
        ("US$1,000,000", 1e6),
        ("EUR 99", 99.0),
        ("1,234", 1234.0),
        ("1.234.567", 1234567.0),
        ("99 CHF", 99.0),
        ("-5", -5.0),
        ("free", None),
        ("12 nights", None),
        ("", None),
        ("1,23,4", None),
        ("nan", None),
    ],
)
def test_prices_carry_currencies(text: str, value: float | None, read: Callable[..., Events]) -> None:
    events = read(f'item_id,price\ni1,"{text}"\n')
    assert events.items is not None
    assert events.items["price"].to_pylist() == [value]
    bad = events.reconciliation.attributes["items"].get("unreadable price", 0)
    assert bad == (1 if value is None and text else 0)


def test_a_row_repeated_is_counted_and_a_contradiction_refused(read: Callable[..., Events]) -> None:
    events = read("item_id,market\ni1,Paris\ni1,Paris\n\n")
    assert events.items is not None
    assert events.items.to_pylist() == [{"item_id": "i1", "market": "Paris"}]
    counts = events.reconciliation.attributes["items"]
    assert (counts["rows_in"], counts["ok"], counts["duplicate"], counts["ignored"]) == (3, 1, 1, 1)
    with pytest.raises(SourceError, match="differ for item_id 'i1'"):
        read("item_id,market\ni1,Paris\ni1,Rome\n")


def test_bad_rows_go_to_the_quarantine(write: Callable[..., Path]) -> None:
    log, items = write("log.csv", ROWS), write("items.csv", "item_id,market\ni1,Paris\n,Rome\ni2,a,b\n")
    with pytest.raises(QuarantineError, match="2 of the 3 rows of the items table"):
        read_events(log, items=items)
    events = read_events(log, items=items, max_quarantined=0.9)
    assert [(row["line"], row["reason"]) for row in events.quarantine().to_pylist()] == [
        (3, "no item_id"),
        (4, "too many fields"),
    ]


def test_a_missing_id_column_is_named(read: Callable[..., Events]) -> None:
    with pytest.raises(SourceError, match=r"no column 'item_id'.*it has id, market"):
        read("id,market\ni1,Paris\n")


def test_users_have_a_table_too_and_integer_ids_stay_integers(write: Callable[..., Path]) -> None:
    rows = [event_row(n, item_id=n) for n in range(4)]
    events = read_events(
        write("log.parquet", rows),
        items=write("items.csv", "item_id,capacity\n3,4\n1,2\n"),
        users=write("users.jsonl", '{"user_id": "u1", "country": "FR"}\n'),
    )
    assert events.items is not None
    assert events.items.to_pylist() == [{"item_id": 1, "capacity": 2.0}, {"item_id": 3, "capacity": 4.0}]
    assert events.users is not None
    assert events.users.to_pylist() == [{"user_id": "u1", "country": "FR"}]


def test_further_columns_are_numbers_on_request(read: Callable[..., Events]) -> None:
    text = "item_id,zip,stars\ni1,02139,4\ni2,,\n"
    plain, told = read(text).items, read(text, numbers=("stars",)).items
    assert plain is not None
    assert told is not None
    assert plain.to_pylist()[0] == {"item_id": "i1", "zip": "02139", "stars": "4"}
    assert told.to_pylist() == [
        {"item_id": "i1", "zip": "02139", "stars": 4.0},
        {"item_id": "i2", "zip": None, "stars": None},
    ]
    with pytest.raises(SourceError, match=r"no column 'star' \(named in numbers\)"):
        read(text, numbers=("star",))


def test_refused_attribute_rows_are_kept_where_the_error_says(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    log, items = write("log.csv", ROWS), write("items.csv", "item_id,market\ni1,Paris\n,Rome\n")
    kept = tmp_path / "refused"
    with pytest.raises(QuarantineError, match=r"refused rows are in .*refused/items\.parquet"):
        read_events(log, items=items, quarantine=kept)
    assert pq.ParquetFile(kept / "items.parquet").read()["line"].to_pylist() == [3]


def test_items_files_with_other_columns_are_named(write: Callable[..., Path]) -> None:
    paths = [write("a.csv", "item_id,price\ni1,5\n"), write("b.csv", "id,price\ni2,5\n")]
    with pytest.raises(SourceError, match=r"b\.csv has no column 'item_id', .*a\.csv has; it has id, price"):
        read_events(write("log.csv", ROWS), items={"path": paths})
    other = write("c.csv", "item_id,colour\ni2,red\n")
    events = read_events(write("log.csv", ROWS), items={"path": [paths[0], other]})
    assert events.items is not None
    assert events.items["colour"].to_pylist() == [None, "red"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_white_space_around_ids_and_markets_is_none(kind: str, write: Callable[..., Path]) -> None:
    rows = [
        {"item_id": " i0", "market": "Paris\t", "note": " as is "},
        {"item_id": "i1\u00a0", "market": " ", "note": "x"},
        {"item_id": "i1", "market": None, "note": "x"},
    ]
    events = read_events(write("log.csv", ROWS), items=write(f"items.{kind}", rows))
    assert events.items is not None
    assert events.items.to_pylist() == [
        {"item_id": "i0", "market": "Paris", "note": " as is "},
        {"item_id": "i1", "market": None, "note": "x"},
    ]
    assert events.reconciliation.attributes["items"]["duplicate"] == 1


def test_a_table_whose_ids_hardly_fit_warns(
    read: Callable[..., Events], caplog: pytest.LogCaptureFixture
) -> None:
    fits = "item_id,price\n" + "".join(f"i{n},{n}\n" for n in range(3))
    with caplog.at_level("WARNING"):
        read(fits)
        assert not caplog.records
        events = read("item_id,price\ni0,1\ni1,2\nI2,3\n")
    [record] = caplog.records
    assert "only 2 of the 5 items" in record.getMessage()
    assert "items.columns" in record.getMessage()
    assert "'i2'" in record.getMessage()
    assert "'I2'" in record.getMessage()
    assert events.reconciliation.attributes["items"]["of these with a row"] == 2


def test_whole_numbers_as_ids_are_compared_too(
    tmp_path: Path, write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    log = write_parquet(tmp_path / "log.parquet", [event_row(n, item_id=n) for n in range(4)])
    with caplog.at_level("WARNING"):
        read_events(log, items=write("items.csv", "item_id,price\n0,1\n 1,1\n2,1\n"))
        assert not caplog.records
        read_events(log, items=write("none.csv", "item_id,price\n"))
    assert "only 0 of the 4 items" in caplog.records[0].getMessage()
