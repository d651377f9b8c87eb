SELECT s.session_id, u.user_id, s.start_us, s.end_us, s.n_clicks
FROM sessions s JOIN users u ON s.user_num = u.user_num
ORDER BY s.session_id
