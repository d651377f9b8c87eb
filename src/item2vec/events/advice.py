"""What to do about refused rows: the values that were met, and what is accepted instead."""

from __future__ import annotations

from item2vec.events.config import EventsConfig
from item2vec.events.outcomes import Typed
from item2vec.events.reasons import CODES

MOST_VALUES = 5
LONGEST_VALUE = 40
TIMES = {
    "iso": "ISO 8601 text such as 2024-03-01, 2024-03-01T10:00:00 or 2024-03-01T10:00:00+02:00",
    "s": "a number of seconds since 1970",
    "ms": "a number of milliseconds since 1970",
    "us": "a number of microseconds since 1970",
}
TIMES["auto"] = f"{TIMES['iso']}, or a number of seconds, milliseconds or microseconds since 1970"


def refusal_advice(typed: Typed, reasons: dict[str, int], config: EventsConfig) -> str:
    """Return sentences, each after a space, on the reasons that have an answer; ``typed`` holds the rows."""
    advice = ""
    if "unknown event_type" in reasons:
        counted = typed.run(
            f"SELECT __type, count(*) AS n FROM typed WHERE code = {CODES['unknown event_type']}"
            f" GROUP BY __type ORDER BY n DESC, __type LIMIT {MOST_VALUES + 1}"
        )
        values = ", ".join(f"{_short(value)!r} {n:,}" for value, n in counted[:MOST_VALUES])
        more = ", …" if len(counted) > MOST_VALUES else ""
        advice += (
            f" Unknown event types: {values}{more}; map them with the key event_types, as in"
            f' event_types = {{ "{_short(counted[0][0])}" = "click" }} (or "ignore").'
        )
    if "unreadable timestamp" in reasons:
        unit = config.timestamp_unit
        advice += f" A timestamp is {TIMES[unit]} (timestamp_unit = {unit!r})."
    if "timestamp out of range" in reasons:
        advice += (
            f" Times before earliest = {config.earliest} or from 2100 on are refused; if all are, set"
            " timestamp_unit."
        )
    return advice


def _short(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "…"
