"""Cells that are not what their column holds."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path
from typing import Any

from bad_input.case import (
    ALL,
    GOOD,
    Accepted,
    Case,
    Guard,
    Log,
    Quarantined,
    Refused,
    branch,
    event_row,
    row_case,
    texts,
    write_rows,
)

from item2vec.errors import SourceError
from item2vec.events import Events

SECTION = "Fields"
MAPPING, EXPRESSIONS = "events/mapping.py", "events/expressions.py"
DWELL_ROW = "dwell_seconds that is NaN, infinite, negative or no number"
POSITION_ROW = "position that is NaN, a fraction, no number or beyond int32"


NO_ID = {ours: branch(f"{ours} IS NULL", f"no {ours}") for ours in ("user_id", "item_id", "event_id")}
STRIP = Guard(EXPRESSIONS, "return f\"nullif({stripped(value, told)}, '')\"", 'return f"{column}"')
LENGTH = Guard(EXPRESSIONS, "LONGEST_ID = 256", "LONGEST_ID = 100_000")
HIDDEN = Guard(EXPRESSIONS, r'HIDDEN = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]"', 'HIDDEN = "never"')
TYPE = branch("event_type IS NULL", "unknown event_type")
AS_IT_IS = Guard(
    EXPRESSIONS,
    "return f\"nullif({stripped(value, told)}, '')\"",
    "return f\"nullif(ltrim({stripped(value, told)}, '=+-@'), '')\"",
)
JSON_KIND = Guard(MAPPING, "if not self._is_json(ours):", "if True:")
POSITION = branch("__has_position AND position IS NULL", "position is not an int32")
DWELL = Guard(EXPRESSIONS, "isfinite({value}) AND {value} >= 0", "{value} IS NOT NULL")
SEQ = branch("seq IS NULL", "seq is not an int64")


def blanks() -> list[Case]:
    cases = [
        ("null user_id", "user_id", None, NO_ID["user_id"]),
        ("empty item_id", "item_id", "", NO_ID["item_id"]),
        ("space-only user_id", "user_id", " \t", STRIP),
        ("user_id of a no-break space", "user_id", "\u00a0", STRIP),
        ("item_id of zero-width spaces", "item_id", "\u200b\u200b", STRIP),
    ]
    return [
        *(
            row_case(
                name, {ours: value}, Quarantined(f"no {ours}"), guard, row=f"null, empty or blank {ours}"
            )
            for name, ours, value, guard in cases
        ),
        row_case(
            "empty event_id",
            {"event_id": ""},
            Quarantined("no event_id"),
            NO_ID["event_id"],
            row="empty or blank event_id",
        ),
        row_case(
            "null event_id",
            {"event_id": None},
            Quarantined("no event_id"),
            NO_ID["event_id"],
            formats=("csv", "parquet"),
            row="null event_id",
        ),
    ]


def keys_of_json() -> list[Case]:
    """Objects whose keys are not those of the others; an object's keys say nothing about the others."""

    def write_bare(folder: Path, kind: str) -> Log:
        bare = {key: value for key, value in texts(event_row(9)).items() if value and key != "event_id"}
        parts = (f"{len(k)}:{k}s{len(v)}:{v}" for k, v in sorted(bare.items()))
        named = event_row(9) | {"event_id": hashlib.md5("".join(parts).encode()).hexdigest()}
        return Log({"path": write_rows(folder / "log.jsonl", [*GOOD, bare])}, also=[named])

    def write_refused(folder: Path, kind: str) -> Log:
        good = [{("ts_us" if key == "ts" else key): value for key, value in row.items()} for row in GOOD]
        path = write_rows(folder / "log.jsonl", [*good, {"user_id": "u", "ts": "5", "event_type": "click"}])
        return Log({"path": path}, [(path, 9, path.read_text().split("\n")[8])])

    return [
        row_case(
            "keys that cannot be columns",
            {"": "a", "Item_ID": "b", "__file": "c", "a\0b": "d", "item_ID": "e"},
            Accepted(),
            Guard("events/json_keys.py", "if k and not CONTROLS.search(k) and", "if"),
            formats=("jsonl",),
            row="key that is empty, reserved, or like another but for its case (left out)",
        ),
        Case(
            "object without event_id",
            Accepted(),
            write_bare,
            Guard(MAPPING, 'if len(names) == 1 and self._by_row("event_id"):', "if False:"),
            ("jsonl",),
            row="no or null event_id where `columns` names none (a hash of the row)",
        ),
        Case(
            "ts in a refused row",
            Quarantined("timestamp out of range"),
            write_refused,
            Guard(MAPPING, 'return "ts_us" if both and self._by_row("ts") else None', "return None"),
            ("jsonl",),
            row="keys that only refused rows have (they map nothing for the others)",
        ),
    ]


