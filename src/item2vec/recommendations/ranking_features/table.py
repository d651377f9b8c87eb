"""The features of every search of a log, point in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.arrow import arrow_numbers, arrow_values, numpy_numbers
from item2vec.errors import UsageError
from item2vec.recommendations.ranking_features.features import (
    RANKING_FEATURES,
    TYPE_FEATURE,
    WINDOW_US,
    RankingFeatures,
)
from item2vec.recommendations.ranking_features.interest import (
    KINDS,
    Candidates,
    Entries,
    Ints,
    entries_of,
    interest_similarities,
)
from item2vec.recommendations.ranking_features.log import opened_log
from item2vec.recommendations.ranking_features.type_similarity import latest_before, types_as_of
from item2vec.sessions.columns import gather, offsets_of, one_array

if TYPE_CHECKING:
    from item2vec.recommendations.ranking_features.log import Log

BLOCK = 400_000  # entries and candidates of the searches that are computed at once: some 100 MB

_LISTED = """
SELECT DISTINCT user_id, as_of_us, search_id, position, item_id
FROM events JOIN searches USING (user_id, search_id)
WHERE event_type = 'impression'
ORDER BY user_id, as_of_us, search_id, position NULLS LAST, item_id
"""
# A listing is skipped when one below it is clicked first and it was not clicked until then. Later is later:
# whether it will be clicked is not known at that time.
_SKIPS = """
SELECT p.user_id, p.item_id, min(below.clicked_us) AS ts_us
FROM pages p
JOIN pages below ON below.user_id = p.user_id AND below.search_id = p.search_id AND below.place > p.place
WHERE p.shown AND below.clicked_us IS NOT NULL
GROUP BY p.user_id, p.search_id, p.item_id
HAVING coalesce(min(p.clicked_us) > min(below.clicked_us), true)
"""
_CODES = " ".join(f"WHEN '{name}' THEN {code}" for name, code in KINDS.items())
_HISTORY = f"""
SELECT user_id, item_id, kind, ts_us, dwell_seconds
FROM (
    SELECT
        user_id,
        item_id,
        CASE event_type {_CODES} END::INT AS kind,
        ts_us,
        dwell_seconds,
        seq,
        event_id
    FROM events
    WHERE event_type IN ({", ".join(f"'{name}'" for name in KINDS)})
    UNION ALL
    SELECT user_id, item_id, {KINDS["skip"]}, ts_us, NULL, NULL, NULL FROM skips
)
WHERE user_id IN (SELECT user_id FROM searches)
ORDER BY user_id, ts_us, seq, event_id
"""


class _Searches(NamedTuple):
    """Searches in the order of the table.

    Attributes
    ----------
    listed : pyarrow.Table
        user_id, as_of_us, search_id, position, item_id: a row per candidate.
    offsets : ndarray of int64, shape (n_searches + 1,)
        Where the candidates of each search lie.
    user_ids : pyarrow.Array
        Users, ascending.
    users, as_of_us : ndarray of int64, shape (n_searches,)
    """

    listed: pa.Table
    offsets: Ints
    user_ids: pa.Array
    users: Ints
    as_of_us: Ints


def ranking_feature_table(
    events: Log,
    features: RankingFeatures,
    *,
    user_types: pa.Table | None = None,
    memory_limit: str = "900MB",
) -> pa.Table:
    """Compute the features of every search's candidates, as of the search.

    A search is what a user's events with one ``search_id`` belong to, if there are impressions among them;
    its time is that of its first event, so its own clicks are never in its history. Skips are derived: an
    impression above a clicked one of the same search that was not clicked until then, from the time of that
    click on (the paper's section 4.4). Stays (``dwell_seconds``) are the source's.

    Parameters
    ----------
    events : Events, pyarrow.Table, or path
        The typed event table: what ``read_events`` returns, a table with its columns, the folder it wrote,
        or a Parquet file or glob of that schema.
    features : RankingFeatures
        Its vectors must come from days before these searches; events from before count as history.
    user_types : pyarrow.Table, optional
        ``user_id``, ``ts_us`` and ``user_type``: of which type a user is from when on. A search sees the
        last row strictly before it.
    memory_limit : str
        What DuckDB may hold in memory while it reads; the table itself must fit beside it.

    Returns
    -------
    pyarrow.Table
        ``search_id``, ``user_id``, ``ts_us`` (int64, of the search), ``item_id``, ``position`` and one
        float32 column per name in :data:`RANKING_FEATURES`, NaN where a feature has no answer; one row per
        listing and position of each search, ordered by user, time, search and position. Impressions without
        a ``search_id`` are no candidates.

    Raises
    ------
    UsageError
        If an argument is of another kind.
    DataError, SourceError
        If this is no event table, or its ids are of another type than those of the vectors.
    """
    if not isinstance(features, RankingFeatures):
        raise UsageError(f"features is {type(features).__name__}; give RankingFeatures(vectors, markets)")
    with opened_log(events, memory_limit) as engine:
        listed = engine.fetch(_LISTED)
        engine.create("skips", _SKIPS)
        history = engine.fetch(_HISTORY)
    searches = _searches(listed)
    items = features.vocabulary.nums(listed["item_id"]).astype(np.int64)
    values = np.empty((len(items), len(RANKING_FEATURES)), np.float32)
    entries = _entries(history, searches, features)
    _fill(values, entries, searches, items, features)
    values[:, TYPE_FEATURE] = _of_types(searches, features, user_types)
    names = ("search_id", "user_id", "as_of_us", "item_id", "position")
    columns = {("ts_us" if name == "as_of_us" else name): listed[name] for name in names}
    computed = {name: arrow_numbers(values[:, column]) for column, name in enumerate(RANKING_FEATURES)}
    return pa.table(columns | computed)


def _searches(listed: pa.Table) -> _Searches:
    """Find where each search begins."""
    users = one_array(listed["user_id"])
    user_ids = pc.unique(users)
    of_row = numpy_numbers(pc.index_in(users, value_set=user_ids)).astype(np.int64)
    names = one_array(listed["search_id"]).dictionary_encode()
    codes = numpy_numbers(names.indices)
    begins = np.ones(len(users), bool)
    begins[1:] = (of_row[1:] != of_row[:-1]) | (codes[1:] != codes[:-1])
    starts = np.flatnonzero(begins)
    as_of_us = numpy_numbers(listed["as_of_us"])
    offsets = np.append(starts, len(users))
    return _Searches(listed, offsets, user_ids, of_row[starts], as_of_us[starts])


def _entries(history: pa.Table, searches: _Searches, features: RankingFeatures) -> Entries:
    """Turn the users' events and skips into entries of the six sets."""
    users = numpy_numbers(pc.index_in(one_array(history["user_id"]), value_set=searches.user_ids))
    stays = pc.fill_null(one_array(history["dwell_seconds"]), float("nan"))
    return entries_of(
        users.astype(np.int64),
        features.vocabulary.nums(history["item_id"]).astype(np.int64),
        numpy_numbers(history["kind"]).astype(np.int64),
        numpy_numbers(history["ts_us"]),
        arrow_values(stays, np.float64),
    )


def _fill(
    values: npt.NDArray[np.float32],
    entries: Entries,
    searches: _Searches,
    items: Ints,
    features: RankingFeatures,
) -> None:
    """Compute block by block of searches: what lies in their two weeks, and what was known of it."""
    users, as_of_us = searches.users, searches.as_of_us
    oldest = latest_before(entries.users, entries.ts_us, users, as_of_us - WINDOW_US, or_at=True)
    newest = latest_before(entries.users, entries.ts_us, users, as_of_us)
    work = offsets_of(newest - oldest + np.diff(searches.offsets))
    first = 0
    while first < len(users):
        last = max(first + 1, int(np.searchsorted(work, work[first] + BLOCK, "right")) - 1)
        lengths = (newest - oldest)[first:last]
        ends = offsets_of(lengths)
        rows = np.arange(ends[-1]) + np.repeat(oldest[first:last] - ends[:-1], lengths)
        numbers = np.repeat(np.arange(last - first), lengths)
        known = entries.known_us[rows] < as_of_us[first:last][numbers]
        begin, end = searches.offsets[first], searches.offsets[last]
        candidates = Candidates(items[begin:end], searches.offsets[first : last + 1] - begin)
        values[begin:end, :TYPE_FEATURE] = interest_similarities(
            entries, (numbers[known], rows[known]), candidates, features.space
        )
        first = last


def _of_types(
    searches: _Searches, features: RankingFeatures, user_types: pa.Table | None
) -> npt.NDArray[np.float32]:
    """Ask once per user type, for the distinct listings that its searches show."""
    answers = np.full(searches.listed.num_rows, np.nan, np.float32)
    if user_types is None:
        return answers
    users = searches.user_ids.take(arrow_numbers(searches.users))
    names, codes = types_as_of(user_types, users, searches.as_of_us)
    shown = one_array(searches.listed["item_id"]).dictionary_encode()
    distinct, of_row = shown.dictionary.to_pylist(), numpy_numbers(shown.indices)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
    for code, name in enumerate(names):
        rows, _ = gather(searches.offsets, order[starts[code] : starts[code + 1]])
        items, places = np.unique(of_row[rows], return_inverse=True)
        answers[rows] = features.of_types(name, [distinct[item] for item in items])[places]
    return answers
