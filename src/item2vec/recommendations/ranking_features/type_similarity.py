"""The door to embeddings of user types and listing types, which answer eq. 12."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import numpy_numbers
from item2vec.errors import UsageError
from item2vec.sessions.columns import one_array


@runtime_checkable
class TypeSimilarity(Protocol):
    """What knows how close a user type and listing types lie."""

    def similarity(self, user_type: str, listing_types: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return cos(v_ut, v_lt) per listing type, shape (n,), NaN where a type is unknown (eq. 12)."""


def type_similarities(
    types: TypeSimilarity, user_type: str | None, listing_types: Sequence[str | None]
) -> npt.NDArray[np.float32]:
    """Ask for the listing types that there are; NaN for the others, and without a user type.

    Raises
    ------
    UsageError
        If the answer has another shape.
    """
    answers = np.full(len(listing_types), np.nan, np.float32)
    known = [place for place, one in enumerate(listing_types) if one is not None]
    if user_type is None or not known:
        return answers
    found = np.asarray(types.similarity(user_type, [str(listing_types[place]) for place in known]))
    if found.shape != (len(known),):
        raise UsageError(
            f"similarity() answered {found.shape} for {len(known)} listing types; return one per type"
        )
    answers[known] = found
    return answers


def types_as_of(
    user_types: Any, users: pa.Array, as_of_us: npt.NDArray[np.int64]
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the types, and which of them each of the users had strictly before a time.

    Parameters
    ----------
    user_types : pyarrow.Table
        ``user_id``, ``ts_us`` (from when on) and ``user_type``, in any order; rows that begin before 1970
        are none of a log.
    users : pyarrow.Array
    as_of_us : ndarray of int64, shape (n,)

    Returns
    -------
    (list of str, ndarray of int64 of shape (n,))
        −1 where the user had none yet.

    Raises
    ------
    UsageError
        If `user_types` is no such table.
    """
    columns = {"user_id", "ts_us", "user_type"}
    if not isinstance(user_types, pa.Table) or not columns <= set(user_types.column_names):
        raise UsageError(
            "user_types is a pyarrow.Table of user_id, ts_us and user_type: which type a user is of from"
            " when on"
        )
    known = pc.unique(users)
    of_user = numpy_numbers(pc.index_in(one_array(user_types["user_id"]), value_set=known), missing=-1)
    since = numpy_numbers(user_types["ts_us"].cast(pa.int64()))
    encoded = one_array(user_types["user_type"]).dictionary_encode()
    codes = numpy_numbers(encoded.indices, missing=-1).astype(np.int64)
    asked = numpy_numbers(pc.index_in(users, value_set=known)).astype(np.int64)
    order = np.lexsort((since, of_user))
    order = order[of_user[order] >= 0]
    place = latest_before(of_user[order].astype(np.int64), since[order], asked, as_of_us) - 1
    first = np.searchsorted(of_user[order], asked)
    found = np.full(len(asked), -1, np.int64)
    has = place >= first
    found[has] = codes[order[place[has]]]
    return encoded.dictionary.to_pylist(), found


def latest_before(
    users: npt.NDArray[np.int64],
    ts_us: npt.NDArray[np.int64],
    asked: npt.NDArray[np.int64],
    as_of_us: npt.NDArray[np.int64],
    *,
    or_at: bool = False,
) -> npt.NDArray[np.int64]:
    """Return how many entries, ordered by user and time, come before each (user, time) that is asked.

    Entries at the time itself do not count, except with `or_at`.
    """
    times = np.unique(ts_us)  # ranks instead of times, so that user and time fit into one number
    width = len(times) + 1
    keys = users * width + np.searchsorted(times, ts_us)
    ranks = np.searchsorted(times, as_of_us, "right" if or_at else "left")
    before: npt.NDArray[np.int64] = np.searchsorted(keys, asked * width + ranks)
    return before
