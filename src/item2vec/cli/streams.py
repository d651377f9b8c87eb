"""Standard streams that are closed, full, or cannot spell "·": none of it is a reason to lose a run."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

PLAIN = {"·": "-", "→": "->", "…": "...", "×": "x", "−": "-", "’": "'"}


class _Patient(io.FileIO):
    """A stream whose reader may go away, as in ``item2vec run … | head -1``: the rest goes nowhere.

    What else the system refuses (a full disk) is told once to who writes to standard output, and to nobody on
    standard error, where errors are told.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "wb", closefd=False)
        self._gone = False

    def write(self, data: Any) -> int:
        if not self._gone:
            try:
                return super().write(data)
            except OSError as error:
                self._gone = True
                if not isinstance(error, BrokenPipeError) and self.fileno() == 1:
                    raise
        return memoryview(data).nbytes


def prepare_streams() -> None:
    """Make standard output and error safe to write to, in a process of the command line's own."""
    for number in range(3):  # or the next file that is opened takes the number, and its bytes
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error("item2vec", _spelled)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)
    sys.unraisablehook = _without_echoes


def _without_echoes(failure: UnraisableHookArgs) -> None:
    """Leave out what a half-written Parquet file says when it is given up: the command has told the cause."""
    where = getattr(failure.object, "__qualname__", "")
    if not (isinstance(failure.exc_value, OSError) and where == "ParquetWriter.__del__"):
        sys.__unraisablehook__(failure)


def _stream(number: int, old: TextIO | None) -> TextIO:
    if old is not None:
        try:
            old.flush()
        except OSError:
            pass
    encoding = getattr(old, "encoding", None) or "utf-8"
    buffer = io.BufferedWriter(_Patient(number))
    return io.TextIOWrapper(buffer, encoding, "item2vec", line_buffering=True, write_through=number == 2)


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    """Spell what an encoding lacks in plain letters, and give a file name's foreign bytes back."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    spelled = b""
    for letter in error.object[error.start : error.end]:
        if "\udc80" <= letter <= "\udcff":
            spelled += bytes([ord(letter) - 0xDC00])
        else:
            spelled += PLAIN.get(letter, "?").encode("ascii")
    return spelled, error.end
