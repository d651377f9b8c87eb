"""JSON Lines read strictly: Python's own parser is the referee."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from event_logs import event_row, jsonl_text
from hypothesis import example, given, settings
from hypothesis import strategies as st

from item2vec.errors import SourceError
from item2vec.events import json_lines as json_lines_module
from item2vec.events import lines as lines_module
from item2vec.events import read_events
from item2vec.events.json_lines import KIND_LETTERS, Keys, object_tables
from item2vec.events.lines import LineReader
from item2vec.events.reasons import BLANK_LINE, REASONS

LETTERS = {str: "s", int: "i", float: "n", bool: "b", dict: "o", list: "o", type(None): "-"}


class Number(float):
    """A number that keeps its text."""

    def __new__(cls, text: str) -> Number:
        number = float.__new__(cls, text)
        number.text = text
        return number

    text: str


def strict(line: bytes) -> dict[str, tuple[str, Any]] | None:
    """What the line holds, by RFC 8259 and without keys that come twice; None where it is refused."""

    def no_constant(_: str) -> None:
        raise ValueError("constant")

    def pairs(found: list[tuple[str, Any]]) -> Any:
        return found

    try:
        text = line.decode("utf-8").strip(" \t\r\n")
        plain = json.loads(text, parse_constant=no_constant, parse_int=str, parse_float=Number)
        found = json.loads(text, parse_constant=no_constant, object_pairs_hook=pairs)
        json.dumps(plain, ensure_ascii=False).encode("utf-8")  # a lone surrogate has no UTF-8
    except (ValueError, RecursionError):
        return None
    if not isinstance(plain, dict) or "\0" in text or len({key for key, _ in found}) < len(found):
        return None
    return {key: (LETTERS[type(value)], plain[key]) for key, value in found}


def ours(data: bytes, block: int = 1 << 20) -> tuple[list[dict[str, tuple[str, Any]]], list[str]]:
    """The objects in the order of their lines, and the reasons of the others."""
    keys, objects, reasons = Keys(), {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK_BYTES", block)
        for lines in LineReader(io.BytesIO(data), "test.jsonl"):
            for table in object_tables(lines, keys, "test.jsonl"):
                cells = {name: column.to_pylist() for name, column in table.items()}
                for at, number in enumerate(cells["__line"]):
                    code, kinds = cells["__code"][at], cells["__types"][at]
                    if code:
                        reasons.append("blank line" if code == BLANK_LINE else REASONS[code])
                    else:
                        held = zip(keys.names, keys.columns, kinds, strict=False)
                        objects[number] = {name: (kind, cells[column][at]) for name, column, kind in held}
    return [objects[number] for number in sorted(objects)], reasons


def as_cell(kind: str, value: Any) -> str | None:
    """A value as the table of cells has it."""
    if kind == "-":
        return None
    if kind == "b":
        return "true" if value else "false"
    return value if kind in "si" else value.text


def agree(line: bytes) -> None:
    wanted = strict(line)
    found, reasons = ours(line + b"\n")
    if wanted is None:
        assert found == []
        assert len(reasons) == 1
        return
    assert reasons == []
    [cells] = found
    assert {name: kind for name, (kind, _) in cells.items()} == {k: kind for k, (kind, _) in wanted.items()}
    for name, (kind, value) in wanted.items():
        if kind != "o":
            assert cells[name][1] == as_cell(kind, value)
        else:
            assert json.loads(cells[name][1]) == json.loads(line.decode())[name]


PIECES = [
    b'{"a":',
    b'"b":',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"u",
    b"\\ud800",
    b"\\udc00",
    b"\\u00e9",
]
PIECES += [
    b"0",
    b"1",
    b"-",
    b"+",
    b".",
    b"e",
    b"E",
    b"true",
    b"null",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b" ",
    b"\t",
]
PIECES += [
    b'"x"',
    b'"\\n"',
    b"\x01",
    "é".encode(),
    b"1.5e3",
    b"12345678901234567890123",
    b'{"a":1,"a":2}',
    b"/",
    b"'",
]
names = st.sampled_from(["a", "b", "ts", 'q"', "\\", "é", "x y"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12), tail=st.sampled_from([b"", b"}", b"]}", b'"}']))
@example(pieces=[b'{"a":', b'"', b"\\ud800", b"\\udc00"], tail=b'"}')
@example(
    pieces=[b'{"a":', b"1", b",", b'"', b"\\", b"u", b"0", b"0", b"6", b"1", b'"', b":", b"1"], tail=b"}"
)
def test_the_grammar_is_json_s(pieces: list[bytes], tail: bytes) -> None:
    line = b"".join(pieces) + tail
    if line.strip(b" \t"):
        agree(line)


@settings(deadline=None, max_examples=150)
@given(row=st.dictionaries(names, values, max_size=4), data=st.data(), ascii_only=st.booleans())
def test_a_valid_line_is_read_and_a_mutated_one_judged(
    row: dict[str, Any], data: st.DataObject, ascii_only: bool
) -> None:
    line = json.dumps(row, ensure_ascii=ascii_only).encode()
    assert strict(line) is not None
    agree(line)
    at = data.draw(st.integers(0, len(line) - 1))
    mutated = (
        line[:at] + data.draw(st.sampled_from([b"", b'"', b"\\", b",", b"0", b"\xff", b"}"])) + line[at + 1 :]
    )
    if mutated.strip(b" \t") and b"\n" not in mutated:
        agree(mutated)


def test_letters_are_one_for_each_kind() -> None:
    assert KIND_LETTERS.tobytes() == b"--ssinbo"


def test_blocks_and_late_keys_lose_nothing() -> None:
    rows = [{"n": n} | ({f"k{n}": str(n)} if n % 7 == 0 else {}) for n in range(60)]
    whole = ours(jsonl_text(rows).encode())[0]
    assert [{k: v for k, (kind, v) in row.items() if kind != "-"} for row in whole] == [
        {k: str(v) for k, v in row.items()} for row in rows
    ]
    small = ours(jsonl_text(rows).encode(), block=40)[0]
    assert [{k: c for k, c in row.items() if c[0] != "-"} for row in small] == [
        {k: c for k, c in row.items() if c[0] != "-"} for row in whole
    ]


def test_a_key_that_comes_late_is_read(write: Callable[..., Path]) -> None:
    rows = [{k: v for k, v in event_row(n).items() if k != "dwell_seconds"} for n in range(1500)]
    events = read_events(write("a.jsonl", [*rows, event_row(1500)]))
    assert events.to_table()["dwell_seconds"].null_count == 1500


def test_without_an_id_neither_order_nor_layout_nor_null_keys_make_another_event(
    write: Callable[..., Path],
) -> None:
    row = {k: v for k, v in event_row(1).items() if k != "event_id"} | {"x": {"é": [1, 2]}}
    shapes = [
        json.dumps(row),
        json.dumps(dict(reversed(row.items())), separators=(",", ":")),
        json.dumps(row | {"nothing": None}, ensure_ascii=False),
        json.dumps(row).replace('"ts"', '"\\u0074s"'),
    ]
    account = read_events(write("a.jsonl", "\n".join(shapes) + "\n")).reconciliation
    assert (account.ok, account.duplicate) == (1, 3)
    other = json.dumps(row | {"x": {"é": [1, 3]}})
    assert read_events(write("b.jsonl", shapes[0] + "\n" + other + "\n")).reconciliation.ok == 2


def test_the_hash_does_not_depend_on_what_other_rows_have(write: Callable[..., Path]) -> None:
    row = {k: v for k, v in event_row(1).items() if k != "event_id"}
    alone = read_events(write("a.jsonl", [row])).to_table()["event_id"].to_pylist()
    both = read_events(write("b.jsonl", [row, {"note": "x", "user_id": "u"}]), max_quarantined=1)
    assert both.to_table()["event_id"].to_pylist() == alone


def test_too_many_keys_are_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="more than 4,096 keys"):
        read_events(write("a.jsonl", [event_row(0), {f"k{n}": 1 for n in range(5000)}]))


@pytest.mark.parametrize("odd", [{"Item": 1, "item": 2}, {"": 1}, {"__file": 1}, {"a\0b": 1, "\x01": 2}])
def test_a_key_that_cannot_be_a_column_is_left_out_and_told_apart(
    odd: dict[str, Any], write: Callable[..., Path]
) -> None:
    row = without_id(1)
    rows = [row, row | odd, row | odd | {next(iter(odd)): 9}, row | odd]
    account = read_events(write("a.jsonl", rows)).reconciliation
    assert (account.ok, account.duplicate) == (3, 1)


@pytest.mark.parametrize("order", [1, -1])
def test_a_mapped_key_is_found_beside_one_of_another_case(order: int, write: Callable[..., Path]) -> None:
    row = {k: v for k, v in event_row(1).items() if k != "item_id"} | {"Item": "x"}
    path = write("a.jsonl", [row, {"item": 1, "ITEM": 2}][::order])
    for _ in range(2):
        events = read_events(path, {"item_id": "Item"}, max_quarantined=1)
        assert events.to_table()["item_id"].to_pylist() == ["x"]


def without_id(n: int) -> dict[str, Any]:
    return {key: value for key, value in event_row(n).items() if key != "event_id"}


@pytest.mark.parametrize(
    "bad",
    [
        '{"user_id": "", "event_id": "x", "ts": 1, "event_type": "click", "item_id": "i"}',
        '{"event_id": "x", "event_id": "y", "ts": 1}',
        '{"ts": 5, "ts_us": 6, "Item_ID": 7, "": 8}',
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_the_keys_of_a_refused_row_are_its_own(bad: str, first: bool, write: Callable[..., Path]) -> None:
    rows = [{("ts_us" if k == "ts" else k): v for k, v in without_id(n).items()} for n in range(3)]
    good = jsonl_text(rows)
    alone = read_events(write("a.jsonl", good)).to_table()
    mixed = read_events(
        write("b.jsonl", bad + "\n" + good if first else good + bad + "\n"), max_quarantined=1
    )
    assert mixed.to_table().equals(alone)
    assert mixed.reconciliation.n_quarantined == 1


def test_each_object_decides_whether_it_has_an_id_and_which_time(write: Callable[..., Path]) -> None:
    with_id, bare = event_row(1), without_id(2)
    micro = {("ts_us" if k == "ts" else k): v for k, v in event_row(3).items()} | {
        "ts_us": 40_000_000_000_000
    }
    both = event_row(4) | {"ts_us": 5}
    events = read_events(write("a.jsonl", [with_id, bare, micro, both])).to_table().to_pylist()
    alone = read_events(write("b.jsonl", [bare])).to_table().to_pylist()
    assert alone[0] in events
    found = {row["event_id"]: row["ts_us"] for row in events}
    assert [found[row["event_id"]] for row in (with_id, micro, both)] == [
        with_id["ts"], 40_000_000_000_000, both["ts"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"x": 1', '"x": "1"'),
        ('"x": true', '"x": "true"'),
        ('"x": [1]', '"x": "[1]"'),
        ('"x": ""', '"x": null'),
        ('"a": "x=1:y"', '"a=5:x": "y"'),
        ('"a": "1", "b": "2"', '"a": "1s1:bs1:2"'),
        ('"as1:1": "2"', '"a": "1", "s1:": "2"'),
    ],
)
def test_objects_that_differ_are_never_one_row(one: str, other: str, write: Callable[..., Path]) -> None:
    row = json.dumps(without_id(1))[:-1]
    account = read_events(write("a.jsonl", f"{row}, {one}}}\n{row}, {other}}}\n")).reconciliation
    assert (account.ok, account.duplicate) == (2, 0)


def test_never_more_cells_at_once_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    read = json_lines_module.read_objects

    def measured(*arguments: Any) -> None:
        sizes.append(arguments[-1][0].size)
        read(*arguments)

    monkeypatch.setattr(json_lines_module, "read_objects", measured)
    monkeypatch.setattr(json_lines_module, "CELLS_AT_ONCE", 400)
    monkeypatch.setattr(json_lines_module, "LINES_TO_LEARN", 7)
    rows = [{f"k{n % 40}": n, **({"\u00e9" * (n % 3): 1} if n % 5 == 0 else {})} for n in range(300)]
    found, _ = ours("".join(json.dumps(row) + "\n" for row in rows).encode())
    assert [{k: int(v) for k, (kind, v) in row.items() if kind != "-"} for row in found] == rows
    assert 0 < max(sizes) <= 400
