"""What a request may ask for at most: limits of HTTP, not of the library."""

MAX_K = 200
DEFAULT_K = 10
MAX_BATCH = 100
"""Item ids of one request."""
MAX_EVENTS = 500
"""Events of one request; the body's limit comes first where ids are long."""
MAX_BODY = 64 * 1024
MAX_TARGET = 4096
"""Bytes of path and query together; an id of 256 characters, percent-encoded, takes up to 3 kB."""
MAX_VALUES = 100
"""Values that one condition lists."""
MAX_NAME = 64
MAX_TEXT = 256
MAX_PROBLEMS = 10
MAX_PROBLEM_BYTES = 4096
MAX_CHANGES = 100_000
"""Items that may be put, removed, or made unavailable live, of each so many."""
