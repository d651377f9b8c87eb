-- The items that enough users clicked.
SELECT item_num FROM (SELECT DISTINCT user_num, item_num FROM {source}) AS clickers
GROUP BY item_num
HAVING COUNT(*) >= {min_users}
