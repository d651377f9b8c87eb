"""Answers as bytes: one encoder for every route, headers made once, replies kept while they hold."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from item2vec.serving.found import Found
    from item2vec.serving.lookups import Lookups
    from item2vec.vocabulary import ItemId

Headers = list[tuple[bytes, bytes]]
EVERYWHERE: Headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
KEPT_BYTES = 20 * 2**20
_OVERHEAD = 900
"""Bytes of a kept reply beside its body: headers and Python's own."""


class Shown(NamedTuple):
    """A list as it was shown: what the served log keeps."""

    query: str
    ids: Sequence[ItemId]
    scores: Sequence[float]


class Reply(NamedTuple):
    """An answer of one release, ready to be sent.

    Attributes
    ----------
    body : bytes
        JSON.
    etag : bytes
    headers : list of (bytes, bytes)
    lookups : Lookups
        Whose answer it is.
    path : str
        What answered; of several lists, the first.
    n_results : int
        Items in all lists together.
    lists : tuple of (str, int)
        What answered each list, and how many items it has.
    shown : tuple of Shown
    fallback : str or None
    """

    body: bytes
    etag: bytes
    headers: Headers
    lookups: Lookups
    path: str = ""
    n_results: int = 0
    lists: tuple[tuple[str, int], ...] = ()
    shown: tuple[Shown, ...] = ()
    fallback: str | None = None


def encoded(value: Any) -> bytes:
    """Return JSON, compact and UTF-8; dates as ISO 8601."""
    return _ENCODER.encode(value).encode()


def _plain(value: Any) -> str:
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)


def listed(found: Found) -> list[dict[str, Any]]:
    """Return a list's items as JSON has them."""
    return [{"item_id": one, "score": score} for one, score in zip(found.ids, found.scores, strict=True)]


def reply(lookups: Lookups, value: Any, cache_control: str = "no-store", **facts: Any) -> Reply:
    """Return an answer as bytes with its headers."""
    body = encoded(value)
    digest = hashlib.blake2b(body, digest_size=12, key=lookups.release.id.encode()[:32])
    etag = f'"{digest.hexdigest()}"'.encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"etag", etag),
        *release_headers(lookups),
        (b"cache-control", cache_control.encode()),
    ]
    return Reply(body, etag, headers, lookups, **facts)


def release_headers(lookups: Lookups) -> Headers:
    """Name the release, and the variant of the split, that an answer comes from."""
    return [(b"x-release", lookups.release.id.encode()), (b"x-variant", lookups.variant.encode())]


def is_current(reply: Reply, if_none_match: Sequence[bytes]) -> bool:
    """Tell whether the client has this very answer already (RFC 9110, weak comparison).

    Parameters
    ----------
    reply : Reply
    if_none_match : sequence of bytes
        The header's lines; several are one list.
    """
    given = [one.strip().removeprefix(b"W/") for line in if_none_match for one in line.split(b",")]
    return given == [b"*"] or reply.etag in given


def unchanged_headers(reply: Reply) -> Headers:
    """Return the headers of 304: those that are not about the body."""
    return [pair for pair in reply.headers if pair[0] not in (b"content-type", b"content-length")]


class ReplyCache:
    """Replies by address, at most :data:`KEPT_BYTES`; the oldest go first."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._replies: dict[bytes, Reply] = {}
        self._limit, self._size = limit, 0
        self.get = self._replies.get

    def keep(self, address: bytes, reply: Reply) -> None:
        """Keep a reply for the next who asks the same."""
        before = self._replies.pop(address, None)
        if before is not None:  # the ordinary route makes a reply anew each time
            self._size -= len(before.body) + len(address) + _OVERHEAD
        self._replies[address] = reply
        self._size += len(reply.body) + len(address) + _OVERHEAD
        while self._size > self._limit and self._replies:
            oldest = next(iter(self._replies))
            gone = self._replies.pop(oldest)
            self._size -= len(gone.body) + len(oldest) + _OVERHEAD

    def __len__(self) -> int:
        return len(self._replies)
