"""Text cut into records: nothing lost, nothing swallowed, whatever the block size."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from item2vec.errors import SourceError
from item2vec.events import lines as lines_module
from item2vec.events.delimited import split_records
from item2vec.events.lines import LineReader
from item2vec.events.reasons import BLANK_LINE, REASONS


def read_records(
    data: bytes, n_fields: int, block: int, delimiter: str = ","
) -> tuple[list[Any], dict[int, str], int]:
    """Rows with their line, refusals by line, and the lines used, read in blocks of `block` bytes."""
    rows, refused, n = [], {}, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK_BYTES", block)
        reader = LineReader(io.BytesIO(data), "test.csv")
        for lines in reader:
            records = split_records(lines, n_fields, ord(delimiter))
            if records.n_lines < len(lines):
                reader.keep(lines, records.n_lines)
            ranges = zip(records.starts.tolist(), records.ends.tolist(), strict=True)
            n += sum(1 + lines.text(start, end).count(b"\n") for start, end in ranges)
            numbers = records.lines[records.codes == 0].tolist()
            columns = [column.to_pylist() for column in records.columns]
            rows += [(number, *cells) for number, *cells in zip(numbers, *columns, strict=True)]
            for number, code in zip(records.lines.tolist(), records.codes.tolist(), strict=True):
                if code:
                    refused[number] = "blank line" if code == BLANK_LINE else REASONS[code]
    return rows, refused, n


PIECES = [b"a,b", b'"a', b'b",c', b"", b"a", b'x"y,z', b'"p,q",r', b"\xff,a", b"\0,a", b'""']
cell = st.text(st.sampled_from('ab é",\n\r;'), max_size=6)


@settings(deadline=None, max_examples=150)
@given(
    rows=st.lists(st.lists(cell, min_size=3, max_size=3), max_size=12),
    block=st.integers(1, 60),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    final=st.booleans(),
)
# The first read ends between "\r" and "\n": no old Macintosh file
@example(rows=[["", "\r", ""]], block=12, ending="\r\n", quoting=csv.QUOTE_ALL, final=True)
def test_records_are_what_a_csv_writer_wrote(
    rows: list[list[str]], block: int, ending: str, quoting: Any, final: bool
) -> None:
    text = io.StringIO()
    if any("\r" in value for row in rows for value in row):
        quoting = (
            csv.QUOTE_ALL
        )  # Python's writer leaves a lone carriage return bare, where it reads as a line's end
    csv.writer(text, lineterminator=ending, quoting=quoting).writerows([["x", "y", "z"], *rows])
    data = text.getvalue() if final else text.getvalue().removesuffix(ending)
    found, refused, n = read_records(data.encode(), 3, block)
    assert [list(row[1:]) for row in found] == [["x", "y", "z"], *rows]
    assert (refused, n) == ({}, data.count("\n") + (not final))


@settings(deadline=None, max_examples=100)
@given(data=st.lists(st.sampled_from(PIECES), max_size=14), block=st.integers(1, 30))
def test_every_physical_line_is_in_exactly_one_record(data: list[bytes], block: int) -> None:
    text = b"".join(line + b"\n" for line in data)
    found, refused, n = read_records(text, 2, block)
    assert n == len(data)
    assert read_records(text, 2, 1 << 20) == (found, refused, n)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a", "too few fields"),
        (b"a,b,c", "too many fields"),
        (b'a,"b', "open quote"),
        (b'"a,b', "open quote"),
        (b'cl"ick",b', "stray quote"),
        (b'"a"b,c', "stray quote"),
        (b'""a,b', "stray quote"),
        (b"a\0,b", "NUL byte"),
        (b"a\xff,b", "not UTF-8"),
        (b"\xed\xa0\x80,b", "not UTF-8"),  # a lone surrogate
        (b"", "blank line"),
    ],
)
@pytest.mark.parametrize("block", [7, 1 << 16])
def test_a_bad_line_is_refused_alone(line: bytes, reason: str, block: int) -> None:
    data = b"1,2\n3,4\n" + line + b'\n5,"6\n7"\n8,9'
    found, refused, _ = read_records(data, 2, block)
    assert found == [(1, "1", "2"), (2, "3", "4"), (4, "5", "6\n7"), (6, "8", "9")]
    assert refused == {3: reason}


def test_a_line_over_a_mebibyte_is_refused_alone() -> None:
    data = b"1,2\n3," + b"b" * (1 << 20) + b"\n5,6\n"
    for block in (1 << 16, 1 << 22):
        assert read_records(data, 2, block)[:2] == ([(1, "1", "2"), (3, "5", "6")], {2: "line too long"})


def test_two_open_quotes_do_not_swallow_what_lies_between() -> None:
    found, refused, _ = read_records(b'1,"2\n3,4\n5,6\n7,"8\n9,0\n', 2, 1 << 16)
    assert found == [(2, "3", "4"), (3, "5", "6"), (5, "9", "0")]
    assert refused == {1: "open quote", 4: "open quote"}


def test_carriage_returns_alone_end_lines_in_old_files() -> None:
    assert read_records(b"1,2\r3,4\r", 2, 1 << 16)[0] == [(1, "1", "2"), (2, "3", "4")]


def test_mixed_line_endings_and_a_byte_order_mark() -> None:
    assert read_records(b"\xef\xbb\xbf1,2\r\n3,4\n5,6", 2, 1 << 16)[0] == [
        (1, "1", "2"),
        (2, "3", "4"),
        (3, "5", "6"),
    ]


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        left = 300

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            return b"a" * size if self.left > 0 else (b"\n1,2\n" if self.left == 0 else b"")

    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 1 << 14)
    monkeypatch.setattr(lines_module, "MAX_LINE_BYTES", 1 << 12)
    blocks = list(LineReader(Endless(), "endless.csv"))
    assert max(len(block.data) for block in blocks) < 1 << 16
    assert [
        block.text(int(a), int(b)) for block in blocks for a, b in zip(block.starts, block.ends, strict=True)
    ][-1] == b"1,2"
    assert (blocks[0].ends - blocks[0].starts)[0] > 1 << 12


def test_utf_16_is_refused_with_the_remedy() -> None:
    with pytest.raises(SourceError, match=r"odd\.csv is UTF-16.*UTF-8"):
        list(LineReader(io.BytesIO("a,b\n".encode("utf-16")), "odd.csv"))


def test_line_numbers_go_on_over_blocks() -> None:
    data = b"".join(b"%d,x\n" % n for n in range(1, 500))
    found, _, _ = read_records(data, 2, 64)
    assert [int(row[1]) for row in found] == [row[0] for row in found] == list(np.arange(1, 500))
