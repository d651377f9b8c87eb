"""Each user's latest clicks, in item numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_values
from item2vec.errors import UsageError
from item2vec.recommendations.answers import id_list
from item2vec.sessions.columns import item_id_array, offsets_of, one_array

if TYPE_CHECKING:
    from item2vec.sessions import Sessions
    from item2vec.vocabulary import Vocabulary


class Histories(NamedTuple):
    """Clicks by user, users ascending.

    Attributes
    ----------
    user_ids : pyarrow.Array
    items : ndarray of int32, shape (n_clicks,)
        Item numbers, oldest first within a user; unknown items are left out.
    offsets : ndarray of int64, shape (n_users + 1,)
    """

    user_ids: pa.Array
    items: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user_ids)

    def clicks(self, row: int) -> npt.NDArray[np.int32]:
        """One user's item numbers."""
        return self.items[self.offsets[row] : self.offsets[row + 1]]


def histories_of(
    histories: Sessions | Mapping[Any, Sequence[Any]], vocabulary: Vocabulary, max_clicks: int
) -> Histories:
    """Gather each user's latest `max_clicks` clicks on known items.

    Raises
    ------
    UsageError
        If it is neither sessions with users nor a mapping of user to item ids.
    """
    if isinstance(histories, Mapping):
        names, lists = list(histories), list(histories.values())
        owners = np.repeat(np.arange(len(names)), [len(one) for one in lists])
        nums = [
            vocabulary.nums(id_list(one, vocabulary, f"the history of {name!r}"))
            for name, one in zip(names, lists, strict=True)
        ]
        items = np.concatenate([np.zeros(0, np.int32), *nums])
        users = item_id_array(names)
    else:
        users, owners, items = _of_sessions(histories, vocabulary)
    ranks = (arrow_values(pc.rank(users, tiebreaker="dense"), np.uint64) - 1).astype(np.int64)
    n_users = int(ranks.max(initial=-1)) + 1
    known = items >= 0
    owners, items = ranks[owners[known]] if len(users) else owners[known], items[known]
    order = np.argsort(owners, kind="stable")
    owners, items = owners[order], items[order]
    sizes = np.bincount(owners, minlength=n_users)
    from_end = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(items))
    latest = from_end <= max_clicks
    distinct = pc.unique(users)
    return Histories(
        distinct.take(pc.sort_indices(distinct)), items[latest], offsets_of(np.minimum(sizes, max_clicks))
    )


def _of_sessions(
    sessions: Sessions, vocabulary: Vocabulary
) -> tuple[pa.Array, npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return the users of sessions, the user of every click and its item number, in the order of time."""
    if getattr(sessions, "user_ids", None) is None:
        raise UsageError(
            "give sessions with users, as sessionize makes them, or a mapping {user: [item, item, …]}"
        )
    nums = vocabulary.nums(sessions.item_ids)
    order = np.arange(len(sessions))
    if sessions.start_us is not None:
        order = np.argsort(sessions.start_us, kind="stable")
    ordered = sessions.take(order)
    owners = np.repeat(np.arange(len(ordered)), np.diff(ordered.offsets))
    return one_array(ordered.user_ids), owners, nums[ordered.tokens]
