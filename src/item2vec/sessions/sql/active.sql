SELECT c.* FROM {source} c LEFT JOIN over_active o ON c.user_num = o.user_num WHERE o.user_num IS NULL
