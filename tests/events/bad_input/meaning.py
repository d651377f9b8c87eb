"""Rows that are well formed and say something odd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from bad_input.case import (
    GOOD,
    Accepted,
    Case,
    Guard,
    Ignored,
    Log,
    Outcome,
    Quarantined,
    event_row,
    write_bytes,
    write_rows,
)

from item2vec.events import Events
from item2vec.sessions import sessionize

SECTION = "Meaning"
OUTCOMES = "events/outcomes.py"
REPEATS = Guard(OUTCOMES, 'HAVING count(*) > 1",', 'HAVING count(*) > 1000",')
ORDER = Guard(OUTCOMES, '["ts_us", "__body",', '["__file", "__line",')
SAME = Guard(OUTCOMES, "__body IS NOT DISTINCT FROM first_value(__body) OVER w AS same", "true AS same")
APART = Guard(
    OUTCOMES,
    "PARTITION BY event_id, code <> {OK}",
    "PARTITION BY event_id",
    ((OUTCOMES, "GROUP BY h, code <> {OK} HAVING", "GROUP BY h HAVING"),),
)
USERS, SPLIT = "sessions/sql/users.sql", "sessions/sql/split.sql"
CLICKS_ONLY = Guard(
    USERS,
    " WHERE event_type = '{token_type}'",
    "",
    (
        (SPLIT, "CASE WHEN e.event_type = '{token_type}' THEN 1 ELSE 0 END AS is_click", "1 AS is_click"),
        (SPLIT, "  WHERE e.event_type IN ({event_types})\n", ""),
    ),
)
START_US = 1_700_000_000_000_000
TWICE = "exact duplicate, in one file or over several"
CONFLICT = "same event_id, another body, in any order (the first by time, then by body, stands)"
OTHER = event_row(0, item_id="other")
UNWANTED = "ignored row with the event_id of an event, in any order (both stand)"
VIEW = event_row(0, ts=START_US - 5_000_000, event_type="view")
LATE_VIEW = VIEW | {"ts": START_US + 5_000_000}


def rows_case(
    name: str,
    files: Sequence[Sequence[dict[str, Any]]],
    outcome: Outcome,
    guard: Guard,
    also: Sequence[dict[str, Any]] = (),
    odd: Sequence[tuple[int, int]] = (),
    **keys: Any,
) -> Case:
    """A case of well-formed files; `odd` are the refused or ignored rows as (file, row), both from 0."""

    def write(folder: Path, kind: str) -> Log:
        types = {"market": pa.string()} if kind == "parquet" else {}
        paths = [write_rows(folder / f"{n}.{kind}", rows, **types) for n, rows in enumerate(files)]
        found = []
        for n, at in odd:
            line = at + (2 if kind == "csv" else 1)
            row = files[n][at]
            raw = row if kind == "parquet" else paths[n].read_text().split("\n")[line - 1]
            found.append((paths[n], line, raw))
        return Log({"path": paths}, found, also=also)

    return Case(name, outcome, write, guard, **keys)


def clicks(n: int, user: str, gap_us: int) -> list[dict[str, Any]]:
    return [
        event_row(
            k, user_id=user, event_id=f"{user}-{k}", event_type="click", ts=START_US + k * gap_us, market="x"
        )
        for k in range(n)
    ]


def robot_is_dropped(events: Events) -> None:
    found = sessionize(events, max_clicks_per_user_day=1000, min_length=1)
    assert found.funnel["users"]["over_active"] == 1, found.funnel
    assert found.funnel["clicks"]["over_active"] == 100_000, found.funnel
    assert "robot" not in found.user_ids.to_pylist()


def long_session_is_kept(events: Events) -> None:
    found = sessionize(events, min_length=3)
    assert list(found.offsets) == [0, 20_000], found.offsets


def no_click_no_session(events: Events) -> None:
    found = sessionize(events, min_length=1)
    assert "booker" not in found.user_ids.to_pylist()
    booked = sessionize(events, kind="booking", min_length=1)
    assert "booker" in booked.user_ids.to_pylist()


def unknown_listing(name: str) -> Case:
    def write(folder: Path, kind: str) -> Log:
        items = write_bytes(
            folder / "items.csv", b"item_id,price\n" + b"".join(b"i%d,1\n" % n for n in range(4))
        )
        return Log({"path": write_rows(folder / f"log.{kind}", GOOD), "items": items})

    def counted(events: Events) -> None:
        counts = events.reconciliation.attributes["items"]
        assert (counts["items of the events"], counts["of these with a row"]) == (5, 4), counts

    guard = Guard("events/coverage.py", "SEMI JOIN {rows} USING (item_id)", "")
    return Case(
        name, Accepted(counted), write, guard, row="listing without a row in the items table (counted)"
    )


def listed_twice(name: str) -> Case:
    def write(folder: Path, kind: str) -> Log:
        path = write_rows(folder / f"log.{kind}", GOOD)
        return Log({"path": [path, path, folder]})

    def counted(events: Events) -> None:
        assert (events.reconciliation.rows_in, events.reconciliation.duplicate) == (8, 0)

    guard = Guard(
        "events/files.py",
        "found = sorted({file for path in paths for file in _expand(path)})",
        "found = sorted(file for path in paths for file in _expand(path))",
    )
    return Case(name, Accepted(counted), write, guard, row="the same file listed twice (read once)")


CASES: list[Case] = [
    rows_case("exact duplicate", [[*GOOD, GOOD[0]]], Ignored("duplicate"), REPEATS, odd=[(0, 8)], row=TWICE),
    rows_case(
        "exact duplicate in another file",
        [GOOD, [GOOD[3]]],
        Ignored("duplicate"),
        REPEATS,
        odd=[(1, 0)],
        row=TWICE,
    ),
    listed_twice("file listed twice"),
    rows_case(
        "same id, other body behind",
        [[*GOOD, OTHER]],
        Quarantined("event_id repeated with another body"),
        SAME,
        odd=[(0, 8)],
        row=CONFLICT,
    ),
    rows_case(
        "same id, other body before",
        [[OTHER], GOOD],
        Quarantined("event_id repeated with another body"),
        ORDER,
        odd=[(0, 0)],
        row=CONFLICT,
    ),
    rows_case(
        "same id, later",
        [[event_row(1, ts=START_US + 10**9), *GOOD]],
        Quarantined("event_id repeated with another body"),
        ORDER,
        odd=[(0, 0)],
        row=CONFLICT,
    ),
    *(
        rows_case(
            f"ignored row with the id of an event, {name}",
            [rows],
            Ignored("view"),
            APART,
            odd=[(0, rows.index(view))],
            settings={"event_types": {"view": "ignore"}},
            row=UNWANTED,
        )
        for name, view, rows in (
            ("earlier and before", VIEW, [VIEW, *GOOD]),
            ("earlier and behind", VIEW, [*GOOD, VIEW]),
            ("later", LATE_VIEW, [LATE_VIEW, *GOOD]),
        )
    ),
    rows_case(
        "out of order",
        [list(reversed(GOOD))],
        Accepted(),
        Guard("events/rows.py", "ORDER BY {', '.join(EVENT_ORDER)}", "ORDER BY rowid"),
        row="events out of order",
    ),
    rows_case(
        "late events",
        [[*GOOD, event_row(9, ts=1_400_000_000_000_000)]],
        Accepted(),
        Guard(
            "events/config.py", "earliest: Instant = date(1971, 1, 1)", "earliest: Instant = date(2023, 1, 1)"
        ),
        also=[event_row(9, ts=1_400_000_000_000_000)],
        row="late events",
    ),
    rows_case(
        "booking without clicks",
        [[*GOOD, event_row(9, user_id="booker", event_type="booking")]],
        Accepted(no_click_no_session),
        CLICKS_ONLY,
        also=[event_row(9, user_id="booker", event_type="booking")],
        row="booking without clicks (no click session)",
    ),
    unknown_listing("unknown listing"),
    rows_case(
        "user with 100,000 clicks",
        [[*GOOD, *clicks(100_000, "robot", 10_000)]],
        Accepted(robot_is_dropped),
        Guard("sessions/sql/over_day.sql", "HAVING COUNT(*) > {cap}", "HAVING COUNT(*) > 1000 * {cap}"),
        also=clicks(100_000, "robot", 10_000),
        row="user with 100,000 clicks (`sessions.max_clicks_per_user_day` drops and counts it)",
    ),
    rows_case(
        "session of 20,000 clicks",
        [[*GOOD, *clicks(20_000, "long", 1_000)]],
        Accepted(long_session_is_kept),
        Guard("sessions/sql/split.sql", "{gap_us}", "1"),
        also=clicks(20_000, "long", 1_000),
        row="session of very many events (kept; `sessions.max_session_length` drops it)",
    ),
]
