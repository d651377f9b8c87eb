"""The fields of the filter form, made from an item table's columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from item2vec.serving.explorer.columns import columns_of, words

if TYPE_CHECKING:
    from item2vec.serving.conditions import Pairs
    from item2vec.serving.lookups import Lookups

MOST_FIELDS = 16
MOST_OPTIONS = 200
"""Values that are offered; of a column with more, one is typed."""


class Field(NamedTuple):
    """A field.

    Attributes
    ----------
    name : str
        In addresses, without the ends' prefixes.
    label : str
    kind : str
        ``choice``, ``text``, ``number``, ``date`` or ``boolean``.
    options : list of str
        Of a choice.
    values : list of str
        What is asked now; of a range its low and high end.
    """

    name: str
    label: str
    kind: str
    options: list[str]
    values: list[str]


def fields_of(lookups: Lookups, filters: Pairs) -> list[Field]:
    """Return the fields for a release, filled with what is asked now."""
    columns, fields = columns_of(lookups.conditions.kinds), []
    for name in columns.filters[:MOST_FIELDS]:
        kind, options = columns.kinds[name], []
        if kind == "text" and lookups.loaded.attributes is not None:
            options = sorted(lookups.loaded.attributes.column(name).codes)
            kind = "choice" if 0 < len(options) <= MOST_OPTIONS else "text"
        values = [value for asked, value in filters if asked == name]
        if kind in ("number", "date"):
            ends = dict(filters)
            values = [ends.get(f"min_{name}", ""), ends.get(f"max_{name}", "")]
        fields.append(Field(name, words(name), kind, options if kind == "choice" else [], values))
    return fields
