SELECT c.item_num, c.ts_us
FROM {source} c JOIN sessions s ON c.user_num = s.user_num AND c.session_num = s.session_num
ORDER BY s.session_id, c.n
