-- The bookings of users who have clicks, in each user's total order.
SELECT u.user_num, i.item_num, e.ts_us,
  CAST(ROW_NUMBER() OVER (PARTITION BY u.user_num ORDER BY e.ts_us, e.seq, e.event_id, i.item_num) AS BIGINT)
    AS booking_num
FROM events e JOIN users u ON e.user_id = u.user_id JOIN items i ON e.item_id = i.item_id
WHERE e.event_type = 'booking'
