"""Standard streams that are closed, full, or cannot spell "·": none of it is a reason to lose a run."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

PLAIN = {"·": "-", "→": "->", "…": "...", "×": "x", "−": "-", "’": "'"}


class _Patient(io.FileIO):
    """A stream whose reader may go away, as in ``item2vec run … | head -1``: the rest goes nowhere.

    What else the system refuses (a full disk) stops no work either: it is remembered, and told in the end.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "wb", closefd=False)
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


def prepare_streams() -> Callable[[], str | None]:
    """Make standard output and error safe to write to, in a process of the command line's own.

    Returns
    -------
    callable
        To be asked in the end: why some of the output was lost, None if all was written or nobody reads it.
    """
    for number in range(3):  # or the next file that is opened takes the number, and its bytes
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error("item2vec", _spelled)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    output, errors = _Patient(1), _Patient(2)
    sys.stdout, sys.stderr = _stream(output, sys.stdout), _stream(errors, sys.stderr)
    sys.unraisablehook = _without_echoes

    def lost() -> str | None:
        sys.stdout.flush()
        failure = output.failure
        return None if failure is None or isinstance(failure, BrokenPipeError) else failure.strerror

    return lost


def _without_echoes(failure: UnraisableHookArgs) -> None:
    """Leave out what a half-written Parquet file says when it is given up: the command has told the cause."""
    where = getattr(failure.object, "__qualname__", "")
    if not (isinstance(failure.exc_value, OSError) and where == "ParquetWriter.__del__"):
        sys.__unraisablehook__(failure)


def _stream(patient: _Patient, old: TextIO | None) -> TextIO:
    if old is not None:
        try:
            old.flush()
        except OSError:
            pass
    encoding = getattr(old, "encoding", None) or "utf-8"
    plain = patient.fileno() == 2
    buffer = io.BufferedWriter(patient)
    return io.TextIOWrapper(buffer, encoding, "item2vec", line_buffering=True, write_through=plain)


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
