-- The sessions that are long enough. The id is the day the session starts (UTC) in the upper bits and its place among
-- that day's sessions, by user and time, in the lower 32: another day in the log changes no other day's ids.
WITH dated AS (
  SELECT *, CAST((start_us - ((start_us % 86400000000) + 86400000000) % 86400000000) / 86400000000 AS BIGINT) AS day
  FROM bounds
  WHERE n_clicks >= {min_length}
)
SELECT user_num, session_num, start_us, end_us, n_clicks, CAST(day * 4294967296
  + ROW_NUMBER() OVER (PARTITION BY day ORDER BY user_num, session_num) - 1 AS BIGINT) AS session_id
FROM dated
