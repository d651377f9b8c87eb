"""Times that are written in many ways, are absurd, or lie in the future."""

from __future__ import annotations

from pathlib import Path

from bad_input.case import (
    GOOD,
    Accepted,
    Case,
    Guard,
    Log,
    Quarantined,
    branch,
    event_row,
    row_case,
    write_rows,
)

SECTION = "Times"
MAPPING, EXPRESSIONS = "events/mapping.py", "events/expressions.py"
NOON_US = 1_711_800_000_000_000  # 2024-03-30T12:00:00Z
READABLE = "time in seconds, milliseconds or microseconds, or ISO 8601 text, with or without an offset"
STRANGE = "time that cannot be read, NaN, infinite, or beyond int64"
ABSURD = "time before 1971 (`earliest`) or from 2100 on: 0, negative, 9999, the wrong unit"
UNREADABLE = branch("ts_us IS NULL", "unreadable timestamp")
RANGE = Guard(
    MAPPING, '(f"ts_us < {self.config.earliest_us} OR ts_us >= {LATEST_US}", "timestamp out of range"),', ""
)
FUTURE = Guard(
    MAPPING, 'return [] if latest is None else [(f"ts_us > {latest}", "after as_of")]', "return []"
)
SCALE = Guard(
    EXPRESSIONS, "WHEN {value} < 1e11 THEN {bounded} * 1000000", "WHEN {value} < 1e11 THEN {bounded}"
)
CLAMP = Guard(
    EXPRESSIONS,
    'bounded = f"least(greatest({value}, -1), {LATEST_US // factors.get(unit, 1) + 1})"',
    "bounded = value",
)


def times() -> list[Case]:
    read = {
        "seconds": "1711800000",
        "milliseconds": "1711800000000",
        "microseconds": "1711800000000000",
        "a fraction": "1711800000.0",
        "an exponent": "1.7118e9",
        "an offset": "2024-03-30T14:00:00+02:00",
        "a Z": "2024-03-30 12:00:00Z",
        "no offset": "2024-03-30T12:00:00",
    }
    zoned = Guard(EXPRESSIONS, "WHEN regexp_matches({column}, '{ZONED}')", "WHEN false")
    naive = Guard(EXPRESSIONS, "CASE WHEN regexp_matches({column}, '{NAIVE}')", "CASE WHEN false")
    of = dict.fromkeys(read, SCALE) | {"an offset": zoned, "a Z": zoned, "no offset": naive}
    of["milliseconds"] = Guard(EXPRESSIONS, "THEN {bounded} * 1000 ELSE", "THEN {bounded} ELSE")
    of["microseconds"] = Guard(EXPRESSIONS, "* 1000 ELSE {bounded} END", "* 1000 ELSE {bounded} * 1000 END")
    unreadable = {
        "words": "yesterday",
        "February 30": "2024-02-30",
        "American": "03/01/2024",
        "two-digit year": "24-03-01",
        "zone name": "2024-03-01T10:00:00 Europe/Paris",
        "leap second": "2024-12-31T23:59:60",
        "NaN": "NaN",
        "infinity": "infinity",
        "1e400": "1e400",
        "beyond int64": str(2**70),
        "far offset": "2024-03-01T10:00:00+99:00",
        "hexadecimal": "0x65",
    }
    absurd = {
        "0": "0",
        "1970": "1970-06-01",
        "negative": "-5",
        "negative seconds": "-1700000000",
        "year 1": "0001-01-01",
        "9999": "9999-12-31",
        "2100": "2100-01-01T00:00:00Z",
        "1e18": "1e18",
        "int64's last": str(2**63 - 1),
        "int64's first": str(-(2**63)),
    }
    local = "ambiguous local time, as in the hour that a clock change repeats (UTC, by declaration)"
    cases = (
        [
            row_case(f"time with {name}", {"ts": text}, Accepted(), of[name], {"ts": NOON_US}, row=READABLE)
            for name, text in read.items()
        ]
        + [
            row_case(
                f"time {name}", {"ts": text}, Quarantined("unreadable timestamp"), UNREADABLE, row=STRANGE
            )
            for name, text in unreadable.items()
        ]
        + [
            row_case(
                f"absurd time {name}", {"ts": text}, Quarantined("timestamp out of range"), RANGE, row=ABSURD
            )
            for name, text in absurd.items()
        ]
    )
    return [
        row_case(
            "no time",
            {"ts": ""},
            Quarantined("no timestamp"),
            branch("NOT __has_ts", "no timestamp"),
            row="no time",
        ),
        *cases,
        row_case(
            "ambiguous local time",
            {"ts": "2024-10-27T02:30:00"},
            Accepted(),
            naive,
            {"ts": 1_729_996_200_000_000},
            row=local,
        ),
        *overflows(),
        *futures(),
    ]


def in_seconds(name: str, value: int, guard: Guard, row: str) -> Case:
    """A case of a log whose unit is set to seconds; its last row is the odd one."""

    def write(folder: Path, kind: str) -> Log:
        good = [row | {"ts": row["ts"] // 1_000_000} for row in GOOD]
        odd = event_row(9, ts=value)
        path = write_rows(folder / f"log.{kind}", [*good, odd])
        at = 10 if kind == "csv" else 9
        raw = odd if kind == "parquet" else path.read_text().split("\n")[at - 1]
        return Log({"path": path}, [(path, at, raw)])

    return Case(
        name, Quarantined("timestamp out of range"), write, guard, settings={"timestamp_unit": "s"}, row=row
    )


def overflows() -> list[Case]:
    return [
        in_seconds("seconds that overflow", 2**63 - 1, CLAMP, "time that overflows int64 when it is scaled"),
        in_seconds("year 9999 in seconds", 253_402_300_799, RANGE, ABSURD),
    ]


def futures() -> list[Case]:
    late, keys = "2023-11-15T00:05:0", {"as_of": "2023-11-15"}
    skew = Guard("events/config.py", "CLOCK_SKEW = timedelta(minutes=5)", "CLOCK_SKEW = timedelta(0)")
    clock = Guard(MAPPING, "latest = self.config.latest_us", "latest = __import__('time').time_ns() // 1000")
    return [
        row_case(
            "five minutes and a second after as_of",
            {"ts": late + "1"},
            Quarantined("after as_of"),
            FUTURE,
            settings=keys,
            row="event more than five minutes after `as_of`",
        ),
        row_case(
            "five minutes after as_of",
            {"ts": late + "0"},
            Accepted(),
            skew,
            {"ts": 1_700_006_700_000_000},
            settings=keys,
            row="event up to five minutes after `as_of`",
        ),
        row_case(
            "future without as_of",
            {"ts": "2099-01-01"},
            Accepted(),
            clock,
            {"ts": 4_070_908_800_000_000},
            row="event of the future without `as_of` (the clock is never asked)",
        ),
    ]


CASES: list[Case] = times()
