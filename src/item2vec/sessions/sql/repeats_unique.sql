-- A session keeps its first click on each item.
SELECT user_num, item_num, MIN(ts_us) AS ts_us, MIN(is_click) AS is_click, MIN(n) AS n, session_num
FROM {source}
GROUP BY user_num, session_num, item_num
