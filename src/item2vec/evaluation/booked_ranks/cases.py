"""Cases of booked rank: a query click, a booking it led to, and the listings it competes with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import DataError, UsageError
from item2vec.evaluation.booked_ranks.searches import SearchLists
from item2vec.sessions import Sessions
from item2vec.sessions.columns import gather, offsets_of, token_array
from item2vec.vocabulary import Vocabulary

Ints = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.int32]
NOBODY = -1


@dataclass(frozen=True, eq=False)
class BookedCases:
    """Clicks before bookings, each with a list of candidates; arrays have one entry per case unless stated.

    Attributes
    ----------
    candidates : {"search", "market"}
    session_nums : ndarray of int64
        Test session.
    starts, ends : ndarray of int64
        The history is ``test.tokens[starts:ends]``; its last click is the query.
    positions : ndarray of int64
        Clicks of the session from the query to the booking: 1 is the last click before it.
    before : ndarray of bool
        Whether the query came before the session's first click on the booked item.
    booked, skipped : ndarray of int32
        Positions in `item_ids` of the booked item, and of the query where it is no candidate (else −1).
    list_nums : ndarray of int64
        The list of candidates; the booked item is always one.
    n_candidates : ndarray of int64
    item_ids : pyarrow.Array
        What lists hold.
    items, offsets : ndarray of int32, ndarray of int64, shape (n_listed,), (n_lists + 1,)
        List ``l`` is ``items[offsets[l]:offsets[l + 1]]``.
    places : ndarray of int64, optional
        Place of the booked item in production's list, from 1, among the candidates.
    excluded : dict of str to int
        What made no case, by reason.
    """

    candidates: str
    session_nums: Ints
    starts: Ints
    ends: Ints
    positions: Ints
    before: npt.NDArray[np.bool_]
    booked: Tokens
    skipped: Tokens
    list_nums: Ints
    n_candidates: Ints
    item_ids: pa.Array
    items: Tokens
    offsets: Ints
    places: Ints | None = None
    excluded: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.session_nums)

    def without(self, dropped: npt.NDArray[np.bool_], reason: str) -> BookedCases:
        """Leave cases out and count them under a reason."""
        kept = ~dropped
        names = (
            *("session_nums", "starts", "ends", "positions", "before"),
            *("booked", "skipped", "list_nums", "n_candidates"),
        )
        return replace(
            self,
            **{name: getattr(self, name)[kept] for name in names},
            places=None if self.places is None else self.places[kept],
            excluded={**self.excluded, reason: int(dropped.sum())},
        )


def search_cases(
    test: Sessions, searches: SearchLists, vocabularies: Iterable[Vocabulary], max_position: int
) -> BookedCases:
    """Make a case of every search that showed a booked item after the session's first click.

    Candidates are the search's impressions, without the query unless it is the booked item: it would be its
    own nearest neighbour, and has been seen. A booked listing that no scorer knows makes no case.

    Raises
    ------
    UsageError
        If the lists were made for other sessions.
    DataError
        If the sessions' item ids are of another type than a scorer's.
    """
    _check_bookings(test, searches)
    assert test.booked_us is not None
    sessions = _owners(test)[searches.bookings]
    n_history = _clicks_before(test, sessions, searches.first_us)
    n_clicks = _clicks_before(test, sessions, test.booked_us[searches.bookings])
    nums = token_array(test.item_ids, searches.item_ids)
    wanted = nums[test.booked[searches.bookings]]
    queries = nums[test.tokens[test.offsets[sessions] + n_history - 1]]
    places, query_places = _places(searches, wanted), _places(searches, queries)
    if not places.all():  # sessions of another log, numbered alike
        raise UsageError(
            "some search lists lack the listing that the test sessions booked; make them with"
            " search_lists(events, test) of the same test"
        )
    skipped = (queries != wanted) & (query_places > 0)
    n_without = searches.n_bookings - len(np.unique(searches.bookings))
    cases = BookedCases(
        candidates="search",
        session_nums=sessions,
        starts=test.offsets[sessions],
        ends=test.offsets[sessions] + n_history,
        positions=n_clicks - n_history + 1,
        before=n_history <= _first_clicks(test)[searches.bookings],
        booked=wanted,
        skipped=np.where(skipped, queries, NOBODY),
        list_nums=searches.list_nums,
        n_candidates=np.diff(searches.offsets)[searches.list_nums] - skipped,
        item_ids=searches.item_ids,
        items=searches.items,
        offsets=searches.offsets,
        places=places - (skipped & (query_places < places)) if searches.in_order else None,
        excluded={"bookings without a search that showed them after a click": n_without},
    )
    known = _known_by_any(searches.item_ids, vocabularies)
    return _usable(cases, max_position, known, "searches that showed a booked listing that no scorer knows")


def _places(searches: SearchLists, items: Tokens) -> Ints:
    """Return where an item stands in each row's list, from 1; 0 where it does not."""
    shown, offsets = gather(searches.offsets, searches.list_nums)
    rows = np.repeat(np.arange(len(searches)), np.diff(offsets))
    here = np.flatnonzero(searches.items[shown] == items[rows])
    places = np.zeros(len(searches), np.int64)
    places[rows[here]] = here - offsets[rows[here]] + 1
    return places


