"""Two global cuts in time: nothing that happened at or after the first cut reaches the training side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.errors import DataError, EmptyDataError, UsageError
from item2vec.evaluation.arguments import check_sessions, is_number
from item2vec.evaluation.cuts import NEVER, Moment, choose_cuts, iso_time
from item2vec.sessions import Sessions

SHORTEST_SEQUENCE = 2  # a booking sequence cut below this length has no pair to train on


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test sessions around two cuts T1 < T2.

    Attributes
    ----------
    train : Sessions
        Sessions that end before T1, their bookings included, over their own items only: an item first seen
        later is not in ``train.item_ids``.
    validation, test : Sessions
        Sessions within [T1, T2), their bookings included, and from T2 on; empty where their share was 0.
    validation_targets, test_targets : ndarray of int64, shape (n_sessions,), optional
        Booking sequences only: the position of the first stay that may be a target; the stays before it are
        history. It is 0 where the user's first stay lies behind the cut: a target without a history. Pass it
        on as ``first_targets=split.test_targets`` (``evaluate_next_item`` starts at 1 in any case).
    t1_us, t2_us : int, optional
        The cuts, microseconds since 1970 (UTC); None for sessions without times, cut by their order.
    counts : dict of str to int
        Where every session went: ``sessions`` is the sum of the others (for booking sequences, which may
        appear on both sides of a cut, the counts stand on their own).
    """

    train: Sessions
    validation: Sessions
    test: Sessions
    validation_targets: npt.NDArray[np.int64] | None = None
    test_targets: npt.NDArray[np.int64] | None = None
    t1_us: int | None = None
    t2_us: int | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the cuts (ISO 8601, UTC) and the counts."""
        return {"t1": iso_time(self.t1_us), "t2": iso_time(self.t2_us), "counts": dict(self.counts)}


def split_sessions(
    sessions: Sessions,
    *,
    validation: float = 0.1,
    test: float = 0.1,
    validation_from: Moment | None = None,
    test_from: Moment | None = None,
) -> Split:
    """Split sessions by time, without a leak from the future.

    A click session is settled at its last click or when the last of its booked items was first booked
    (``Sessions.booked_us``), whichever is later. Training takes the sessions settled before T1, validation
    those that start from T1 on and are settled before T2, the test all that start from T2 on. The others are
    dropped and counted: clicks on both sides of a cut, or a booking that lies beyond the cut although all
    clicks lie before it. Where the times of the bookings are not known (``booked_us`` is None), the last
    click is taken to settle a session, and a later booking goes unnoticed.

    Booking sequences are cut at T1 instead; a test case is a stay from T2 on with all stays before it. What
    the cut leaves of a sequence trains only with two stays or more (counted in ``cut_below_two_stays``),
    except where the sessions hold sequences of one stay anyway (sessionized with ``min_length = 1``). With
    the default ``min_length = 2`` users who stayed once are missing, so the targets without a history are
    first stays of users who came back, and training counts only the stays of such users.
    Sessions without times are cut by their order.

    Markets and attributes of the items are taken as they are: one snapshot, not as of T1. So are the guards
    of `sessionize` that count over the whole log (`min_users_per_item`, `max_sessions_per_user_item`, …):
    which users and items they dropped may have been decided after T1. Sessionize the log up to T1 to be free
    of that.

    Parameters
    ----------
    sessions : Sessions
        Click sessions or booking sequences.
    validation, test : float
        Shares of the sessions (of the stays, for booking sequences) that start in [T1, T2) and from T2 on.
    validation_from, test_from : int, str, date or datetime, optional
        T1 and T2 themselves, instead of the shares: microseconds since 1970, ISO 8601 text or a date; UTC
        where no zone is given. With `test_from` alone T1 follows from the share `validation` of the earlier
        sessions.

    Returns
    -------
    Split

    Raises
    ------
    UsageError
        If the shares or the cuts make no sense, or explicit cuts meet sessions without times.
    EmptyDataError
        If a side that was asked for is left without a session.
    """
    check_sessions("the sessions to split", sessions)
    numbers = is_number(validation) and is_number(test)
    if not (numbers and 0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise UsageError(
            f"validation={validation!r} and test={test!r} must be shares in [0, 1) that leave some for"
            " training"
        )
    if sessions.kind == "booking" and sessions.ts_us is None:
        raise DataError("booking sequences are cut in time, and these lack the times of their stays (ts_us)")
    if sessions.start_us is None or sessions.end_us is None:
        if validation_from is not None or test_from is not None:
            raise UsageError("these sessions have no times: split them by shares, not by a time")
        return _checked(_split_by_order(sessions, validation, test), validation > 0, test > 0)
    starts = sessions.start_us if sessions.kind == "click" else sessions.ts_us
    if starts is None or not len(starts):
        raise EmptyDataError("there is no session to split")
    t1, t2 = choose_cuts(starts, validation, test, validation_from, test_from)
    split = (_split_bookings if sessions.kind == "booking" else _split_clicks)(sessions, t1, t2)
    split = replace(split, t1_us=None if t1 == NEVER else t1, t2_us=None if t2 == NEVER else t2)
    return _checked(split, validation_from is not None or validation > 0, test_from is not None or test > 0)


def _split_clicks(sessions: Sessions, t1: int, t2: int) -> Split:
    starts, ends = sessions.start_us, sessions.end_us
    assert starts is not None
    assert ends is not None
    settled = ends.copy()
    if sessions.booked_us is not None:
        owners = np.repeat(np.arange(len(sessions)), np.diff(sessions.booked_offsets))
        np.maximum.at(settled, owners, sessions.booked_us)
    train, validation = settled < t1, (starts >= t1) & (settled < t2)
    test = starts >= t2
    straddles = {cut: (starts < at) & (ends >= at) for cut, at in (("t1", t1), ("t2", t2))}
    dropped = ~(train | validation | test)
    first_cut = dropped & straddles["t1"]
    second_cut = dropped & straddles["t2"] & ~first_cut
    return Split(
        train=_only_own_items(sessions.take(train)),
        validation=sessions.take(validation),
        test=sessions.take(test),
        counts={
            "sessions": len(sessions),
            "train": int(train.sum()),
            "validation": int(validation.sum()),
            "test": int(test.sum()),
            "straddles_t1": int(first_cut.sum()),
            "straddles_t2": int(second_cut.sum()),
            "booking_after_cut": int((dropped & ~first_cut & ~second_cut).sum()),
        },
    )


def _split_by_order(sessions: Sessions, validation: float, test: float) -> Split:
    n = len(sessions)
    second = round(n * (1 - test))
    first = round(n * (1 - test - validation))
    return Split(
        train=_only_own_items(sessions.take(np.arange(first))),
        validation=sessions.take(np.arange(first, second)),
        test=sessions.take(np.arange(second, n)),
        counts={"sessions": n, "train": first, "validation": second - first, "test": n - second},
    )


def _split_bookings(sessions: Sessions, t1: int, t2: int) -> Split:
    shortest = min(SHORTEST_SEQUENCE, int(np.diff(sessions.offsets).min()))
    train, too_short = _cut_sequences(sessions, t1, shortest)
    validation, validation_targets = _sequences_with_targets(sessions, t1, t2)
    test, test_targets = _sequences_with_targets(sessions, t2, NEVER)
    ts_us = sessions.ts_us
    assert ts_us is not None
    return Split(
        train=_only_own_items(train),
        validation=validation,
        test=test,
        validation_targets=validation_targets,
        test_targets=test_targets,
        counts={
            "sequences": len(sessions),
            "train": len(train),
            "validation": len(validation),
            "test": len(test),
            "cut_below_two_stays": too_short,
            "stays_before_t1": int((ts_us < t1).sum()),
            "stays_from_t1_to_t2": int(((ts_us >= t1) & (ts_us < t2)).sum()),
            "stays_from_t2": int((ts_us >= t2).sum()),
        },
    )


def _cut_sequences(sessions: Sessions, end_us: int, shortest: int = 1) -> tuple[Sessions, int]:
    """Keep the stays before `end_us` and the sequences with `shortest` of them; count what is too short."""
    assert sessions.ts_us is not None
    early = sessions.ts_us < end_us
    kept = _count_per_session(early, sessions.offsets)
    long_enough = kept >= shortest
    early &= np.repeat(long_enough, np.diff(sessions.offsets))
    chosen = sessions.take(long_enough)
    times, offsets = sessions.ts_us[early], np.concatenate([[0], np.cumsum(kept[long_enough])])
    cut = replace(
        chosen,
        tokens=sessions.tokens[early],
        offsets=offsets,
        ts_us=times,
        start_us=times[offsets[:-1]],
        end_us=times[offsets[1:] - 1],
        booked=np.zeros(0, np.int32),  # the tokens are the bookings, and no list beside them is cut
        booked_offsets=np.zeros(len(chosen) + 1, np.int64),
        booked_us=np.zeros(0, np.int64),
    )
    return cut, int(((kept > 0) & ~long_enough).sum())


def _sequences_with_targets(
    sessions: Sessions, start_us: int, end_us: int
) -> tuple[Sessions, npt.NDArray[np.int64]]:
    """Return the sequences up to `end_us` with a stay from `start_us` on, and where that stay stands."""
    cut, _ = _cut_sequences(sessions, end_us)
    assert cut.ts_us is not None
    earlier = _count_per_session(cut.ts_us < start_us, cut.offsets)
    has_target = earlier < np.diff(cut.offsets)
    return cut.take(has_target), earlier[has_target]


def _count_per_session(
    clicks: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    before = np.concatenate([[0], np.cumsum(clicks)])
    counts: npt.NDArray[np.int64] = before[offsets[1:]] - before[offsets[:-1]]
    return counts


def _only_own_items(sessions: Sessions) -> Sessions:
    """Drop the items that no session of these clicked or booked, so that nothing later shows through."""
    seen = np.zeros(sessions.n_items, bool)
    seen[sessions.tokens] = True
    seen[sessions.booked] = True
    new_tokens = (np.cumsum(seen) - 1).astype(np.int32)
    rows = pa.array(np.flatnonzero(seen))
    return replace(
        sessions,
        item_ids=sessions.item_ids.take(rows),
        tokens=new_tokens[sessions.tokens],
        booked=new_tokens[sessions.booked],
        markets=sessions.markets[seen],
        items=None if sessions.items is None else sessions.items.take(rows),
    )


def _checked(split: Split, wants_validation: bool, wants_test: bool) -> Split:
    """Refuse a split that leaves a side empty although it was asked for."""
    sides = (("train", True), ("validation", wants_validation), ("test", wants_test))
    for name, wanted in sides:
        if wanted and len(getattr(split, name)) == 0:
            t1, t2 = iso_time(split.t1_us), iso_time(split.t2_us)
            where = f" (T1 {t1}, T2 {t2})" if t1 else ""
            counts = ", ".join(f"{key} {value}" for key, value in split.counts.items())
            raise EmptyDataError(
                f"the split leaves no {name} session{where}: {counts}; move the cuts or change the shares"
            )
    return split
