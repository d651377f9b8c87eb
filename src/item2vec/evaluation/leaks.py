"""Refuse an evaluation whose training side, or whose scorers, know what the test asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from item2vec.arrow import arrow_numbers
from item2vec.errors import DataError, EmptyDataError, LeakError
from item2vec.evaluation.arguments import check_scorers, check_sessions, whole_positions
from item2vec.evaluation.cuts import iso_time
from item2vec.evaluation.scorer import Scorer
from item2vec.sessions import Sessions
from item2vec.sessions.columns import token_array
from item2vec.vocabulary import Vocabulary

ENOUGH_TO_RECUR = 10  # fewer sessions of bare items may agree by chance


def check_no_leak(
    scorers: Mapping[str, Scorer | Sequence[Scorer]],
    train: Sessions,
    test: Sessions,
    first_targets: npt.NDArray[np.int64] | None = None,
) -> None:
    """Refuse what would measure memory instead of foresight.

    Three things are checked. No session stands on both sides: the same session id with the same user, the
    same items and the same times. No training click or booking lies at or after what the test asks about: the
    start of its first click session with a target, as the clicks before the target are its history and as
    new to the training side; the first target of booking sequences, whose earlier stays may have trained.
    No scorer knows an item that no training session has, or has counted an item more often than the training
    sessions click it, for then it was fitted on other sessions.

    Booking sequences reach from one side into the other on purpose; what is new on the test side is said by
    `first_targets`. Sessions without users and times are the same only where *all* test sessions recur.
    What leaves no trace cannot be found here: vectors that started from a model of all sessions, settings
    chosen on the test, attributes of items that were taken later.

    Parameters
    ----------
    scorers : mapping of str to Scorer, or to a sequence of them
        A sequence is one method trained with several seeds.
    train, test : Sessions
        The two sides, over items of one id type.
    first_targets : ndarray of int64, shape (n_sessions,), optional
        Position of each test session's first target (``Split.test_targets``); 1 by default. A session
        that ends before it is not asked about.

    Raises
    ------
    LeakError
        If something is known too early; the message says what, who knows it, and what to do.
    EmptyDataError
        If there is no training session.
    UsageError
        If `first_targets` does not hold one position per test session, or what is passed are no scorers or
        no sessions.
    DataError
        If the ids of the sides, or of a scorer, are of different types.
    """
    check_scorers(scorers)
    check_sessions("the training sessions", train)
    check_sessions("the test sessions", test)
    if not len(train):
        raise EmptyDataError(
            "the training side holds no session, so no scorer can have learned from it; move the cuts of the"
            " split, or pass the sessions that the scorers were fitted on"
        )
    if train.item_ids.type != test.item_ids.type:
        raise DataError(
            f"the training sessions have {train.id_type} item ids, the test sessions {test.id_type} ids;"
            " read both with the same id_type"
        )
    _check_sessions(train, test)
    _check_times(train, test, first_targets)
    for name, one in scorers.items():
        seeds = list(one) if isinstance(one, Sequence) else [one]
        for number, scorer in enumerate(seeds, 1):
            which = f"scorer {name!r}" + (f" (seed {number} of {len(seeds)})" if len(seeds) > 1 else "")
            _check_scorer(which, scorer.vocabulary, train)


def _check_sessions(train: Sessions, test: Sessions) -> None:
    if "booking" in (train.kind, test.kind):
        return
    same = _recurring(train, test)
    has_users, has_times = (
        getattr(train, name) is not None and getattr(test, name) is not None
        for name in ("user_ids", "start_us")
    )
    if len(same) and (has_users or has_times or len(same) == len(test) >= ENOUGH_TO_RECUR):
        first = test.session_ids[same[0]]
        raise LeakError(
            f"{len(same):,} of the {len(test):,} test sessions are among the training sessions too (first:"
            f" session_id {first}): what was fitted on them knows the answers; pass split.train and"
            " split.test of one split_sessions(...)"
        )


def _recurring(train: Sessions, test: Sessions) -> npt.NDArray[np.int64]:
    """Return the test sessions that agree with the training session of their id in all that both know."""
    _, ours, theirs = np.intersect1d(test.session_ids, train.session_ids, return_indices=True)
    same = np.diff(test.offsets)[ours] == np.diff(train.offsets)[theirs]
    for name in ("start_us", "end_us"):
        one, other = getattr(test, name), getattr(train, name)
        if one is not None and other is not None:
            same &= one[ours] == other[theirs]
    if test.user_ids is not None and train.user_ids is not None:
        users = test.user_ids.take(arrow_numbers(ours)).to_numpy(zero_copy_only=False)
        same &= users == train.user_ids.take(arrow_numbers(theirs)).to_numpy(zero_copy_only=False)
    ours, theirs = ours[same], theirs[same]
    one, other = test.take(ours), train.take(theirs)
    differs = token_array(test.item_ids, train.item_ids)[one.tokens] != other.tokens
    unlike = np.unique(np.repeat(np.arange(len(ours)), np.diff(one.offsets))[differs])
    return np.sort(np.delete(ours, unlike))


def _check_times(train: Sessions, test: Sessions, first_targets: npt.NDArray[np.int64] | None) -> None:
    limit_us = _first_asked_us(test, first_targets)
    if limit_us is None:
        return
    clicks = train.end_us if train.ts_us is None else train.ts_us
    kind = "stays" if train.kind == "booking" else "clicks"
    for what, times in ((kind, clicks), ("bookings", train.booked_us)):
        if times is None or not len(times) or times.max() < limit_us:
            continue
        asked, advice = "session", "pass split.train and split.test of one split_sessions(...)"
        if test.kind == "booking":  # a stay of the test may have trained, as long as nobody asks for it
            asked, advice = "target", f"{advice}, and first_targets=split.test_targets"
        raise LeakError(
            f"training {what} lie at or after the first {asked} of the test, {iso_time(limit_us)} (last:"
            f" {iso_time(int(times.max()))}): what was fitted on them knows the future; {advice}"
        )


def _first_asked_us(test: Sessions, first_targets: npt.NDArray[np.int64] | None) -> int | None:
    """Return when the first click session with a target starts, or when the first stay to be told happens."""
    lengths = np.diff(test.offsets)
    first = (
        np.ones(len(test), np.int64) if first_targets is None else whole_positions(first_targets, len(test))
    )
    has_target = first < lengths
    if not has_target.any():
        return None
    if test.ts_us is not None and (test.kind == "booking" or test.start_us is None):
        place = first if test.kind == "booking" else 0
        return int(test.ts_us[(test.offsets[:-1] + place)[has_target]].min())
    return None if test.start_us is None else int(test.start_us[has_target].min())


def _check_scorer(which: str, vocabulary: Vocabulary, train: Sessions) -> None:
    seen = np.zeros(train.n_items, bool)
    seen[train.tokens] = True
    seen[train.booked] = True
    nums = vocabulary.nums(train.item_ids)
    here = nums >= 0
    known, clicks = np.zeros(len(vocabulary), bool), np.zeros(len(vocabulary), np.int64)
    known[nums[here]] = seen[here]
    clicks[nums[here]] = np.bincount(train.tokens, minlength=train.n_items)[here]
    remedy = "fit it on split.train, or pass as train the sessions that it was fitted on"
    unknown = np.flatnonzero(~known)
    if len(unknown):
        (item,) = vocabulary.item_ids(unknown[:1])
        raise LeakError(
            f"{which} knows {len(unknown):,} items that no training session has (first: {item!r}), so it was"
            f" fitted on other sessions, maybe on the test; {remedy}"
        )
    above = np.flatnonzero(vocabulary.counts > clicks)
    if len(above):
        (item,), place = vocabulary.item_ids(above[:1]), above[0]
        raise LeakError(
            f"{which} has counted {len(above):,} items more often than the training sessions click them"
            f" (first: {item!r}, {vocabulary.counts[place]:,} clicks for {clicks[place]:,}), so it was fitted"
            f" on more sessions, maybe on the test; {remedy}"
        )
