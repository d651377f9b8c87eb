"""One JSON line per request, and per event of the server, written behind the answers."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import Any, BinaryIO

FLUSH_SECONDS = 0.05
MOST_WAITING = 50_000
"""Lines that may wait for a reader that does not read; more are counted and lost."""
_LONGEST = 2000


class LogLines:
    """Collects lines and writes them in a thread: a pipe that nobody empties stops no answer.

    Parameters
    ----------
    stream : binary file, optional
        Standard output by default.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = sys.stdout.buffer if stream is None else stream
        self._lines: deque[str] = deque()
        self.dropped = 0
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write, name="item2vec-log", daemon=True)
        self._writer.start()

    def line(self, text: str) -> None:
        """Write one line, which is JSON without a line's end."""
        if len(self._lines) < MOST_WAITING:
            self._lines.append(text)
        else:
            self.dropped += 1

    def event(self, event: str, level: str = "info", **facts: Any) -> None:
        """Write something that happened to the server."""
        clipped = {
            name: value[:_LONGEST] if isinstance(value, str) else value for name, value in facts.items()
        }
        self.line(json.dumps({"ts": now_text(), "level": level, "event": event, **clipped}, default=str))

    def _write(self) -> None:
        while not self._ended.wait(FLUSH_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        lines: list[str] = []
        with suppress(IndexError):  # one by one: a line that comes meanwhile is in this writing or the next
            while len(lines) < MOST_WAITING:
                lines.append(self._lines.popleft())
        if not lines:
            return
        try:
            self._stream.write(("\n".join(lines) + "\n").encode())
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads any more
            self.dropped += len(lines)

    def close(self) -> None:
        """Write what waits, and no more."""
        self._ended.set()
        self._writer.join(timeout=5)
        self.flush()


class JsonLogHandler(logging.Handler):
    """Sends the package's own warnings the way of all lines."""

    def __init__(self, lines: LogLines) -> None:
        super().__init__()
        self._lines_out = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as an event."""
        level = record.levelname.lower()
        self._lines_out.event("log", level, logger=record.name, message=record.getMessage())


def now_text() -> str:
    """Return the time as ISO 8601 with milliseconds, in UTC."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
