-- Each user's clicks in their total order (n), cut into sessions where the gap is longer than allowed.
-- item_num decides last, for a log that gives two clicks one event_id.
WITH ordered AS (
  SELECT u.user_num, i.item_num, e.ts_us{kept},
    LAG(e.ts_us) OVER (PARTITION BY u.user_num ORDER BY e.ts_us, e.seq, e.event_id, i.item_num) AS previous_us,
    CAST(ROW_NUMBER() OVER (PARTITION BY u.user_num ORDER BY e.ts_us, e.seq, e.event_id, i.item_num) AS BIGINT) AS n
  FROM events e JOIN users u ON e.user_id = u.user_id JOIN items i ON e.item_id = i.item_id
  WHERE e.event_type = '{token_type}'
)
SELECT user_num, item_num, ts_us{kept_names}, n,
  CAST(SUM(CASE WHEN previous_us IS NULL OR ts_us - previous_us > {gap_us} THEN 1 ELSE 0 END)
    OVER (PARTITION BY user_num ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS session_num
FROM ordered
