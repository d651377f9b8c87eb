"""From attributes to types: rules a person can read and edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from item2vec.embeddings.types.earlier import DIGITS
from item2vec.embeddings.types.fields import Columns, TypeField, check_codes, floats, text_of
from item2vec.settings import checked_settings, read_toml

AIRBNB = Path(__file__).with_name("airbnb.toml")
ANY = "*"
"""The type that every type has in common: nothing is known."""


class Types(NamedTuple):
    """The types of some rows.

    Attributes
    ----------
    names : list of str
        Distinct, ascending.
    codes : ndarray of int64, shape (n_rows,)
        Position of each row's type in `names`.
    """

    names: list[str]
    codes: npt.NDArray[np.int64]

    def of_rows(self, rows: npt.NDArray[np.integer]) -> Types:
        """Return the types of the given rows, with the names that occur among them."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        return Types([self.names[code] for code in used.tolist()], codes.astype(np.int64))

    def to_list(self) -> list[str]:
        """Return the type of every row."""
        return [self.names[code] for code in self.codes.tolist()]


class _Document(BaseModel):
    """A type map's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listing_type: tuple[TypeField, ...] = Field(min_length=1)
    user_type: tuple[TypeField, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fields_make_sense(self) -> Self:
        check_codes(self.listing_type)
        check_codes(self.user_type)
        for field in self.listing_type:
            if field.mean_of is not None or field.mode_of is not None:
                raise ValueError(
                    f"{field.code!r}: a listing has no earlier bookings to take the {field.source}"
                )
        return self


class TypeMap:
    """Rules that give every listing and every user a type (Grbovic & Cheng 2018, Tables 3 and 4).

    A type's name joins one bucket per field: ``US_lt1_pn3_pg3_r3_5s4_c2_b1_bd2_bt2_nu3``. Leaving out its
    last fields gives its ancestors, the types that a rare one backs off to.

    Parameters
    ----------
    listing_fields, user_fields : sequence of TypeField
        In the order of the names, what matters most first.
    """

    def __init__(self, listing_fields: Sequence[TypeField], user_fields: Sequence[TypeField]) -> None:
        self.listing_fields, self.user_fields = tuple(listing_fields), tuple(user_fields)

    @classmethod
    def from_toml(cls, path: str | Path | None = None) -> TypeMap:
        """Read rules; by default the paper's, which lie beside this module as ``airbnb.toml``.

        Raises
        ------
        ConfigError
            If the file is missing or no TOML, or a key or value is wrong; all of them are named.
        """
        file = AIRBNB if path is None else Path(path)
        document = read_toml(file, "type map", "leave it out for the paper's rules, or copy and edit those")
        return cls.from_document(document, str(file))

    @classmethod
    def from_document(cls, document: Mapping[str, Any], origin: str = "type map") -> TypeMap:
        """Check rules given as the mapping that a TOML file holds; see :meth:`from_toml`."""
        found = checked_settings(_Document, document, origin)
        return cls(found.listing_type, found.user_type)

    def to_document(self) -> dict[str, Any]:
        """Return the rules as :meth:`from_document` takes them."""
        kinds = {"listing_type": self.listing_fields, "user_type": self.user_fields}
        return {
            kind: [
                field.model_dump(mode="json", exclude_defaults=True) | {"code": field.code}
                for field in fields
            ]
            for kind, fields in kinds.items()
        }

    def __repr__(self) -> str:
        kinds = (self.listing_fields, self.user_fields)
        return (
            "TypeMap("
            + ", ".join("_".join(field.code or field.source for field in one) for one in kinds)
            + ")"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeMap) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    def listing_type(self, attributes: Mapping[str, Any]) -> str:
        """Return the type of one listing.

        Parameters
        ----------
        attributes : mapping of column to value
            What is known of it; ``"count_of bookings"`` for the number of its earlier bookings.
        """
        return self._one(self.listing_fields, attributes)

    def user_type(
        self, attributes: Mapping[str, Any] | None = None, earlier: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """Return the type of one user.

        Parameters
        ----------
        attributes : mapping of column to value, optional
            Of the user table.
        earlier : sequence of mappings
            The attributes of the listings that the user has booked so far.
        """
        columns: Columns = {
            name: [one.get(name) for one in earlier] for name in {key for one in earlier for key in one}
        }
        known = dict(attributes or {})
        for field in self.user_fields:
            if field.count_of is not None:
                known[field.source] = len(earlier)
            elif field.mean_of is not None:
                values = floats(field.item_value(columns, len(earlier)), field.mean_of)
                some = np.isfinite(values).any()
                known[field.source] = round(float(np.nanmean(values)), DIGITS) if some else None
            elif field.mode_of is not None:
                texts = [text_of(one) for one in field.item_value(columns, len(earlier))]
                seen = [one for one in texts if one is not None]
                known[field.source] = min(set(seen), key=lambda one: (-seen.count(one), one), default=None)
        return self._one(self.user_fields, known)

    @staticmethod
    def _one(fields: Sequence[TypeField], values: Mapping[str, Any]) -> str:
        columns = {name: [value] for name, value in values.items()}
        return "_".join(field.buckets(columns, 1)[0] for field in fields)

    def listing_types(self, items: pa.Table | Columns, n_rows: int | None = None) -> list[str]:
        """Return the type of every row of an item table, or of `n_rows` rows given as columns."""
        columns = columns_of(items) if isinstance(items, pa.Table) else items
        n_rows = len(items) if n_rows is None else n_rows
        return joined([coded(field.buckets(columns, n_rows)) for field in self.listing_fields]).to_list()


def ancestors(name: str) -> list[str]:
    """Return a type, what is left of it without its last field, … and the type of all."""
    parts = name.split("_")
    return ["_".join(parts[:n]) for n in range(len(parts), 0, -1)] + [ANY]


def columns_of(table: pa.Table) -> dict[str, list[Any]]:
    """Return a table's columns as lists."""
    return {name: table[name].to_pylist() for name in table.column_names}


def coded(parts: Sequence[str]) -> Types:
    """Number one field's buckets."""
    names = sorted(set(parts))  # numpy's texts would all be as wide as the longest
    numbers = {name: number for number, name in enumerate(names)}
    return Types(names, np.fromiter((numbers[one] for one in parts), np.int64, len(parts)))


def joined(fields: Sequence[Types]) -> Types:
    """Join the fields of a name, row by row; only the combinations there are get a name."""
    return reduce(_pair, fields)


def _pair(left: Types, right: Types) -> Types:
    keys, codes = np.unique(left.codes * len(right.names) + right.codes, return_inverse=True)
    pairs = [divmod(key, len(right.names)) for key in keys.tolist()]
    return Types([f"{left.names[a]}_{right.names[b]}" for a, b in pairs], codes.astype(np.int64))
