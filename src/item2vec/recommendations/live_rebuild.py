"""Indexes of today's items, built like those of the items before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from item2vec.arrow import arrow_numbers
from item2vec.embeddings import ItemVectors
from item2vec.errors import DataError
from item2vec.index import ItemIndex
from item2vec.index.identity import id_ranks
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from item2vec.recommendations.live_parts import Parts
    from item2vec.recommendations.recommender import Recommender


def rebuilt(parts: Parts) -> Recommender:
    """Build a recommender of the items of one moment, with indexes like those of the base.

    Raises
    ------
    DataError
        If no item is left.
    """
    from item2vec.recommendations.neighbour_table import NeighbourTable
    from item2vec.recommendations.recommender import Recommender

    base, side = parts.base, parts.side
    if not parts.n_items:
        raise DataError("no item is left to build an index from")
    halves = [(base, parts.listed.items.nums)] + (
        [] if side is None else [(side, np.arange(len(side.vocabulary), dtype=np.int32))]
    )
    ids = pa.concat_arrays([one.vocabulary.ids.take(arrow_numbers(nums)) for one, nums in halves])
    counts = np.concatenate([one.vocabulary.counts[nums] for one, nums in halves])
    order = np.lexsort((id_ranks(Vocabulary(ids, counts)), -counts))  # as a training numbers its items
    tables = [
        None
        if getattr(base.vectors, name) is None
        else np.concatenate([np.asarray(getattr(one.vectors, name))[nums] for one, nums in halves])[order]
        for name in ("vectors", "context_vectors")
    ]
    vectors = ItemVectors(
        Vocabulary(ids.take(arrow_numbers(order)), counts[order]), *tables, repeats=base.vectors.repeats
    )
    items = None
    if base.attributes is not None:
        rows = [one.attributes.rows(nums) for one, nums in halves if one.attributes is not None]
        items = pa.concat_tables(rows)
    indexes = {mode: _index_like(index, vectors) for mode, index in base.indexes.items()}
    new = Recommender(
        vectors,
        items=items,
        index=indexes,
        calendar=base.calendar,
        types=base.types,
        scoring=base.scoring,
    )
    if base.neighbours is not None:
        new.neighbours = NeighbourTable.build(new, base.neighbours.width, base.neighbours.mode)
    return new


def _index_like(index: ItemIndex, vectors: ItemVectors) -> ItemIndex:
    """Build such an index of other vectors: its effort is chosen anew where it was chosen for a recall."""
    settings, target = index.settings, index.recall_facts["target"]
    if target is not None:
        settings |= {"search_k": None, "recall": target}
    settings["popularity"] = index.popularity
    return ItemIndex.build(vectors, mode=index.mode, backend=index.backend, min_recall=0.0, **settings)
