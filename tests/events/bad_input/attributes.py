"""Tables of items (and users) that hold odd things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bad_input.case import (
    GOOD,
    TEXT,
    Accepted,
    Case,
    Guard,
    Log,
    Quarantined,
    Refused,
    write_bytes,
    write_rows,
)

from item2vec.errors import SourceError
from item2vec.events import Events

SECTION = "Attribute tables"
EXPRESSIONS, ATTRIBUTES = "events/expressions.py", "events/attributes.py"


def items_case(name: str, rows: Any, outcome: Any, guard: Any, raw: Any = None, **keys: Any) -> Case:
    """A case of an items table; its refused row is the second one."""

    def write(folder: Path, kind: str) -> Log:
        file = folder / f"items.{kind}"
        if isinstance(rows, bytes):
            write_bytes(file, rows)
        else:
            write_rows(file, rows)
        odd = []
        if isinstance(outcome, Quarantined):
            at = 3 if kind == "csv" else 2
            odd = [(file, at, rows[1] if kind == "parquet" else file.read_text().split("\n")[at - 1])]
        log = write_rows(folder / f"log.{'jsonl' if kind == 'jsonl' else 'csv'}", GOOD)
        return Log({"path": log, "items": {"path": file}}, odd)

    return Case(name, outcome, write, guard, **keys)


def attributes() -> list[Case]:
    def unreadable(events: Events) -> None:
        assert events.items is not None
        assert events.items["price"].to_pylist() == [None, 2.0], events.items
        assert events.items["latitude"].to_pylist() == [None, 1.0], events.items
        counts = events.reconciliation.attributes["items"]
        assert (counts["unreadable price"], counts["unreadable latitude"]) == (1, 1), counts

    def repeated(events: Events) -> None:
        counts = events.reconciliation.attributes["items"]
        assert (counts["ok"], counts["duplicate"]) == (1, 1), counts

    def numbers(price: Any, latitude: Any) -> list[dict[str, Any]]:
        return [
            {"item_id": "i0", "price": price, "latitude": latitude},
            {"item_id": "i1", "price": 2.0, "latitude": 1.0},
        ]

    finite = Guard(EXPRESSIONS, 'return f"CASE WHEN isfinite({value}) THEN {value} END"', "return value")
    text = Guard(
        EXPRESSIONS,
        "'.') AS DOUBLE) END\"",
        "'.') AS DOUBLE) ELSE TRY_CAST({bare} AS DOUBLE) END\"",
        (finite.edits[0],),
    )
    key = Guard(ATTRIBUTES, '(f"{key} IS NULL", f"no {key}")', '("false", f"no {key}")')
    unfit = Guard(ATTRIBUTES, "*(sql.unfit_id(key) if text_id else ())", "")
    good, nan, inf = {"item_id": "i0", "market": "Rome"}, float("nan"), float("inf")
    row = "number that is NaN, infinite or unreadable (missing, counted)"
    no_number = Guard(EXPRESSIONS, "so it cannot be {ours}; store numbers or text", "which is odd")
    twice = Guard(ATTRIBUTES, "    if twice:", "    if False:")
    missing = Guard(ATTRIBUTES, "if theirs not in columns:", "if False:")
    return [
        items_case(
            "attributes nan", numbers("NaN", "inf"), Accepted(unreadable), text, formats=TEXT, row=row
        ),
        items_case(
            "attributes 400 digits",
            numbers("9" * 400, "north"),
            Accepted(unreadable),
            finite,
            formats=TEXT,
            row=row,
        ),
        items_case(
            "native attributes nan",
            numbers(nan, inf),
            Accepted(unreadable),
            finite,
            formats=("parquet",),
            row=row,
        ),
        items_case(
            "attribute row without an id",
            [good, good | {"item_id": " "}],
            Quarantined("no item_id", "items"),
            key,
            row="row without an id",
        ),
        items_case(
            "attribute row with a long id",
            [good, good | {"item_id": "x" * 257}],
            Quarantined("id too long", "items"),
            unfit,
            row="id over 256 characters",
        ),
        items_case(
            "attribute row with a hidden character",
            [good, good | {"item_id": "a\u200bb"}],
            Quarantined("control character in an id", "items"),
            unfit,
            row="control character inside an id",
        ),
        items_case(
            "attribute row repeated",
            [good, good],
            Accepted(repeated),
            Guard(ATTRIBUTES, '"duplicate": ok - distinct', '"duplicate": 0'),
            row="the same row again (counted)",
        ),
        items_case(
            "attribute rows that differ",
            [good, good | {"market": "Oslo"}],
            Refused(SourceError, ("differ for item_id 'i0'", "items.", "keep one row per id")),
            twice,
            row="two rows that differ for one id",
        ),
        items_case(
            "attributes without an id column",
            [{"id": "i0", "market": "x"}],
            Refused(SourceError, ("no column 'item_id'", "it has id, market")),
            missing,
            row="no id column",
        ),
        items_case(
            "price that is true",
            [{"item_id": "i0", "price": True}],
            Refused(SourceError, ("column 'price' is BOOLEAN, so it cannot be price",)),
            no_number,
            formats=("parquet",),
            row="column of a type that is no number",
        ),
        items_case(
            "price that is a list",
            [{"item_id": "i0", "price": [1.0]}],
            Refused(SourceError, ("column 'price' is DOUBLE[], so it cannot be price",)),
            no_number,
            formats=("parquet",),
            row="column of a type that is no number",
        ),
        items_case(
            "item ids that are fractions",
            [{"item_id": 1.5}],
            Refused(SourceError, ("column 'item_id' is DOUBLE, so it cannot be item_id",)),
            Guard(EXPRESSIONS, 'if kind != "VARCHAR" and not kind.startswith("ENUM"):', "if False:"),
            formats=("parquet",),
            row="ids that are fractions",
        ),
        items_case(
            "empty attribute table",
            b"",
            Refused(SourceError, ("items.", "is empty")),
            Guard("events/files.py", "is empty (0 bytes)", "is odd"),
            row="empty file",
        ),
    ]


CASES: list[Case] = attributes()
