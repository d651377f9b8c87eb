"""The items of one moment: an index that does not change, what lies beside it, what is gone from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.errors import DataError, UnknownItemError, UsageError
from item2vec.index import ItemSet
from item2vec.index.space import MAX_NORM
from item2vec.recommendations.answers import id_list
from item2vec.recommendations.live_listed import Listed
from item2vec.recommendations.live_side import Row, Side, side_of

if TYPE_CHECKING:
    from item2vec.recommendations.recommender import Recommender
    from item2vec.recommendations.scoring import HistoryScoring, Repeats
    from item2vec.vocabulary import ItemId

_NOTHING = np.zeros(0, np.int32)


class Parts:
    """A recommender over an index, the rows beside it and the items gone; never changed, only replaced.

    Attributes
    ----------
    base : Recommender
        Of the last rebuild.
    rows : dict of id to Row
        Added or changed since.
    listed : Listed
        The base's items that were neither removed nor changed since, and what is available.
    """

    def __init__(
        self,
        base: Recommender,
        rows: dict[ItemId, Row] | None = None,
        listed: Listed | None = None,
        before: Side | None = None,
    ) -> None:
        self.base, self.rows = base, rows or {}
        self.listed = Listed.all_of(base) if listed is None else listed
        self._before = before

    @property
    def n_items(self) -> int:
        """Items listed now."""
        return len(self.listed.items) + len(self.rows)

    def has(self, item_id: object) -> bool:
        """Whether an item is listed now."""
        if isinstance(item_id, bool) or not isinstance(item_id, str | int | np.integer):
            return False
        if item_id in self.rows:
            return True
        num = int(self.base.vocabulary.nums([item_id])[0])
        return num >= 0 and self.listed.has(num)

    @cached_property
    def _side(self) -> Side | None:
        return side_of(self.base, self.rows, self._before)

    @property
    def side(self) -> Recommender | None:
        """The rows beside the index as a recommender of their own, searched exactly."""
        return None if self._side is None else self._side.rec

    @cached_property
    def _side_offered(self) -> ItemSet | None:
        """Those of the rows that are available; None for all."""
        if self._side is None or self.listed.unavailable.isdisjoint(self.rows):
            return None
        return ItemSet(np.array([one not in self.listed.unavailable for one in self._side.rows], np.bool_))

    @property
    def offered(self) -> ItemSet | None:
        """The base's items that lists may hold now; None for all."""
        return None if self.listed.everything else self.listed.offered

    @cached_property
    def _as_trained(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Numbers, in the base and beside it, of the available rows whose vectors are the base's still."""
        side = self._side
        if side is None:
            return _NOTHING, _NOTHING
        nums = self.base.vocabulary.nums(list(side.rows))
        offered = self._side_offered
        same = nums >= 0 if offered is None else offered.mask & (nums >= 0)
        for name in ("vectors", "context_vectors"):
            mine, theirs = (getattr(one.vectors, name) for one in (side.rec, self.base))
            if theirs is not None:
                rows = np.flatnonzero(same)
                same[rows] = (mine[rows] == np.asarray(theirs[nums[rows]])).all(axis=1)
        beside = np.flatnonzero(same).astype(np.int32)
        return nums[beside], beside

    @cached_property
    def _offered_to_users(self) -> ItemSet | None:
        nums, _ = self._as_trained
        return self.offered if self.offered is None or not len(nums) else self.offered.with_items(nums)

    def offered_to_users(self, where: Mapping[str, Any] | None) -> ItemSet | None:
        """Return the base's items that users' lists may hold now, by today's attributes; None for all.

        Those of :attr:`offered`, and those of which attributes alone changed: what the base knows of their
        vectors is still so.
        """
        nums, beside = self._as_trained
        if where is None:
            return self._offered_to_users
        allowed = self.base.allowed(where, self.offered).items
        if self.side is None or allowed is None or not len(nums):
            return allowed
        today = self.side.allowed(where).items
        return allowed.with_items(nums if today is None else nums[today.mask[beside]])

    def offered_of(self, half: Recommender, allowed: ItemSet | None) -> ItemSet | None:
        """Return the allowed items of the base, or of the rows beside it, that lists may hold now."""
        offered = self.offered if half is self.base else self._side_offered
        if allowed is None or offered is None:
            return allowed if offered is None else offered
        return allowed.within(offered)

    @cached_property
    def largest_count(self) -> int:
        """Clicks of the most clicked item that is listed now."""
        counts = self.base.vocabulary.counts[self.listed.items.mask]
        return max([int(counts.max(initial=0)), *(row.n_clicks for row in self.rows.values())])

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

    def history_vector(self, clicks: Sequence[ItemId], scoring: HistoryScoring) -> npt.NDArray[np.float64]:
        """Return the query of a history, float64 (d,); zero for an empty one."""
        d = self.base.vectors.vectors.shape[1]
        table = np.stack([self.vector(one) for one in clicks]) if clicks else np.zeros((0, d), np.float32)
        query: npt.NDArray[np.float64] = scoring.queries([np.arange(len(clicks), dtype=np.int32)], table)[0]
        return query

    def lifted_scores(
        self, query: npt.NDArray[np.float64], clicks: Sequence[ItemId], repeats: Repeats
    ) -> dict[ItemId, np.float32]:
        """Return the scores, read as *next*, of a history's own items, the probability of coming back in
        them."""
        halves = [(self.base, self.listed.items.nums), (self.side, np.arange(len(self.rows), dtype=np.int32))]
        scores: dict[ItemId, np.float32] = {}
        everything = []
        for half, listed in halves:
            if half is not None:
                row = half.index("next").scores(query[None])[0]
                everything.append(row[listed])
                known = [one for one in clicks if one in half.vocabulary and one not in scores]
                mine = [one for one in known if half is self.side or one not in self.rows]
                scores.update({one: row[half.vocabulary.num(one)] for one in mine})
        ids = list(scores)
        places, shares = repeats.shares(np.array([ids.index(one) for one in clicks], np.int32))
        own = np.array([scores[ids[place]] for place in places], np.float32)
        lifted = repeats.lifted(own, shares, repeats.log_mass(np.concatenate(everything)))
        return {ids[place]: score for place, score in zip(places, lifted, strict=True)}

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
        odd = next((one for one in ids if isinstance(one, str) and (not one or one.endswith("\0"))), None)
        if odd is not None:
            raise UsageError(f"{odd!r} is no item id: it is empty or ends with a NUL")
        table = self._checked_table("vectors", vectors, len(ids))
        contexts: Any = [None] * len(ids)
        if self.base.vectors.context_vectors is not None:
            if context_vectors is None:
                raise UsageError("this model has output vectors: give context_vectors for the new items too")
            contexts = self._checked_table("context_vectors", context_vectors, len(ids))
        given = [{}] * len(ids) if attributes is None else [_attributes(one) for one in attributes]
        if len(given) != len(ids):
            raise UsageError(f"{len(given)} sets of attributes for {len(ids)} items; give one per item")
        if self.base.attributes is not None:
            self.base.attributes.as_rows(dict(zip(ids, given, strict=True)))  # refuses what does not fit
        elif any(given):
            raise UsageError("attributes need the item table: Recommender(vectors, items=table)")
        counts = [self._count(one) for one in ids]
        return {one: Row(*rest) for one, *rest in zip(ids, table, contexts, given, counts, strict=True)}

    def _count(self, item_id: ItemId) -> int:
        if item_id in self.rows:
            return self.rows[item_id].n_clicks
        num = int(self.base.vocabulary.nums([item_id])[0])
        return int(self.base.vocabulary.counts[num]) if num >= 0 and self.listed.has(num) else 0

    def _checked_table(self, name: str, rows: Any, n: int) -> npt.NDArray[np.float32]:
        table = np.asarray(rows)
        d = self.base.vectors.vectors.shape[1]
        if table.shape != (n, d) or table.dtype.kind not in "fiu":
            raise UsageError(
                f"{name} has shape {table.shape} and dtype {table.dtype}; give numbers of shape ({n}, {d})"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(table.astype(np.float64), axis=1)
        if not (lengths <= MAX_NORM).all():
            raise DataError(f"{name} holds NaN, infinite or huge values; no item was changed")
        if not lengths.all():
            raise DataError(f"{name} holds a zero vector, which is near nothing; leave the item out")
        table = table.astype(np.float32)
        return table

    def prepared(self) -> Parts:
        """Make what calls will need, so that none of them waits for it; return the same parts."""
        if self.side is not None:
            for mode in self.base.indexes:
                self.side.index(mode)  # type: ignore[arg-type]
        return self

    def with_rows(self, rows: Mapping[ItemId, Row]) -> Parts:
        """Return these items with some added or changed."""
        return self._with({**self.rows, **rows}, list(rows))

    def without(self, item_ids: Sequence[ItemId]) -> Parts:
        """Return these items less some."""
        unwanted = set(item_ids)
        return self._with({one: row for one, row in self.rows.items() if one not in unwanted}, item_ids)

    def with_available(self, item_ids: Sequence[ItemId], available: bool) -> Parts:
        """Return these items with some available, or not."""
        listed = self.listed.with_available(self.base, item_ids, available)
        return Parts(self.base, self.rows, listed, self._latest_side)

    def _with(self, rows: dict[ItemId, Row], left: Sequence[ItemId]) -> Parts:
        """Return other rows, with the base's entries of those that left it no longer listed."""
        nums = self.base.vocabulary.nums(left)
        return Parts(self.base, rows, self.listed.without(nums[nums >= 0]), self._latest_side)

    @property
    def _latest_side(self) -> Side | None:
        """What was made of the rows, or of those of an earlier moment: the next side grows from it."""
        made: Side | None = self.__dict__.get("_side", self._before)
        return self._before if made is None else made


def _attributes(row: Any) -> dict[str, Any]:
    """Return an item's attributes as a mapping of our own: the caller may go on writing to theirs."""
    if not isinstance(row, Mapping):
        raise UsageError(f"the attributes of an item are a mapping of column to value, not {row!r}")
    return dict(row)
