"""The searches that showed a listing before it was booked: the lists that booked rank re-ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.arrow import arrow_numbers, numpy_numbers
from item2vec.errors import DataError, UsageError
from item2vec.evaluation.arguments import check_sessions
from item2vec.events import Events
from item2vec.sessions import Sessions
from item2vec.sessions.columns import ascending, offsets_of, one_array, token_array

_SEARCHES = """
SELECT user_id, search_id, min(ts_us) AS first_us
FROM events
WHERE event_type = 'impression' AND search_id IS NOT NULL
  AND user_id IN (SELECT user_id FROM bookings)
GROUP BY user_id, search_id
"""
# A search belongs to its user: two users' searches may carry the same id.
_CASES = """
SELECT DISTINCT booking, user_id, search_id, first_us
FROM bookings
JOIN events USING (user_id, item_id)
JOIN searches USING (user_id, search_id)
WHERE event_type = 'impression' AND first_us > start_us AND first_us <= booked_us
"""
_CHOSEN = """
SELECT user_id, search_id, row_number() OVER (ORDER BY user_id, search_id) - 1 AS list
FROM (SELECT DISTINCT user_id, search_id FROM cases)
"""
_LISTS = """
SELECT list, item_id, min(position) AS place
FROM events JOIN chosen USING (user_id, search_id)
WHERE event_type = 'impression'
GROUP BY list, item_id
ORDER BY list, place NULLS LAST, min(ts_us), min(seq), item_id
"""


@dataclass(frozen=True, eq=False)
class SearchLists:
    """The lists in which booked listings were shown, one row per (booking, search).

    Attributes
    ----------
    item_ids : pyarrow.Array of string or int64
        Distinct ids of everything that was listed, ascending.
    items : ndarray of int32, shape (n_listed,)
        Positions in `item_ids`; list ``l`` is ``items[offsets[l]:offsets[l + 1]]``, in the order in which
        production showed it, each item once.
    offsets : ndarray of int64, shape (n_lists + 1,)
    bookings : ndarray of int64, shape (n,)
        Which entry of ``test.booked`` a row is about.
    list_nums : ndarray of int64, shape (n,)
        The list of that search.
    first_us : ndarray of int64, shape (n,)
        Time of the search's first impression, microseconds since 1970 (UTC).
    session_ids : ndarray of int64, shape (n_bookings,)
        The session of each entry of ``test.booked``, with or without such a search.
    in_order : bool
        Whether every impression has its position, so that production's order is known.
    """

    item_ids: pa.Array
    items: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    bookings: npt.NDArray[np.int64]
    list_nums: npt.NDArray[np.int64]
    first_us: npt.NDArray[np.int64]
    session_ids: npt.NDArray[np.int64]
    in_order: bool

    def __len__(self) -> int:
        return len(self.bookings)

    @property
    def n_bookings(self) -> int:
        """Booked items of the test sessions, with or without such a search."""
        return len(self.session_ids)


def search_lists(events: Events, test: Sessions, *, memory_limit: str = "900MB") -> SearchLists:
    """Find, for every booked item of every test session, the searches that had shown it.

    A search counts where it is the same user's, its first impression came after the session's first click and
    not after the booking, and the booked item is among its impressions.

    Parameters
    ----------
    events : Events
        The log; only its impressions with a ``search_id`` are read.
    test : Sessions
        Click sessions of the held-out period.
    memory_limit : str
        What DuckDB may hold in memory; beyond it, it spills.

    Returns
    -------
    SearchLists
        Empty where the log has no such search.

    Raises
    ------
    UsageError
        If these are no events or no sessions, or booking sequences.
    DataError
        If the sessions have no users or times, or their ids are of another type than those of the events.
    """
    from item2vec.sessions.duckdb_engine import DuckDBEngine

    if not hasattr(events, "files"):
        raise UsageError(
            f"search_lists takes Events and test sessions, not {type(events).__name__}; see read_events(...)"
        )
    check_sessions("the test sessions", test)
    bookings = _bookings(test)
    if events.id_type != test.id_type:
        raise DataError(
            f"the events have {events.id_type} item ids, the test sessions {test.id_type} ids;"
            " take both from the same run"
        )
    engine = DuckDBEngine(memory_limit)
    try:
        engine.open_events(events.files)
        engine.put("bookings", bookings)
        engine.create("searches", _SEARCHES)
        engine.create("cases", _CASES)
        engine.create("chosen", _CHOSEN)
        rows = engine.fetch(
            "SELECT booking, list, first_us FROM cases JOIN chosen USING (user_id, search_id)"
            " ORDER BY booking, first_us, list"
        )
        listed = engine.fetch(_LISTS)
    finally:
        engine.close()
    lists = numpy_numbers(listed["list"])
    ids = one_array(listed["item_id"])
    item_ids = ascending(ids)
    return SearchLists(
        item_ids=item_ids,
        items=token_array(ids, item_ids),
        offsets=offsets_of(np.bincount(lists) if len(lists) else np.zeros(0, np.int64)),
        bookings=numpy_numbers(rows["booking"]),
        list_nums=numpy_numbers(rows["list"]),
        first_us=numpy_numbers(rows["first_us"]),
        session_ids=np.repeat(test.session_ids, np.diff(test.booked_offsets)),
        in_order=listed["place"].null_count == 0,
    )


def _bookings(test: Sessions) -> pa.Table:
    """List the booked items with their user and the span in which a search counts."""
    if test.kind != "click":
        raise UsageError("booked rank needs click sessions; a booking sequence has no clicks before a stay")
    lacking = [name for name in ("user_ids", "start_us", "ts_us", "booked_us") if getattr(test, name) is None]
    if lacking:
        raise DataError(
            f"the test sessions have no {', '.join(lacking)}, so no search can be told to be theirs; build"
            " them from events with sessionize(), or let booked_rank take the market's listings"
        )
    assert test.user_ids is not None
    assert test.start_us is not None
    assert test.booked_us is not None
    owners = np.repeat(np.arange(len(test)), np.diff(test.booked_offsets))
    columns = {
        "booking": arrow_numbers(np.arange(len(test.booked), dtype=np.int64)),
        "user_id": test.user_ids.take(arrow_numbers(owners)),
        "item_id": test.item_ids.take(arrow_numbers(test.booked)),
        "start_us": arrow_numbers(test.start_us[owners]),
        "booked_us": arrow_numbers(test.booked_us),
    }
    return pa.table(columns)