def unfit_ids() -> list[Case]:
    long, hidden = Quarantined("id too long"), Quarantined("control character in an id")
    row = "control, bidi, zero-width or line-separating character inside an id"
    return [
        *(
            row_case(
                f"{ours} of 257 characters", {ours: "x" * 257}, long, LENGTH, row="id over 256 characters"
            )
            for ours in ("user_id", "item_id", "event_id")
        ),
        row_case(
            "id of 256 characters and 512 bytes",
            {"item_id": "é" * 256},
            Accepted(),
            Guard(EXPRESSIONS, "AND length({value}) > {LONGEST_ID}", ""),
            row="id of 256 characters, whatever their bytes",
        ),
        *(
            row_case(f"{name} in {ours}", {ours: f"a{mark}b"}, hidden, HIDDEN, row=row)
            for name, ours, mark in (
                ("bell", "user_id", "\a"),
                ("C1 control", "user_id", "\u0085"),
                ("bidi override", "item_id", "\u202e"),
                ("zero-width space", "event_id", "\u200b"),
                ("line separator", "item_id", "\u2028"),
            )
        ),
        row_case("line break in user_id", {"user_id": "a\nb"}, hidden, HIDDEN, row=row, formats=ALL[1:]),
        row_case(
            "white space around ids",
            {"user_id": " u0\t", "item_id": "\u2003i4 ", "market": " Paris"},
            Accepted(),
            STRIP,
            {"user_id": "u0", "item_id": "i4", "market": "Paris"},
            row="white space around an id or label (taken off)",
        ),
        row_case(
            "formulas",
            {"user_id": "=1+1", "item_id": "@sum", "market": "-2+3", "search_id": "+x"},
            Accepted(),
            AS_IT_IS,
            row="cell that starts like a formula, = + - @ (kept as data)",
        ),
    ]


def look_alikes() -> list[Case]:
    def alike(events: Events) -> None:
        assert events.reconciliation.alike_items == 2, events.reconciliation

    def write_forms(folder: Path, kind: str) -> Log:
        rows = [
            event_row(20 + n, item_id=unicodedata.normalize(form, "é"))
            for n, form in enumerate(("NFC", "NFD"))
        ]
        return Log({"path": write_rows(folder / f"log.{kind}", [*GOOD, *rows])}, also=rows)

    row = "ids that differ only by case or Unicode form (kept apart, counted, warned of)"
    case = Guard("events/coverage.py", "lower(nfc_normalize(item_id))", "nfc_normalize(item_id)")
    form = Guard("events/coverage.py", "lower(nfc_normalize(item_id))", "lower(item_id)")
    return [
        row_case("item ids that differ by case", {"item_id": "I0"}, Accepted(alike), case, row=row),
        Case("item ids that differ by Unicode form", Accepted(alike), write_forms, form, row=row),
    ]


