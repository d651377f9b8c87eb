-- The booked items of each session, each once, with the time of their first booking and in that order.
SELECT s.session_id, a.item_num, MIN(a.ts_us) AS booked_us
FROM (SELECT * FROM booked_clicked UNION ALL SELECT * FROM booked_market) AS a
  JOIN sessions s ON a.user_num = s.user_num AND a.session_num = s.session_num
GROUP BY s.session_id, a.item_num
ORDER BY s.session_id, MIN(a.booking_num), a.item_num
