-- A booking goes to the user's latest session that clicked the item before, if that session ended no longer than the
-- window before the booking (or is still going on).
SELECT b.user_num, b.booking_num, b.item_num, b.ts_us, MAX(s.session_num) AS session_num
FROM bookings b
  JOIN {source} c ON b.user_num = c.user_num AND b.item_num = c.item_num AND c.ts_us <= b.ts_us
  JOIN sessions s ON c.user_num = s.user_num AND c.session_num = s.session_num
WHERE b.ts_us - s.end_us <= {window_us}
GROUP BY b.user_num, b.booking_num, b.item_num, b.ts_us
