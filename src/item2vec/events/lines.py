"""A text file as blocks of numbered physical lines, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import SourceError
from item2vec.events.reasons import CODES

BLOCK_BYTES = 8 << 20
MAX_LINE_BYTES = 1 << 20
NEWLINE, RETURN = 10, 13


@dataclass(frozen=True)
class Lines:
    """Consecutive physical lines of a file.

    Parameters
    ----------
    data : ndarray of uint8
        The bytes.
    starts, ends : ndarray of int64, shape (n,)
        Where each line begins and ends in `data`, without its line ending.
    first : int
        Number of the first line in the file, from 1.
    last : bool
        Whether the file ends with this block.
    """

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    first: int
    last: bool

    def __len__(self) -> int:
        return len(self.starts)

    def text(self, start: int, end: int) -> bytes:
        """Return some of the bytes."""
        return self.data[start:end].tobytes()

    def after(self, line: int) -> Lines:
        """Return the lines behind `line` (counted within the block)."""
        cut = int(self.starts[line + 1]) if line + 1 < len(self) else len(self.data)
        starts, ends = self.starts[line + 1 :] - cut, self.ends[line + 1 :] - cut
        return Lines(self.data[cut:], starts, ends, self.first + line + 1, self.last)


class LineReader:
    """Iterate over the blocks of lines of an open file; what the user of a block keeps comes again.

    A line longer than a block is cut to just over ``MAX_LINE_BYTES``, so that it is seen to be too long.
    """

    def __init__(self, stream: Any, file: str) -> None:
        self._stream = stream
        self._file = file
        self._kept = b""
        self._lines_before = 0
        self._newlines = 0
        self._open_line = False
        self._newline = b"\n"

    @property
    def physical(self) -> int:
        """Lines read so far, counted from the bytes as they came, whatever became of them."""
        return self._newlines + self._open_line

    def keep(self, lines: Lines, line: int) -> None:
        """Put the lines from `line` on (counted within the block) before the next block."""
        self._kept = lines.text(int(lines.starts[line]), len(lines.data))
        self._lines_before -= len(lines) - line

    def __iter__(self) -> Iterator[Lines]:
        rest, newline = self._start(), self._newline
        while True:
            chunk = self._counted(self._stream.read(BLOCK_BYTES))
            data, last = rest + chunk, not chunk
            if last and not self._kept and not data:
                return
            cut = len(data) if last else data.rfind(newline) + 1
            if cut == 0 and not last:
                rest = data[: MAX_LINE_BYTES + 1] if len(data) > BLOCK_BYTES else data
                continue
            block, rest = (
                _cut_lines(self._kept + data[:cut], newline[0], self._lines_before + 1, last),
                data[cut:],
            )
            self._kept = b""
            self._lines_before += len(block)
            yield block
            if last:
                return

    def _counted(self, chunk: bytes) -> bytes:
        self._newlines += chunk.count(self._newline)
        self._open_line = not chunk.endswith(self._newline) if chunk else self._open_line
        return chunk

    def _start(self) -> bytes:
        """Read the first bytes: drop a byte-order mark and learn the line ending."""
        head: bytes = self._stream.read(BLOCK_BYTES)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[:4].count(0) in (2, 3):
            raise SourceError(f"{self._file} is UTF-16 or UTF-32 text; save it as UTF-8")
        old_mac = b"\n" not in head and b"\r" in head[:-1]  # a last one may be half of "\r\n"
        self._newline = b"\r" if old_mac else b"\n"
        return self._counted(head.removeprefix(b"\xef\xbb\xbf"))


def _cut_lines(block: bytes, newline: int, first: int, last: bool) -> Lines:
    """Find the lines of a block; the last line of a file may lack its line ending."""
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == newline).astype(np.int64)
    starts = np.concatenate([[0], ends + 1]).astype(np.int64)
    if starts[-1] < len(data):
        ends = np.append(ends, len(data))
    starts = starts[: len(ends)]
    if newline == NEWLINE and len(ends):
        ends = ends - ((ends > starts) & (data[np.maximum(ends - 1, 0)] == RETURN))
    return Lines(data, starts, ends, first, last)


def text_faults(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    codes: npt.NDArray[np.uint16],
) -> None:
    """Give the records with NUL bytes or broken UTF-8, or that are too long, their code (in place)."""
    codes[ends - starts > MAX_LINE_BYTES] = CODES["line too long"]
    nul = np.flatnonzero(data == 0)
    if len(nul):
        codes[np.searchsorted(starts, nul, "right") - 1] = CODES["NUL byte"]
    try:
        data.tobytes().decode("utf-8")
    except UnicodeDecodeError:
        high = np.flatnonzero(data >= 0x80)
        for record in np.unique(np.searchsorted(starts, high, "right") - 1):
            try:
                data[starts[record] : ends[record]].tobytes().decode("utf-8")
            except UnicodeDecodeError:
                codes[record] = CODES["not UTF-8"]


def raw_texts(lines: Lines, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> pa.StringArray:
    """Return refused records as text whatever their bytes are: what is not UTF-8 becomes ``\\xNN``."""
    if (starts == ends).all():
        return pa.array(np.full(len(starts), ""), pa.string())
    cuts = zip(starts.tolist(), np.minimum(ends, starts + MAX_LINE_BYTES).tolist(), strict=True)
    return pa.array([lines.text(a, b).decode("utf-8", "backslashreplace") for a, b in cuts], pa.string())
