"""Physical lines that are no good record."""

from __future__ import annotations

from bad_input.case import (
    GOOD,
    TEXT,
    Accepted,
    Case,
    Guard,
    Ignored,
    Log,
    Quarantined,
    bytes_case,
    line_case,
    write_bytes,
)
from event_logs import csv_text, event_row, jsonl_text

SECTION = "Lines and records"
LINES, CSV, JSON = "events/lines.py", "events/delimited.py", "events/json_grammar.py"
NOT_JSON = Guard("events/json_lines.py", '    NOT_JSON: "not a JSON object",\n', "")
SURROGATE = Guard(JSON, "            if high != low:", "            if False:")
ROW = jsonl_text([event_row(99)]).strip()
LONG = {
    "csv": csv_text([event_row(99, market="x" * (1 << 20))]).splitlines()[1],
    "jsonl": jsonl_text([event_row(99, market="x" * (1 << 20))]).strip(),
}


def json_case(name: str, line: str, reason: str, guard: Guard, row: str = "") -> Case:
    return line_case(name, {"jsonl": line.encode()}, Quarantined(reason), guard, row=row or name)


def changed(old: str, new: str) -> str:
    assert old in ROW
    return ROW.replace(old, new)


def long_case(kind: str) -> Case:
    guard = Guard(LINES, '    codes[ends - starts > MAX_LINE_BYTES] = CODES["line too long"]\n', "")
    return line_case(
        f"line over 1 MiB in {kind}",
        {kind: LONG[kind].encode()},
        Quarantined("line too long"),
        guard,
        raw=LONG[kind][: 1 << 20],
        row="line over 1 MiB",
    )


def two_open_quotes(folder: object, kind: str) -> Log:
    """The good lines between two open quotes are not swallowed."""
    lines = csv_text(GOOD).encode().splitlines()
    opened = b'"u,1,1,x,click,i,,,,'
    data = b"\n".join([*lines[:3], opened, *lines[3:6], opened, *lines[6:]]) + b"\n"
    path = write_bytes(folder / "log.csv", data)  # type: ignore[operator]
    return Log({"path": path}, [(path, 4, opened.decode()), (path, 8, opened.decode())])


def wrong_fields_over_lines(folder: object, kind: str) -> Log:
    """The inner line of a quoted field is an event: it might as well lie between two stray quotes."""
    lines = csv_text(GOOD).encode().splitlines()
    first, last = b'u,1,1,x,click,"note', b'end",i,,,,,,,more'
    inner = csv_text([event_row(9)]).encode().splitlines()[1]
    data = b"\n".join([*lines[:3], first, inner, last, *lines[3:]]) + b"\n"
    path = write_bytes(folder / "log.csv", data)  # type: ignore[operator]
    return Log({"path": path}, [(path, 4, first.decode()), (path, 6, last.decode())], also=[event_row(9)])


