"""The items of one moment: an index that does not change, what lies beside it, what is gone from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.embeddings import ItemVectors
from item2vec.errors import DataError, UnknownItemError, UsageError
from item2vec.index import ItemIndex, ItemSet
from item2vec.recommendations.answers import id_list
from item2vec.recommendations.history import history_vectors
from item2vec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from item2vec.recommendations.recommender import Recommender
    from item2vec.vocabulary import ItemId


class Row(NamedTuple):
    """An item beside the index."""

    vector: npt.NDArray[np.float32]
    context_vector: npt.NDArray[np.float32] | None
    attributes: Mapping[str, Any]


class Parts:
    """A recommender over an index, the rows beside it and the items gone; never changed, only replaced.

    Attributes
    ----------
    base : Recommender
        Of the last rebuild.
    rows : dict of id to Row
        Added or changed since.
    gone : frozenset of int
        Numbers of the base's items that were removed or changed since.
    """

    def __init__(
        self, base: Recommender, rows: dict[ItemId, Row] | None = None, gone: frozenset[int] = frozenset()
    ) -> None:
        self.base, self.rows, self.gone = base, rows or {}, gone
        self._alive: dict[int, tuple[ItemSet, ItemSet]] = {}

    @property
    def n_items(self) -> int:
        """Items listed now."""
        return len(self.base.vocabulary) - len(self.gone) + len(self.rows)

    def has(self, item_id: object) -> bool:
        """Whether an item is listed now."""
        if isinstance(item_id, bool) or not isinstance(item_id, str | int | np.integer):
            return False
        if item_id in self.rows:
            return True
        nums = self.base.vocabulary.nums([item_id])
        return int(nums[0]) >= 0 and int(nums[0]) not in self.gone

    @cached_property
    def side(self) -> Recommender | None:
        """The rows beside the index as a recommender of their own, searched exactly."""
        from item2vec.recommendations.recommender import Recommender

        if not self.rows:
            return None
        ids = sorted(self.rows)
        vectors = ItemVectors(
            Vocabulary(pa.array(ids, self.base.vocabulary.ids.type), np.zeros(len(ids), np.int64)),
            np.stack([self.rows[one].vector for one in ids]),
            None
            if self.base.vectors.context_vectors is None
            else np.stack([_context(self.rows[one]) for one in ids]),
        )
        table = None
        if self.base.attributes is not None:
            table = self.base.attributes.as_rows({one: self.rows[one].attributes for one in ids})
        return Recommender(vectors, items=table, calendar=self.base.calendar)

    @cached_property
    def _everything(self) -> ItemSet:
        mask = np.ones(len(self.base.vocabulary), np.bool_)
        mask[list(self.gone)] = False
        return ItemSet(mask)

    def alive(self, allowed: ItemSet | None) -> ItemSet | None:
        """Return the base's allowed items less those gone; made once for a set that is asked again."""
        if not self.gone:
            return allowed
        if allowed is None:
            return self._everything
        kept = self._alive.get(id(allowed))
        if kept is None or kept[0] is not allowed:
            if len(self._alive) > 64:
                self._alive.clear()
            kept = self._alive[id(allowed)] = (allowed, ItemSet(allowed.mask & self._everything.mask))
        return kept[1]

    def vector(self, item_id: ItemId) -> npt.NDArray[np.float32]:
        """Return the input vector of an item that is listed now.

        Raises
        ------
        UnknownItemError
            If it is not.
        """
        if item_id in self.rows:
            return self.rows[item_id].vector
        if not self.has(item_id):
            raise UnknownItemError(f"unknown item {str(item_id)[:64]!r}: it is not listed (any more)")
        row: npt.NDArray[np.float32] = np.asarray(
            self.base.vectors.vectors[self.base.vocabulary.num(item_id)]
        )
        return row

    def history_vector(self, clicks: Sequence[ItemId], decay: float) -> npt.NDArray[np.float64]:
        """Return the query of a history, float64 (d,); zero for an empty one."""
        d = self.base.vectors.vectors.shape[1]
        table = np.stack([self.vector(one) for one in clicks]) if clicks else np.zeros((0, d), np.float32)
        query: npt.NDArray[np.float64] = history_vectors(
            [np.arange(len(clicks), dtype=np.int32)], table, decay
        )[0]
        return query

    def checked_rows(
        self,
        item_ids: Sequence[ItemId],
        vectors: npt.NDArray[np.floating[Any]],
        context_vectors: npt.NDArray[np.floating[Any]] | None,
        attributes: Sequence[Mapping[str, Any]] | None,
    ) -> dict[ItemId, Row]:
        """Return new rows, or refuse them."""
        ids = id_list(item_ids, self.base.vocabulary, "item_ids")
        if len(set(ids)) != len(ids):
            raise UsageError("item_ids names an item twice; give each once")
        table = self._checked_table("vectors", vectors, len(ids))
        if not np.abs(table).max(axis=1, initial=0.0).all():
            raise DataError("a zero vector has no neighbours; leave the item out until it has one")
        contexts: Any = [None] * len(ids)
        if self.base.vectors.context_vectors is not None:
            if context_vectors is None:
                raise UsageError("this model has output vectors: give context_vectors for the new items too")
            contexts = self._checked_table("context_vectors", context_vectors, len(ids))
        given = [{}] * len(ids) if attributes is None else list(attributes)
        if len(given) != len(ids):
            raise UsageError(f"{len(given)} sets of attributes for {len(ids)} items; give one per item")
        if self.base.attributes is not None:
            self.base.attributes.as_rows(dict(zip(ids, given, strict=True)))  # refuses what does not fit
        elif any(given):
            raise UsageError("attributes need the item table: Recommender(vectors, items=table)")
        return {one: Row(*rest) for one, *rest in zip(ids, table, contexts, given, strict=True)}

    def _checked_table(self, name: str, rows: Any, n: int) -> npt.NDArray[np.float32]:
        table = np.asarray(rows)
        d = self.base.vectors.vectors.shape[1]
        if table.shape != (n, d) or table.dtype.kind not in "fiu":
            raise UsageError(
                f"{name} has shape {table.shape} and dtype {table.dtype}; give numbers of shape ({n}, {d})"
            )
        with np.errstate(over="ignore"):
            table = table.astype(np.float32)
        if not np.isfinite(table).all():
            raise DataError(f"{name} holds NaN, infinite or huge values; no item was changed")
        return table

    def prepared(self) -> Parts:
        """Make what calls will need, so that none of them waits for it; return the same parts."""
        if self.side is not None:
            for mode in self.base.indexes:
                self.side.index(mode)  # type: ignore[arg-type]
        return self

    def with_rows(self, rows: Mapping[ItemId, Row]) -> Parts:
        """Return these items with some added or changed."""
        nums = self.base.vocabulary.nums(list(rows))
        return Parts(self.base, {**self.rows, **rows}, self.gone | set(nums[nums >= 0].tolist()))

    def without(self, item_ids: Sequence[ItemId]) -> Parts:
        """Return these items less some."""
        rows = {one: row for one, row in self.rows.items() if one not in set(item_ids)}
        nums = self.base.vocabulary.nums(item_ids)
        return Parts(self.base, rows, self.gone | set(nums[nums >= 0].tolist()))


