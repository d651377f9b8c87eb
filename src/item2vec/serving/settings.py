"""How a server is set up; one JSON text carries it into every worker."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from item2vec.errors import UsageError

LEAST_TOKEN = 16
_LONGEST_TOKEN = 4096


class Split(BaseModel):
    """A second release and the share of the users who get it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: Annotated[str, Field(min_length=1, max_length=32)]
    share: Annotated[float, Field(gt=0, lt=1)]


class ServeSettings(BaseModel):
    """What a server serves, keeps, writes and allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: Path
    """Folder of the run."""
    release: str | None = None
    """A release to stay with; by default the current one, and each that becomes current."""
    split: Split | None = None
    """A second release for a share of the users."""
    history: str | None = None
    """URL of the history store, as :func:`open_history_store` takes it; by default ``history.db`` in the
    run's folder."""
    served_log: Path | None = None
    """Folder for what was shown to whom."""
    token: SecretStr | None = None
    """Bearer token; without one, what writes is refused."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that answer; items can be changed live only where there is one."""
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """How often a new release is looked for."""
    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Requests at work at once; more get 503."""
    body_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """How long a body may take to arrive."""
    max_age: Annotated[int, Field(ge=0, le=86_400)] = 60
    """Seconds for which a client may keep a list of similar items; 0 where what is served is logged."""

    allowed_hosts: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    """Names that requests may call the server by, beside those of this machine; by default any where there is
    a token, and those of this machine where there is none."""

    tiles: str | None = None
    """Address of the explorer's map tiles, with {z}, {x} and {y}; by default its map has a plain ground, and
    no browser asks anyone but this server."""
    tiles_credit: Annotated[str, Field(max_length=200)] = ""
    """Whose tiles they are, as their licence wants it said."""

    @field_validator("tiles")
    @classmethod
    def _check_tiles(cls, tiles: str | None) -> str | None:
        return None if tiles is None else checked_tiles(tiles)

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_host(one) for one in names)

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            checked_token(token.get_secret_value())
        return token

    @property
    def history_url(self) -> str:
        """Where histories are kept."""
        return self.history or f"sqlite:///{(self.run / 'history.db').absolute()}"

    @property
    def cache_control(self) -> str:
        """The header of a list of similar items."""
        if self.served_log is not None or not self.max_age:
            return "private, no-cache"
        return f"private, max-age={self.max_age}"

    def to_json(self) -> str:
        """Return the settings as text, the token left out: it travels by itself."""
        return self.model_dump_json(exclude={"token"}, exclude_none=True)


def checked_token(text: str) -> str:
    """Return a token without the line's end, or refuse it.

    Raises
    ------
    UsageError
        If it is short, long, or more than printable ASCII.
    """
    token = text.strip("\r\n")
    if not LEAST_TOKEN <= len(token) <= _LONGEST_TOKEN or not all("!" <= one <= "~" for one in token):
        raise UsageError(
            f"a token is {LEAST_TOKEN} or more printable ASCII characters without spaces;"
            " make one with: openssl rand -hex 32"
        )
    return token


def checked_host(name: str) -> str:
    """Return the name of a host, or refuse it.

    Raises
    ------
    UsageError
        If it is none; a port has no place in it.
    """
    if re.fullmatch(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}", name) is None:
        raise UsageError("an allowed host is a name or an address without a port, as in api.example.org")
    return name


def check_split(first: str, second: str) -> None:
    """Refuse to split users between a release and itself: the two lists would be one, and measure nothing.

    Parameters
    ----------
    first, second : str
        Ids of releases.

    Raises
    ------
    UsageError
        If they are the same.
    """
    if first == second:
        raise UsageError(
            f"both sides of the split are release {first[:12]}; split with another one"
            " (item2vec show RUN --releases lists them)"
        )


_TILES = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/[!-~]{1,500}")


def checked_tiles(text: str) -> str:
    """Return the address of map tiles, or refuse it: its host goes into the pages' security policy.

    Raises
    ------
    UsageError
        If it is no address of one host with the places of a tile in it.
    """
    whole = _TILES.fullmatch(text) is not None and all(place in text for place in ("{z}", "{x}", "{y}"))
    if not whole or any(mark in text for mark in ";,'\"<>"):
        raise UsageError(
            "tiles are the address of one host with {z}, {x} and {y}, as in"
            " https://tile.openstreetmap.org/{z}/{x}/{y}.png"
        )
    return text


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Tell an address that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
