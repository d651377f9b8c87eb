"""Splits: nothing from T1 on reaches the training side; straddlers and their reasons are counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.errors import DataError, EmptyDataError, UsageError
from item2vec.evaluation import split_sessions
from item2vec.evaluation.cuts import moment_us
from item2vec.evaluation.next_item.cases import prefix_cases
from item2vec.sessions import Sessions

HOUR = 3_600_000_000


def timed(lists, times, *, kind="click", booked=None, booked_times=None):
    """Sessions whose tokens, and booked items where they are given, have the given times (hours)."""
    sessions = Sessions.from_lists(lists, booked=booked)
    ts = np.array([t for row in times for t in row], np.int64) * HOUR
    ends = sessions.offsets[1:] - 1
    starts = ts[sessions.offsets[:-1]]
    booked_us = booked_times and np.array([t for row in booked_times for t in row], np.int64) * HOUR
    return replace(sessions, kind=kind, ts_us=ts, start_us=starts, end_us=ts[ends], booked_us=booked_us)


def test_cuts_and_straddlers():
    sessions = timed(
        [["a", "b"], ["c", "a"], ["b", "new"], ["a", "b"], ["b", "c"], ["c", "late"]],
        [[0, 1], [2, 3], [4, 11], [12, 13], [18, 21], [22, 23]],
    )
    split = split_sessions(sessions, validation_from=10 * HOUR, test_from=20 * HOUR)
    assert split.train.to_lists() == [["a", "b"], ["c", "a"]]
    assert split.validation.to_lists() == [["a", "b"]]
    assert split.test.to_lists() == [["c", "late"]]
    assert split.counts == {
        "sessions": 6,
        "train": 2,
        "validation": 1,
        "test": 1,
        "straddles_t1": 1,
        "straddles_t2": 1,
        "booking_after_cut": 0,
    }
    assert split.train.item_ids.to_pylist() == ["a", "b", "c"]  # neither "new" nor "late"
    assert split.to_json()["t1"] == "1970-01-01T10:00:00+00:00"


def test_a_session_that_ends_exactly_at_the_cut_is_not_training():
    sessions = timed([["a", "b"], ["a", "b"], ["a", "b"]], [[0, 9], [1, 10], [10, 11]])
    split = split_sessions(sessions, validation=0, test_from=10 * HOUR)
    assert split.counts["train"] == 1
    assert split.counts["straddles_t1"] == 1
    assert split.counts["test"] == 1


def test_a_booking_after_the_cut_keeps_its_session_out():
    """T1 = 10 h, T2 = 20 h: who books at or after the next cut, but clicked before it, is on no side."""
    sessions = timed(
        [["a", "b"], ["b", "a"], ["a", "c"], ["b", "c"], ["c", "a"], ["c", "b"], ["a", "d"]],
        [[0, 1], [2, 3], [4, 5], [6, 7], [11, 12], [13, 14], [21, 22]],
        booked=[["a"], ["b", "late"], ["a", "b"], [], ["a"], ["b"], ["a"]],
        booked_times=[[9], [3, 11], [5, 10], [], [19], [20], [40]],
    )
    split = split_sessions(sessions, validation_from=10 * HOUR, test_from=20 * HOUR)
    assert split.train.to_lists() == [["a", "b"], ["b", "c"]]
    assert split.train.booked_us.tolist() == [9 * HOUR]
    assert split.train.item_ids.to_pylist() == ["a", "b", "c"]  # "late" was booked after T1
    assert split.validation.to_lists() == [["c", "a"]]
    assert split.test.to_lists() == [["a", "d"]]
    assert split.test.booked_us.tolist() == [40 * HOUR]
    assert split.counts["booking_after_cut"] == 3
    assert split.counts["straddles_t1"] == split.counts["straddles_t2"] == 0


def test_without_booking_times_the_last_click_settles_a_session():
    sessions = timed([["a", "b"], ["c", "d"]], [[0, 1], [50, 51]], booked=[["a"], []])
    split = split_sessions(sessions, validation=0, test_from=2 * HOUR)
    assert (split.counts["train"], split.counts["booking_after_cut"]) == (1, 0)


def test_attributes_and_markets_follow_the_training_items():
    items = pa.table({"item_id": ["a", "b", "late"], "market": ["P", "Q", "R"], "price": [1.0, 2.0, 3.0]})
    sessions = Sessions.from_lists([["b", "b"], ["late", "a"]], items=items)
    train = split_sessions(sessions, validation=0, test=0.5).train
    assert train.items.to_pydict() == {"item_id": ["b"], "market": ["Q"], "price": [2.0]}
    assert [train.market_names[m] for m in train.markets] == ["Q"]
    assert train.to_lists() == [["b", "b"]]


def test_booking_sequences_are_cut_and_keep_their_past_as_history():
    sessions = timed(
        [["a", "b", "c", "d"], ["a", "c"], ["d", "e"], ["a", "b"]],
        [[0, 1, 12, 25], [2, 22], [23, 24], [3, 4]],
        kind="booking",
    )
    split = split_sessions(sessions, validation_from=10 * HOUR, test_from=20 * HOUR)
    assert split.train.to_lists() == [["a", "b"], ["a", "b"]]
    assert split.validation.to_lists() == [["a", "b", "c"]]
    assert split.validation_targets.tolist() == [2]
    assert split.test.to_lists() == [["a", "b", "c", "d"], ["a", "c"], ["d", "e"]]
    assert split.test_targets.tolist() == [3, 1, 0]  # d is the first stay of its user: no history
    assert split.counts["cut_below_two_stays"] == 1
    assert split.counts["stays_from_t2"] == 4
    assert split.train.end_us.tolist() == [1 * HOUR, 4 * HOUR]


def test_users_who_stayed_once_are_kept_where_the_sessions_hold_them():
    """With min_length = 1 a single stay trains, and from T2 on it is a target without a history."""
    stays = [["a", "b"], ["c"], ["d"], ["e"], ["a", "e"]]
    times = [[0, 1], [5], [12], [25], [3, 26]]
    once = timed(stays, times, kind="booking")
    split = split_sessions(once, validation_from=10 * HOUR, test_from=20 * HOUR)
    assert split.train.to_lists() == [["a", "b"], ["c"], ["a"]]
    assert split.counts["cut_below_two_stays"] == 0
    assert (split.validation.to_lists(), split.validation_targets.tolist()) == ([["d"]], [0])
    assert (split.test.to_lists(), split.test_targets.tolist()) == ([["e"], ["a", "e"]], [0, 1])
    cases = prefix_cases(split.test, split.test_targets)
    assert (len(cases), cases.n_without_case) == (1, 1)  # next item needs a prefix
    repeated = split_sessions(once.take([0, 4]), validation=0, test_from=20 * HOUR)
    assert (repeated.train.to_lists(), repeated.counts["cut_below_two_stays"]) == ([["a", "b"]], 1)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["click", "booking"]),
    st.floats(0, 0.4),
    st.floats(0.05, 0.4),
)
def test_no_leak(seed, kind, validation, test):
    """Training ends before T1, validation is within [T1, T2), targets of the test lie from T2 on."""
    rng = np.random.default_rng(seed)
    lists, times, booked, booked_times = [], [], [], []
    for _ in range(40):
        n = int(rng.integers(1, 6))
        lists.append(rng.integers(0, 50, n).tolist())
        times.append(sorted((rng.integers(0, 400) + rng.integers(0, 40, n)).tolist()))
        booked.append(list(set(lists[-1][:2])) if kind == "click" and rng.random() < 0.3 else [])
        booked_times.append((times[-1][0] + rng.integers(0, 60, len(booked[-1]))).tolist())
    sessions = timed(lists, times, kind=kind, booked=booked, booked_times=booked_times)
    try:
        split = split_sessions(sessions, validation=validation, test=test)
    except EmptyDataError:
        return
    t1, t2 = split.t1_us, split.t2_us
    train = split.train
    assert train.ts_us.max() < t1
    assert (train.booked_us < t1).all()
    assert set(train.item_ids.to_pylist()) == {i for row in train.to_lists() for i in row} | set(
        train.item_ids.take(pa.array(train.booked)).to_pylist()
    )
    if kind == "click":
        assert (
            sum(v for k, v in split.counts.items() if k != "sessions")
            == len(sessions)
            == split.counts["sessions"]
        )
        assert (split.test.start_us >= t2).all()
        assert (split.validation.start_us >= t1).all()
        assert (split.validation.end_us < t2).all()
        assert (split.validation.booked_us < t2).all()
        _check_nothing_is_dropped_in_vain(sessions, split)
        return
    for side, targets, low, high in (
        (split.validation, split.validation_targets, t1, t2),
        (split.test, split.test_targets, t2, np.iinfo(np.int64).max),
    ):
        for s, first in enumerate(targets):
            stays = side.ts_us[side.offsets[s] : side.offsets[s + 1]]
            assert 0 <= first < len(stays)
            assert (stays[first:] >= low).all()
            assert (stays < high).all()
            assert (stays[:first] < low).all()


def _check_nothing_is_dropped_in_vain(sessions, split):
    """A dropped session has a click or a first booking on either side of a cut."""
    kept = [side.session_ids for side in (split.train, split.validation, split.test)]
    for s in set(range(len(sessions))) - set(np.concatenate(kept).tolist()):
        booked = sessions.booked_us[sessions.booked_offsets[s] : sessions.booked_offsets[s + 1]]
        last = max([sessions.end_us[s], *booked])
        assert any(
            sessions.start_us[s] < cut <= last for cut in (split.t1_us, split.t2_us) if cut is not None
        )


def test_sessions_without_times_are_cut_by_their_order():
    sessions = Sessions.from_lists([[i, i + 1] for i in range(10)])
    split = split_sessions(sessions, validation=0.2, test=0.1)
    assert [len(side) for side in (split.train, split.validation, split.test)] == [7, 2, 1]
    assert split.test.to_lists() == [[9, 10]]
    assert split.train.item_ids.to_pylist() == list(range(8))
    assert split.to_json()["t1"] is None


def test_shares_of_zero_leave_a_side_empty_on_purpose():
    sessions = timed([["a", "b"], ["a", "b"], ["a", "b"]], [[0, 1], [2, 50], [60, 61]])
    split = split_sessions(sessions, validation=0, test=0)
    assert [len(side) for side in (split.train, split.validation, split.test)] == [3, 0, 0]
    assert split.t2_us is None
    split = split_sessions(sessions, validation=0.34, test=0)
    assert [len(side) for side in (split.train, split.validation, split.test)] == [2, 1, 0]


@pytest.mark.parametrize(
    "moment",
    [
        "1970-01-02",
        "1970-01-02T00:00:00Z",
        "1970-01-02T01:00:00+01:00",
        date(1970, 1, 2),
        datetime(1970, 1, 2),
        datetime(1970, 1, 2, tzinfo=UTC),
        24 * HOUR,
    ],
)
def test_ways_to_say_a_time(moment):
    sessions = timed([["a", "b"], ["a", "b"]], [[0, 1], [25, 26]])
    assert split_sessions(sessions, validation=0, test_from=moment).t2_us == 24 * HOUR


TWO = timed([["a", "b"], ["a", "b"]], [[0, 1], [25, 26]])


@pytest.mark.parametrize(
    ("sessions", "options", "error", "says"),
    [
        (TWO, {"validation": 0.6, "test": 0.5}, UsageError, "shares"),
        (TWO, {"validation": -0.1}, UsageError, "shares"),
        (TWO, {"validation_from": 30 * HOUR, "test_from": 20 * HOUR}, UsageError, "T1"),
        (TWO, {"test_from": "soon"}, UsageError, "cannot read 'soon' as a time"),
        (TWO, {"validation": 0, "test_from": 0}, EmptyDataError, "no train session"),
        (TWO, {"validation": 0, "test_from": 99 * HOUR}, EmptyDataError, "no test session"),
        (
            TWO,
            {"validation_from": 10 * HOUR, "test_from": 20 * HOUR},
            EmptyDataError,
            "no validation session",
        ),
        (TWO, {"validation": 0.1, "test": 0.5}, EmptyDataError, "no validation session"),
        (TWO.take([]), {}, EmptyDataError, "no session to split"),
        (Sessions.from_lists([["a", "b"]]), {"test_from": 5}, UsageError, "no times"),
        (Sessions.from_lists([["a", "b"]]), {}, EmptyDataError, "no "),
        (replace(Sessions.from_lists([["a", "b"]]), kind="booking"), {}, DataError, "ts_us"),
    ],
)
def test_bad_splits(sessions, options, error, says):
    with pytest.raises(error, match=says):
        split_sessions(sessions, **options)


def test_what_is_no_session_and_no_share_is_refused() -> None:
    for nothing in ([["a", "b"]], None):
        with pytest.raises(UsageError, match="sessions"):
            split_sessions(nothing)
    sessions = Sessions.from_lists([["a", "b"]] * 9)
    for shares in ({"validation": "0.1"}, {"test": None}, {"test": True}, {"test": float("nan")}):
        with pytest.raises(UsageError, match="must be shares"):
            split_sessions(sessions, **shares)


def test_cuts_are_moments_of_any_kind() -> None:
    us = 1_488_326_400_000_000  # 2017-03-01
    moment = np.datetime64("2017-03-01")
    for same in (us, np.int64(us), moment, moment.astype("datetime64[ns]"), "2017-03-01", date(2017, 3, 1)):
        assert moment_us(same) == us
    for wrong in (1.5, True, None, [us]):
        with pytest.raises(UsageError, match="a cut is"):
            moment_us(wrong)
