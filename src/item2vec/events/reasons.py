"""Every outcome a source row can have, as the small number that travels through SQL and files."""

from __future__ import annotations

OK = 0
REASONS = (
    "",  # 0 is ok
    # Found while a text file is cut into records
    "too few fields",
    "too many fields",
    "open quote",
    "stray quote",
    "line too long",
    "not UTF-8",
    "NUL byte",
    "not a JSON object",
    "NaN or Infinity",
    "lone surrogate",
    "duplicate key",
    "nested too deeply",
    # Found by an importer
    "malformed row",
    # Found when the fields are typed, in the order in which they are looked at
    "no event_type",
    "unknown event_type",
    "no user_id",
    "user_id is not a string or an integer",
    "no timestamp",
    "unreadable timestamp",
    "timestamp out of range",
    "after as_of",
    "no item_id",
    "item_id is not an int64",
    "item_id is not a string or an integer",
    "no event_id",
    "id too long",
    "control character in an id",
    "seq is not an int64",
    "position is not an int32",
    "dwell_seconds is not a number of seconds",
    # Found across rows
    "event_id repeated with another body",
)
CODES = {reason: code for code, reason in enumerate(REASONS)}
BLANK_LINE = 99
"""An empty line of a text file: ignored, but counted."""
FIRST_IGNORED = 100
"""Codes from here on stand for the event types that the mapping ignores, in its order."""


def is_ignored(code: int) -> bool:
    """Tell whether a code means that the row is unwanted rather than refused."""
    return code >= BLANK_LINE


def reason(code: int, ignored: list[str]) -> str:
    """Return a code's text; `ignored` lists the event types that the mapping ignores."""
    if code == BLANK_LINE:
        return "blank line"
    return ignored[code - FIRST_IGNORED] if code >= FIRST_IGNORED else REASONS[code]
