"""Eight features of what a search lists, from a user's last two weeks (Grbovic & Cheng 2018, section 4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.arrow import numpy_numbers
from item2vec.errors import DataError, UsageError
from item2vec.recommendations.ranking_features.interest import (
    KINDS,
    Candidates,
    ItemSpace,
    entries_of,
    interest_similarities,
)
from item2vec.recommendations.ranking_features.type_similarity import TypeSimilarity, type_similarities
from item2vec.recommendations.user_events import DAY_US, HISTORY_DAYS, UserEvent, checked_events
from item2vec.sessions.columns import align_items, one_array

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors
    from item2vec.vocabulary import ItemId

RANKING_FEATURES = (
    "EmbClickSim",
    "EmbSkipSim",
    "EmbLongClickSim",
    "EmbWishlistSim",
    "EmbInqSim",
    "EmbBookSim",
    "EmbLastLongClickSim",
    "UserTypeListingTypeSim",
)
"""The features' names, as the paper's Table 7 has them, in the order of the columns."""
TYPE_FEATURE = 7
WINDOW_US = HISTORY_DAYS * DAY_US


class HistoryUse(NamedTuple):
    """What became of a request's history; the five add up to its length.

    Attributes
    ----------
    used : int
    future : int
        At the time of the request or later: never looked at.
    too_old : int
        Fourteen days old or older.
    unknown : int
        About items without a vector.
    no_part : int
        Rejections, which are in none of the sets.
    """

    used: int
    future: int
    too_old: int
    unknown: int
    no_part: int


class RankingFeatures:
    """Similarity of candidates to what a user did lately, and of their types to the user's type.

    Six features are ``max over markets of cos(v_l, Σ_{h in market} v_h)`` (eq. 10) over the listings a user
    clicked, skipped, clicked for more than 60 s, wish-listed, contacted without booking, and booked within
    the last 14 days; ``EmbLastLongClickSim`` is the cosine to the last long click (eq. 11) and
    ``UserTypeListingTypeSim`` the one of the types (eq. 12). Only what happened strictly before the request
    counts: of a long click also the end of the stay. A listing is in a set once; a later click takes back a
    skip. Items without a market make one market together.

    Train `vectors` on sessions that ended before the first day that is ranked: else what is to be predicted
    is in them.

    Parameters
    ----------
    vectors : ItemVectors
        Input vectors are read.
    markets : mapping of item id to str, or pyarrow.Table, optional
        Market of the items, or an item table with ``item_id`` and ``market``; by default all are of one.
    types : TypeSimilarity, optional
        Answers eq. 12; without it the feature is NaN.
    listing_types : mapping of item id to str, optional
        Listing type of the items, as `types` knows it. It is one snapshot: types that contain what changes
        (review counts) are known as of the snapshot and not as of a search.

    Raises
    ------
    UsageError
        If `markets`, `types` or `listing_types` are something else.
    DataError
        If the item table does not fit to the vectors.
    """

    def __init__(
        self,
        vectors: ItemVectors,
        markets: Mapping[ItemId, str] | pa.Table | None = None,
        *,
        types: TypeSimilarity | None = None,
        listing_types: Mapping[ItemId, str] | None = None,
    ) -> None:
        if types is not None and not isinstance(types, TypeSimilarity):
            raise UsageError(f"types is {type(types).__name__}, which has no similarity(user_type, types)")
        if listing_types is not None and not isinstance(listing_types, Mapping):
            raise UsageError("listing_types is a mapping of item id to the type that types knows")
        if (types is None) != (listing_types is None):
            raise UsageError("types and listing_types belong together: give both or none")
        self.vocabulary = vectors.vocabulary
        self.types = types
        self._listing_types = listing_types
        codes = _market_codes(vectors, markets)
        self.space = ItemSpace(
            np.ascontiguousarray(vectors.vectors, np.float32),
            vectors.get_normed_vectors(),
            codes,
            int(codes.max(initial=0)) + 1,
        )

    def __repr__(self) -> str:
        types = "with" if self.types is not None else "without"
        return (
            f"RankingFeatures({len(self.vocabulary):,} items, {self.space.n_markets} markets, {types} types)"
        )

    @overload
    def of(
        self,
        item_ids: Sequence[ItemId],
        history: Sequence[UserEvent],
        as_of_us: int,
        user_type: str | None = None,
        *,
        return_info: Literal[False] = False,
    ) -> npt.NDArray[np.float32]: ...

    @overload
    def of(
        self,
        item_ids: Sequence[ItemId],
        history: Sequence[UserEvent],
        as_of_us: int,
        user_type: str | None = None,
        *,
        return_info: Literal[True],
    ) -> tuple[npt.NDArray[np.float32], HistoryUse]: ...

    def of(
        self,
        item_ids: Sequence[ItemId],
        history: Sequence[UserEvent],
        as_of_us: int,
        user_type: str | None = None,
        *,
        return_info: bool = False,
    ) -> Any:
        """Return the features of one request.

        Parameters
        ----------
        item_ids : sequence of str or int
            Candidates.
        history : sequence of UserEvent
            The user's events in any order; where two long clicks have the same time the later one in the
            sequence is the last.
        as_of_us : int
            Time of the request, microseconds since 1970 (UTC).
        user_type : str, optional
        return_info : bool
            Also say what became of the history.

        Returns
        -------
        ndarray of float32, shape (n_candidates, 8)
            Columns as :data:`RANKING_FEATURES`; NaN where a feature has no answer. With `return_info` a pair
            of it and a :class:`HistoryUse`.

        Raises
        ------
        DataError
            If an event is none.
        UsageError
            If `as_of_us` is no time, or `item_ids` is a text.
        """
        if isinstance(as_of_us, bool) or not isinstance(as_of_us, int | np.integer) or as_of_us < 0:
            raise UsageError(f"as_of_us={as_of_us!r} is no time in microseconds since 1970")
        if isinstance(item_ids, str | bytes):
            raise UsageError("item_ids is a list of item ids, also where there is one")
        wanted = list(item_ids)
        events, use = self._window(checked_events(history), int(as_of_us))
        nums = self.vocabulary.nums([event.item_id for event in events]).astype(np.int64)
        n = len(events)
        dwell = [np.nan if event.dwell_seconds is None else event.dwell_seconds for event in events]
        entries = entries_of(
            np.zeros(n, np.int64),
            nums,
            np.fromiter((KINDS[event.event_type] for event in events), np.int64, n),
            np.fromiter((event.ts_us for event in events), np.int64, n),
            np.array(dwell, np.float64),
        )
        rows = np.flatnonzero(entries.known_us < as_of_us)
        candidates = self.vocabulary.nums(wanted).astype(np.int64)
        values = np.empty((len(wanted), len(RANKING_FEATURES)), np.float32)
        values[:, :TYPE_FEATURE] = interest_similarities(
            entries,
            (np.zeros(len(rows), np.int64), rows),
            Candidates(candidates, np.array([0, len(wanted)])),
            self.space,
        )
        values[:, TYPE_FEATURE] = self.of_types(user_type, wanted)
        unknown = int(np.count_nonzero(nums < 0))
        return (values, use._replace(used=n - unknown, unknown=unknown)) if return_info else values

    def of_types(self, user_type: str | None, item_ids: Sequence[ItemId]) -> npt.NDArray[np.float32]:
        """Return eq. 12 per item, shape (n,), NaN where a type is not known."""
        if self.types is None or self._listing_types is None:
            return np.full(len(item_ids), np.nan, np.float32)
        of_items = [self._listing_types.get(one) for one in item_ids]
        return type_similarities(self.types, user_type, of_items)

    @staticmethod
    def _window(history: list[UserEvent], as_of_us: int) -> tuple[list[UserEvent], HistoryUse]:
        """Keep what happened within the two weeks before, in the order of time."""
        past = [event for event in history if event.ts_us < as_of_us]
        recent = [event for event in past if event.ts_us > as_of_us - WINDOW_US]
        events = [event for event in recent if event.event_type in KINDS]
        events.sort(key=_time)
        lost = len(history) - len(past), len(past) - len(recent), 0, len(recent) - len(events)
        return events, HistoryUse(len(events), *lost)


def _time(event: UserEvent) -> int:
    return event.ts_us


def _market_codes(
    vectors: ItemVectors, markets: Mapping[ItemId, str] | pa.Table | None
) -> npt.NDArray[np.int64]:
    """Number the markets by item number; 0 for items without one."""
    if markets is None:
        return np.zeros(len(vectors), np.int64)
    if isinstance(markets, Mapping):  # Arrow would import pandas to take a list
        codes: dict[str | None, int] = {None: 0}
        names = (markets.get(one) for one in vectors.index_to_key)
        return np.fromiter((codes.setdefault(name, len(codes)) for name in names), np.int64, len(vectors))
    if not isinstance(markets, pa.Table):
        raise UsageError(
            "markets is a mapping of item id to market, or an item table with item_id and market"
        )
    if "market" not in markets.column_names:
        raise DataError(f"the item table has no column market, only {', '.join(markets.column_names)}")
    column = one_array(align_items(markets, vectors.vocabulary.ids)["market"])
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return numpy_numbers(encoded.indices.cast(pa.int32()), missing=-1).astype(np.int64) + 1
