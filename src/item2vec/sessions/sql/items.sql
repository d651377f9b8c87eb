-- The items that can become tokens, be booked or end a stay, numbered from 0 in id order.
SELECT item_id, CAST(ROW_NUMBER() OVER (ORDER BY item_id) - 1 AS INTEGER) AS item_num
FROM (SELECT DISTINCT item_id FROM events WHERE event_type IN ({event_types})) AS distinct_items
