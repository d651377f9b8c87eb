-- The users who came back to one item in too many sessions.
SELECT user_num FROM (SELECT DISTINCT user_num, item_num, session_num FROM {source} WHERE is_click = 1) AS visits
GROUP BY user_num, item_num
HAVING COUNT(*) > {cap}
