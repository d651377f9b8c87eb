"""Sessions in memory: ragged arrays of item tokens, validated once, without a Python object per click."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.arrow import arrow_numbers
from item2vec.errors import DataError, UsageError
from item2vec.sessions import columns as col
from item2vec.sessions.checks import check_sessions
from item2vec.vocabulary import ItemId

KINDS = ("click", "booking")
_DTYPES = {
    "tokens": np.int32,
    "offsets": np.int64,
    "booked": np.int32,
    "booked_offsets": np.int64,
    "weights": np.float32,
    "session_ids": np.int64,
    "markets": np.int32,
    "start_us": np.int64,
    "end_us": np.int64,
    "ts_us": np.int64,
    "booked_us": np.int64,
}


@dataclass(frozen=True, eq=False)
class Sessions:
    """Click sessions, or booking sequences, over one list of items.

    A *token* is the position of an item in `item_ids`. Session ``s`` has the tokens
    ``tokens[offsets[s]:offsets[s + 1]]`` in time order and the booked items
    ``booked[booked_offsets[s]:booked_offsets[s + 1]]``, each of which weighs one over their number.

    Parameters
    ----------
    item_ids : pyarrow.Array of string or int64, shape (n_items,)
        Distinct ids, ascending: every clicked and every booked item.
    tokens : ndarray of int32, shape (n_clicks,)
    offsets : ndarray of int64, shape (n_sessions + 1,)
        Strictly increasing: no session is empty.
    booked : ndarray of int32, shape (n_booked,)
        Distinct within a session, in the order of their first booking.
    booked_offsets : ndarray of int64, shape (n_sessions + 1,)
    weights : ndarray of float32, shape (n_sessions,)
        Expected visits per epoch, positive.
    session_ids : ndarray of int64, shape (n_sessions,)
    user_ids : pyarrow.Array of string, shape (n_sessions,), optional
    start_us, end_us : ndarray of int64, shape (n_sessions,), optional
        Time of the first and of the last token, microseconds since 1970 (UTC).
    ts_us : ndarray of int64, shape (n_clicks,), optional
        Time of every token, microseconds since 1970 (UTC).
    booked_us : ndarray of int64, shape (n_booked,), optional
        Time of each booked item's first booking in its session, microseconds since 1970 (UTC): not before the
        session's start, maybe after its end. None where it is unknown.
    markets : ndarray of int32, shape (n_items,)
        Market of each item as a position in `market_names`; −1 where it is unknown.
    market_names : tuple of str
        Distinct, ascending.
    items : pyarrow.Table, optional
        ``item_id``, ``market`` and every further attribute; row t describes token t.
    kind : {"click", "booking"}
    funnel : dict
        What came in and what each rule took (JSON).

    Raises
    ------
    DataError
        If the columns do not fit together; the message names the first one that does not.
    """

    item_ids: pa.Array
    tokens: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    booked: npt.NDArray[np.int32]
    booked_offsets: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    session_ids: npt.NDArray[np.int64]
    user_ids: pa.Array | None = None
    start_us: npt.NDArray[np.int64] | None = None
    end_us: npt.NDArray[np.int64] | None = None
    ts_us: npt.NDArray[np.int64] | None = None
    booked_us: npt.NDArray[np.int64] | None = None
    markets: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    market_names: tuple[str, ...] = ()
    items: pa.Table | None = None
    kind: str = "click"
    funnel: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _as_dtype(name, values, dtype))
        for name in ("item_ids", "user_ids"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, col.one_array(getattr(self, name)))
        if self.kind not in KINDS:
            raise DataError(f"kind is {self.kind!r}; it is one of {', '.join(KINDS)}")
        check_sessions(self)

    def __len__(self) -> int:
        return len(self.session_ids)

    def __repr__(self) -> str:
        kind = {"click": "click sessions", "booking": "booking sequences"}[self.kind]
        return f"Sessions({len(self):,} {kind}, {self.n_clicks:,} tokens, {self.n_items:,} items)"

    @property
    def n_items(self) -> int:
        """Number of distinct items, clicked or booked."""
        return len(self.item_ids)

    @property
    def n_clicks(self) -> int:
        """Number of tokens over all sessions."""
        return len(self.tokens)

    @property
    def id_type(self) -> str:
        """``"string"`` or ``"int64"``."""
        return "string" if pa.types.is_string(self.item_ids.type) else "int64"

    def session_markets(self) -> npt.NDArray[np.int32]:
        """Return the market of each session, shape (n_sessions,): its tokens' most frequent one.

        Ties go to the market whose name comes first; tokens of unknown market have no say; −1 where
        no token has a market.
        """
        result = np.full(len(self), -1, np.int32)
        markets = self.markets[self.tokens]
        rows = np.repeat(np.arange(len(self)), np.diff(self.offsets))[markets >= 0]
        n_markets = max(len(self.market_names), 1)
        pairs, votes = np.unique(rows * n_markets + markets[markets >= 0], return_counts=True)
        # Written from the weakest claim to the strongest: the last write to a session stands.
        order = np.lexsort((-(pairs % n_markets), votes))
        result[pairs[order] // n_markets] = pairs[order] % n_markets
        return result

    def take(self, session_numbers: Sequence[int] | npt.NDArray[Any]) -> Sessions:
        """Return the chosen sessions, in the given order, over the same items.

        Parameters
        ----------
        session_numbers : sequence of int, or ndarray of bool, shape (n_sessions,)
            Positions of sessions (not their ids), or a mask.

        Raises
        ------
        UsageError
            If a number is not in ``[0, n_sessions)`` or a mask has another length.
        """
        rows = _session_rows(session_numbers, len(self))
        clicks, offsets = col.gather(self.offsets, rows)
        bookings, booked_offsets = col.gather(self.booked_offsets, rows)
        return replace(
            self,
            tokens=self.tokens[clicks],
            offsets=offsets,
            booked=self.booked[bookings],
            booked_offsets=booked_offsets,
            weights=self.weights[rows],
            session_ids=self.session_ids[rows],
            user_ids=None if self.user_ids is None else self.user_ids.take(arrow_numbers(rows)),
            start_us=None if self.start_us is None else self.start_us[rows],
            end_us=None if self.end_us is None else self.end_us[rows],
            ts_us=None if self.ts_us is None else self.ts_us[clicks],
            booked_us=None if self.booked_us is None else self.booked_us[bookings],
        )

    def to_lists(self) -> list[list[ItemId]]:
        """Return every session as a list of item ids, in time order."""
        ids: list[ItemId] = self.item_ids.take(arrow_numbers(self.tokens)).to_pylist()
        bounds = self.offsets.tolist()
        return [ids[start:end] for start, end in pairwise(bounds)]

    @classmethod
    def from_lists(
        cls,
        lists: Iterable[Sequence[ItemId]],
        booked: Iterable[Sequence[ItemId]] | None = None,
        markets: Mapping[ItemId, str] | None = None,
        weights: Sequence[float] | npt.NDArray[Any] | None = None,
        items: pa.Table | None = None,
    ) -> Sessions:
        """Build sessions from Python lists of item ids, without times.

        Parameters
        ----------
        lists : iterable of sequences of str or int
            One sequence of item ids per session, in time order, none of them empty.
        booked : iterable of sequences, optional
            The booked items of each session, ``[["L1"], [], …]``; default none.
        markets : mapping of item id to market name, optional
            Goes before the market of the item table; a whole number is its digits.
        weights : sequence of float, shape (n_sessions,), optional
            Default 1.
        items : pyarrow.Table, optional
            Item attributes with a column ``item_id``.

        Raises
        ------
        DataError
            If a session is empty, it or its booked items are no list, ids are of mixed types, or lengths
            differ.
        """
        clicked, lengths = col.flatten_ids(lists, "session")
        bookings, booked_lengths = col.flatten_ids(
            () if booked is None else booked, "booked entry", distinct=True
        )
        if booked is None:
            booked_lengths = np.zeros_like(lengths)
        if len(booked_lengths) != len(lengths):
            raise DataError(f"{len(lengths)} sessions but {len(booked_lengths)} lists of booked items")
        item_ids, tokens = col.number_ids(clicked + bookings)
        offsets = col.offsets_of(lengths)
        table, names = _item_table(items, item_ids, markets)
        market_nums, market_names = col.encode_markets(names)
        return cls(
            item_ids=item_ids,
            tokens=tokens[: offsets[-1]],
            offsets=offsets,
            booked=tokens[offsets[-1] :],
            booked_offsets=col.offsets_of(booked_lengths),
            weights=np.ones(len(lengths), np.float32) if weights is None else np.asarray(weights, np.float32),
            session_ids=np.arange(len(lengths), dtype=np.int64),
            markets=market_nums,
            market_names=market_names,
            items=table,
        )

    def save(self, path: str | Path) -> None:
        """Write the Parquet artifact into a folder; see :func:`item2vec.sessions.artifact.save_sessions`."""
        from item2vec.sessions.artifact import save_sessions

        save_sessions(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Sessions:
        """Read the Parquet artifact; see :func:`item2vec.sessions.artifact.load_sessions`."""
        from item2vec.sessions.artifact import load_sessions

        return load_sessions(Path(path))


def _as_dtype(name: str, values: Any, dtype: Any) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"{name} has {array.ndim} dimensions; it has one")
    if not np.can_cast(array.dtype, dtype, "same_kind") and array.size:
        raise DataError(f"{name} is {array.dtype}; it must be {np.dtype(dtype)}")
    return np.ascontiguousarray(array, dtype)


def _session_rows(session_numbers: Any, n_sessions: int) -> npt.NDArray[np.int64]:
    rows = np.asarray(session_numbers)
    if rows.dtype == bool:
        if rows.shape != (n_sessions,):
            raise UsageError(f"the mask has shape {rows.shape}; there are {n_sessions} sessions")
        return np.flatnonzero(rows)
    if rows.size and (rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer)):
        raise UsageError("session numbers are one row of integers, or a mask")
    rows = rows.astype(np.int64).reshape(-1)
    if rows.size and (rows.min() < 0 or rows.max() >= n_sessions):
        raise UsageError(f"session numbers go from 0 to {n_sessions - 1}, not {rows.min()} to {rows.max()}")
    return rows


def _item_table(
    items: pa.Table | None, item_ids: pa.Array, markets: Mapping[ItemId, str] | None
) -> tuple[pa.Table | None, pa.Array]:
    known = pa.nulls(len(item_ids), pa.string())
    if markets:
        known = col.first_known(col.market_array(markets.get(item) for item in item_ids.to_pylist()))
    if items is None:
        return None, known
    table = col.align_items(items, item_ids)
    if "market" in table.column_names:
        known = col.first_known(known, table["market"])
    return col.put_market(table, known), known