def id_types() -> list[Case]:
    def write_mixed(folder: Path, kind: str) -> Log:
        rows = [*(event_row(n, item_id=5) for n in range(4)), event_row(9, item_id="5")]
        return Log(
            {"path": write_rows(folder / f"log.{kind}", rows)}, good=[r | {"item_id": "5"} for r in rows]
        )

    def write_integers(value: Any) -> Any:
        def write(folder: Path, kind: str) -> Log:
            good = [event_row(n, item_id=n) for n in range(4)]
            odd = texts(event_row(9, item_id=value))
            path = write_rows(folder / f"log.{kind}", [*map(texts, good), odd])
            at = 6 if kind == "csv" else 5
            raw = odd if kind == "parquet" else path.read_text().split("\n")[at - 1]
            return Log({"path": path}, [(path, at, raw)], good)

        return write

    whole = branch("__has_item_id AND item_id IS NULL", "item_id is not an int64")
    whole = Guard(
        MAPPING, 'return [("__has_item_id AND item_id IS NULL", "item_id is not an int64")]', "return []"
    )
    mixed = Guard("events/table.py", 'if source.format == "jsonl" and config.id_type is None:', "if False:")
    other = "item_id that is JSON's true, a fraction, a list or an object"
    return [
        Case(
            "5 and '5' as item_id",
            Refused(
                SourceError, ("item_id is a string at", "log.jsonl:5 (5) and an integer at", "set id_type")
            ),
            write_mixed,
            mixed,
            ("jsonl",),
            row="item ids as JSON strings and as integers in one source",
        ),
        Case(
            "5 and '5' with id_type",
            Accepted(),
            write_mixed,
            Guard(
                "events/table.py",
                'if source.format == "jsonl" and config.id_type is None:',
                "if True:",
                ((MAPPING, 'if not self._is_json("item_id") or self.config.id_type:', "if False:"),),
            ),
            ("jsonl",),
            {"id_type": "string"},
            row='the same with id_type = "string" or "int64"',
        ),
        *(
            row_case(
                f"item_id {value!r} in JSON",
                {"item_id": value},
                Quarantined("item_id is not a string or an integer"),
                JSON_KIND,
                formats=("jsonl",),
                row=other,
            )
            for value in (True, 1.5, [1], {"a": 1})
        ),
        row_case(
            "user_id 1.5 in JSON",
            {"user_id": 1.5},
            Quarantined("user_id is not a string or an integer"),
            JSON_KIND,
            formats=("jsonl",),
            row="user_id that is JSON's true, a fraction, a list or an object",
        ),
        *(
            Case(
                f"item_id {value} with id_type int64",
                Quarantined("item_id is not an int64"),
                write_integers(value),
                whole,
                settings={"id_type": "int64"},
                row='item_id that is no int64, with id_type = "int64"',
            )
            for value in (2**63, "12.7", "1e3", "h1", "007")
        ),
    ]


def types_and_numbers() -> list[Case]:
    dwell = Quarantined("dwell_seconds is not a number of seconds")
    position, seq = Quarantined("position is not an int32"), Quarantined("seq is not an int64")
    nan = float("nan")
    return [
        row_case(
            "no event type",
            {"event_type": " "},
            Quarantined("no event_type"),
            branch("NOT __has_event_type", "no event_type"),
            row="no event type",
        ),
        *(
            row_case(
                f"event type {kind}",
                {"event_type": kind},
                Quarantined("unknown event_type"),
                TYPE,
                row="unknown event type (case matters)",
            )
            for kind in ("buy", "Click")
        ),
        *(
            row_case(
                f"dwell {value}",
                {"dwell_seconds": value},
                dwell,
                DWELL
                if value != "long"
                else branch(
                    "__has_dwell_seconds AND dwell_seconds IS NULL",
                    "dwell_seconds is not a number of seconds",
                ),
                row=DWELL_ROW,
            )
            for value in ("NaN", "inf", "-1", "1e400", "long")
        ),
        *(
            row_case(
                f"native dwell {value}",
                {"dwell_seconds": value},
                dwell,
                DWELL,
                native=True,
                formats=("parquet",),
                row=DWELL_ROW,
            )
            for value in (nan, float("inf"))
        ),
        *(
            row_case(f"position {value}", {"position": value}, position, POSITION, row=POSITION_ROW)
            for value in ("NaN", "1.5", "3rd", str(2**31))
        ),
        row_case(
            "native position nan",
            {"position": nan},
            position,
            POSITION,
            native=True,
            formats=("parquet",),
            row=POSITION_ROW,
        ),
        *(
            row_case(f"seq {value}", {"seq": value}, seq, SEQ, row="seq that is no integer or beyond int64")
            for value in ("first", "1.5", str(2**63))
        ),
    ]


CASES: list[Case] = [
    *blanks(),
    *keys_of_json(),
    *unfit_ids(),
    *look_alikes(),
    *id_types(),
    *types_and_numbers(),
]
