-- Each item's most frequent event market; of equally frequent ones the first by name.
WITH counted AS (
  SELECT i.item_num, e.market, CAST(COUNT(*) AS BIGINT) AS n_events
  FROM events e JOIN items i ON e.item_id = i.item_id
  WHERE e.market IS NOT NULL
  GROUP BY i.item_num, e.market
), ranked AS (
  SELECT item_num, market, ROW_NUMBER() OVER (PARTITION BY item_num ORDER BY n_events DESC, market) AS place
  FROM counted
  WHERE TRIM(BOTH '{blanks}' FROM market) <> ''
)
SELECT item_num, market FROM ranked WHERE place = 1 ORDER BY item_num
