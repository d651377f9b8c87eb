"""The three tiers, each asked for the listings that the ones before it left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.embeddings.cold_start.features import Codes, Encoder, Features
from item2vec.embeddings.cold_start.nearest import NearestPlaces
from item2vec.embeddings.cold_start.result import ATTRIBUTES, DONORS_NAMED, MARKET, NEAREST, Findings
from item2vec.embeddings.cold_start.sharing import share_most
from item2vec.embeddings.item_vectors import ItemVectors

Tables = list[npt.NDArray[np.float32]]


class Tiers:
    """Donors, and what they give.

    Parameters
    ----------
    donors : pyarrow.Table
        Their attributes, ascending by id.
    ids : pyarrow.Array
    nums : ndarray of int, shape (n_donors,)
        Their rows in `vectors`.
    vectors : ItemVectors
    settings : mapping
        The hyper-parameters of :class:`~item2vec.ColdStart`.
    """

    def __init__(
        self,
        donors: pa.Table,
        ids: pa.Array,
        nums: npt.NDArray[Any],
        vectors: ItemVectors,
        settings: Mapping[str, Any],
    ) -> None:
        self._encoder = Encoder(donors, settings)
        self._donors: Features = self._encoder.encode(donors)
        self._ids, self._nums, self._vectors = ids, nums, vectors
        self._nearest = NearestPlaces(self._donors, settings["n_nearest"], settings["max_miles"])
        self._same = [settings[f"{one}_column"] for one in ("market", "type", "price")]
        self._market: str | None = self._same[0]

    def price_edges(self) -> dict[Any, list[float]]:
        """Return the inner edges of the price buckets by market; the key is None where all are one market."""
        names = [None] if self._market is None else self._encoder.market_names
        return dict(zip(names, self._encoder.edges.tolist(), strict=False))

    def answer(self, attributes: pa.Table) -> tuple[Tables, pa.Table]:
        """Return the means, one table per kind of vector, (n, d) float32, and the provenance without ids."""
        cold, n = self._encoder.encode(attributes), attributes.num_rows
        columns = [name for name in dict.fromkeys((*self._same, *cold.attributes)) if name is not None]
        found = Findings(n, columns)
        tables = [np.full((n, self._vectors.vector_size), np.nan, np.float32) for _ in self._trained()]
        self._from_nearest(cold, found, tables)
        self._from_attributes(cold, found, tables)
        self._from_market(cold, found, tables)
        # Means that cancel out point nowhere: an index would refuse them.
        lost = np.flatnonzero(~tables[0].any(axis=1))
        found.withdraw(lost)
        for table in tables:
            table[lost] = np.nan
        return tables, found.table(self._ids)

    def _trained(self) -> Tables:
        tables = [self._vectors.vectors, self._vectors.context_vectors]
        return [np.asarray(table) for table in tables if table is not None]

    def _fill(self, tables: Tables, rows: Codes, offsets: Codes, donors: Codes) -> None:
        """Write the means of ragged donors into the rows of both tables."""
        from scipy.sparse import csr_array

        if not len(rows):
            return
        sizes, shape = np.diff(offsets), (len(rows), len(self._vectors.vocabulary))
        mixing = csr_array((np.ones(len(donors), np.float32), self._nums[donors], offsets), shape=shape)
        for table, trained in zip(tables, self._trained(), strict=True):
            table[rows] = (mixing @ trained) / sizes[:, None]

    def _from_nearest(self, cold: Features, found: Findings, tables: Tables) -> None:
        nums, miles = self._nearest.find(cold)
        sizes = (nums >= 0).sum(axis=1)
        rows = np.flatnonzero(sizes)
        donors = nums[rows][nums[rows] >= 0]
        found.answer(NEAREST, rows, sizes[rows], sum(name is not None for name in self._same))
        found.farthest[rows] = miles[rows, sizes[rows] - 1]
        found.share(rows, self._same, True)
        found.name_donors(np.repeat(rows, sizes[rows]), donors)
        self._fill(tables, rows, np.r_[0, np.cumsum(sizes[rows])], donors)

    def _from_attributes(self, cold: Features, found: Findings, tables: Tables) -> None:
        for alike in share_most(cold, self._donors, found.open_rows()):
            rows, sizes = alike.rows, np.diff(alike.offsets)
            in_market = self._has_donors(cold.markets[rows]) & (self._market is not None)
            found.answer(ATTRIBUTES, rows, sizes, alike.n_shared + in_market)
            found.share(rows, list(cold.attributes), alike.shared)
            found.share(rows, [self._market], in_market[:, None])
            place = np.arange(len(alike.donors)) - np.repeat(alike.offsets[:-1], sizes)
            first = place < DONORS_NAMED
            found.name_donors(np.repeat(rows, sizes)[first], alike.donors[first])
            self._fill(tables, rows, alike.offsets, alike.donors)

    def _from_market(self, cold: Features, found: Findings, tables: Tables) -> None:
        rows = found.open_rows()
        rows = rows[self._has_donors(cold.markets[rows])]
        for market in np.unique(cold.markets[rows]):
            of_market = rows[cold.markets[rows] == market]
            donors = np.flatnonzero(self._donors.markets == market)
            found.answer(
                MARKET, of_market, np.full(len(of_market), len(donors)), int(self._market is not None)
            )
            found.share(of_market, [self._market], True)
            for table, trained in zip(tables, self._trained(), strict=True):
                table[of_market] = trained[self._nums[donors]].mean(axis=0, dtype=np.float64)

    def _has_donors(self, markets: Codes) -> npt.NDArray[np.bool_]:
        # A market that the encoder knows is a donor's; one shard for all may have none at all.
        return (markets >= 0) & (len(self._nums) > 0)
