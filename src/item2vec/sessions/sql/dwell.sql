-- The clicks without the short stays. A stay is the source's dwell, else the time from the first event of a run on
-- one item to the session's next event on another item; the last run's is unknown and kept.
-- Events here are what the user does: clicks, wishlists, inquiries and bookings (an impression is not a move).
-- Only clicks open a session, so another event belongs to the session of the click before it. Beyond the gap that is
-- harmless: such a stay is longer than any min_dwell_seconds, which is at most the gap.
WITH moves AS (
  SELECT user_num, item_num, ts_us, seq, event_id, 1 AS is_click, dwell_seconds, n, session_num FROM {source}
  UNION ALL
  SELECT u.user_num, i.item_num, e.ts_us, e.seq, e.event_id, 0, CAST(NULL AS DOUBLE), CAST(NULL AS BIGINT),
    CAST(NULL AS BIGINT)
  FROM events e JOIN users u ON e.user_id = u.user_id JOIN items i ON e.item_id = i.item_id
  WHERE e.event_type IN ('wishlist', 'inquiry', 'booking')
), placed AS (
  SELECT user_num, item_num, ts_us, is_click, dwell_seconds, n,
    MAX(session_num) OVER (PARTITION BY user_num ORDER BY ts_us, seq, event_id, item_num, is_click
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS session_num,
    ROW_NUMBER() OVER (PARTITION BY user_num ORDER BY ts_us, seq, event_id, item_num, is_click) AS move
  FROM moves
), compared AS (
  SELECT *, LAG(item_num) OVER (PARTITION BY user_num, session_num ORDER BY move) AS previous_item
  FROM placed WHERE session_num IS NOT NULL
), numbered AS (
  SELECT *, CAST(SUM(CASE WHEN previous_item IS NULL OR previous_item <> item_num THEN 1 ELSE 0 END)
    OVER (PARTITION BY user_num, session_num ORDER BY move
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS run
  FROM compared
), runs AS (
  SELECT user_num, session_num, run, MIN(ts_us) AS start_us FROM numbered GROUP BY user_num, session_num, run
), stays AS (
  SELECT user_num, session_num, run,
    LEAD(start_us) OVER (PARTITION BY user_num, session_num ORDER BY run) - start_us AS dwell_us
  FROM runs
)
SELECT c.user_num, c.item_num, c.ts_us, c.n, c.session_num
FROM numbered c JOIN stays s ON c.user_num = s.user_num AND c.session_num = s.session_num AND c.run = s.run
WHERE c.is_click = 1 AND CASE
  WHEN c.dwell_seconds IS NOT NULL THEN c.dwell_seconds >= CAST({min_dwell_us} AS DOUBLE) / 1000000
  WHEN s.dwell_us IS NOT NULL THEN s.dwell_us >= {min_dwell_us}
  ELSE TRUE END
