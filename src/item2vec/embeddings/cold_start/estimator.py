"""Cold start: a vector for a listing without clicks, from others near it, like it, or in its market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_numbers
from item2vec.embeddings.cold_start import checks
from item2vec.embeddings.cold_start.result import ColdVectors
from item2vec.embeddings.cold_start.tiers import Tiers
from item2vec.embeddings.item_vectors import ItemVectors
from item2vec.embeddings.parameters import Estimator
from item2vec.errors import UsageError
from item2vec.vocabulary import Vocabulary


class ColdStart(Estimator):
    """Vectors for listings that nobody has clicked yet, as means of the vectors of others, in three tiers.

    ``nearest``: the `n_nearest` geographically closest listings within `max_miles` of the same market, type
    and price bucket (Grbovic & Cheng, KDD 2018, Section 3.1: 3 within 10 miles, which covered more than 98 %
    of their new listings); fewer where there are fewer. ``attributes``: all listings of its market that share
    the most attributes with it, at least one; of the whole catalogue where its market is unknown or new. Two
    numbers are shared when they differ by at most 10 %. ``market``: the market's mean. ``none``: no vector,
    also where a mean cancels out.

    Means are taken of input and of output vectors alike, as they are: vectors brought to length 1 first keep
    as much style, and are found a little less often as the next click. A listing takes part as a donor if it
    has a vector that is not zero, and a row in the item table. Distances are great circles on a sphere of
    6,371 km (haversine), to a millionth of a mile; equal ones are decided by id.

    What is unknown agrees with nothing: a listing without coordinates, market, type or price cannot reach the
    first tier. Unknown are nulls, NaN, infinite and negative prices, latitudes beyond ±90° and longitudes
    beyond ±180° (the places at +180° and −180° are one), and every value of a column that the table lacks.

    Parameters
    ----------
    n_nearest : int
        Donors of the first tier.
    max_miles : float
        How far they may be.
    market_column, type_column, price_column : str or None
        Columns that the donors of the first tier share; None asks for none. Without a market column all
        listings are one market.
    price_edges : sequence of float, optional
        Ascending inner edges of the price buckets, each bucket from its edge up to below the next:
        ``(50, 100)`` makes below 50, 50 to below 100, 100 and more. By default quantiles of each market's
        donors, for catalogues in several currencies.
    n_price_buckets : int
        Buckets per market where there are no `price_edges`.
    latitude_column, longitude_column : str
        Degrees.
    attributes : sequence of str, optional
        Columns that the second tier compares; by default all but the id, the market, the coordinates and
        lists. Leave out what is no property of a listing, such as a date of its last update.

    Attributes
    ----------
    vectors_ : ItemVectors
        The trained vectors.
    n_donors_ : int
        Listings with a vector and a row in the item table.
    price_edges_ : dict of market to list of float
        Inner edges of the price buckets; the key is None without a market column.

    Examples
    --------
    >>> cold = i2v.ColdStart().fit(vectors, items)       # doctest: +SKIP
    >>> everything, provenance = cold.extend(vectors, items)     # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        n_nearest: int = 3,
        max_miles: float = 10.0,
        market_column: str | None = "market",
        type_column: str | None = "listing_type",
        price_column: str | None = "price",
        price_edges: Sequence[float] | None = None,
        n_price_buckets: int = 5,
        latitude_column: str = "latitude",
        longitude_column: str = "longitude",
        attributes: Sequence[str] | None = None,
    ) -> None:
        self.n_nearest = n_nearest
        self.max_miles = max_miles
        self.market_column = market_column
        self.type_column = type_column
        self.price_column = price_column
        self.price_edges = price_edges
        self.n_price_buckets = n_price_buckets
        self.latitude_column = latitude_column
        self.longitude_column = longitude_column
        self.attributes = attributes

    def fit(self, vectors: ItemVectors, items: pa.Table) -> ColdStart:
        """Learn who can give a vector, and the price buckets.

        Parameters
        ----------
        vectors : ItemVectors
            Of the listings with clicks.
        items : pyarrow.Table
            ``item_id`` and attributes, a row per listing, in any order; those without a vector are passed
            over.

        Raises
        ------
        ConfigError
            If a hyper-parameter is out of its range.
        UsageError
            If an argument is of another kind, or a named attribute is no column.
        DataError
            If ids are missing, repeated or of another type than the vectors', or a price or a coordinate is
            no number.
        """
        checks.check_settings(self.get_params())
        checks.check_vectors(vectors)
        ids = checks.item_ids(items, vectors.vocabulary.ids.type)
        nums = vectors.vocabulary.nums(ids)
        rows = np.flatnonzero(nums >= 0)
        rows = rows[np.asarray(vectors.vectors)[nums[rows]].any(axis=1)]
        by_id = pc.sort_indices(ids.take(arrow_numbers(rows))).cast(pa.int64())
        rows = rows[checks.whole(by_id)]
        donors = items.take(arrow_numbers(rows))
        self._tiers = Tiers(donors, ids.take(arrow_numbers(rows)), nums[rows], vectors, self.get_params())
        self.vectors_, self.n_donors_ = vectors, len(rows)
        self.price_edges_ = self._tiers.price_edges()
        return self

    def transform(self, items: pa.Table) -> ColdVectors:
        """Make vectors for the listings of a table that have none.

        Parameters
        ----------
        items : pyarrow.Table
            As for :meth:`fit`; listings with a trained vector are left out of the answer.

        Raises
        ------
        UsageError
            Before :meth:`fit`, or if `items` is no Arrow table.
        DataError
            As :meth:`fit`.
        """
        self._check_fitted()
        ids = checks.item_ids(items, self.vectors_.vocabulary.ids.type)
        rows = np.flatnonzero(self.vectors_.vocabulary.nums(ids) < 0)
        found = self.embed(items.take(arrow_numbers(rows)))
        ids = ids.take(arrow_numbers(rows))
        provenance = found.provenance.add_column(0, "item_id", ids)
        return replace(found, ids=ids, provenance=provenance, n_warm=items.num_rows - len(rows))

    def embed(self, attributes: pa.Table) -> ColdVectors:
        """Make a vector for every row of a table of attributes, whatever its id; see :meth:`transform`.

        Parameters
        ----------
        attributes : pyarrow.Table
            Any of the columns of the item table.

        Returns
        -------
        ColdVectors
            Whose ids are the numbers of the rows.

        Raises
        ------
        UsageError
            Before :meth:`fit`.
        DataError
            If a column is of a type that cannot be compared with the donors'.
        """
        self._check_fitted()
        tables, provenance = self._tiers.answer(attributes)
        numbers = arrow_numbers(np.arange(attributes.num_rows))
        contexts = tables[1] if len(tables) > 1 else None
        return ColdVectors(numbers, tables[0], contexts, provenance, 0)

    def _check_fitted(self) -> None:
        if not hasattr(self, "vectors_"):
            raise UsageError("this ColdStart is not fitted; call fit(vectors, items) first")

    def extend(self, vectors: ItemVectors, items: pa.Table) -> tuple[ItemVectors, pa.Table]:
        """Fit, and return the vectors with those of the cold listings of the table behind them.

        Parameters
        ----------
        vectors : ItemVectors
        items : pyarrow.Table

        Returns
        -------
        (ItemVectors, provenance)
            Cold listings have count 0 and stand in the order of their ids; those of tier ``none`` are left
            out. The provenance, as in :class:`ColdVectors`, has a row for each cold listing.

        Raises
        ------
        ConfigError, UsageError, DataError
            As :meth:`fit`.
        """
        cold = self.fit(vectors, items).transform(items)
        order = checks.whole(pc.sort_indices(cold.ids).cast(pa.int64()))
        order = order[cold.known[order]]
        vocabulary = vectors.vocabulary
        ids = pa.concat_arrays([vocabulary.ids, cold.ids.take(arrow_numbers(order))])
        counts = np.r_[vocabulary.counts, np.zeros(len(order), np.int64)]
        contexts = None
        if vectors.context_vectors is not None and cold.context_vectors is not None:
            contexts = np.concatenate([vectors.context_vectors, cold.context_vectors[order]])
        table = np.concatenate([vectors.vectors, cold.vectors[order]])
        return ItemVectors(Vocabulary(ids, counts), table, contexts, vectors.repeats), cold.provenance
