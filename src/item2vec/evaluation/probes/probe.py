"""Probes of the embedding space: the paper's Tables 1 and 2, neighbours in the same market, geography."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.embeddings.places import coordinates
from item2vec.evaluation.next_item.slices import popularity_slices
from item2vec.evaluation.probes.attributes import PriceBands, aligned_attributes, label_codes, price_codes
from item2vec.evaluation.probes.geography import Geography, geography
from item2vec.evaluation.probes.neighbours import Agreement, neighbour_agreement, unit_rows
from item2vec.vocabulary import Vocabulary

PAPER_BANDS = (30.0, 60.0, 90.0, 120.0)
MAX_TYPES = 8


class Vectors(Protocol):
    """The part of :class:`~item2vec.embeddings.ItemVectors` that probes need."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Items and counts, in row order."""

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """Input vectors, shape (n_items, d)."""


@dataclass(frozen=True)
class CosineTable:
    """Mean cosine between pairs of items, by a label of the two.

    Attributes
    ----------
    labels : tuple of str
        Rows and columns.
    cosine : tuple of tuple of float or None
        Symmetric; None where there is no such pair.
    n_items : tuple of int
        Items per label.
    n_pairs : int
        Pairs behind the table.
    within_market : bool
        Whether both items of a pair are of one market, as in the paper's tables (one city).
    insufficient : str or None
        Why the table is empty.
    """

    labels: tuple[str, ...]
    cosine: tuple[tuple[float | None, ...], ...]
    n_items: tuple[int, ...]
    n_pairs: int
    within_market: bool
    insufficient: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON types."""
        return {
            "labels": list(self.labels),
            "cosine": [list(row) for row in self.cosine],
            "n_items": list(self.n_items),
            "n_pairs": self.n_pairs,
            "within_market": self.within_market,
            "insufficient": self.insufficient,
        }


@dataclass(frozen=True)
class ProbeResult:
    """Figures of :func:`probe`.

    Attributes
    ----------
    listing_type, price_band : CosineTable
        The paper's Table 1 and Table 2.
    same_market : dict of str to Agreement
        Keys ``all``, ``head``, ``torso``, ``tail``.
    n_items : dict of str to int
        Items per slice.
    geography : Geography
        Clusters of the vectors against markets and distances.
    insufficient : str or None
        Why there is no figure about markets.
    """

    listing_type: CosineTable
    price_band: CosineTable
    same_market: dict[str, Agreement]
    n_items: dict[str, int]
    geography: Geography
    insufficient: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types."""
        return {
            "listing_type": self.listing_type.to_json(),
            "price_band": self.price_band.to_json(),
            "same_market": {name: figures.to_json() for name, figures in self.same_market.items()},
            "n_items": self.n_items,
            "geography": self.geography.to_json(),
            "insufficient": self.insufficient,
        }


