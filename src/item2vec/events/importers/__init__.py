"""Ready mappings for public logs: one TOML each, with the SQL that their oddities need."""
