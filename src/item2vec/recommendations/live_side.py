"""The items beside an index, searched exactly: a recommender of their own that grows by what is new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.arrow import arrow_array, arrow_numbers
from item2vec.embeddings import ItemVectors
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from item2vec.recommendations.recommender import Recommender
    from item2vec.vocabulary import ItemId


class Row(NamedTuple):
    """An item beside the index."""

    vector: npt.NDArray[np.float32]
    context_vector: npt.NDArray[np.float32] | None
    attributes: Mapping[str, Any]
    n_clicks: int  # in training: those of an item that was changed, none of a new one


class Side(NamedTuple):
    """Rows, and the recommender over them that numbers them in this order."""

    rows: dict[ItemId, Row]
    rec: Recommender


def side_of(base: Recommender, rows: Mapping[ItemId, Row], before: Side | None) -> Side | None:
    """Return the recommender of some rows; what an earlier one holds of them is taken from there.

    So an item that is put costs a copy of arrays and not a walk over all rows.
    """
    if not rows:
        return None
    old = {} if before is None else before.rows
    kept = [num for num, (one, row) in enumerate(old.items()) if rows.get(one) is row]
    if before is not None and len(kept) == len(old) == len(rows):
        return before
    fresh = {one: row for one, row in rows.items() if old.get(one) is not row}
    blocks = [] if before is None else [_taken(before.rec, np.array(kept, np.int32))]
    blocks += [_made(base, fresh)] if fresh else []
    ids, counts, vectors, contexts, tables = zip(*blocks, strict=True)
    side = ItemVectors(
        Vocabulary(pa.concat_arrays(ids), np.concatenate(counts)),
        np.concatenate(vectors),
        None if contexts[0] is None else np.concatenate(contexts),
        base.vectors.repeats,
    )
    table = None if tables[0] is None else pa.concat_tables(tables).combine_chunks()
    left = {one: row for one, row in old.items() if rows.get(one) is row}
    return Side({**left, **fresh}, _recommender(base, side, table))


def _recommender(base: Recommender, vectors: ItemVectors, table: pa.Table | None) -> Recommender:
    from item2vec.recommendations.recommender import Recommender

    return Recommender(vectors, items=table, calendar=base.calendar, scoring=base.scoring)


class _Block(NamedTuple):
    ids: pa.Array
    counts: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    contexts: npt.NDArray[np.float32] | None
    table: pa.Table | None


def _taken(side: Recommender, nums: npt.NDArray[np.int32]) -> _Block:
    contexts = side.vectors.context_vectors
    return _Block(
        side.vocabulary.ids.take(arrow_numbers(nums)),
        side.vocabulary.counts[nums],
        side.vectors.vectors[nums],
        None if contexts is None else contexts[nums],
        None if side.attributes is None else side.attributes.rows(nums),
    )


def _made(base: Recommender, rows: Mapping[ItemId, Row]) -> _Block:
    contexts = [row.context_vector for row in rows.values() if row.context_vector is not None]
    return _Block(
        arrow_array(list(rows), base.vocabulary.ids.type),
        np.array([row.n_clicks for row in rows.values()], np.int64),
        np.stack([row.vector for row in rows.values()]),
        np.stack(contexts) if contexts else None,
        None
        if base.attributes is None
        else base.attributes.as_rows({one: row.attributes for one, row in rows.items()}),
    )
