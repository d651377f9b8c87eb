"""One loaded release and its answers: no HTTP here, and nothing but numbers and texts comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from item2vec.index import ItemSet
from item2vec.recommendations import InterestWeights, LiveRecommender, RankingFeatures, UserEvent, UserHistory
from item2vec.recommendations.ranking_features.features import RANKING_FEATURES
from item2vec.serving.conditions import Conditions
from item2vec.serving.found import Features, ForUser, Found, Wanted
from item2vec.serving.ids import ItemIds
from item2vec.serving.names import ItemNames
from item2vec.serving.replies import ReplyCache

if TYPE_CHECKING:
    from item2vec.artifacts import Release
    from item2vec.index.space import Mode
    from item2vec.recommendations import Provenance, Recommender
    from item2vec.recommendations.type_interest import TypeInterest
    from item2vec.vocabulary import ItemId


class Lookups:
    """Answers from one release, with the items as they are now.

    Parameters
    ----------
    release : Release
    rec : Recommender
        Of this release.
    variant : str
        Its name in the split, ``"a"`` or ``"b"``.
    """

    def __init__(self, release: Release, rec: Recommender, variant: str = "a") -> None:
        self.release, self.variant = release, variant
        self.loaded = rec
        self.live = LiveRecommender(rec)
        self.ids = ItemIds(rec.vocabulary.id_type)
        self.conditions = Conditions(rec.attributes)
        self.replies = ReplyCache()
        self._knows_attributes = False

    @property
    def modes(self) -> list[str]:
        """The readings that this release answers."""
        return ["similar"] + (["next"] if self.loaded.vectors.context_vectors is not None else [])

    @property
    def default_mode(self) -> Mode:
        """The reading of a user's lists, where none is asked for."""
        return "next" if "next" in self.modes else "similar"

    @cached_property
    def names(self) -> ItemNames:
        """The ids, to be searched."""
        return ItemNames(self.loaded.vocabulary)

    @cached_property
    def _features(self) -> RankingFeatures:
        rec, types = self.loaded, self._types
        table = (
            None if rec.attributes is None or "market" not in rec.attributes.names else rec.attributes.table
        )
        if types is None:
            return RankingFeatures(rec.vectors, table)
        of_items = dict(zip(rec.vectors.index_to_key, types.listing_types, strict=True))
        return RankingFeatures(rec.vectors, table, types=types.types, listing_types=of_items)

    @property
    def _types(self) -> TypeInterest | None:
        return self.loaded.user_lists.interest.types

    def forget_replies(self) -> None:
        """Begin a new set of kept replies: an item changed. Who fills the old one fills it in vain."""
        self.replies = ReplyCache()

    def warm(self) -> None:
        """Prepare what the first requests would wait for."""
        first = self.loaded.vocabulary.item_ids([0])[0]
        for mode in self.modes:
            self.similar(first, Wanted(1, mode))  # type: ignore[arg-type]
        self.recommend(UserHistory.of_clicks([first]), Wanted(1, self.default_mode), explain=True)
        self.features([first], [], 0, {})
        self.names.search("", 1, self)

    async def ready_for_attributes(self) -> None:
        """Prepare vectors for items that are not listed: once, in a thread, as it loads a library."""
        if not self._knows_attributes:
            await asyncio.to_thread(self._learn_attributes)

    def _learn_attributes(self) -> None:
        known = self.loaded.attributes
        for name in [] if known is None else self.conditions.kinds:
            value = known.column(name).objects(np.zeros(1, np.int32))[0]  # type: ignore[union-attr]
            if isinstance(value, str | bool | float) or type(value) is int:
                self.loaded.vector_for({name: value})
                break
        self._knows_attributes = True

    def has(self, item_id: ItemId) -> bool:
        """Whether an item is listed now."""
        return item_id in self.live

    def similar(self, item_id: ItemId, wanted: Wanted) -> Found:
        """Return the items most similar to one item.

        Raises
        ------
        UnknownItemError
            If it is not listed.
        """
        if self.live.changed:
            ids, scores = self.live.similar_items(item_id, *_asked(wanted))
            return _found(ids, scores, "live", None)
        base, offered = self.live.offered()
        if offered is None and base is self.loaded and _asks_nothing(wanted):
            row = self._row(item_id, wanted)
            if row is not None:
                return row
        ids, scores, info = base.similar_items(item_id, *_asked(wanted, base, offered), return_info=True)
        return _found(ids, scores, info.path, info.reason)

    def _row(self, item_id: ItemId, wanted: Wanted) -> Found | None:
        """Read a full row of the table of neighbours, as the recommender does, without its arrays."""
        table = self.loaded.neighbours
        if table is None or table.mode != wanted.mode or wanted.k > table.width:
            return None
        num = self.loaded.vocabulary.num(item_id)
        nums = table.item_nums[num, : wanted.k].tolist()
        if nums[-1] < 0:
            return None
        ids, scores = self.names.ids, table.scores[num, : wanted.k].tolist()
        return Found([ids[one] for one in nums], [round(one, 6) for one in scores], "table", None)

    def similar_each(self, item_ids: Sequence[ItemId | None], wanted: Wanted) -> list[Found | None]:
        """Return the items similar to each of several; None for one that is not listed."""
        known = [one for one in item_ids if one is not None]
        found: dict[ItemId, Found] = {}
        if self.live.changed:
            several = self.live.similar_items_of(known, *_asked(wanted))
            found = {one: _found(ids, scores, "live", None) for one, (ids, scores) in several.items()}
        elif known:
            base, offered = self.live.offered()
            lists = base.similar_items(known, *_asked(wanted, base, offered), return_info=True)
            found = {
                one: _found(ids[: info.n_results], scores[: info.n_results], info.path, info.reason)
                for one, ids, scores, info in zip(known, *lists, strict=True)
                if one in base.vocabulary
            }
        return [None if one is None else found.get(one) for one in item_ids]

    def similar_to(self, vector: Sequence[float], wanted: Wanted) -> Found:
        """Return the items nearest to a vector, shape (d,)."""
        query = np.array(vector, np.float64)
        if self.live.changed:
            ids, scores = self.live.similar_to(query, *_asked(wanted))
            return _found(ids, scores, "live", None)
        base, offered = self.live.offered()
        ids, scores, info = base.similar_to(query, *_asked(wanted, base, offered), return_info=True)
        return _found(ids, scores, info.path, info.reason)

    def similar_to_attributes(
        self, attributes: Mapping[str, Any], wanted: Wanted
    ) -> tuple[Found, Provenance]:
        """Return the items like one that is not listed yet, and where its vector comes from."""
        vector, provenance = self.live.base.vector_for(attributes)
        return self.similar_to(vector.tolist(), wanted), provenance

    def recommend(
        self,
        user: UserHistory,
        wanted: Wanted,
        *,
        filter_seen: bool | Literal["booked"] = True,
        weights: InterestWeights | None = None,
        explain: bool = False,
    ) -> ForUser:
        """Return items for a user.

        Items that are new since the last rebuild, or whose vectors changed, are in no user's list yet; those
        removed are left out. Where attributes alone changed an item stays, and is filtered by those of today.
        """
        base, offered = self.live.offered_to_users(wanted.where)
        answer = base.recommend(
            user,
            wanted.k,
            _allowed(wanted, base, offered),
            wanted.deny or None,
            filter_seen,
            None,  # the items offered meet the conditions
            wanted.mode,
            weights=weights,
            explain=explain,
            return_info=True,
        )
        ids, scores, info = answer[:3]
        return ForUser(
            _found(ids, scores, "blend" if len(ids) else "none", info.reason),
            self._fallback(user, base),
            [one.to_json() for one in answer[3]] if explain else None,
        )

    def _fallback(self, user: UserHistory, base: Recommender) -> str | None:
        now, vocabulary = user.moment_us, base.vocabulary
        if any(one.ts_us < now and one.item_id in vocabulary for one in user.events):
            return None
        return "attributes" if user.attributes and self._types is not None else "popularity"

    def features(
        self,
        item_ids: Sequence[ItemId],
        events: Sequence[UserEvent],
        as_of_us: int,
        attributes: Mapping[str, Any],
    ) -> Features:
        """Return the ranking features of candidates for one user at one moment."""
        types, user_type = self._types, None
        if types is not None:
            booked = [one for one in events if one.event_type == "booking" and one.ts_us < as_of_us]
            booked.sort(key=lambda one: one.ts_us)
            nums = self.loaded.vocabulary.nums([one.item_id for one in booked])
            user_type = types.user_type(nums[nums >= 0], attributes)
        values, use = self._features.of(item_ids, events, as_of_us, user_type, return_info=True)
        rows = [[None if one != one else round(one, 6) for one in row] for row in values.tolist()]
        return Features(RANKING_FEATURES, rows, use._asdict())

    def item(self, item_id: ItemId) -> dict[str, Any]:
        """Return what is known of a listed item.

        Raises
        ------
        UnknownItemError
            If it is not listed.
        """
        attributes = self.live.attributes_of(item_id)
        num = int(self.loaded.vocabulary.nums([item_id])[0])
        return {
            "item_id": item_id,
            "available": item_id not in self.live.unavailable,
            "trained": num >= 0,
            "n_clicks": int(self.loaded.vocabulary.counts[num]) if num >= 0 else 0,
            "attributes": attributes,
        }


def _asks_nothing(wanted: Wanted) -> bool:
    return wanted.where is None and wanted.allow is None and not wanted.deny


def _asked(wanted: Wanted, base: Recommender | None = None, offered: ItemSet | None = None) -> Any:
    """Return what is wanted as recommenders take it: N, where, items, filter_items, mode."""
    items = wanted.allow if base is None else _allowed(wanted, base, offered)
    return wanted.k, wanted.where, items, wanted.deny or None, wanted.mode


def _allowed(wanted: Wanted, base: Recommender, offered: ItemSet | None) -> Sequence[ItemId] | ItemSet | None:
    """Return the request's allow list as far as its items are offered now."""
    if offered is None or wanted.allow is None:
        return wanted.allow if offered is None else offered
    nums = base.vocabulary.nums(wanted.allow)
    mask = np.zeros(len(offered.mask), np.bool_)
    mask[nums[nums >= 0]] = True
    return ItemSet(mask & offered.mask)


def _found(ids: Any, scores: Any, path: str, reason: str | None) -> Found:
    return Found(ids.tolist(), [round(one, 6) for one in scores.tolist()], path, reason)