def _check_bookings(test: Sessions, searches: SearchLists) -> None:
    remedy = "make them with search_lists(events, test) of the same test"
    if searches.n_bookings != len(test.booked) or test.ts_us is None or test.booked_us is None:
        raise UsageError(
            f"the search lists are about {searches.n_bookings} bookings, the test sessions have"
            f" {len(test.booked)}; {remedy}"
        )
    if not np.array_equal(searches.session_ids, test.session_ids[_owners(test)]):
        raise UsageError(f"the search lists are about bookings of other sessions than the test's; {remedy}")


def market_cases(test: Sessions, vocabularies: Iterable[Vocabulary], max_position: int) -> BookedCases:
    """Make a case of every click before a booking; candidates are the market's items that a scorer knows.

    A booked listing that no scorer knows makes no case: whatever has an answer would put it last, and only
    what has none would not.

    Raises
    ------
    UsageError
        If the sessions are booking sequences.
    DataError
        If the sessions' item ids are of another type than a scorer's.
    """
    if test.kind != "click":
        raise UsageError("booked rank needs click sessions; a booking sequence has no clicks before a stay")
    known, items, sizes = _market_lists(test, vocabularies)
    owners = _owners(test)
    n_clicks = np.diff(test.offsets)[owners]
    if test.ts_us is not None and test.booked_us is not None:
        n_clicks = _clicks_before(test, owners, test.booked_us)
    placed = test.markets[test.booked] >= 0
    excluded = {
        "bookings of a listing without a market": int((~placed).sum()),
        "bookings without a click before them": int((placed & (n_clicks == 0)).sum()),
    }
    n_clicks = np.where(placed, n_clicks, 0)
    bookings = np.repeat(np.arange(len(owners)), n_clicks)
    nth = np.arange(len(bookings)) - np.repeat(np.cumsum(n_clicks) - n_clicks, n_clicks)
    sessions, booked = owners[bookings], test.booked[bookings]
    starts = test.offsets[sessions]
    queries = test.tokens[starts + nth]
    market = test.markets[booked].astype(np.int64)
    skipped = (queries != booked) & known[queries] & (test.markets[queries] == market)
    cases = BookedCases(
        candidates="market",
        session_nums=sessions,
        starts=starts,
        ends=starts + nth + 1,
        positions=n_clicks[bookings] - nth,
        before=nth < _first_clicks(test)[bookings],
        booked=booked,
        skipped=np.where(skipped, queries, NOBODY).astype(np.int32),
        list_nums=market,
        n_candidates=sizes[market] - skipped,
        item_ids=test.item_ids,
        items=items,
        offsets=offsets_of(sizes),
        excluded=excluded,
    )
    return _usable(cases, max_position, known, "clicks before the booking of a listing that no scorer knows")


def _market_lists(
    test: Sessions, vocabularies: Iterable[Vocabulary]
) -> tuple[npt.NDArray[np.bool_], Tokens, Ints]:
    """Return which items a scorer knows, those of them with a market, market by market, and the sizes."""
    known = _known_by_any(test.item_ids, vocabularies)
    items = np.flatnonzero(known & (test.markets >= 0))
    items = items[np.argsort(test.markets[items], kind="stable")]
    sizes = np.bincount(test.markets[items], minlength=len(test.market_names))
    return known, items.astype(np.int32), sizes


def _known_by_any(item_ids: pa.Array, vocabularies: Iterable[Vocabulary]) -> npt.NDArray[np.bool_]:
    known = np.zeros(len(item_ids), bool)
    for vocabulary in vocabularies:
        known |= known_nums(item_ids, vocabulary) >= 0
    return known


def known_nums(item_ids: pa.Array, vocabulary: Vocabulary) -> Tokens:
    """Return a scorer's number of each item, −1 where it knows none.

    Raises
    ------
    DataError
        If the ids are of another type.
    """
    if item_ids.type != vocabulary.ids.type:
        raise DataError(
            f"the test sessions have {item_ids.type} item ids, the scorer {vocabulary.id_type} ids;"
            " read both with the same id_type"
        )
    return vocabulary.nums(item_ids).astype(np.int32)


def _usable(
    cases: BookedCases, max_position: int, known: npt.NDArray[np.bool_], of_unknown: str
) -> BookedCases:
    cases = cases.without(cases.positions > max_position, f"more than {max_position} clicks before")
    cases = cases.without(~known[cases.booked], of_unknown)
    return cases.without(cases.n_candidates < 2, "lists of one candidate")


def _owners(test: Sessions) -> Ints:
    """Return the session of each booked item."""
    return np.repeat(np.arange(len(test)), np.diff(test.booked_offsets))


def _clicks_before(test: Sessions, sessions: Ints, times: Ints) -> Ints:
    """Count each session's clicks strictly before a time."""
    assert test.ts_us is not None
    if not len(sessions):
        return np.zeros(0, np.int64)
    clicks, offsets = gather(test.offsets, sessions)
    earlier = test.ts_us[clicks] < np.repeat(times, np.diff(offsets))
    return np.add.reduceat(earlier, offsets[:-1], dtype=np.int64)


def _first_clicks(test: Sessions) -> Ints:
    """Return where in its session each booked item was first clicked; the session's length where never."""
    owners = _owners(test)
    if not len(owners):
        return np.zeros(0, np.int64)
    clicks, offsets = gather(test.offsets, owners)
    lengths = np.diff(offsets)
    nth = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    on_it = test.tokens[clicks] == np.repeat(test.booked, lengths)
    return np.minimum.reduceat(np.where(on_it, nth, np.repeat(lengths, lengths)), offsets[:-1])
