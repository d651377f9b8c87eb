"""Columns that are more, fewer, other or in another place than expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bad_input.case import GOOD, Accepted, Case, Guard, Log, Outcome, Refused, write_rows

from item2vec.errors import SourceError

SECTION = "Columns"
MAPPING, EXPRESSIONS = "events/mapping.py", "events/expressions.py"
Rows = list[dict[str, Any]]
LACKING = Guard(MAPPING, "if lacking := [", "if False and [")
MISSING = Guard(MAPPING, "if missing := [", "if False and [")
BY_PLACE = Guard(
    MAPPING,
    "named = config.columns.get(ours)",
    "named = config.columns.get(ours, [*types, *EVENT_COLUMNS][EVENT_COLUMNS.index(ours)])",
)


def log_case(
    name: str,
    change: Callable[[Rows], Rows],
    outcome: Outcome,
    guard: Guard | Mapping[str, Guard],
    good: Rows | None = None,
    **keys: Any,
) -> Case:
    """A case of a whole log whose rows `change` makes of good ones."""

    def write(folder: Path, kind: str) -> Log:
        path = write_rows(folder / f"log.{kind}", change([dict(row) for row in GOOD]))
        return Log({"path": path}, good=GOOD if good is None else good)

    return Case(name, outcome, write, guard, **keys)


def without(*names: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{key: value for key, value in row.items() if key not in names} for row in rows]


def renamed(old: str, new: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{new if key == old else key: value for key, value in row.items()} for row in rows]


CASES: list[Case] = [
    log_case(
        "added column",
        lambda rows: [{"colour": "red"} | row | {"note": "x"} for row in rows],
        Accepted(),
        BY_PLACE,
        row="added column (left out)",
    ),
    log_case(
        "missing optional columns",
        without("market", "position"),
        Accepted(),
        Guard(MAPPING, "if named not in types or (", "if ("),
        [row | {"market": None, "position": None} for row in GOOD],
        row="missing optional column (missing values)",
    ),
    log_case(
        "missing required column",
        without("item_id"),
        Refused(SourceError, ("has no column for item_id; its columns are user_id, ts", "Name it:")),
        LACKING,
        row="missing user_id, ts, item_id or event_type",
    ),
    log_case(
        "renamed column",
        renamed("item_id", "hotel"),
        Refused(
            SourceError, ("has no column for item_id", "hotel", 'columns = { item_id = "their column" }')
        ),
        LACKING,
        row="renamed required column",
    ),
    log_case(
        "renamed column that is mapped",
        renamed("item_id", "hotel"),
        Accepted(),
        Guard(MAPPING, "named = config.columns.get(ours)", "named = None"),
        settings={"columns": {"item_id": "hotel"}},
        row="renamed column that `columns` maps",
    ),
    log_case(
        "mapped column that is not there",
        lambda rows: rows,
        Refused(SourceError, ("has no column 'city' (mapped to market); its columns are user_id",)),
        MISSING,
        settings={"columns": {"market": "city"}},
        row="mapped column that is not there",
    ),
    log_case(
        "reordered columns",
        lambda rows: [dict(reversed(row.items())) for row in rows],
        Accepted(),
        BY_PLACE,
        row="reordered columns",
    ),
    *(
        log_case(
            f"{name} retyped as {kind}",
            lambda rows, name=name, value=value: [row | {name: value} for row in rows],
            Refused(SourceError, (f"column {name!r} is {kind}, so it cannot be {what}",)),
            guard,
            formats=("parquet",),
            row="column of a type that cannot be what it stands for",
        )
        for name, value, kind, what, guard in (
            (
                "item_id",
                1.5,
                "DOUBLE",
                "item_id",
                Guard(EXPRESSIONS, 'if kind != "VARCHAR" and not kind.startswith("ENUM"):', "if False:"),
            ),
            (
                "user_id",
                [1],
                "BIGINT[]",
                "user_id",
                Guard(EXPRESSIONS, 'if kind != "VARCHAR" and not kind.startswith("ENUM"):', "if False:"),
            ),
            (
                "ts",
                True,
                "BOOLEAN",
                "a timestamp",
                Guard(EXPRESSIONS, "so it cannot be a timestamp", "so what"),
            ),
            (
                "position",
                b"x",
                "BLOB",
                "position",
                Guard(
                    EXPRESSIONS,
                    'store it as an integer")\n',
                    'store it")\n',
                    ((EXPRESSIONS, 'so it cannot be {ours}; store it")', 'so what")'),),
                ),
            ),
            (
                "dwell_seconds",
                True,
                "BOOLEAN",
                "dwell_seconds",
                Guard(EXPRESSIONS, "so it cannot be dwell_seconds", "so what"),
            ),
        )
    ),
    log_case(
        "numbers retyped as text",
        lambda rows: [row | {"position": str(row["position"]), "ts": str(row["ts"])} for row in rows],
        Accepted(),
        Guard(
            EXPRESSIONS,
            'return f"CASE WHEN CAST({cast} AS VARCHAR) = {column} THEN {cast} ELSE {again} END"',
            'return "NULL"',
        ),
        formats=("jsonl", "parquet"),
        row="numbers stored as text",
    ),
]
