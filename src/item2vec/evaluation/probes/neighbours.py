"""Do the nearest neighbours agree with what is known about the items? Share of agreement against chance."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from item2vec.errors import DataError
from item2vec.evaluation.arguments import check_whole

SCORE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Agreement:
    """How often the neighbours of an item share its label.

    Attributes
    ----------
    share : float or None
        Mean share of the k neighbours with the item's label; None without a query ("insufficient data").
    chance : float or None
        The same share for neighbours drawn at random from the candidates.
    score : float or None
        ``(share − chance) / (1 − chance)``: 0 at chance, 1 when all agree; None where chance is 1.
    n : int
        Items asked about.
    """

    share: float | None
    chance: float | None
    score: float | None
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """Return the four figures."""
        return asdict(self)


def neighbour_agreement(
    vectors: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    *,
    within: npt.NDArray[np.int64] | None = None,
    queries: npt.NDArray[np.bool_] | None = None,
    candidates: npt.NDArray[np.bool_] | None = None,
    k: int = 10,
    max_queries: int = 2000,
    seed: int = 1,
) -> Agreement:
    """Compare the labels of items with those of their k nearest neighbours by cosine.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items, d)
        Input vectors.
    labels : ndarray of int, shape (n_items,)
        Label of each item (market, style, …); items below 0 are neither asked about nor candidates.
    within : ndarray of int, shape (n_items,), optional
        Candidates must share this label with the query (style *within the market*); items below 0 are out.
    queries : ndarray of bool, shape (n_items,), optional
        Items to ask about (for example those with at least 20 clicks); all by default.
    candidates : ndarray of bool, shape (n_items,), optional
        Items that may be neighbours; all by default.
    k : int
        Neighbours per item; an item with fewer candidates is asked for those it has.
    max_queries : int
        Ask about a random sample of at most this many items.
    seed : int
        Seed of the sample.

    Returns
    -------
    Agreement

    Raises
    ------
    UsageError
        If a number is out of its range.
    DataError
        If the arrays differ in length.
    """
    check_whole("k", k, 1, "ask for a whole number of neighbours, at least one")
    check_whole("max_queries", max_queries, 1, "ask about a whole number of items, at least one")
    check_whole("seed", seed, 0, "a seed is a whole number from 0")
    groups = np.zeros(len(vectors), np.int64) if within is None else np.asarray(within)
    asked = np.ones(len(vectors), bool) if queries is None else np.asarray(queries, bool)
    kept = np.ones(len(vectors), bool) if candidates is None else np.asarray(candidates, bool)
    if not len(vectors) == len(labels) == len(groups) == len(asked) == len(kept):
        raise DataError(
            f"{len(vectors)} vectors, {len(labels)} labels, {len(groups)} groups, {len(asked)} queries:"
            " give one of each per item"
        )
    _, shares, chances = item_agreement(
        vectors, labels, groups, asked, candidates=kept, k=k, max_queries=max_queries, seed=seed
    )
    if not len(shares):
        return Agreement(None, None, None, 0)
    share, chance = float(shares.mean()), float(chances.mean())
    score = (share - chance) / (1 - chance) if chance < 1 else None
    return Agreement(share, chance, score, len(shares))


def item_agreement(
    vectors: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    asked: npt.NDArray[np.bool_],
    *,
    candidates: npt.NDArray[np.bool_],
    k: int = 10,
    max_queries: int = 2000,
    seed: int = 1,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what :func:`neighbour_agreement` averages, for each item that was asked about.

    Returns
    -------
    items : ndarray of int64, shape (n_asked,)
        Those asked about that have a candidate.
    shares, chances : ndarray of float64, shape (n_asked,)
    """
    usable = np.flatnonzero((labels >= 0) & (groups >= 0))
    labels, groups, asked = labels[usable], groups[usable], asked[usable]
    kept = candidates[usable]
    unit = unit_rows(vectors[usable])
    others, same = _random_agreement(labels, groups, kept)
    rows = np.flatnonzero(asked & (others > 0))
    if len(rows) > max_queries:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_queries, replace=False))
    if not len(rows):
        return rows, np.zeros(0), np.zeros(0)
    shares = _shares(unit, labels, groups, rows, k, kept)
    return usable[rows], shares, same[rows] / others[rows]


def unit_rows(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale rows to length 1; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.divide(vectors, np.where(norms > 0, norms, 1)).astype(np.float32)
    return unit


def _random_agreement(
    labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], candidates: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count the candidates of each item and those with its label, both without the item itself."""
    itself = candidates.astype(np.int64)
    pairs = np.column_stack([groups, labels])
    counts = []
    for values in (groups[:, None], pairs):
        _, nums = np.unique(values, axis=0, return_inverse=True)
        sizes = np.bincount(nums.ravel()[candidates], minlength=len(values) + 1)
        counts.append(sizes[nums.ravel()] - itself)
    return counts[0], counts[1]


def _shares(
    unit: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    k: int,
    candidates: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Return, per query, the share of its nearest candidates with its own label."""
    from item2vec.evaluation.ranks import top_items

    shares = np.empty(len(rows))
    batch = max(1, SCORE_BYTES // (4 * len(unit)))
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        cosines = unit[part] @ unit.T
        cosines[np.arange(len(part)), part] = -np.inf
        cosines[:, ~candidates] = -np.inf
        if (groups != groups[0]).any():
            cosines[groups[part][:, None] != groups[None, :]] = -np.inf
        items, _ = top_items(cosines, k)
        agrees = (labels[items] == labels[part][:, None]) & (items >= 0)
        shares[start : start + batch] = agrees.sum(axis=1) / (items >= 0).sum(axis=1)
    return shares
