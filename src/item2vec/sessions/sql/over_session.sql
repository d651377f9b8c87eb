-- The users with too many clicks in one session.
SELECT user_num FROM {source} WHERE is_click = 1 GROUP BY user_num, session_num HAVING COUNT(*) > {cap}
