"""What is refused, as problem+json (RFC 9457): short, and never with anything of the request in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from item2vec.errors import (
    CorruptArtifactError,
    DataError,
    Item2VecError,
    LockedRunError,
    RunError,
    UnknownItemError,
    UsageError,
)
from item2vec.serving.limits import MAX_PROBLEMS

MEDIA_TYPE = "application/problem+json"
TITLES = {
    303: "Elsewhere",
    400: "Bad request",
    401: "This server's token is needed",
    403: "Not allowed here",
    404: "Not found",
    405: "Method not allowed",
    408: "The body came too slowly",
    409: "Not possible now",
    413: "The body is too large",
    414: "The address is too long",
    415: "The body is no JSON",
    421: "Another server's name",
    422: "The request does not fit",
    500: "A fault of the server",
    503: "Busy",
}
_LONGEST = 200

# The first class that fits. The errors' own messages may quote the request: they go to the log.
_OF_ERRORS: tuple[tuple[type[Item2VecError], int, str], ...] = (
    (UnknownItemError, 404, "There is no such item in this release."),
    (
        UsageError,
        422,
        "An argument does not fit this release: GET /v1/model tells its modes, columns and id type.",
    ),
    (LockedRunError, 503, "The history store is being written by another process; try again."),
    (CorruptArtifactError, 503, "A file behind this answer is damaged; its operator has the details."),
    (DataError, 422, "A value of the request is none that this route takes."),
    (RunError, 503, "What keeps the histories does not answer; try again."),
)


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """A refusal on its way to the client.

    Parameters
    ----------
    status : int
    detail : str
        What was wrong and what to do, in fixed words.
    errors : sequence of (where, what)
        Places in the request, by names of the API's own.
    headers : mapping, optional
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})
        self.errors = list(errors)[:MAX_PROBLEMS]

    def body(self, request_id: str) -> bytes:
        """Return the document, at most 4 KiB."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail[: 2 * _LONGEST],
            "request_id": request_id,
        }
        if self.errors:
            document["errors"] = [
                {"where": where[:64], "what": what[:_LONGEST]} for where, what in self.errors
            ]
        return json.dumps(document, ensure_ascii=False).encode()


def busy(detail: str, seconds: int = 1) -> Problem:
    """Return the refusal of a server that has too much to do right now."""
    return Problem(503, detail, headers={"Retry-After": str(seconds)})


def refused(where: str, what: str) -> Problem:
    """Return the refusal of one place in the request."""
    return Problem(422, f"{where}: {what}", [(where, what)])


def of_error(error: Exception) -> Problem:
    """Return the one refusal that an error of the package stands for; any other one is a bug."""
    for kind, status, detail in _OF_ERRORS:
        if isinstance(error, kind):
            return busy(detail) if status == 503 else Problem(status, detail)
    return Problem(500, "Something failed that should not; the log has it under this request id.")


def of_validation(error: ValidationError, names: frozenset[str]) -> Problem:
    """Return the refusal of a body; places that are the client's own words are left out.

    Parameters
    ----------
    error : pydantic.ValidationError
    names : frozenset of str
        Every name that the API's models have.
    """
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if any(one["type"] == "json_invalid" for one in found):
        return Problem(
            400, "The body is no JSON (RFC 8259): no NaN, lone surrogates, deep nesting or endless numbers."
        )
    places: dict[str, str] = {}
    for one in found:
        parts = [
            str(part) if isinstance(part, int) or part in names else "…"
            for part in one["loc"]
            if isinstance(part, int) or part.isidentifier()
        ]
        places.setdefault(".".join(["body", *parts[:6]]), one["msg"].removeprefix("Value error, "))
    return Problem(422, "The body does not fit; `errors` says where.", places.items())
