"""How a browser shows that its user has the token: a cookie that opens the explorer and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlencode

from item2vec.serving.explorer.looks import HOME
from item2vec.serving.replies import Headers

COOKIE = "item2vec_explorer"
SECONDS = 12 * 3600
SIGN_IN, SIGN_OUT, STATIC = HOME + "/sign-in", HOME + "/sign-out", HOME + "/static/"
_LONGEST_WAY_BACK = 3000
_VALUE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


class Pass:
    """Writes and checks the cookie: a time and its HMAC under the token, so that every worker knows it.

    The token itself never is in it, and a new token ends all of them.

    Parameters
    ----------
    token : str or None
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    @property
    def is_needed(self) -> bool:
        """Whether there is a token at all."""
        return self._token is not None

    def is_token(self, given: str) -> bool:
        """Whether this is the token; compared in constant time."""
        return self._token is None or hmac.compare_digest(given.encode(), self._token)

    def cookie(self, secure: bool) -> str:
        """Return the header's value that sets the cookie."""
        until = str(int(time.time()) + SECONDS)
        tail = "; Secure" if secure else ""
        return f"{COOKIE}={until}.{self._mac(until)}; Max-Age={SECONDS}; {_SCOPE}{tail}"

    def holds(self, headers: Headers) -> bool:
        """Whether a request brings a cookie of ours that still holds."""
        if self._token is None:
            return True
        for name, line in headers:
            if name != b"cookie":
                continue
            found = _VALUE.fullmatch(_cookie_of(line.decode("latin-1")))
            if found is not None and hmac.compare_digest(found[2], self._mac(found[1])):
                return int(found[1]) > time.time()
        return False

    def _mac(self, until: str) -> str:
        assert self._token is not None
        return hmac.new(self._token, b"item2vec explorer until " + until.encode(), hashlib.sha256).hexdigest()


_SCOPE = f"Path={HOME}; HttpOnly; SameSite=Strict"
NO_COOKIE = f"{COOKIE}=; Max-Age=0; {_SCOPE}"
"""What takes the cookie away."""


def is_explorer(path: bytes) -> bool:
    """Whether a path belongs to the explorer."""
    return path == HOME.encode() or path.startswith(HOME.encode() + b"/")


def is_open(path: bytes) -> bool:
    """Whether a path of the explorer is for everyone: the form itself, and what the page is drawn with."""
    return path in (SIGN_IN.encode(), SIGN_OUT.encode()) or path.startswith(STATIC.encode())


def sign_in_address(path: bytes, query: bytes) -> str:
    """Where one signs in to see an address."""
    # Bytes beyond ASCII would have no place in a header.
    way = quote(path + (b"?" + query if query else b""), safe="/?&=%+.-_~")
    return f"{SIGN_IN}?{urlencode({'next': way})}" if len(way) <= _LONGEST_WAY_BACK else SIGN_IN


def way_back(text: str) -> str:
    """Return an address of the explorer to go on to; anything else leads to its first page."""
    plain = all("!" <= one <= "~" and one != "\\" for one in text)
    here = text == HOME or text.startswith((HOME + "?", HOME + "/"))
    return text if plain and here and not text.startswith((SIGN_IN, SIGN_OUT)) else HOME


def _cookie_of(line: str) -> str:
    try:
        found = SimpleCookie(line).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value
