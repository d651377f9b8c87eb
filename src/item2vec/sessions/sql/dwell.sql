-- The clicks without the short stays. A stay is the source's dwell, else the time from the first event of a run on
-- one item to the session's next event on another item; the last run's is unknown and kept. Events here are what the
-- user does: clicks, wishlists, inquiries and bookings (an impression is no move of the user's).
-- A move beyond the gap after a session's last click still ends its last stay. That is harmless: such a stay is longer
-- than any min_dwell_seconds, which is at most the gap.
WITH compared AS (
  SELECT *, CASE WHEN LAG(item_num) OVER (PARTITION BY user_num, session_num ORDER BY n) = item_num THEN 0 ELSE 1 END
    AS opens_run
  FROM {source} WHERE session_num > 0
), timed AS (
  SELECT *,
    MAX(CASE WHEN opens_run = 1 THEN ts_us END) OVER (PARTITION BY user_num, session_num ORDER BY n
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS run_us,
    MIN(CASE WHEN opens_run = 1 THEN ts_us END) OVER (PARTITION BY user_num, session_num ORDER BY n
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS next_run_us
  FROM compared
)
SELECT user_num, item_num, ts_us, is_click, n, session_num
FROM timed
WHERE is_click = 1 AND CASE
  WHEN dwell_seconds IS NOT NULL THEN dwell_seconds >= CAST({min_dwell_us} AS DOUBLE) / 1000000
  WHEN next_run_us IS NOT NULL THEN next_run_us - run_us >= {min_dwell_us}
  ELSE TRUE END
