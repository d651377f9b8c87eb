-- Every session with its first and last click.
SELECT user_num, session_num, MIN(ts_us) AS start_us, MAX(ts_us) AS end_us, CAST(COUNT(*) AS BIGINT) AS n_clicks
FROM {source}
WHERE is_click = 1
GROUP BY user_num, session_num
