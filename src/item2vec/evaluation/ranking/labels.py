"""What became of each listing of a search: from rejected to booked (Grbovic & Cheng 2018, section 4.4)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from item2vec.errors import UsageError
from item2vec.evaluation.arguments import is_number
from item2vec.recommendations.ranking_features.log import opened_log
from item2vec.recommendations.user_events import DAY_US

if TYPE_CHECKING:
    from item2vec.recommendations.ranking_features.log import Log

OUTCOMES = ("rejected", "impression", "clicked", "contacted", "booked")
"""Names of the labels 0 to 4."""
UTILITIES = (-0.4, 0.0, 0.01, 0.25, 1.0)
"""What an outcome is worth to the marketplace, by label (the paper's)."""
LABEL_GAIN = (0.0, 0.4, 0.41, 0.65, 1.4)
"""The utilities + 0.4: a ranker's gains must not be negative, and only their differences matter to it."""
WAIT_DAYS = 7.0
COUNTS = b"item2vec.counts"

_CLICKED = """
SELECT user_id, search_id, item_id, place, clicked_us, as_of_us
FROM pages JOIN searches USING (user_id, search_id)
WHERE shown AND place IS NOT NULL AND clicked_us <= as_of_us + {wait}
"""
_ATTRIBUTED = """
SELECT o.event_type, o.ts_us, c.user_id, c.search_id, c.item_id, o.ts_us <= c.as_of_us + {wait} AS in_time
FROM events o JOIN clicked c USING (user_id, item_id)
WHERE o.event_type IN ('wishlist', 'inquiry', 'booking', 'rejection') AND c.clicked_us <= o.ts_us
QUALIFY row_number() OVER (
    PARTITION BY o.user_id, o.ts_us, o.seq, o.event_id ORDER BY c.as_of_us DESC, c.search_id DESC
) = 1
"""
_VERDICTS = """
SELECT
    user_id,
    search_id,
    item_id,
    max(ts_us) FILTER (WHERE event_type = 'booking') AS booked_us,
    max(ts_us) FILTER (WHERE event_type = 'rejection') AS rejected_us
FROM attributed
WHERE in_time
GROUP BY user_id, search_id, item_id
"""
_LABELLED = """
SELECT
    user_id,
    search_id,
    s.as_of_us AS ts_us,
    item_id,
    p.place AS position,
    CASE
        WHEN v.booked_us >= coalesce(v.rejected_us, v.booked_us) THEN 4
        WHEN v.rejected_us IS NOT NULL THEN 0
        WHEN v.item_id IS NOT NULL THEN 3
        WHEN c.item_id IS NOT NULL THEN 2
        ELSE 1
    END::TINYINT AS label,
    c.place AS clicked_place
FROM pages p
JOIN searches s USING (user_id, search_id)
LEFT JOIN clicked c USING (user_id, search_id, item_id)
LEFT JOIN verdicts v USING (user_id, search_id, item_id)
WHERE p.shown AND p.place IS NOT NULL
"""
_JUDGED = """
SELECT
    *,
    max(clicked_place) OVER same_search AS last_place,
    max(label) OVER same_search AS best,
    ts_us + {wait} <= (SELECT max(ts_us) FROM events) AS settled
FROM labelled
WINDOW same_search AS (PARTITION BY user_id, search_id)
"""
_KEPT = """
SELECT user_id, search_id, ts_us, item_id, position, label
FROM judged
WHERE settled AND position <= last_place AND best >= {least}
ORDER BY user_id, ts_us, search_id, position, item_id
"""
_SEARCH_COUNTS = """
SELECT
    count(*) AS searches,
    count(*) FILTER (WHERE NOT settled) AS not_settled,
    count(*) FILTER (WHERE settled AND last_place IS NULL) AS without_click,
    count(*) FILTER (WHERE settled AND last_place IS NOT NULL AND best < {least}) AS without_booking
FROM (SELECT DISTINCT user_id, search_id, settled, last_place, best FROM judged)
"""
_OUTCOME_COUNTS = """
SELECT
    (SELECT count(*) FROM events WHERE event_type IN ('wishlist', 'inquiry', 'booking', 'rejection'))
        AS outcomes,
    (SELECT count(*) FROM attributed) AS attributed,
    (SELECT count(*) FROM attributed WHERE NOT in_time) AS too_late
"""


def search_labels(
    events: Log, *, wait_days: float = WAIT_DAYS, booked_only: bool = True, memory_limit: str = "900MB"
) -> pa.Table:
    """Label what each search showed by what the guest did with it.

    A click belongs to the search whose id it has. A wishlist, inquiry, booking or rejection belongs to the
    user's latest search in which the item was clicked before it (at its time at the latest). The best of
    booked, contacted (wishlist or inquiry) and clicked is the label; a rejection outdoes contact and click,
    and of a booking and a rejection the later one counts.

    A page is cut at its last clicked listing: nobody knows whether what lies below was seen. A listing that
    is shown twice in a search stands at its first position; impressions without a position are left out.
    What comes more than `wait_days` after the search is not waited for, and searches of the log's last
    `wait_days` are left out, as their outcomes are not all in the log.

    Parameters
    ----------
    events : Events, pyarrow.Table, or path
        As for :func:`~item2vec.ranking_feature_table`.
    wait_days : float
        How long a search may take to its outcome; 7 in the paper.
    booked_only : bool
        Keep the searches with at least one booking only, as the paper does.
    memory_limit : str
        What DuckDB may hold in memory; beyond it, it spills.

    Returns
    -------
    pyarrow.Table
        ``user_id``, ``search_id``, ``ts_us`` (int64, of the search), ``item_id``, ``position`` (int32) and
        ``label`` (int8, position in :data:`OUTCOMES`), by user, time, search and position. The schema's
        metadata counts, as JSON under ``item2vec.counts``, the searches that were left out by reason and
        the outcomes that belong to no search or came too late.

    Raises
    ------
    UsageError
        If an argument is of another kind.
    DataError, SourceError
        If this is no event table.
    """
    if not is_number(wait_days) or not 0 < wait_days < 10_000:
        raise UsageError(f"wait_days={wait_days!r}: give a number of days above 0")
    words: dict[str, Any] = {"wait": round(wait_days * DAY_US), "least": 4 if booked_only else 0}
    with opened_log(events, memory_limit) as engine:
        engine.create("clicked", _CLICKED.format(**words))
        engine.create("attributed", _ATTRIBUTED.format(**words))
        engine.create("verdicts", _VERDICTS)
        engine.create("labelled", _LABELLED)
        engine.create("judged", _JUDGED.format(**words))
        table = engine.fetch(_KEPT.format(**words))
        counts = engine.fetch(_SEARCH_COUNTS.format(**words)).to_pylist()[0]
        found = engine.fetch(_OUTCOME_COUNTS).to_pylist()[0]
    counts["outcomes_of_no_search"] = found["outcomes"] - found["attributed"]
    counts["outcomes_too_late"] = found["too_late"]
    return table.replace_schema_metadata({COUNTS: json.dumps(counts).encode()})


def label_counts(labels: pa.Table) -> dict[str, int]:
    """Return what :func:`search_labels` counted, empty for a table that is not from it."""
    found: dict[str, int] = json.loads((labels.schema.metadata or {}).get(COUNTS, b"{}"))
    return found
