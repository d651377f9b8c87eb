"""From a reply that is no answer to an error that says what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from item2vec.errors import Item2VecError, RunError, UnknownItemError, UsageError

if TYPE_CHECKING:
    import httpx

# What the caller can do, by status; the server's own words say what was wrong.
_NEXT: dict[int, tuple[type[Item2VecError], str]] = {
    401: (UsageError, "give the server's token: Client(url, token=…)"),
    403: (UsageError, "the server has no token and takes no changes; start it with --token-file"),
    404: (UsageError, "check the client's base_url"),
    408: (RunError, "the network is slow; send fewer items at once"),
    409: (UsageError, "the server, as it was started, cannot do this"),
    413: (UsageError, "send fewer items at once"),
    414: (UsageError, "ask with a body: similar_batch"),
    500: (RunError, "the server's log has the details under the request id"),
    503: (RunError, "try again later, or give the client more retries"),
}
_LONGEST = 300


@dataclass(slots=True)
class Refused(Exception):  # noqa: N818 - it is the cause of an error, never raised alone
    """What the server said (RFC 9457): the ``__cause__`` of the error that is raised.

    Attributes
    ----------
    status : int
    title, detail : str
    request_id : str
        By which the server's log knows the request.
    places : tuple of (where, what)
        Places in the request that do not fit.
    """

    status: int
    title: str
    detail: str
    request_id: str
    places: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        places = "".join(f"; {where}: {what}" for where, what in self.places if where not in self.detail)
        return f"{self.status} {self.title}: {self.detail}{places}"


def error_of(response: httpx.Response, *, names_item: bool, tries: int) -> Item2VecError:
    """Return the error that a refusal stands for; its cause is :class:`Refused`.

    Parameters
    ----------
    response : httpx.Response
        With a status of 400 or more.
    names_item : bool
        Whether the address names an item, so that 404 is about it.
    tries : int
        How often it was asked.
    """
    refused = refused_by(response)
    if refused is None:
        return not_the_server(response)
    kind, step = _NEXT.get(refused.status, (UsageError if refused.status < 500 else RunError, ""))
    if refused.status == 401 and "authorization" in response.request.headers:
        step = "the token that was given is not this server's; give its own: Client(url, token=…)"
    if refused.status == 404 and names_item:
        kind, step = UnknownItemError, "search_items finds ids"
    told = f" [request {refused.request_id}]" if refused.request_id else ""
    asked = f" (asked {tries} times)" if tries > 1 else ""
    error = kind(f"{refused}{f' Next: {step}.' if step else ''}{asked}{told}")
    error.__cause__ = refused
    return error


def refused_by(response: httpx.Response) -> Refused | None:
    """Return the refusal that a reply holds; None where it is no problem+json."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/problem+json":
        return None
    try:
        document: dict[str, Any] = json.loads(response.content)
        places = tuple((str(one["where"]), str(one["what"])) for one in document.get("errors") or ())
        title, detail = str(document["title"]), str(document.get("detail", ""))
        return Refused(
            response.status_code, title, detail[:_LONGEST], str(document.get("request_id", "")), places
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def not_the_server(response: httpx.Response) -> RunError:
    """Return the error for a reply that no lookup API gives."""
    kind = response.headers.get("content-type", "nothing")[:60]
    return RunError(
        f"{response.status_code} {response.reason_phrase}, {kind}: this is no answer of an item2vec server;"
        " check base_url and what stands between (a proxy, a login page), and that both have one version"
    )
