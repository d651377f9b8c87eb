-- The users with too many clicks on one day (UTC) or in one session.
WITH clicks AS (SELECT user_num, session_num, ts_us FROM {source} WHERE is_click = 1)
SELECT user_num FROM (
  SELECT user_num FROM clicks
  GROUP BY user_num, ts_us - ((ts_us % 86400000000) + 86400000000) % 86400000000
  HAVING COUNT(*) > {max_per_day}
  UNION ALL
  SELECT user_num FROM clicks GROUP BY user_num, session_num HAVING COUNT(*) > {max_per_session}
) AS over_a_cap
GROUP BY user_num
