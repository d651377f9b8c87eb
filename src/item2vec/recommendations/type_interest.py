"""Long-term interest: how well listings' types suit the type of a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.embeddings.types.type_map import coded, columns_of
from item2vec.errors import UsageError
from item2vec.sessions.columns import align_items

if TYPE_CHECKING:
    from item2vec.embeddings.types import TypeEmbeddings
    from item2vec.vocabulary import Vocabulary

By = Literal["cosine", "lift"]
Rows = npt.NDArray[np.int64]


class TypeInterest:
    """Scores items for users by their types; answers for new users and for items that were never clicked.

    Parameters
    ----------
    types : TypeEmbeddings
        Fitted.
    vocabulary : Vocabulary
        The items to score, with their counts.
    items : pyarrow.Table
        Their attributes; a listing's earlier bookings, where its type counts them, are those that the types
        were learned from.
    users : pyarrow.Table, optional
        ``user_id`` and attributes, for :meth:`for_users`.
    by : {"lift", "cosine"}
        ``"cosine"``: :meth:`TypeEmbeddings.similarity`. ``"lift"``: the logarithm of the item's count plus
        the product of the user type's input and the listing type's output vector, which skip-gram with
        negative sampling makes the logarithm of how much more often the two meet than by chance (Levy &
        Goldberg 2014): what is booked often, weighed by whom it suits.

    Attributes
    ----------
    listing_types : list of str
        The type of each item.
    codes : ndarray of int64, shape (n_items,)
        Its number among the listing types there are.

    Raises
    ------
    UsageError
        If `by` is unknown or the types are not fitted.
    DataError
        If the item table does not fit the vocabulary.
    """

    def __init__(
        self,
        types: TypeEmbeddings,
        vocabulary: Vocabulary,
        items: pa.Table,
        users: pa.Table | None = None,
        *,
        by: By = "lift",
    ) -> None:
        if by not in ("lift", "cosine"):
            raise UsageError(f"{by=} is unknown; items are scored by 'lift' or 'cosine'")
        if not hasattr(types, "vectors_"):
            raise UsageError("the type embeddings are not fitted; call fit first")
        self.types, self.vocabulary, self.by = types, vocabulary, by
        aligned = align_items(items, vocabulary.ids)
        columns = columns_of(aligned) | {"count_of bookings": types.bookings_of(vocabulary.ids)}
        self.listing_types: list[str] = types.type_map_.listing_types(columns, len(vocabulary))
        self._attributes = columns
        coded_types = coded(self.listing_types)
        self.codes: Rows = coded_types.codes
        self._names = coded_types.names
        self._known: dict[str, npt.NDArray[np.float32]] = {}
        self._users = {} if users is None else {row["user_id"]: row for row in users.to_pylist()}

    @cached_property
    def _outputs(self) -> npt.NDArray[np.float32]:
        """Output vectors of the listing types, for ``"lift"``; a missing one is NaN."""
        return _stacked([self.types.vector("listing", one, output=True) for one in self._names])

    @cached_property
    def log_counts(self) -> npt.NDArray[np.float32]:
        """Logarithm of (1 + count) of every item: popularity, as ``"lift"`` has it."""
        return np.log1p(self.vocabulary.counts).astype(np.float32)

    def user_type(self, history: npt.NDArray[np.int32], attributes: Mapping[str, Any] | None = None) -> str:
        """Return the type of a user who has booked these items (item numbers, oldest first)."""
        booked = [
            {name: values[num] for name, values in self._attributes.items()} for num in history.tolist()
        ]
        return self.types.user_type(attributes, booked)

    def of_listing_types(self, user_type: str) -> npt.NDArray[np.float32]:
        """Score the listing types there are for a user type, by their codes; NaN without a vector."""
        if user_type not in self._known:
            if len(self._known) > 1024:
                self._known.clear()
            self._known[user_type] = self._by_listing_type(user_type)
        return self._known[user_type]

    def of_type(self, user_type: str) -> npt.NDArray[np.float32]:
        """Score every item for a user type, float32 (n_items,); NaN where one of the types has no vector."""
        found: npt.NDArray[np.float32] = self.of_listing_types(user_type)[self.codes]
        return found + self.log_counts if self.by == "lift" else found

    def _by_listing_type(self, user_type: str) -> npt.NDArray[np.float32]:
        if self.by == "cosine":
            return self.types.similarity(user_type, self._names)
        mine = self.types.vector("user", user_type)
        if mine is None:
            return np.full(len(self._outputs), np.nan, np.float32)
        products: npt.NDArray[np.float32] = (self._outputs @ mine).astype(np.float32)
        return products

    def for_users(self, user_ids: Sequence[str | None]) -> OfUsers:
        """Return the scorer of these users' histories, in this order: it knows their attributes."""
        return OfUsers(self, [self._users.get(one) for one in user_ids])

    def scores(self, histories: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        """Score all items after each history of bookings, of users of whom nothing else is known.

        Where a type has no vector, ``"lift"`` answers by popularity alone and ``"cosine"`` not at all.

        Parameters
        ----------
        histories : sequence of ndarray of int32
            Item numbers, oldest first; an empty one is a user without a booking.

        Returns
        -------
        ndarray of float32, shape (len(histories), n_items)
        """
        return OfUsers(self, [None] * len(histories)).scores(histories)

    def backs_off(
        self, histories: Sequence[npt.NDArray[np.int32]], candidates: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return for each history whether its type gave up fields, for it has no vector of its own."""
        return OfUsers(self, [None] * len(histories)).backs_off(histories, candidates)


class OfUsers:
    """The scores of a :class:`TypeInterest` for certain users, one per history."""

    def __init__(self, interest: TypeInterest, attributes: Sequence[Mapping[str, Any] | None]) -> None:
        self._interest, self._attributes = interest, attributes
        self.vocabulary = interest.vocabulary

    def _types(self, histories: Sequence[npt.NDArray[np.int32]]) -> list[str]:
        pairs = zip(histories, self._attributes, strict=True)
        return [self._interest.user_type(history, known) for history, known in pairs]

    def scores(self, histories: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        """Score all items after each history; see :meth:`TypeInterest.scores`."""
        found = np.stack([self._interest.of_type(one) for one in self._types(histories)])
        if self._interest.by == "lift":
            return np.where(np.isnan(found), self._interest.log_counts, found)
        return np.where(np.isnan(found), np.float32(-np.inf), found)

    def backs_off(
        self, histories: Sequence[npt.NDArray[np.int32]], candidates: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return for each history whether its type gave up fields; see :meth:`TypeInterest.backs_off`."""
        types = self._interest.types
        return np.array([not types.has_own_vector("user", one) for one in self._types(histories)], np.bool_)


def _stacked(vectors: Sequence[npt.NDArray[np.float32] | None]) -> npt.NDArray[np.float32]:
    """Return vectors as a table, a missing one as NaN."""
    size = next((len(one) for one in vectors if one is not None), 1)
    return np.stack([np.full(size, np.nan, np.float32) if one is None else one for one in vectors])
