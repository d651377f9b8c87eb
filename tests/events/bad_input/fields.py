"""Cells that are not what their column holds."""

from __future__ import annotations

from bad_input.case import Case, Guard, Quarantined, row_case

SECTION = "Fields"
CASES: list[Case] = [
    row_case(
        "no user_id",
        {"user_id": None},
        Quarantined("no user_id"),
        Guard("events/mapping.py", '("user_id IS NULL", "no user_id"),', ""),
        row="null, blank or space-only id",
    ),
    row_case(
        "unknown event type",
        {"event_type": "buy"},
        Quarantined("unknown event_type"),
        Guard("events/mapping.py", '("event_type IS NULL", "unknown event_type"),', ""),
    ),
]
