"""From Python's values to addresses and JSON; what an address cannot say is refused before it is sent."""

from __future__ import annotations

import datetime as dt
import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypedDict
from urllib.parse import quote, urlencode

from item2vec.client.results import ItemId
from item2vec.errors import UsageError

Mode = Literal["similar", "next"]
Where = Mapping[str, Any]
"""Conditions by column, as the library has them: a value, a list of values, a (low, high) range."""
_OWN = frozenset({"k", "mode", "user", "filter_seen", "explain"})
_ENDS = ("min", "max")


class ListOptions(TypedDict, total=False):
    """What every list of a body can be asked for; what is left out has the server's default."""

    k: int
    mode: Mode | None
    where: Where | None
    allow: Iterable[ItemId] | None
    deny: Iterable[ItemId] | None
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something a user did.

    Attributes
    ----------
    item_id : str or int
    event_type : str
        click, skip, wishlist, inquiry, booking or rejection.
    ts_us : int or None
        Microseconds since 1970 (UTC); the server's now, if None.
    dwell_seconds : float or None
    """

    item_id: ItemId
    event_type: str = "click"
    ts_us: int | None = None
    dwell_seconds: float | None = None


class EventLike(Protocol):
    """:class:`Event`, or the library's :class:`~item2vec.recommendations.UserEvent`."""

    @property
    def item_id(self) -> Any: ...  # noqa: D102
    @property
    def event_type(self) -> Any: ...  # noqa: D102
    @property
    def ts_us(self) -> Any: ...  # noqa: D102
    @property
    def dwell_seconds(self) -> Any: ...  # noqa: D102


class Call(NamedTuple):
    """A request, and whether it may be made twice.

    Attributes
    ----------
    method : str
    path : str
        With its query, percent-encoded.
    body : bytes or None
        JSON.
    repeatable : bool
        Whether the same call twice leaves what the call once leaves.
    """

    method: str
    path: str
    body: bytes | None = None
    repeatable: bool = True


def segment(value: ItemId) -> str:
    """Return an id as it stands in an address.

    Raises
    ------
    UsageError
        If it is no id.
    """
    text = str(plain_id(value))
    if not text:
        raise UsageError("an id has 1 to 256 characters; this one is empty")
    if text in (".", ".."):  # steps of a path, unless they are hidden
        return text.replace(".", "%2E")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise UsageError(
            f"the id {text!r} holds half a character (a lone surrogate); clean the log"
        ) from None


def plain_id(value: ItemId) -> ItemId:
    """Return a text, or any whole number (NumPy's too) as an int.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if isinstance(value, str):
        return str(value)
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise UsageError(f"an id is a text or a whole number, not {type(value).__name__}")


def plain_ids(values: Iterable[ItemId], name: str) -> list[ItemId]:
    """Return ids as JSON has them.

    Raises
    ------
    UsageError
        If it is one text: its characters are no ids.
    """
    if isinstance(values, str):
        raise UsageError(f"{name} is a list of ids: write [{values!r}]")
    return [plain_id(one) for one in values]


def query(options: Mapping[str, Any], where: Where | None = None) -> str:
    """Return the query of an address, with its question mark; options that are None are left out.

    Raises
    ------
    UsageError
        If a condition is one that an address cannot say.
    """
    pairs = [(name, _text(value)) for name, value in options.items() if value is not None]
    for column, condition in (where or {}).items():
        if column in _OWN:
            raise _not_in_an_address(f"a column named {column!r}")
        if isinstance(condition, tuple):
            low, high = _ends(column, condition)
            ends = zip(_ENDS, (low, high), strict=True)
            pairs += [(f"{name}_{column}", _said(column, end)) for name, end in ends if end is not None]
            continue
        several = _several(condition)
        if not several:
            raise _not_in_an_address(f"{column}: an empty list")
        pairs += [(column, _said(column, one)) for one in several]
    return f"?{urlencode(pairs)}" if pairs else ""


def body(fields: Mapping[str, Any]) -> bytes:
    """Return JSON; fields that are None are left out.

    Raises
    ------
    UsageError
        If a value is none that JSON has.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return json.dumps(given, allow_nan=False, default=_json, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"the request cannot be written as JSON: {error}") from error


def list_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return :class:`ListOptions` as a body has them."""
    fields = dict(options)
    for name in ("allow", "deny"):
        if fields.get(name) is not None:
            fields[name] = plain_ids(fields[name], name)
    if fields.get("where") is not None:
        fields["where"] = {column: _condition(column, one) for column, one in fields["where"].items()}
    return fields


def event_fields(events: Iterable[EventLike] | None) -> list[dict[str, Any]] | None:
    """Return events as a body has them.

    Raises
    ------
    UsageError
        If one is no event.
    """
    return None if events is None else [_event(one) for one in events]


def _event(event: EventLike) -> dict[str, Any]:
    try:
        row = {
            "item_id": plain_id(event.item_id),
            "event_type": event.event_type,
            "ts_us": event.ts_us,
            "dwell_seconds": event.dwell_seconds,
        }
    except AttributeError:
        raise UsageError(f"an event is an Event(item_id, …), not {type(event).__name__}") from None
    return {name: value for name, value in row.items() if value is not None}


def numbers(vector: Iterable[float] | None) -> list[float] | None:
    """Return a vector as a body has it.

    Raises
    ------
    UsageError
        If it holds anything but numbers.
    """
    try:
        return None if vector is None else [float(one) for one in vector]
    except (TypeError, ValueError) as error:
        raise UsageError(f"a vector is a list of numbers: {error}") from error


def _condition(column: str, condition: Any) -> Any:
    if isinstance(condition, tuple):
        low, high = _ends(column, condition)
        return {name: end for name, end in zip(_ENDS, (low, high), strict=True) if end is not None}
    several = _several(condition)
    return several if isinstance(condition, list | set | frozenset) else several[0]


def _ends(column: str, condition: Sequence[Any]) -> tuple[Any, Any]:
    if len(condition) != 2:
        raise UsageError(f"{column}: a range is (low, high), None for an open end; several values are a list")
    return condition[0], condition[1]


def _several(condition: Any) -> list[Any]:
    return list(condition) if isinstance(condition, list | set | frozenset) else [condition]


def _said(column: str, value: Any) -> str:
    text = "" if value is None else _text(value)
    if not text:  # the server takes an empty field of a form as no condition
        raise _not_in_an_address(f"{column}: an empty value")
    return text


def _not_in_an_address(what: str) -> UsageError:
    return UsageError(f"an address cannot say {what}; ask with a body: similar_batch([item_id], where=…)")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _json(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    for name in ("tolist", "item"):  # NumPy's arrays and scalars
        if callable(convert := getattr(value, name, None)):
            return convert()
    raise TypeError(f"{type(value).__name__} is none of its types")
