"""A request's body, counted while it streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from item2vec.serving.limits import MAX_BODY
from item2vec.serving.problems import Problem
from item2vec.serving.slots import SLOT, Slot

if TYPE_CHECKING:
    from fastapi import Request


JSON, FORM = "application/json", "application/x-www-form-urlencoded"


async def read_body(request: Request, seconds: float, kind: str = JSON) -> bytes:
    """Return a body of at most 64 KiB, JSON by default; from then on the request is at work.

    Raises
    ------
    Problem
        413 as soon as it is longer, 408 where it takes too long, 400 where it breaks off, 415 where it says
        that it is of another kind, 503 where too many are at work.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != kind:
        raise Problem(415, f"Send `Content-Type: {kind}`.")
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and (len(stated) > 9 or int(stated) > MAX_BODY):
        raise _too_large()
    slot: Slot = request.scope[SLOT]
    try:
        with slot.arriving():
            async with asyncio.timeout(seconds):
                return await _counted(request)
    except TimeoutError:
        raise Problem(408, f"The body did not arrive within {seconds:g} seconds.") from None
    except ClientDisconnect:  # or its framing is broken: the client's doing, no fault of the server
        raise Problem(400, "The body broke off.") from None


async def _counted(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise _too_large()
    return bytes(body)


def _too_large() -> Problem:
    return Problem(413, f"A body has at most {MAX_BODY:,} bytes.")
