"""Speed and size, measured against the named peers; nothing here runs in the tests."""
