-- Each user's moves in their total order (n), cut into sessions where the gap between two clicks is longer than
-- allowed. Moves that are no clicks are here only for the dwell rule: they open no session and belong to the one
-- before them (session 0 before the first click). LAG would need IGNORE NULLS, which the dialects write differently;
-- time only rises, so the last click's time is the largest. item_num decides last, for a log that repeats an event_id.
WITH moves AS (
  SELECT u.user_num, i.item_num, e.ts_us, e.seq, e.event_id{dwell},
    CASE WHEN e.event_type = '{token_type}' THEN 1 ELSE 0 END AS is_click
  FROM events e JOIN users u ON e.user_id = u.user_id JOIN items i ON e.item_id = i.item_id
  WHERE e.event_type IN ({event_types})
), ordered AS (
  SELECT user_num, item_num, ts_us, is_click{dwell},
    CAST(ROW_NUMBER() OVER (PARTITION BY user_num ORDER BY ts_us, seq, event_id, item_num, is_click) AS BIGINT) AS n,
    MAX(CASE WHEN is_click = 1 THEN ts_us END) OVER (PARTITION BY user_num
      ORDER BY ts_us, seq, event_id, item_num, is_click ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous_us
  FROM moves
)
SELECT user_num, item_num, ts_us, is_click{dwell}, n,
  CAST(SUM(CASE WHEN is_click = 1 AND (previous_us IS NULL OR ts_us - previous_us > {gap_us}) THEN 1 ELSE 0 END)
    OVER (PARTITION BY user_num ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS session_num
FROM ordered
