"""The simulated log keeps the promises a real log would: order, congregated search, causes."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from item2vec.marketplace import simulate

WORLD = {"n_users": 700, "n_listings": 300, "n_markets": 6, "days": 40, "bot_share": 0.01}


def _read(path: Path) -> pa.Table:
    return pq.ParquetFile(path).read()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("market") / "world", **WORLD)


@pytest.fixture(scope="module")
def sql(world: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE events AS SELECT * FROM '{world}/events/*.parquet'")
    for name, file in {"items": "items", "styles": "truth/styles", "tastes": "truth/tastes"}.items():
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM '{world}/{file}.parquet'")
    return connection


def _one(sql: duckdb.DuckDBPyConnection, query: str) -> object:
    return sql.execute(query).fetchone()[0]


def test_columns_are_the_event_tables_own(world: Path) -> None:
    schema = _read(next((world / "events").iterdir())).schema
    assert {field.name: str(field.type) for field in schema} == {
        "user_id": "string",
        "ts": "int64",
        "seq": "int64",
        "event_id": "string",
        "event_type": "string",
        "item_id": "string",
        "dwell_seconds": "double",
        "market": "string",
        "search_id": "string",
        "position": "int32",
    }


def test_every_folder_and_table_is_there(world: Path) -> None:
    files = {str(path.relative_to(world)) for path in world.rglob("*") if path.is_file()}
    tables = {"items.parquet", "users.parquet", "truth/styles.parquet", "truth/tastes.parquet"}
    assert files == tables | {"config.json", "events/part-00000.parquet"}
    items, users = _read(world / "items.parquet"), _read(world / "users.parquet")
    assert (items.num_rows, users.num_rows) == (WORLD["n_listings"], WORLD["n_users"])
    assert set(items["listing_type"].to_pylist()) == {"Entire home", "Private room", "Shared room"}
    assert len(set(items["market"].to_pylist())) == WORLD["n_markets"]
    assert "style" not in items.column_names  # hidden


def test_all_six_event_types_occur_in_a_plausible_funnel(sql: duckdb.DuckDBPyConnection) -> None:
    n = dict(sql.execute("SELECT event_type, COUNT(*) FROM events GROUP BY 1").fetchall())
    assert n["impression"] > 4 * n["click"] > 8 * n["wishlist"] > 0
    assert n["click"] > 10 * n["booking"] > 20 * n["rejection"] > 0
    assert n["inquiry"] > 0


def test_events_are_in_user_and_time_order_with_ids_of_their_own(sql: duckdb.DuckDBPyConnection) -> None:
    disorder = """
        SELECT COUNT(*) FROM (SELECT ts, seq, LAG(ts) OVER w AS before, LAG(seq) OVER w AS last
        FROM events WINDOW w AS (PARTITION BY user_id ORDER BY seq)) WHERE ts < before OR seq <> last + 1"""
    assert _one(sql, disorder) == 0
    assert _one(sql, "SELECT COUNT(*) - COUNT(DISTINCT event_id) FROM events") == 0
    first, last = sql.execute("SELECT MIN(ts), MAX(ts) FROM events").fetchone()
    start = 1_735_689_600_000_000  # 2025-01-01 UTC
    assert start <= first < last < start + WORLD["days"] * 86_400_000_000
    assert _one(sql, "SELECT COUNT(DISTINCT ts // 86400000000) FROM events") == WORLD["days"]


def test_a_session_stays_in_one_market(sql: duckdb.DuckDBPyConnection) -> None:
    mixed = """
        SELECT COUNT(*) FROM (SELECT market, ts, LAG(market) OVER w AS m, LAG(ts) OVER w AS t FROM events
        WHERE event_type = 'click' WINDOW w AS (PARTITION BY user_id ORDER BY seq))
        WHERE market <> m AND ts - t <= 1800000000"""
    assert _one(sql, mixed) == 0
    assert (
        _one(
            sql, "SELECT COUNT(*) FROM events JOIN items USING (item_id) WHERE events.market <> items.market"
        )
        == 0
    )


def test_clicks_are_on_shown_listings_at_their_position(sql: duckdb.DuckDBPyConnection) -> None:
    unseen = """
        SELECT COUNT(*) FROM events c ANTI JOIN (SELECT * FROM events WHERE event_type = 'impression') i
        ON c.search_id = i.search_id AND c.position = i.position AND c.item_id = i.item_id
        AND c.user_id = i.user_id AND c.ts > i.ts WHERE c.event_type = 'click'"""
    assert _one(sql, unseen) == 0
    pages = """
        SELECT COUNT(*) FROM (SELECT search_id, COUNT(*) n, COUNT(DISTINCT item_id) d, MIN(position) a,
        MAX(position) b, COUNT(DISTINCT ts) t FROM events WHERE event_type = 'impression' GROUP BY 1)
        WHERE n <> d OR a <> 1 OR b <> n OR n > 10 OR t > 1"""
    assert _one(sql, pages) == 0
    assert _one(sql, "SELECT COUNT(*) FROM events WHERE (search_id IS NULL) <> (position IS NULL)") == 0
    assert (
        _one(
            sql,
            "SELECT COUNT(*) FROM events WHERE event_type IN ('impression','click') AND search_id IS NULL",
        )
        == 0
    )


def test_higher_positions_are_clicked_more(sql: duckdb.DuckDBPyConnection) -> None:
    rate = """SELECT COUNT(*) FILTER (event_type = 'click') / COUNT(*) FILTER (event_type = 'impression')
        FROM events SEMI JOIN (FROM tastes WHERE NOT is_bot) USING (user_id) WHERE position """
    assert _one(sql, rate + "= 1") > 1.5 * _one(sql, rate + ">= 8")


def test_what_follows_a_click_follows_a_click(sql: duckdb.DuckDBPyConnection) -> None:
    causeless = """
        SELECT COUNT(*) FROM events e ANTI JOIN (SELECT * FROM events WHERE event_type = 'click') c
        ON e.user_id = c.user_id AND e.item_id = c.item_id AND e.ts >= c.ts
        WHERE e.event_type NOT IN ('impression', 'click')"""
    assert _one(sql, causeless) == 0
    assert (
        _one(sql, "SELECT COUNT(*) FROM events WHERE (dwell_seconds IS NULL) = (event_type = 'click')") == 0
    )


def test_rejected_guests_book_elsewhere_or_not_at_all(sql: duckdb.DuckDBPyConnection) -> None:
    after = sql.execute("""
        SELECT COUNT(DISTINCT r.event_id), COUNT(*) FILTER (b.item_id = r.item_id), COUNT(b.event_id)
        FROM (FROM events WHERE event_type = 'rejection') r
        LEFT JOIN (FROM events WHERE event_type = 'booking') b
        ON r.user_id = b.user_id AND b.ts BETWEEN r.ts AND r.ts + 3600000000""").fetchone()
    n_rejections, same_listing, elsewhere = after
    assert same_listing == 0
    assert 0.3 * n_rejections < elsewhere < n_rejections


def test_new_listings_are_in_the_catalogue_only(sql: duckdb.DuckDBPyConnection) -> None:
    unseen = _one(sql, "SELECT COUNT(*) FROM items ANTI JOIN events USING (item_id)")
    assert 0.02 * WORLD["n_listings"] < unseen < 0.12 * WORLD["n_listings"]
    assert _one(sql, "SELECT COUNT(*) FROM items ANTI JOIN events USING (item_id) WHERE n_reviews > 0") <= 2


def test_robots_click_much_and_stay_briefly(sql: duckdb.DuckDBPyConnection) -> None:
    query = """SELECT is_bot, COUNT(*) / COUNT(DISTINCT user_id), MEDIAN(dwell_seconds)
        FROM events JOIN tastes USING (user_id) WHERE event_type = 'click' GROUP BY 1 ORDER BY 1"""
    (_, clicks, dwell), (_, bot_clicks, bot_dwell) = sql.execute(query).fetchall()
    assert bot_clicks > 10 * clicks
    assert bot_dwell < 3 < 20 < dwell


def test_clicks_drift_towards_the_style_that_is_booked(sql: duckdb.DuckDBPyConnection) -> None:
    query = """
        WITH b AS (SELECT user_id, item_id, market, ts, style FROM events JOIN styles USING (item_id)
                   WHERE event_type = 'booking'),
        c AS (SELECT (b.ts - c.ts) / 3.6e9 AS hours, s.style = b.style AS agrees FROM b
              JOIN (FROM events WHERE event_type = 'click' AND dwell_seconds > 0) c
              ON b.user_id = c.user_id AND b.market = c.market AND b.item_id <> c.item_id
              AND c.ts BETWEEN b.ts - 432000000000 AND b.ts
              JOIN styles s ON s.item_id = c.item_id)
        SELECT AVG(agrees::INT) FILTER (hours > 6), AVG(agrees::INT) FILTER (hours <= 1), COUNT(*) FROM c"""
    early, late, n = sql.execute(query).fetchone()
    assert n > 1000
    assert 1 / 5 + 0.1 < early < late - 0.05
