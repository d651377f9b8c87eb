"""The public logs: their counts are known, and their oddities."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pytest

from item2vec.events import Events, read_events

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def google(real_data: Path) -> Events:
    return read_events(real_data / "google_merch", importer="google_merch")


@pytest.fixture(scope="module")
def trivago(real_data: Path) -> Events:
    return read_events(real_data / "trivago_rs19", importer="trivago")


@pytest.fixture(scope="module")
def airbnb(real_data: Path) -> Events:
    return read_events(real_data / "airbnb_reviews", importer="airbnb_reviews")


def test_google_rows_reconcile(google: Events) -> None:
    account = google.reconciliation
    assert (account.rows_in, account.duplicate, account.n_quarantined) == (420_737, 388, 0)
    assert account.ignored == {"checkout": 74_577, "remove_from_cart": 4_645}
    assert account.ok == account.n_events == 341_127
    assert account.events == {"booking": 19_482, "click": 285_567, "wishlist": 36_078}


def test_google_items_are_products_with_one_clean_market(google: Events) -> None:
    table = google.to_table()
    clicked = table.filter(pc.equal(table["event_type"], "click"))
    assert len(pc.unique(clicked["item_id"])) == 422
    assert google.items is not None
    markets = [market for market in google.items["market"].to_pylist() if market is not None]
    assert not [
        m for m in markets if "(not set)" in m or "${" in m or m.strip("/ ") != m or m.startswith("Home/")
    ]
    assert len(markets) > 0.9 * len(google.items)
    assert pc.min(google.items["price"]).as_py() > 0
    per_item = table.group_by("item_id").aggregate([("market", "count_distinct")])
    assert pc.max(per_item["market_count_distinct"]).as_py() == 1


def test_trivago_rows_reconcile(trivago: Events) -> None:
    account = trivago.reconciliation
    assert (account.rows_in, account.ok, account.duplicate) == (100_003, 87_608, 0)
    assert account.quarantined == {"item_id is not an int64": 4}  # "unknown" in place of a hotel
    assert account.n_ignored == 12_391  # 12.4 %
    assert account.events == {"booking": 13_597, "click": 87_608, "impression": 312_539}
    assert trivago.id_type == "int64"
    assert {row["raw"].split('"reference":"')[1][:7] for row in trivago.quarantine().to_pylist()} == {
        "unknown"
    }


def test_a_careless_key_is_noticed_in_trivago(real_data: Path) -> None:
    columns = {"event_id": ["user_id", "session_id", "timestamp", "action_type", "reference"]}
    account = read_events(
        real_data / "trivago_rs19", columns, importer="trivago", max_quarantined=1
    ).reconciliation
    repeated = account.duplicate + account.quarantined["event_id repeated with another body"]
    assert repeated / account.rows_in == pytest.approx(0.53, abs=0.005)


def test_trivago_impressions_know_their_search_and_the_click_its_place(trivago: Events) -> None:
    con = duckdb.connect()
    con.execute(f"CREATE VIEW e AS FROM read_parquet({trivago.files})")
    lists = (
        "SELECT count(*), max(n), count(*) FILTER (n <> last) FROM (SELECT search_id, count(*) AS n,"
        " max(position) AS last FROM e WHERE event_type = 'impression' GROUP BY search_id)"
    )
    assert con.execute(lists).fetchall() == [(13_597, 25, 0)]
    clicks = (
        "SELECT count(*) FROM e AS c JOIN e AS i USING (search_id, position, item_id)"
        " WHERE c.event_type = 'click' AND i.event_type = 'impression'"
    )
    assert con.execute(clicks).fetchall() == [(13_596,)]  # one click-out names a hotel outside its list
    assert con.execute(
        "SELECT count(*) FROM e WHERE event_type = 'click' AND search_id IS NULL"
    ).fetchall() == [(87_608 - 13_597,)]


def test_airbnb_reviews_are_bookings_of_listings_with_prices(airbnb: Events) -> None:
    account = airbnb.reconciliation
    assert (account.rows_in, account.ok, account.events) == (124_961, 124_961, {"booking": 124_961})
    assert airbnb.id_type == "int64"
    table = airbnb.to_table()
    assert set(pc.unique(table["market"]).to_pylist()) == {
        "singapore",
        "albany_ny",
        "barossa_valley",
        "beijing",
    }
    day = 86_400_000_000
    assert all(ts % day == 0 for ts in pc.unique(table["ts_us"]).to_pylist())
    assert airbnb.items is not None
    assert len(airbnb.items) == 11_235
    assert airbnb.reconciliation.attributes["items"]["quarantined"] == 0
    assert "unreadable price" not in airbnb.reconciliation.attributes["items"]
    assert airbnb.items["price"].null_count == 84
    assert pc.max(airbnb.items["price"]).as_py() == 109_999.0
    assert {"listing_type", "capacity", "latitude", "longitude", "property_type"} <= set(
        airbnb.items.column_names
    )