def _context(row: Row) -> npt.NDArray[np.float32]:
    assert row.context_vector is not None
    return row.context_vector


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
    kept = np.flatnonzero(np.isin(np.arange(len(base.vocabulary)), list(parts.gone), invert=True)).astype(
        np.int32
    )
    halves = [(base, kept)] + (
        [] if side is None else [(side, np.arange(len(side.vocabulary), dtype=np.int32))]
    )
    ids = pa.concat_arrays(
        [one.vocabulary.ids.take(pa.array(nums.tolist(), pa.int32())) for one, nums in halves]
    )
    counts = np.concatenate([one.vocabulary.counts[nums] for one, nums in halves])
    tables = [
        None
        if getattr(base.vectors, name) is None
        else np.concatenate([np.asarray(getattr(one.vectors, name))[nums] for one, nums in halves])
        for name in ("vectors", "context_vectors")
    ]
    vectors = ItemVectors(Vocabulary(ids, counts), *tables)
    items = None
    if base.attributes is not None:
        rows = [one.attributes.rows(nums) for one, nums in halves if one.attributes is not None]
        items = pa.concat_tables(rows)
    indexes = {
        mode: ItemIndex.build(
            vectors, mode=index.mode, backend=index.backend, min_recall=0.0, **index.settings
        )
        for mode, index in base.indexes.items()
    }
    new = Recommender(vectors, items=items, index=indexes, calendar=base.calendar)
    if base.neighbours is not None:
        new.neighbours = NeighbourTable.build(new, base.neighbours.width, base.neighbours.mode)
    return new
