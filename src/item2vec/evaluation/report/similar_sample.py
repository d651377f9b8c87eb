"""A few items and their nearest neighbours, for the reader's own eyes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.evaluation.next_item.slices import popularity_slices
from item2vec.evaluation.probes.attributes import aligned_attributes
from item2vec.evaluation.probes.neighbours import unit_rows
from item2vec.evaluation.probes.probe import Vectors

SHOWN_FIRST = ("title", "name", "market", "listing_type", "price", "capacity", "category")
MAX_ATTRIBUTES = 4


def similar_sample(
    vectors: Vectors, items: pa.Table | None, *, per_slice: int = 2, n: int = 5, seed: int = 1
) -> dict[str, Any]:
    """Choose items of the head, the torso and the tail and list their neighbours by exact cosine.

    Parameters
    ----------
    vectors : ItemVectors
        Trained vectors.
    items : pyarrow.Table, optional
        Attributes to show beside the ids.
    per_slice : int
        Items per slice of popularity.
    n : int
        Neighbours per item.
    seed : int
        Seed of the choice.

    Returns
    -------
    dict
        ``attributes`` (list of str) and ``items``: ``item_id, count, slice, attributes, neighbours``, each
        neighbour with ``item_id, cosine, count, attributes``.
    """
    vocabulary = vectors.vocabulary
    found = aligned_attributes(items, vocabulary)
    known = {name: values for name, values in found.items() if values.null_count < len(values)}
    names = [name for name in SHOWN_FIRST if name in known][:MAX_ATTRIBUTES]
    unit = unit_rows(vectors.vectors)

    def described(row: int) -> dict[str, Any]:
        return {
            "item_id": vocabulary.ids[row].as_py(),
            "count": int(vocabulary.counts[row]),
            "attributes": {name: known[name][row].as_py() for name in names},
        }

    generator = np.random.default_rng(seed)
    examples = []
    for slice_name, mask in popularity_slices(vocabulary.counts).items():
        rows = np.flatnonzero(mask)
        for row in np.sort(generator.permutation(rows)[:per_slice]).tolist():
            near, cosines = _nearest(unit, row, n)
            neighbours = [
                {**described(other), "cosine": cosine} for other, cosine in zip(near, cosines, strict=True)
            ]
            examples.append({**described(row), "slice": slice_name, "neighbours": neighbours})
    return {"attributes": names, "items": examples}


def _nearest(unit: npt.NDArray[np.float32], row: int, n: int) -> tuple[list[int], list[float]]:
    cosines = unit @ unit[row]
    cosines[row] = -np.inf
    order = np.argsort(-cosines, kind="stable")[: min(n, len(unit) - 1)]
    return order.tolist(), [float(cosine) for cosine in cosines[order]]
