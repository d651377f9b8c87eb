-- Else to the user's latest session in the item's market, within the same window. A session's market is its clicks'
-- most frequent one; market numbers follow the names, so ties go to the first by name.
WITH waiting AS (
  SELECT b.user_num, b.booking_num, b.item_num, b.ts_us, m.market_num
  FROM bookings b
    JOIN item_markets m ON b.item_num = m.item_num
    LEFT JOIN booked_clicked a ON b.user_num = a.user_num AND b.booking_num = a.booking_num
  WHERE a.booking_num IS NULL
), candidates AS (
  SELECT s.user_num, s.session_num, s.start_us, s.end_us
  FROM sessions s JOIN (SELECT DISTINCT user_num FROM waiting) AS w ON s.user_num = w.user_num
), votes AS (
  SELECT c.user_num, c.session_num, s.start_us, s.end_us, m.market_num, COUNT(*) AS n_clicks
  FROM {source} c
    JOIN candidates s ON c.user_num = s.user_num AND c.session_num = s.session_num
    JOIN item_markets m ON c.item_num = m.item_num
  GROUP BY c.user_num, c.session_num, s.start_us, s.end_us, m.market_num
), ranked AS (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY user_num, session_num ORDER BY n_clicks DESC, market_num) AS place
  FROM votes
)
SELECT w.user_num, w.booking_num, w.item_num, w.ts_us, MAX(r.session_num) AS session_num
FROM waiting w JOIN ranked r ON w.user_num = r.user_num AND w.market_num = r.market_num
WHERE r.place = 1 AND r.start_us <= w.ts_us AND w.ts_us - r.end_us <= {window_us}
GROUP BY w.user_num, w.booking_num, w.item_num, w.ts_us
