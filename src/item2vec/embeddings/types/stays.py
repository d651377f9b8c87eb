"""The types behind stays: what a user and a listing were at each booking, knowing only what came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.embeddings.types.earlier import EarlierBookings
from item2vec.embeddings.types.fields import Columns, TypeField, floats, text_of
from item2vec.embeddings.types.type_map import TypeMap, Types, coded, columns_of, joined
from item2vec.errors import DataError, UsageError
from item2vec.sessions.columns import token_array
from item2vec.sessions.container import Sessions

Ints = npt.NDArray[np.int64]


class Stays:
    """Bookings with their users' and listings' attributes; says what type each was at a moment.

    Parameters
    ----------
    bookings : Sessions
        Booking sequences with users and times, such as ``sessionize(events, kind="booking", min_length=1)``;
        its item table describes the listings.
    users : pyarrow.Table, optional
        ``user_id`` and attributes.

    Raises
    ------
    UsageError
        If these are no booking sequences with users and times, or the user table has no ``user_id``.
    DataError
        If the user table names a user twice.
    """

    def __init__(self, bookings: Sessions, users: pa.Table | None = None) -> None:
        if not isinstance(bookings, Sessions) or bookings.kind != "booking":
            raise UsageError(
                "types are learned from booking sequences: sessionize(events, kind='booking', min_length=1)"
            )
        if bookings.user_ids is None or bookings.ts_us is None:
            raise UsageError(
                "the booking sequences have no users or no times; sessionize makes them with both"
            )
        self.bookings = bookings
        theirs = _checked_ids(users)
        self.user_ids: pa.Array = pc.unique(pa.chunked_array([bookings.user_ids, theirs]))
        self.owners = np.repeat(self.user_rows(bookings.user_ids), np.diff(bookings.offsets))
        self.tokens = bookings.tokens.astype(np.int64)
        self.ts_us: Ints = bookings.ts_us
        self.users = _aligned(users, self.user_ids)
        self.items: Columns = {} if bookings.items is None else columns_of(bookings.items)
        self._of_users = EarlierBookings(self.owners, self.ts_us)
        self._of_listings = EarlierBookings(self.tokens, self.ts_us)

    def __len__(self) -> int:
        return len(self.tokens)

    def user_rows(self, user_ids: pa.Array | pa.ChunkedArray) -> Ints:
        """Return the number of each user, −1 for one without a booking."""
        return token_array(user_ids.cast(pa.string()), self.user_ids).astype(np.int64)

    def fitted(self, rules: TypeMap) -> TypeMap:
        """Fit the buckets that the rules leave to the data, on these stays."""
        asked = self.owners, self.tokens, self.ts_us

        def fitted(field: TypeField, kind: str) -> TypeField:
            return field if field.is_fitted else field.fitted(self._columns(field, kind, *asked), len(self))

        listing = [fitted(field, "listing") for field in rules.listing_fields]
        user = [fitted(field, "user") for field in rules.user_fields]
        return TypeMap(listing, user)

    def _columns(self, field: TypeField, kind: str, owners: Ints, tokens: Ints, ts_us: Ints) -> Columns:
        """Return the values of one field, and of what its edges go by, for questions."""
        columns = {field.source: self._values(field, kind, owners, tokens, ts_us)}
        table, rows = (self.items, tokens) if kind == "listing" else (self.users, owners)
        if field.by is not None and field.by in table:
            values = [*table[field.by], None]  # the last: whom nobody knows
            columns[field.by] = [values[row] for row in rows.tolist()]
        return columns

    def _values(self, field: TypeField, kind: str, owners: Ints, tokens: Ints, ts_us: Ints) -> Sequence[Any]:
        """Return the values of a field for questions (user, listing, time); an owner −1 has no bookings."""
        if field.count_of is not None:
            earlier, who = (self._of_users, owners) if kind == "user" else (self._of_listings, tokens)
            counts: Sequence[Any] = np.where(who < 0, 0, earlier.counts(np.maximum(who, 0), ts_us)).tolist()
            return counts
        if field.mean_of is not None:
            of_items = floats(field.item_value(self.items, self.bookings.n_items), field.mean_of)
            means = self._of_users.means(of_items[self.tokens], np.maximum(owners, 0), ts_us)
            found: Sequence[Any] = np.where(owners < 0, np.nan, means).tolist()
            return found
        if field.mode_of is not None:
            return self._modes(field, owners, ts_us)
        table, rows, n = (
            (self.users, owners, len(self.user_ids))
            if kind == "user"
            else (self.items, tokens, self.bookings.n_items)
        )
        values = [*field.value(table, n), None]  # the last: whom nobody knows
        return [values[row] for row in rows.tolist()]

    def _modes(self, field: TypeField, owners: Ints, ts_us: Ints) -> Sequence[Any]:
        texts = [text_of(one) for one in field.item_value(self.items, self.bookings.n_items)]
        names = sorted({one for one in texts if one is not None})
        numbers = {name: number for number, name in enumerate(names)}
        codes = np.array([-1 if one is None else numbers[one] for one in texts], np.int64)[self.tokens]
        found = np.where(owners < 0, -1, self._of_users.modes(codes, np.maximum(owners, 0), ts_us))
        return [names[code] if code >= 0 else None for code in found.tolist()]

    def listing_types(self, rules: TypeMap, tokens: Ints, ts_us: Ints) -> Types:
        """Return what type listings were at some moments."""
        return joined(
            [self._coded(field, "listing", tokens * 0 - 1, tokens, ts_us) for field in rules.listing_fields]
        )

    def user_types(self, rules: TypeMap, owners: Ints, ts_us: Ints) -> Types:
        """Return what type users were at some moments, from their bookings strictly before."""
        return joined([self._coded(field, "user", owners, owners * 0, ts_us) for field in rules.user_fields])

    def _coded(self, field: TypeField, kind: str, owners: Ints, tokens: Ints, ts_us: Ints) -> Types:
        static = field.column is not None
        if static:  # one bucket per user or listing, then looked up: there are fewer of them than stays
            table, rows, n = (
                (self.users, owners, len(self.user_ids))
                if kind == "user"
                else (self.items, tokens, self.bookings.n_items)
            )
            buckets = coded([*field.buckets(table, n), field.code + "0"])
            return buckets.of_rows(rows)
        return coded(field.buckets(self._columns(field, kind, owners, tokens, ts_us), len(ts_us)))


def _checked_ids(users: pa.Table | None) -> pa.Array:
    """Return the users of a user table."""
    if users is None:
        return pa.array([], pa.string())
    if not isinstance(users, pa.Table) or "user_id" not in users.column_names:
        raise UsageError("the user table needs a column user_id, and attributes beside it")
    theirs = users["user_id"].cast(pa.string()).combine_chunks()
    if len(pc.unique(theirs)) != len(theirs):
        raise DataError("the user table names a user twice; keep one row per user_id")
    return theirs


def _aligned(users: pa.Table | None, user_ids: pa.Array) -> Columns:
    """Return the attributes of the users, in the order of `user_ids`; None for those without a row."""
    if users is None:
        return {}
    rows = pc.index_in(user_ids, value_set=_checked_ids(users))
    return {name: users[name].take(rows).to_pylist() for name in users.column_names if name != "user_id"}
