"""The embedding map: a model's vectors laid on a plane, and what their points are coloured by."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import compress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from item2vec.serving.explorer.columns import columns_of, words
from item2vec.serving.replies import ReplyCache, encoded

if TYPE_CHECKING:
    from item2vec.serving.lookups import Lookups

MOST_POINTS = 50_000
"""Points that a browser draws smoothly; of a larger catalogue those clicked most are shown."""
MOST_COLOURS = 10
SIZE = 10_000
"""Coordinates are whole numbers from 0 to this."""
OTHER, UNKNOWN = -1, -2
_LONGEST_TITLE = 60


def projected(
    vectors: npt.NDArray[np.floating[Any]],
) -> tuple[npt.NDArray[np.float64], float]:
    """Lay vectors on the plane of their two principal components.

    Parameters
    ----------
    vectors : ndarray, shape (n, d)
        At length one, so that near points are similar items.

    Returns
    -------
    points : ndarray of float64, shape (n, 2)
        A component's sign is such that its largest weight is above zero: the same vectors give the same map.
    share : float
        Of the variance, that the plane keeps.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    strengths, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, range(axes.shape[1])] < 0, -1, 1)
    points = np.zeros((len(vectors), 2))
    points[:, : axes.shape[1]] = centred @ axes
    whole = float(np.clip(strengths, 0, None).sum())
    return points, float(np.clip(strengths[::-1][:2], 0, None).sum()) / whole if whole > 0 else 1.0


def embedding_map(lookups: Lookups) -> dict[str, Any]:
    """Return the points of a release's items and their colours, as JSON has them."""
    rec = lookups.loaded
    n = min(len(rec.vocabulary), MOST_POINTS)  # numbers run from the most clicked item down
    nums = np.arange(n, dtype=np.int32)
    points, share = projected(np.asarray(rec.vectors.get_normed_vectors())[:n])
    low, extent = points.min(axis=0), float(np.ptp(points, axis=0).max()) or 1.0
    places = np.round((points - low) / extent * SIZE).astype(np.int64)
    return {
        "n": n,
        "of": len(rec.vocabulary),
        "share": round(share, 4),
        "size": SIZE,
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "ids": [str(one) for one in lookups.names.ids[:n]],
        "titles": _titles(lookups, nums),
        "colours": _colours(lookups, nums),
    }


def _titles(lookups: Lookups, nums: npt.NDArray[np.int32]) -> list[str | None] | None:
    """Return what the points are called; None where the items have no titles."""
    name = columns_of(lookups.conditions.kinds).title
    if name is None:
        return None
    texts = lookups.loaded.attributes.column(name).objects(nums).tolist()  # type: ignore[union-attr]
    return [None if text is None else text[:_LONGEST_TITLE] for text in texts]


def _colours(lookups: Lookups, nums: npt.NDArray[np.int32]) -> list[dict[str, Any]]:
    columns = columns_of(lookups.conditions.kinds)
    names = [name for name in (columns.market, columns.kind) if name is not None]
    found = [_by_name(lookups, name, nums) for name in names]
    if columns.price is not None:
        found.append(_by_number(words(columns.price), _numbers(lookups, columns.price, nums)))
    clicks = np.asarray(lookups.loaded.vocabulary.counts)[nums].astype(np.float64)
    return [*found, _by_number("clicks", clicks)]


def _by_name(lookups: Lookups, name: str, nums: npt.NDArray[np.int32]) -> dict[str, Any]:
    """Colour by a text: the most frequent values have colours of their own."""
    column = lookups.loaded.attributes.column(name)  # type: ignore[union-attr]
    texts, values = list(column.codes), column.values[nums]
    known = column.known[nums]
    counts = np.bincount(values[known], minlength=len(texts))
    first = sorted(np.argsort(-counts, kind="stable")[:MOST_COLOURS].tolist(), key=lambda code: texts[code])
    colour_of = np.full(len(texts) + 1, OTHER)
    colour_of[first] = range(len(first))
    codes = np.where(known, colour_of[np.where(known, values, 0)], UNKNOWN)
    return {"by": words(name), "names": [texts[code][:80] for code in first], "codes": codes.tolist()}


def _by_number(label: str, values: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Colour by a number: by its rank from 0 to 100, as prices are skewed."""
    known = np.isfinite(values)
    codes = np.full(len(values), UNKNOWN)
    if not known.any():
        return {"by": label, "ends": [], "codes": codes.tolist()}
    own = np.sort(values[known])
    middle = (np.searchsorted(own, values[known]) + np.searchsorted(own, values[known], side="right")) / 2
    codes[known] = np.round(100 * middle / len(own)).astype(np.int64)
    ends = [float(own[0]), float(own[len(own) // 2]), float(own[-1])]
    return {"by": label, "ends": ends, "codes": codes.tolist()}


def _numbers(lookups: Lookups, name: str, nums: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    column = lookups.loaded.attributes.column(name)  # type: ignore[union-attr]
    return np.where(column.known[nums], column.values[nums].astype(np.float64), np.nan)


def listed_points(points: Mapping[str, Any], lookups: Lookups) -> dict[str, Any]:
    """Return a map without the points of items that were removed since; the others stay where they are."""
    live, ids = lookups.live, lookups.names.ids
    if not live.changed and live.base is lookups.loaded:
        return dict(points)
    # Asked one by one are only those that the index does not hold as they were.
    doubtful = set(live.outdated())
    nums = live.base.vocabulary.nums(ids)
    left = [
        (num >= 0 and one not in doubtful) or lookups.has(one)
        for one, num in zip(ids, nums.tolist(), strict=True)
    ]
    shown = left[: points["n"]]
    lists = {name: list(compress(points[name], shown)) for name in ("x", "y", "ids")}
    titles = points["titles"]
    return {
        **points,
        **lists,
        "n": sum(shown),
        "of": sum(left),
        "titles": None if titles is None else list(compress(titles, shown)),
        "colours": [{**one, "codes": list(compress(one["codes"], shown))} for one in points["colours"]],
    }


class Maps:
    """The maps of the releases that are served: laid out once, and without what is removed when asked."""

    def __init__(self) -> None:
        self._laid_out: WeakKeyDictionary[Lookups, dict[str, Any]] = WeakKeyDictionary()
        self._made: WeakKeyDictionary[ReplyCache, bytes] = WeakKeyDictionary()
        self._lock = asyncio.Lock()

    async def of(self, lookups: Lookups) -> bytes:
        """Return a release's map as JSON; it is made in a thread."""
        async with self._lock:
            replies = lookups.replies  # new ones begin with every change
            known = self._made.get(replies)
            if known is None:
                known = self._made[replies] = await asyncio.to_thread(self._make, lookups)
            return known

    def _make(self, lookups: Lookups) -> bytes:
        if lookups not in self._laid_out:
            self._laid_out[lookups] = embedding_map(lookups)
        return encoded(listed_points(self._laid_out[lookups], lookups))