def old_newlines(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r")


def mixed_newlines(data: bytes) -> bytes:
    lines = data.split(b"\n")
    if not data.startswith(b"{"):  # the last cell in quotes, behind which a carriage return would be text
        lines = [line and b'%b,"%b"' % tuple(line.rsplit(b",", 1)) for line in lines]
    first, second, *rest = lines
    return first + b"\r\n" + second + b"\n" + b"\r\n".join(rest)


CASES: list[Case] = [
    line_case(
        "blank line",
        b"",
        Ignored("blank line"),
        {
            "csv": Guard(CSV, "            code = BLANK\n", "            code = TOO_FEW\n"),
            "jsonl": Guard(JSON, "        return BLANK\n", "        return NOT_JSON\n"),
        },
    ),
    line_case(
        "line of spaces",
        {"jsonl": b" \t "},
        Ignored("blank line"),
        Guard(JSON, "        return BLANK\n", "        return NOT_JSON\n"),
        row="blank line",
    ),
    line_case(
        "too few fields",
        {"csv": b"u,1"},
        Quarantined("too few fields"),
        Guard(CSV, "return TOO_FEW if count < len(lefts) else TOO_MANY", "return TOO_MANY"),
    ),
    line_case(
        "too many fields",
        {"csv": b"u,1700000000,0,x,click,i,,,,,more"},
        Quarantined("too many fields"),
        Guard(CSV, "    if count == len(lefts):", "    if count >= len(lefts):"),
    ),
    line_case(
        "open quote",
        {"csv": b'u,1700000000,0,"x,click,i,,,,'},
        Quarantined("open quote"),
        Guard(CSV, "            b, code = a, OPEN\n", "            b, code = a, STRAY\n"),
    ),
    Case(
        "two open quotes",
        Quarantined("open quote"),
        two_open_quotes,
        Guard(CSV, "            b, code = a, OPEN\n", "            code = OPEN\n"),
        formats=("csv",),
        row="open quote",
    ),
    Case(
        "record over lines with too many fields",
        Quarantined("open quote"),
        wrong_fields_over_lines,
        Guard(CSV, "        if joined and code != FINE:", "        if joined and code in (OPEN, STRAY):"),
        formats=("csv",),
        row="record over several lines with too few or too many fields (its inner lines are records)",
    ),
    line_case(
        "stray quote in a field",
        {"csv": b'u,1700000000,0,x,cl"ic"k,i,,,,'},
        Quarantined("stray quote"),
        Guard(CSV, "            return at, p, p, BROKEN\n", "            pass\n"),
        row="stray quote",
    ),
    line_case(
        "text behind a closing quote",
        {"csv": b'u,1700000000,0,"x"y,click,i,,,,'},
        Quarantined("stray quote"),
        Guard(CSV, "            kind = BROKEN\n", "            kind = PLAIN\n"),
        row="stray quote",
    ),
    long_case("csv"),
    long_case("jsonl"),
    line_case(
        "invalid UTF-8",
        {"csv": b"u\xff,1700000000,0,x,click,i,,,,", "jsonl": ROW.encode().replace(b"Paris", b"P\xff")},
        Quarantined("not UTF-8"),
        Guard(LINES, 'codes[record] = CODES["not UTF-8"]', "pass"),
    ),
    line_case(
        "surrogate written as UTF-8",
        {"csv": b"u\xed\xa0\x80,1700000000,0,x,click,i,,,,"},
        Quarantined("not UTF-8"),
        Guard(LINES, 'codes[record] = CODES["not UTF-8"]', "pass"),
        row="invalid UTF-8",
    ),
    line_case(
        "NUL",
        {"csv": b"u,1700000000,0,x\0,click,i,,,,", "jsonl": ROW.encode().replace(b"Paris", b"P\0")},
        Quarantined("NUL byte"),
        Guard(LINES, 'codes[np.searchsorted(starts, nul, "right") - 1] = CODES["NUL byte"]', "pass"),
        row="NUL byte",
    ),
    bytes_case(
        "mixed newlines",
        mixed_newlines,
        Accepted(),
        {
            "csv": Guard(LINES, "    if newline == NEWLINE and len(ends):", "    if False:"),
            "jsonl": Guard(
                LINES,
                "    if newline == NEWLINE and len(ends):",
                "    if False:",
                (
                    (
                        JSON,
                        "(data[p] == 32 or data[p] == 9 or data[p] == 10 or data[p] == 13)",
                        "data[p] == 32",
                    ),
                ),
            ),
        },
        formats=TEXT,
        row="mixed newlines (LF, CRLF)",
    ),
    bytes_case(
        "carriage returns alone",
        old_newlines,
        Accepted(),
        Guard(LINES, 'b"\\r" if old_mac else b"\\n"', 'b"\\n"'),
        formats=TEXT,
        row="newlines of carriage returns alone",
    ),
    line_case(
        "carriage return alone among other newlines",
        {"csv": b"u,1700000000,0,x,click,i,,,,\ru,1700000000,0,y,click,i,,,,"},
        Quarantined("too many fields"),
        Guard(CSV, "    if count == len(lefts):", "    if count >= len(lefts):"),
        row="a carriage return alone among other newlines",
    ),
    bytes_case(
        "no newline at the end",
        bytes.rstrip,
        Accepted(),
        Guard(LINES, "    if starts[-1] < len(data):", "    if False:"),
        formats=TEXT,
    ),
    json_case(
        "NaN in JSON",
        changed('"dwell_seconds": 49.5', '"dwell_seconds": NaN'),
        "NaN or Infinity",
        Guard(JSON, 'b"NaN", -NAN', 'b"NaN", NULL'),
        row="NaN, Infinity as JSON values",
    ),
    json_case(
        "Infinity in JSON",
        changed('"dwell_seconds": 49.5', '"dwell_seconds": -Infinity'),
        "NaN or Infinity",
        Guard(JSON, 'b"Infinity", -NAN', 'b"Infinity", NULL'),
        row="NaN, Infinity as JSON values",
    ),
    json_case(
        "trailing comma in JSON",
        ROW[:-1] + ",}",
        "not a JSON object",
        Guard(JSON, "while not (first and p < end", "while not (p < end"),
        row="JSON with a trailing comma",
    ),
    json_case(
        "single quotes in JSON", ROW.replace('"', "'"), "not a JSON object", NOT_JSON, "other broken JSON"
    ),
    json_case("comment in JSON", ROW + " // x", "not a JSON object", NOT_JSON, "other broken JSON"),
    json_case("two objects in a line", ROW + ROW, "not a JSON object", NOT_JSON, "other broken JSON"),
    json_case("JSON cut short", ROW[:-7], "not a JSON object", NOT_JSON, "other broken JSON"),
    json_case("leading zero", changed("49.5", "049.5"), "not a JSON object", NOT_JSON, "other broken JSON"),
    json_case(
        "tab in a JSON string", changed("Paris", "\t"), "not a JSON object", NOT_JSON, "other broken JSON"
    ),
    json_case("JSON array", f"[{ROW}]", "not a JSON object", NOT_JSON, "JSON that is no object"),
    json_case(
        "duplicate key",
        ROW[:-1] + ', "ts": 5}',
        "duplicate key",
        Guard(JSON, "code = max(code, TWICE)", "pass"),
    ),
    json_case(
        "duplicate key in disguise",
        ROW[:-1] + ', "\\u0074s": 5}',
        "duplicate key",
        Guard(JSON, "code = max(code, TWICE)", "pass"),
        row="duplicate key",
    ),
    json_case(
        "deep nesting",
        ROW[:-1] + ', "x": ' + "[" * 64 + "]" * 64 + "}",
        "nested too deeply",
        Guard(JSON, "            if depth >= MAX_DEPTH:", "            if depth > 999:"),
        row="JSON nested more than 64 deep",
    ),
    json_case(
        "first half of a surrogate pair",
        changed("Paris", "\\ud800 "),
        "lone surrogate",
        Guard(
            JSON,
            "            if high:\n                return p, -LONE\n",
            "            high = False\n",
        ),
        row="lone surrogate",
    ),
    json_case(
        "second half of a surrogate pair",
        changed("Paris", "\\udc00"),
        "lone surrogate",
        SURROGATE,
        "lone surrogate",
    ),
]
