-- The users with tokens, numbered in id order: integers sort and join several times faster than strings.
-- (The window has no partition; on a cluster it sees the distinct users only.)
SELECT user_id, CAST(ROW_NUMBER() OVER (ORDER BY user_id) AS BIGINT) AS user_num
FROM (SELECT DISTINCT user_id FROM events WHERE event_type = '{token_type}') AS distinct_users
