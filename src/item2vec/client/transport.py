"""Requests over HTTP: a token, a time limit, retries, and replies kept by their ETag."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from item2vec.client.refusals import error_of, not_the_server
from item2vec.errors import MissingDependencyError, RunError, UsageError

if TYPE_CHECKING:
    import httpx

    from item2vec.client.requests import Call

pause = time.sleep
_KIND = "application/json"


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how late a call is made again.

    Attributes
    ----------
    most : int
        Tries after the first.
    backoff : float
        Seconds before the second try; each later wait is twice as long, and half of a wait is by chance, so
        that clients do not come back together.
    longest : float
        Seconds of the longest wait; a server that asks for more is not asked again.
    """

    most: int = 3
    backoff: float = 0.1
    longest: float = 10.0

    def __post_init__(self) -> None:
        if self.most < 0 or not self.backoff >= 0 or not self.longest >= 0:
            raise UsageError("retries, backoff and longest_wait are not below 0")

    def seconds(self, tried: int, asked: float = 0.0) -> float | None:
        """Return the wait after a number of tries, at least what the server asked for; None to give up."""
        if tried > self.most or asked > self.longest:
            return None
        wait = min(self.longest, self.backoff * 2.0 ** min(tried - 1, 60))
        return max(asked, wait * random.uniform(0.5, 1.0))


class Answered(NamedTuple):
    """A reply that holds an answer: its bytes and the release it names."""

    content: bytes
    release: str


class _Kept(NamedTuple):
    etag: str
    answer: Answered


class Transport:
    """Makes calls.

    Parameters
    ----------
    base_url : str
    token : str or None
    timeout : float
        Seconds to connect, and of silence while sending and reading.
    retries : Retries
    kept : int
        Replies kept by their ETag, the oldest go first.
    """

    def __init__(self, base_url: str, token: str | None, timeout: float, retries: Retries, kept: int) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingDependencyError(
                f"the client needs httpx ({error}); run: pip install 'item2vec[client]'"
            ) from error
        if timeout is None or not timeout > 0:
            raise UsageError(f"timeout is {timeout}; it is a number of seconds above 0")
        if kept < 0:
            raise UsageError(f"cache is {kept} replies; it is 0 or more")
        self._base, self._retries, self._most = _checked_url(base_url), retries, kept
        self._again = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)
        self._failed = (httpx.HTTPError, httpx.InvalidURL)
        self._headers = {"Accept": f"{_KIND}, application/problem+json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {_checked_token(token)}"
        self._timeout, self._closed = timeout, False
        self._open()
        self._replies: OrderedDict[str, _Kept] = OrderedDict()

    def __repr__(self) -> str:
        return repr(self._base)  # never the token

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds connections and perhaps a token: make one where it is used")

    def _open(self) -> None:
        import httpx

        self._pid, self._lock = os.getpid(), threading.Lock()
        self._connections = httpx.Client(headers=self._headers, timeout=self._timeout)

    @property
    def _http(self) -> httpx.Client:
        """The connections of this process: two that read from one socket would get each other's replies."""
        if self._closed:
            raise UsageError("the client is closed; make another one")
        if self._pid != os.getpid():  # it was forked
            self._open()
        return self._connections

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        self._connections.close()

    def ask(self, call: Call) -> Answered:
        """Return the answer to a call.

        Raises
        ------
        UnknownItemError, UsageError
            If the server refuses it; the cause is a :class:`~item2vec.client.Refused`.
        RunError
            If no server answers, or it is busy after all retries.
        """
        known = self._replies.get(call.path) if call.method == "GET" else None
        tried = 0
        while True:
            tried += 1
            response = self._tried(call, known, tried)
            if response is not None and response.status_code != 503:
                return self._read(call, response, known, tried)
            asked = 0.0 if response is None else _retry_after(response.headers.get("retry-after", ""))
            wait = self._retries.seconds(tried, asked)
            if wait is None:  # only of a 503: a connection that is lost for good was raised
                assert response is not None
                return self._read(call, response, known, tried)
            pause(wait)

    def _tried(self, call: Call, known: _Kept | None, tried: int) -> httpx.Response | None:
        """Return a reply; None where the connection was lost and the call may be made again."""
        headers = {} if call.body is None else {"Content-Type": _KIND}
        if known is not None:
            headers["If-None-Match"] = known.etag
        try:
            return self._http.request(call.method, self._base + call.path, content=call.body, headers=headers)
        except self._again as error:
            if call.repeatable and self._retries.seconds(tried) is not None:
                return None
            maybe = "" if call.repeatable else "; it may have been done: look before you send it again"
            raise self._lost(error, tried, maybe) from error
        except self._failed as error:
            raise self._lost(error, tried, "; give a longer timeout, or check base_url") from error

    def _lost(self, error: Exception, tried: int, step: str) -> RunError:
        times = f" (asked {tried} times)" if tried > 1 else ""
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        return RunError(f"{self._base} does not answer{times}: {why}{step or '; is the server running?'}")

    def _read(self, call: Call, response: httpx.Response, known: _Kept | None, tried: int) -> Answered:
        status = response.status_code
        if status >= 400:
            raise error_of(response, names_item="/v1/items/" in call.path, tries=tried)
        if status == 304 and known is not None:
            self._keep(call.path, known)
            return known.answer
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if status not in (200, 204) or (status == 200 and kind != _KIND):
            raise not_the_server(response)
        answer = Answered(response.content, response.headers.get("x-release", ""))
        if call.method == "GET" and (etag := response.headers.get("etag")):
            self._keep(call.path, _Kept(etag, answer))
        return answer

    def _keep(self, path: str, reply: _Kept) -> None:
        if not self._most:
            return
        with self._lock:
            self._replies[path] = reply
            self._replies.move_to_end(path)
            while len(self._replies) > self._most:
                self._replies.popitem(last=False)


def _checked_url(url: str) -> str:
    if "@" in url:
        raise UsageError(
            "base_url holds a name and perhaps a password, which messages would show; give token="
        )
    if not url.startswith(("http://", "https://")) or "?" in url or "#" in url:
        raise UsageError(f"base_url is {url!r}; it is like http://127.0.0.1:8000")
    return url.rstrip("/")


def _checked_token(token: str) -> str:
    text = token.strip("\r\n")
    if not text or not all("!" <= one <= "~" for one in text):
        raise UsageError("the token is no printable ASCII without spaces; it is the server's --token-file")
    return text


def _retry_after(text: str) -> float:
    """Return the seconds that a header asks for: a number, or a moment (RFC 9110)."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
