"""Cold vectors, and for each of them where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_floats, arrow_numbers, arrow_texts
from item2vec.embeddings.cold_start.features import Codes

TIERS = ("nearest", "attributes", "market", "none")
NEAREST, ATTRIBUTES, MARKET, NONE = range(4)
DONORS_NAMED = 10
"""Of the listings that share most attributes, so many are named; they may be thousands."""


@dataclass(frozen=True, eq=False)
class ColdVectors:
    """Vectors of listings that were never clicked.

    Attributes
    ----------
    ids : pyarrow.Array, shape (n,)
        Of the listings without a trained vector, in the order of the item table.
    vectors : ndarray of float32, shape (n, d)
        NaN throughout where the tier is ``none``: no answer is no vector.
    context_vectors : ndarray of float32, shape (n, d), or None
        The same means of the output vectors, where the model kept them.
    provenance : pyarrow.Table
        A row per listing: ``item_id``; ``tier`` (nearest, attributes, market, none); ``n_donors``, how many
        listings it is the mean of; ``donors``, their ids (all of them for nearest, by distance; the first ten
        by id for attributes; none for market); ``farthest_miles`` (nearest only, else null); ``n_shared``,
        attributes that each donor shares with it, the market included; ``shared``, the columns that all
        donors share with it.
    n_warm : int
        Rows of the item table that have a trained vector and were left as they are.
    """

    ids: pa.Array
    vectors: npt.NDArray[np.float32]
    context_vectors: npt.NDArray[np.float32] | None
    provenance: pa.Table
    n_warm: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which listings have a vector, shape (n,)."""
        return np.asarray(np.isfinite(self.vectors).all(axis=1))

    def coverage(self) -> dict[str, float]:
        """Return the share of the listings per tier, 0 … 1 (0 throughout without a listing)."""
        counted = {
            one["values"]: one["counts"] for one in pc.value_counts(self.provenance["tier"]).to_pylist()
        }
        return {tier: counted.get(tier, 0) / max(len(self), 1) for tier in TIERS}

    def __repr__(self) -> str:
        tiers = ", ".join(f"{tier} {share:.1%}" for tier, share in self.coverage().items())
        return f"ColdVectors({len(self):,} listings: {tiers})"


class Findings:
    """What the tiers found, listing by listing, until all is known."""

    def __init__(self, n: int, columns: Sequence[str]) -> None:
        self.tiers = np.full(n, NONE)
        self.n_donors = np.zeros(n, np.int32)
        self.farthest = np.full(n, np.nan)
        self.n_shared = np.zeros(n, np.int32)
        self.shared = np.zeros((n, len(columns)), np.bool_)
        self._columns = list(columns)
        self._named: list[tuple[Codes, Codes]] = []

    def open_rows(self) -> Codes:
        """Return the listings that no tier has answered for yet."""
        return np.flatnonzero(self.tiers == NONE)

    def answer(self, tier: int, rows: Codes, n_donors: npt.NDArray[Any], n_shared: Any) -> None:
        """Note that a tier answers for some listings."""
        self.tiers[rows], self.n_donors[rows], self.n_shared[rows] = tier, n_donors, n_shared

    def share(self, rows: Codes, names: Sequence[str | None], flags: npt.NDArray[np.bool_] | bool) -> None:
        """Note which columns all donors share with some listings."""
        columns = [self._columns.index(name) for name in names if name is not None]
        if columns:
            self.shared[np.ix_(rows, np.array(columns))] |= flags

    def name_donors(self, rows: Codes, donors: Codes) -> None:
        """Note donors, one row per pair, in their order."""
        self._named.append((rows, donors))

    def withdraw(self, rows: Codes) -> None:
        """Take back the answer for some listings."""
        self.answer(NONE, rows, np.zeros(len(rows)), 0)
        self.farthest[rows], self.shared[rows] = np.nan, False

    def table(self, donor_ids: pa.Array) -> pa.Table:
        """Write everything down; see :class:`ColdVectors`."""
        rows = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in self._named)])
        donors = np.concatenate([np.zeros(0, np.int64), *(donors for _, donors in self._named)])
        kept = self.tiers[rows] != NONE
        rows, donors = rows[kept], donors[kept]
        order = np.argsort(rows, kind="stable")
        named = donor_ids.take(arrow_numbers(donors[order]))
        sharing, columns = np.nonzero(self.shared)
        names = arrow_texts(self._columns).take(arrow_numbers(columns))
        return pa.table(
            {
                "tier": arrow_texts(TIERS).take(arrow_numbers(self.tiers.astype(np.int32))),
                "n_donors": arrow_numbers(self.n_donors),
                "donors": _lists(named, rows, len(self.tiers)),
                "farthest_miles": arrow_floats(self.farthest),
                "n_shared": arrow_numbers(self.n_shared),
                "shared": _lists(names, sharing, len(self.tiers)),
            }
        )


def _lists(values: pa.Array, rows: npt.NDArray[np.integer[Any]], n: int) -> pa.Array:
    offsets = np.zeros(n + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=n), out=offsets[1:])
    return pa.ListArray.from_arrays(arrow_numbers(offsets), values)
