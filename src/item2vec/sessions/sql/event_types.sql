SELECT event_type, CAST(COUNT(*) AS BIGINT) AS n_events FROM events GROUP BY event_type ORDER BY event_type
