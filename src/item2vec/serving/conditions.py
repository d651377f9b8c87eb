"""Conditions on item attributes: from an address or a body to the ``where`` of a recommender."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from item2vec.errors import UsageError
from item2vec.recommendations.attributes import FLAG, NUMBER, TEXT, TIME
from item2vec.serving.limits import MAX_NAME, MAX_TEXT, MAX_VALUES
from item2vec.serving.problems import Problem, refused

if TYPE_CHECKING:
    from item2vec.recommendations.attributes import Column, ItemAttributes

Pairs = list[tuple[str, str]]
_FLAGS = {"true": True, "false": False}
_LARGEST = 2**63
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_KINDS = {TEXT: "text", NUMBER: "number", TIME: "date", FLAG: "boolean"}


def kind_of(column: Column) -> str:
    """Return the kind of a column in the API's words: text, number, date or boolean."""
    return _KINDS[column.kind]


def query_pairs(query: bytes) -> Pairs:
    """Return the names and values of a query string.

    Raises
    ------
    Problem
        If it is no percent-encoded UTF-8.
    """
    pairs = []
    for part in query.split(b"&") if query else ():
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        try:
            pairs.append((unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()))
        except UnicodeError:
            raise Problem(422, "The query is no percent-encoded UTF-8.") from None
    return pairs


class Conditions:
    """Reads conditions on the columns of one release's item table.

    Parameters
    ----------
    attributes : ItemAttributes or None
        None where the release has no item table.
    """

    def __init__(self, attributes: ItemAttributes | None) -> None:
        self._columns: dict[str, Column] = {}
        for name in [] if attributes is None else attributes.names:
            try:
                self._columns[name] = attributes.column(name)  # type: ignore[union-attr]
            except UsageError:  # a list or a struct: no column to filter by
                continue

    @property
    def kinds(self) -> dict[str, str]:
        """The columns that conditions can name, and their kinds."""
        return {name: kind_of(column) for name, column in self._columns.items()}

    def of_query(self, pairs: Pairs) -> dict[str, Any] | None:
        """Return the conditions of a query string: ``market=Paris&min_price=50&max_price=90``.

        A name that is given twice allows either value; one without a value, as an empty field of a form
        sends it, asks nothing.

        Raises
        ------
        Problem
            If a column is unknown or a value does not fit it.
        """
        values: dict[str, list[Any]] = {}
        ends: dict[str, list[Any]] = {}
        for name, text in pairs:
            end, column_name = _end_of(name, self._columns)
            column = self._column(column_name, "query")
            if not text:
                continue
            if end is None:
                values.setdefault(column_name, []).append(_of_text(column, text))
            elif column_name in ends and ends[column_name][end] is not None:
                raise refused("query", "a minimum or maximum is given once")
            else:
                ends.setdefault(column_name, [None, None])[end] = _of_text(column, text)
        if values.keys() & ends.keys():
            raise refused("query", "a column has a range or values, not both")
        if any(len(several) > MAX_VALUES for several in values.values()):
            raise refused("query", f"a column has at most {MAX_VALUES} values")
        where: dict[str, Any] = {
            name: several[0] if len(several) == 1 else several for name, several in values.items()
        }
        where |= {name: self._range(name, low, high, "query") for name, (low, high) in ends.items()}
        return where or None

    def of_json(self, where: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return the conditions of a body: a value, a list of values, or ``{"min": 50, "max": 90}``.

        Raises
        ------
        Problem
            As in :meth:`of_query`.
        """
        found: dict[str, Any] = {}
        for name, condition in (where or {}).items():
            column = self._column(name, "body.where")
            if isinstance(condition, list):
                found[name] = [_of_value(column, one, "body.where") for one in condition]
            elif condition is None or isinstance(condition, str | bool | int | float):
                found[name] = _of_value(column, condition, "body.where")
            else:
                low, high = (
                    None if end is None else _of_value(column, end, "body.where")
                    for end in (condition.min, condition.max)
                )
                found[name] = self._range(name, low, high, "body.where")
        return found or None

    def attributes(self, given: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the attributes of an item as the item table has them, or refuse them."""
        return {name: _of_value(self._column(name, where), one, where) for name, one in given.items()}

    def _range(self, name: str, low: Any, high: Any, where: str) -> tuple[Any, Any]:
        if self._columns[name].kind not in (NUMBER, TIME):
            raise refused(where, f"{name} is {self._columns[name].kind} and has no minimum or maximum")
        if low is not None and high is not None and _moment(low) > _moment(high):
            raise refused(where, f"the minimum of {name} is above its maximum")
        return (low, high)

    def _column(self, name: str, where: str) -> Column:
        if name not in self._columns:
            known = ", ".join(list(self._columns)[:20]) or "none, as there is no item table"
            raise refused(where, f"an unknown column; there are: {known}")
        return self._columns[name]


def _moment(value: Any) -> Any:
    """Return a date as a moment, so that two ends compare."""
    if not isinstance(value, dt.date):
        return value
    moment = value if isinstance(value, dt.datetime) else dt.datetime(value.year, value.month, value.day)
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment


def _end_of(name: str, columns: Mapping[str, Any]) -> tuple[int | None, str]:
    """Tell ``min_price`` (0) and ``max_price`` (1) from a column's own name (None)."""
    for end, prefix in enumerate(("min_", "max_")):
        if name.startswith(prefix) and name not in columns:
            return end, name.removeprefix(prefix)
    return None, name


def _of_text(column: Column, text: str) -> Any:
    """Convert the text of an address to the kind of a column."""
    if column.kind == NUMBER:
        if _NUMBER.fullmatch(text) is None:  # Python would read 1_0, and digits of other scripts
            raise refused("query", f"{column.name} is a number")
        return _of_value(column, int(text) if _WHOLE.fullmatch(text) else float(text), "query")
    if column.kind == FLAG:
        if text not in _FLAGS:
            raise refused("query", f"{column.name} is true or false")
        return _FLAGS[text]
    return _of_value(column, text, "query")


def _of_value(column: Column, value: Any, where: str) -> Any:
    """Return a value as the column has it, or refuse it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if column.kind == TEXT and isinstance(value, str) and len(value) <= MAX_TEXT:
        return value
    if column.kind == FLAG and isinstance(value, bool):
        return value
    if column.kind == NUMBER and is_number and abs(value) < _LARGEST:  # NaN is not
        return value
    if column.kind == TIME and isinstance(value, str) and len(value) <= MAX_NAME:
        try:
            found = dt.datetime.fromisoformat(value) if "T" in value else dt.date.fromisoformat(value)
            _moment(found)
            return found
        except (ValueError, OverflowError):  # the year 1, read in UTC, may be the year 0
            pass
    raise refused(where, f"{column.name} is {'a text' if column.kind == TEXT else column.kind}")


def only(pairs: Sequence[tuple[str, str]], names: frozenset[str]) -> dict[str, str]:
    """Return the values of names that may come once each.

    Raises
    ------
    Problem
        If another name comes, or one twice.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in names:
            raise refused("query", f"an unknown parameter; there are: {', '.join(sorted(names)) or 'none'}")
        if name in found:
            raise refused("query", f"{name} is given twice")
        found[name] = value
    return found
