"""One part of a type's name: where its value comes from, and which bucket the value falls into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from item2vec.errors import DataError

Scalar = bool | int | float | str
Columns = Mapping[str, Sequence[Any]]
"""Values by column, one per row; None or NaN where they are missing."""
Edges = Annotated[tuple[float, ...], Field(min_length=1)]
SOURCES = ("column", "mean_of", "mode_of", "count_of")
BUCKETS = ("own", "values", "edges", "quantiles", "frequent")
MISSING = "0"
EVERYONE = ""
"""The group of the edges that hold for all rows."""


class TypeField(BaseModel):
    """One field of a listing's or a user's type.

    The value is that of a column, or is made from the user's bookings before the one in question. The bucket
    is written after the `code`; ``0`` stands for a value that is missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    code: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{0,8}$")]
    """What stands before the bucket in the name, such as ``pn``."""
    column: str | None = None
    """Column of the item table (of a listing's type) or of the user table (of a user's)."""
    ratio: tuple[str, str] | None = None
    """Where the table lacks `column`: one column divided by another."""
    mean_of: str | None = None
    """Mean of an item column over the user's earlier bookings."""
    mode_of: str | None = None
    """The most frequent value of an item column among the user's earlier bookings."""
    count_of: str | None = None
    """``"bookings"``: earlier bookings, the user's or, in a listing's type, the listing's."""
    own: bool = False
    """The value is its own bucket: ``US``."""
    values: tuple[Scalar | tuple[Scalar, ...], ...] | None = None
    """Bucket 1 is the first value (or any of the first values), and so on; others share one more bucket.
    Case does not matter."""
    edges: Edges | dict[str, tuple[float, ...]] | None = None
    """Ascending: bucket 1 lies below the first, bucket 2 from it up to below the second, … Fitted by a group
    they are a table of group = edges."""
    quantiles: Annotated[int, Field(ge=2, le=100)] | None = None
    """Fit so many equally full buckets, fewer where values repeat or a bucket gets too few."""
    frequent: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Fit a bucket for each of so many frequent values."""
    by: str | None = None
    """Fit `quantiles` for each value of this column, as where currencies differ."""
    min_support: Annotated[int, Field(ge=1)] = 50
    """Fewest rows behind a bucket that is fitted."""

    @model_validator(mode="after")
    def _one_source_and_one_rule(self) -> Self:
        for names, what in ((SOURCES, "where its value comes from"), (BUCKETS, "how it is bucketed")):
            given = [name for name in names if getattr(self, name) not in (None, False)]
            if len(given) != 1:
                raise ValueError(f"say {what} by one of {', '.join(names)}, not by {given or 'none'}")
        if self.count_of not in (None, "bookings"):
            raise ValueError("count_of can be 'bookings' only")
        if self.ratio is not None and self.column is None and self.mean_of is None:
            raise ValueError("ratio stands in for a column or for what mean_of averages; give that too")
        for edges in self.edges.values() if isinstance(self.edges, dict) else (self.edges or (),):
            if any(high <= low for low, high in pairwise(edges)):
                raise ValueError(f"edges {list(edges)} do not ascend")
        if self.by is not None and self.quantiles is None and not isinstance(self.edges, dict):
            raise ValueError("by belongs to quantiles")
        if isinstance(self.edges, dict) and self.by is None and set(self.edges) != {EVERYONE}:
            raise ValueError(f"edges of the groups {', '.join(self.edges)}: say by which column (by)")
        if self.values is not None:
            texts = [(text_of(one) or "").casefold() for entry in self.values for one in _alternatives(entry)]
            if not texts or len(set(texts)) < len(texts):
                raise ValueError(f"values {list(self.values)} name none, or one twice (case does not matter)")
        if self.column == "" or self.mean_of == "" or self.mode_of == "":
            raise ValueError("a column has a name")
        return self

    @property
    def is_fitted(self) -> bool:
        """Whether the buckets are known without looking at data."""
        return self.quantiles is None and self.frequent is None

    @property
    def source(self) -> str:
        """The name under which a table of values holds this field's: a column, or ``mean_of price``."""
        if self.column is not None:
            return self.column
        name = next(name for name in SOURCES if getattr(self, name) is not None)
        return f"{name} {getattr(self, name)}"

    def value(self, columns: Columns, n_rows: int) -> Sequence[Any]:
        """Return this field's value in every row; None or NaN where it is missing."""
        return self.looked_up(self.source, columns, n_rows)

    def item_value(self, columns: Columns, n_items: int) -> Sequence[Any]:
        """Return what is averaged or counted over a user's earlier bookings, for every item of a table."""
        return self.looked_up(self.mean_of or self.mode_of or "", columns, n_items)

    def looked_up(self, name: str, columns: Columns, n_rows: int) -> Sequence[Any]:
        """Return a column, or the ratio that stands in for it; None throughout without either."""
        if name in columns:
            return columns[name]
        if self.ratio is not None and set(self.ratio) <= set(columns):
            above, below = (floats(columns[part], part) for part in self.ratio)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios: Sequence[Any] = (above / below).tolist()
            return ratios
        return [None] * n_rows

    def fitted(self, columns: Columns, n_rows: int) -> TypeField:
        """Return this field with the buckets that some rows suggest."""
        if self.frequent is not None:
            return self._replaced(values=self._frequent_values(self.value(columns, n_rows)))
        if self.quantiles is not None:
            values = floats(self.value(columns, n_rows), self.source)
            names, groups = self._groups(columns, n_rows)
            edges = {
                name: _quantile_edges(values[groups == number], self.quantiles, self.min_support)
                for number, name in enumerate(names)
            }
            return self._replaced(edges=edges)
        return self

    def _replaced(self, **rule: object) -> TypeField:
        return self.model_copy(update={"quantiles": None, "frequent": None, **rule})

    def _frequent_values(self, values: Sequence[Any]) -> tuple[str, ...]:
        counts = Counter(text.casefold() for text in map(text_of, values) if text is not None)
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        assert self.frequent is not None
        return tuple(name for name, n in ranked[: self.frequent] if n >= self.min_support)

    def _groups(self, columns: Columns, n_rows: int) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Return what edges go by, and which of them each row goes by."""
        if self.by is None or self.by not in columns:
            return [EVERYONE], np.zeros(n_rows, np.int64)
        texts = [text_of(one) or EVERYONE for one in columns[self.by]]
        names = sorted(set(texts))
        numbers = {name: number for number, name in enumerate(names)}
        return names, np.fromiter((numbers[one] for one in texts), np.int64, n_rows)

    def buckets(self, columns: Columns, n_rows: int) -> list[str]:
        """Return every row's part of the name: the code and the bucket.

        Raises
        ------
        DataError
            If a column that is bucketed by numbers holds text.
        """
        values = self.value(columns, n_rows)
        if self.own:
            found = [MISSING if one is None else escaped(one) for one in map(text_of, values)]
        elif self.values is not None:
            numbers, other = self._value_numbers(), len(self.values) + 1
            found = [
                MISSING if one is None else str(numbers.get(one.casefold(), other))
                for one in map(text_of, values)
            ]
        else:
            found = self._numbers(floats(values, self.source), columns)
        return [self.code + one for one in found]

    def _value_numbers(self) -> dict[str, int]:
        assert self.values is not None
        numbers: dict[str, int] = {}
        for place, alternatives in enumerate(self.values, 1):
            for one in _alternatives(alternatives):
                numbers.setdefault((text_of(one) or "").casefold(), place)
        return numbers

    def _numbers(self, values: npt.NDArray[np.float64], columns: Columns) -> list[str]:
        found = np.zeros(len(values), np.int64)
        known = np.isfinite(values)
        by_group = self.edges if isinstance(self.edges, dict) else {EVERYONE: self.edges}
        names, groups = self._groups(columns, len(values))
        for number, name in enumerate(names):
            rows = known & (groups == number)
            edges = by_group.get(name, ()) or ()
            found[rows] = 1 + np.searchsorted(np.asarray(edges, np.float64), values[rows], side="right")
        return found.astype(str).tolist()


def _alternatives(entry: Scalar | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    """Return the values of one bucket."""
    return entry if isinstance(entry, tuple) else (entry,)


def _quantile_edges(values: npt.NDArray[np.float64], n: int, min_support: int) -> tuple[float, ...]:
    """Return ascending edges of at most `n` buckets with `min_support` values each."""
    values = np.sort(values[np.isfinite(values)])
    edges: list[float] = []
    taken = 0
    for share in np.arange(1, n) / n:
        if not len(values):
            break
        edge = float(values[min(int(np.ceil(share * len(values))), len(values) - 1)])
        below = int(np.searchsorted(values, edge, side="left"))
        if below - taken >= min_support and len(values) - below >= min_support:
            edges.append(edge)
            taken = below
    return tuple(edges)


def text_of(value: Any) -> str | None:
    """Write a value as the rules compare it: ``2.0`` is ``2``, true is ``true``, NaN is missing.

    Raises
    ------
    DataError
        If it is no single value.
    """
    if isinstance(value, list | tuple | dict | set | np.ndarray):
        raise DataError(f"an attribute is a {type(value).__name__}, and types are made of single values")
    if value is None or bool(value != value):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def escaped(value: str) -> str:
    """Write a value so that ``_`` still parts the fields of a name, and ``0`` still says *missing*."""
    found = value.replace("%", "%25").replace("_", "%5F").replace("*", "%2A")
    return "%30" if found == MISSING else found


def floats(values: Sequence[Any], name: str) -> npt.NDArray[np.float64]:
    """Return numbers as float64, NaN where they are missing or infinite."""
    try:
        found = np.fromiter(
            (np.nan if one is None else float(one) for one in values), np.float64, len(values)
        )
    except OverflowError:  # a whole number beyond all floats is no price
        return floats([None if isinstance(one, int) and abs(one) > 1e300 else one for one in values], name)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name!r} holds text, and the type map buckets it by numbers; use values, own or frequent for it"
        ) from error
    return np.where(np.isfinite(found), found, np.nan)


def check_codes(fields: Sequence[TypeField]) -> None:
    """Refuse two fields of one code, which could not be told apart in a name."""
    codes = [field.code for field in fields]
    twice = next((code for code in codes if codes.count(code) > 1), None)
    if twice is not None:
        raise ValueError(f"two fields have the code {twice!r}; give each its own")