def probe(
    vectors: Vectors,
    items: pa.Table | None,
    *,
    price_bands: PriceBands = PAPER_BANDS,
    k: int = 10,
    max_queries: int = 2000,
    seed: int = 1,
) -> ProbeResult:
    """Look into the embedding: cosines by type and price band, neighbours in the same market, geography.

    The mean cosines are exact over all pairs (sums of unit vectors, no sampling). Listings held out
    of training have no vector and are not probed.

    Parameters
    ----------
    vectors : ItemVectors
        Trained vectors.
    items : pyarrow.Table, optional
        ``item_id`` and any of ``listing_type``, ``price``, ``market``, ``latitude`` and ``longitude``; rows
        in any order.
    price_bands : sequence of float, or "quintiles"
        Ascending upper limits of the bands, or five bands of equal size within each market, for catalogues in
        several currencies.
    k : int
        Neighbours per item.
    max_queries : int
        Sample of items whose neighbours are looked up, per slice.
    seed : int
        Seed of the samples and of the clusters.

    Returns
    -------
    ProbeResult
        A figure whose attribute is missing says so in ``insufficient``.

    Raises
    ------
    UsageError
        If the price bands are neither ascending limits nor ``"quintiles"``, or a number is out of its range.
    """
    attributes = aligned_attributes(items, vectors.vocabulary)
    markets, market_names = label_codes(attributes.get("market"), len(vectors.vocabulary))
    unit = unit_rows(vectors.vectors)
    types, type_names = label_codes(attributes.get("listing_type"), len(unit), MAX_TYPES)
    bands, band_names = price_codes(attributes.get("price"), markets, price_bands)
    slices = popularity_slices(vectors.vocabulary.counts)
    places = coordinates(attributes.get("latitude"), attributes.get("longitude"))
    agreement = {
        name: neighbour_agreement(unit, markets, queries=mask, k=k, max_queries=max_queries, seed=seed)
        for name, mask in {"all": np.ones(len(unit), bool), **slices}.items()
    }
    few_markets = f"{len(market_names)} market(s) known; it takes two" if len(market_names) < 2 else None
    return ProbeResult(
        listing_type=cosine_table(unit, types, type_names, markets, "listing_type"),
        price_band=cosine_table(unit, bands, band_names, markets, "price"),
        same_market={} if few_markets else agreement,
        n_items={"all": len(unit), **{name: int(mask.sum()) for name, mask in slices.items()}},
        geography=geography(unit, markets, places, seed=seed),
        insufficient=f"insufficient data: {few_markets}" if few_markets else None,
    )


def cosine_table(
    unit: npt.NDArray[np.float32],
    codes: npt.NDArray[np.int64],
    names: Sequence[str],
    markets: npt.NDArray[np.int64],
    attribute: str,
) -> CosineTable:
    """Average the cosine over all pairs of items of each two labels (paper, Tables 1 and 2).

    Parameters
    ----------
    unit : ndarray of float32, shape (n_items, d)
        Vectors of length 1.
    codes : ndarray of int64, shape (n_items,)
        Position of each item's label in `names`, −1 unknown.
    names : sequence of str
        The labels.
    markets : ndarray of int64, shape (n_items,)
        Market of each item; if any is known, only pairs within one market count.
    attribute : str
        Name of the attribute, for the explanation of an empty table.

    Returns
    -------
    CosineTable
    """
    within = bool((markets >= 0).any())
    usable = (codes >= 0) & (markets >= 0) if within else codes >= 0
    n = len(names)
    if not usable.any():
        none_known = f"insufficient data: no item has a known {attribute}"
        return CosineTable((), (), (), 0, within, none_known)
    group_nums = np.unique(markets[usable], return_inverse=True)[1]
    cells = group_nums * n + codes[usable]
    n_cells = (int(group_nums.max()) + 1) * n
    sums = np.zeros((n_cells, unit.shape[1]))
    np.add.at(sums, cells, unit[usable])
    counts = np.bincount(cells, minlength=n_cells)
    norms = np.bincount(cells, (unit[usable].astype(np.float64) ** 2).sum(axis=1), n_cells)
    per_market = sums.reshape(-1, n, unit.shape[1])
    sizes = counts.reshape(-1, n)
    products = np.einsum("mad,mbd->ab", per_market, per_market) - np.diag(norms.reshape(-1, n).sum(axis=0))
    pairs = sizes.T @ sizes - np.diag(sizes.sum(axis=0))
    means = tuple(
        tuple(float(total / n_both) if n_both else None for total, n_both in zip(*rows, strict=True))
        for rows in zip(products, pairs, strict=True)
    )
    n_pairs = int(np.triu(pairs, 1).sum() + np.diag(pairs).sum() // 2)
    why = None if n_pairs else f"insufficient data: no two items with a known {attribute} share a market"
    return CosineTable(tuple(names), means, tuple(sizes.sum(axis=0).tolist()), n_pairs, within, why)
