"""The server of a Redis history store: how it is reached, and its failures in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from item2vec.errors import CorruptArtifactError, RunError, UsageError

SECONDS_TO_CONNECT = 2.0
SECONDS_TO_ANSWER = 5.0


def client_of(url: str) -> Any:
    """Return a client that threads share and that connects when it is first used.

    Raises
    ------
    UsageError
        If the URL is wrong; its password is not shown.
    """
    try:
        parts = urlsplit(url)
        # The client takes database 0 for what is no number.
        if parts.scheme != "unix" and not re.fullmatch(r"/?|/\d{1,9}", parts.path, re.ASCII):
            raise ValueError("what follows the host is the number of a database")
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=SECONDS_TO_CONNECT,
            socket_timeout=SECONDS_TO_ANSWER,
            # Nothing is sent twice, or the events of a call might count as repeated ones.
            retry=Retry(NoBackoff(), 0),
        )
        settings = client.connection_pool.connection_kwargs
        if settings.get("decode_responses"):
            raise ValueError("decode_responses is not for a history store, whose values are bytes")
        client.connection_pool.make_connection()  # is each setting known? nothing is sent
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{shown_url(url)} is no URL of a Redis ({error}); it is redis://host:6379/0 or unix:///redis.sock"
        ) from None
    return client


def shown_url(url: str) -> str:
    """Return what of a URL may be shown: without user, password and settings."""
    scheme, _, rest = url.partition("://")
    place = re.split(r"[?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{place[:256]}"


def wrong_keys(shown: str, prefix: str) -> CorruptArtifactError:
    """Return the error of keys that hold no histories."""
    return CorruptArtifactError(
        f"{shown} has keys under {prefix!r} that are no histories, or are damaged; they stay as they are:"
        " give another prefix"
    )


@contextmanager
def plain_errors(shown: str, prefix: str) -> Iterator[None]:
    """Say in plain words what failed, and with which server.

    Raises
    ------
    CorruptArtifactError
        If keys hold other things than histories.
    RunError
        If the server cannot be reached, does not answer in time or refuses.
    """
    try:
        yield
    except redis.exceptions.AuthenticationError as error:
        raise RunError(f"{shown} wants another user or password ({error}); put them into the URL") from error
    except redis.TimeoutError as error:
        raise RunError(
            f"{shown} did not answer in time; try again, look at its load, or raise ?socket_timeout="
        ) from error
    except redis.ConnectionError as error:
        raise RunError(
            f"{shown} cannot be reached ({error}); start the server, or correct the URL, and try again"
        ) from error
    except redis.ResponseError as error:
        if "WRONGTYPE" in str(error):
            raise wrong_keys(shown, prefix) from error
        raise RunError(f"{shown} refused the request: {error}") from error
    except redis.RedisError as error:
        raise RunError(f"{shown} failed: {error}") from error
