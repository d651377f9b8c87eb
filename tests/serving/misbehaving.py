"""A server on this machine that answers as it is told to, one reply after the other."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

DROP = "drop"
"""The request is read and the connection closed without a word."""
HANG = "hang"
"""The request is read and nothing said for seconds."""


class Reply(NamedTuple):
    """A reply as it is sent."""

    status: int
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "application/json"

    def encoded(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} Told", f"Content-Type: {self.kind}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Misbehaving:
    """Replies in order, the last one again and again.

    Attributes
    ----------
    seen : list of (str, float)
        First line of each request, and when it was read (monotonic seconds).
    headers : list of bytes
        Of each request.
    """

    def __init__(self, *replies: Reply | str) -> None:
        self._replies = list(replies)
        self.seen: list[tuple[str, float]] = []
        self.heads: list[bytes] = []
        self._stop = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                head = _read(connection)
                if not head:
                    continue
                self.heads.append(head)
                self.seen.append((head.split(b"\r\n")[0].decode(), time.monotonic()))
                reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
                if isinstance(reply, Reply):
                    connection.sendall(reply.encoded())
                elif reply == HANG:
                    self._stop.wait(5)

    def close(self) -> None:
        self._stop.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@contextmanager
def misbehaving(*replies: Reply | str) -> Iterator[Misbehaving]:
    """Run such a server."""
    server = Misbehaving(*replies)
    try:
        yield server
    finally:
        server.close()


def _read(connection: socket.socket) -> bytes:
    """Return the head of a request, when its body has been read too."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        ),
        0,
    )
    while len(rest) < length:
        rest += connection.recv(65536)
    return head
