-- Consecutive clicks of a session on one item become the first of them.
SELECT user_num, item_num, ts_us, is_click, n, session_num FROM (
  SELECT *, LAG(item_num) OVER (PARTITION BY user_num, session_num ORDER BY n) AS previous_item FROM {source}
) AS compared
WHERE previous_item IS NULL OR previous_item <> item_num
