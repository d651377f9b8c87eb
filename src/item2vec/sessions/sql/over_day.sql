-- The users with too many clicks on one day (UTC).
SELECT user_num FROM {source}
WHERE is_click = 1
GROUP BY user_num, ts_us - ((ts_us % 86400000000) + 86400000000) % 86400000000
HAVING COUNT(*) > {cap}
