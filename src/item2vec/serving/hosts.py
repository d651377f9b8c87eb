"""By which names a server may be called: a page elsewhere can point its own name at this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from item2vec.serving.replies import Headers
from item2vec.serving.settings import is_loopback

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?")


class AllowedHosts:
    """Holds the `Host` of requests against the names that are the server's own (DNS rebinding).

    A browser that was told that ``evil.example`` is 127.0.0.1 still says ``Host: evil.example``. The names
    of this machine itself nobody else can have.

    Parameters
    ----------
    names : iterable of str
        Beside those of this machine; without one every name is allowed unless `is_needed`.
    is_needed : bool
        Whether nothing else keeps strangers out.
    """

    def __init__(self, names: Iterable[str], is_needed: bool) -> None:
        self._names = frozenset(one.lower().rstrip(".") for one in names)
        self._checks = is_needed or bool(self._names)

    def hold(self, headers: Headers) -> bool:
        """Whether a request calls the server by a name of its own; one without `Host` is no browser's."""
        if not self._checks:
            return True
        names = (_name(value) for header, value in headers if header == b"host")
        return all(name in self._names or is_loopback(name) for name in names)


@lru_cache(maxsize=64)
def _name(host: bytes) -> str:
    """Return the name of a host without its port; nobody's where it is none."""
    found = _HOST.fullmatch(host.decode("latin-1").lower())
    return "" if found is None else (found[1] or found[2]).rstrip(".")
