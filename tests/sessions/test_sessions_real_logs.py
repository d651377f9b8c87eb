"""The public logs: the counts that must come out."""

from __future__ import annotations

import numpy as np
import pytest

from item2vec.events import read_events
from item2vec.sessions import sessionize

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def read(real_data, tmp_path_factory):
    return lambda folder, name: read_events(
        real_data / folder, importer=name, out=tmp_path_factory.mktemp(name) / "log"
    )


def booked_numbers(sessions):
    return np.flatnonzero(np.diff(sessions.booked_offsets))


def booked_and_clicked(sessions):
    """Return the number of sessions that booked an item they clicked."""
    owners = np.repeat(np.arange(len(sessions)), np.diff(sessions.booked_offsets))
    clickers = np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))
    clicked = np.isin(
        owners * sessions.n_items + sessions.booked, clickers * sessions.n_items + sessions.tokens
    )
    return len(np.unique(owners[clicked]))


def test_trivago_hotels(read):
    trivago = read("trivago_rs19", "trivago")
    everything = sessionize(trivago, repeats="collapse", min_length=1)
    assert everything.funnel["clicks"] == {"in": 87_608, "repeats": 69_334, "too_short": 0, "kept": 18_274}
    sessions = sessionize(trivago, repeats="collapse")
    assert (len(sessions), sessions.n_clicks) == (3_378, 14_025)
    # A click-out is a click too, so with no window a booking can only belong to the session it happened in.
    inside = sessionize(trivago, min_length=1, booking_window_hours=0)
    booked = set(inside.session_ids[booked_numbers(inside)].tolist())
    hotels = np.array([len(set(items)) for items in inside.to_lists()])
    with_two = set(inside.session_ids[hotels >= 2].tolist())
    assert (len(with_two), len(with_two & booked)) == (3_378, 3_270)


def test_airbnb_reviewers(read):
    reviews = read("airbnb_reviews", "airbnb_reviews")
    sequences = sessionize(reviews, kind="booking", repeats="unique")
    assert len(sequences) == 6_854
    assert sequences.funnel["tokens"]["in"] == 124_961
    assert len(sessionize(reviews, kind="booking", repeats="collapse")) == 6_854
    assert "latitude" in sequences.items.column_names
    assert (sequences.markets >= 0).all()


def test_google_products(read):
    # Gaps lie between clicks; if ignored rows (checkouts, removals) were activity too, it would be 37,184.
    google = read("google_merch", "google_merch")
    everything = sessionize(google, repeats="collapse", min_length=1)
    assert (len(everything), everything.n_clicks) == (37_257, 100_424)
    sessions = sessionize(google, repeats="collapse")
    assert (len(sessions), sessions.n_clicks) == (18_264, 81_431)
    stayed = sessionize(google, repeats="collapse", min_dwell_seconds=30)
    assert (len(stayed), stayed.n_clicks) == (14_569, 52_613)
    assert len(booked_numbers(stayed)) > 1_900
    assert booked_and_clicked(stayed) / len(booked_numbers(stayed)) > 0.95
    # A purchase visit buys several products, each once in the session's list.
    assert np.diff(stayed.booked_offsets).max() > 3


# The counts published for this log rest on other premises than `sessionize`: rows that map to no event
# (checkouts, removals) still count as activity, both for gaps and for the end of a stay, and a stay starts
# at its own click.
PUBLISHED_PREMISES = """
WITH rows_once AS (
  SELECT DISTINCT full_visitor_id u, visit_id v, hit_number h, action_type a, product_sku s,
    product_name item, CAST(round(ts * 1e6) AS BIGINT) ts FROM read_parquet(?)
), gaps AS (
  SELECT *, LAG(ts) OVER (PARTITION BY u ORDER BY ts, h, v, a, s) previous FROM rows_once
),
split AS (
  SELECT *, SUM(CASE WHEN previous IS NULL OR ts - previous > 1800000000 THEN 1 ELSE 0 END)
    OVER (PARTITION BY u ORDER BY ts, h, v, a, s ROWS UNBOUNDED PRECEDING) sid FROM gaps
), placed AS (
  SELECT *, ROW_NUMBER() OVER w n, LAG(item) OVER w previous_item
  FROM split WINDOW w AS (PARTITION BY u, sid ORDER BY ts, h, v, a, s)
), runs AS (
  SELECT *, SUM(CASE WHEN previous_item IS NULL OR previous_item <> item THEN 1 ELSE 0 END)
    OVER (PARTITION BY u, sid ORDER BY n ROWS UNBOUNDED PRECEDING) run FROM placed
), starts AS (SELECT u, sid, run, MIN(ts) AS began FROM runs GROUP BY ALL),
next_starts AS (SELECT *, LEAD(began) OVER (PARTITION BY u, sid ORDER BY run) AS next_start FROM starts),
clicks AS (
  SELECT r.*, next_start - r.ts stay, LAG(item) OVER (PARTITION BY u, sid ORDER BY n) previous_click
  FROM runs r JOIN next_starts USING (u, sid, run) WHERE a IN ('click', 'view')
), collapsed AS (SELECT * FROM clicks WHERE previous_click IS NULL OR previous_click <> item),
lengths AS (
  SELECT COUNT(*) c, COUNT(*) FILTER (stay IS NULL OR stay >= 30000000) stayed
  FROM collapsed GROUP BY u, sid
)
SELECT COUNT(*), COUNT(*) FILTER (c >= 2), SUM(c) FILTER (c >= 2),
  COUNT(*) FILTER (stayed >= 2), SUM(stayed) FILTER (stayed >= 2) FROM lengths
"""


def test_the_published_google_counts_rest_on_other_premises(real_data):
    import duckdb

    with duckdb.connect() as connection:
        log = str(real_data / "google_merch" / "product_events.parquet")
        counts = connection.execute(PUBLISHED_PREMISES, [log]).fetchone()
    assert counts == (37_184, 18_229, 81_459, 14_502, 52_216)
