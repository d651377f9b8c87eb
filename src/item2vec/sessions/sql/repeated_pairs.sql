-- In one user's day (UTC, of the session's first click) two items meet in one session only: an item leaves a session
-- if it and one clicked before it there were both in an earlier session of the day. Sessions are compared as they
-- came in, so one pass is enough: were a pair left in two sessions, the later item of the second would have gone. A
-- session's first item always stays. Only items in several sessions of a day are paired: few of a guest's, and of a
-- robot's as many as its session is long.
WITH firsts AS (
  SELECT user_num, session_num, item_num, MIN(n) AS n, MIN(ts_us) AS ts_us
  FROM {source}
  GROUP BY user_num, session_num, item_num
), started AS (
  SELECT user_num, session_num, item_num, n, MIN(ts_us) OVER (PARTITION BY user_num, session_num) AS start_us
  FROM firsts
), dated AS (
  SELECT user_num, session_num, item_num, n,
    start_us - ((start_us % 86400000000) + 86400000000) % 86400000000 AS day_us
  FROM started
), counted AS (
  SELECT *, COUNT(*) OVER (PARTITION BY user_num, day_us, item_num) AS n_sessions FROM dated
), pairs AS (
  SELECT b.user_num, b.session_num, b.item_num, MIN(b.session_num) OVER (PARTITION BY b.user_num, b.day_us,
    LEAST(a.item_num, b.item_num), GREATEST(a.item_num, b.item_num)) AS first_session
  FROM counted a JOIN counted b ON a.user_num = b.user_num AND a.session_num = b.session_num AND a.n < b.n
  WHERE a.n_sessions > 1 AND b.n_sessions > 1
), again AS (
  SELECT DISTINCT user_num, session_num, item_num FROM pairs WHERE session_num > first_session
)
SELECT c.user_num, c.item_num, c.ts_us, c.is_click, c.n, c.session_num
FROM {source} c
  LEFT JOIN again g ON c.user_num = g.user_num AND c.session_num = g.session_num AND c.item_num = g.item_num
WHERE g.item_num IS NULL
