"""Shares of sessions: each session in one of them, about as many clicks in each, only its days read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.errors import CorruptArtifactError
from item2vec.sessions.artifact import DAY_US
from item2vec.sessions.container import Sessions
from item2vec.sessions.shares import load_share, share


def dated(days: list[int], lengths: list[int]) -> Sessions:
    """Sessions that start on these days, with so many clicks; ids need not follow the days."""
    plain = Sessions.from_lists([[f"item {k % 7}"] * n for k, n in enumerate(lengths)])
    start = np.array(days, np.int64) * DAY_US
    ts_us = np.repeat(start, lengths) + np.arange(plain.n_clicks)
    ends = ts_us[plain.offsets[1:] - 1] if days else start
    return Sessions(
        item_ids=plain.item_ids,
        tokens=plain.tokens,
        offsets=plain.offsets,
        booked=plain.booked,
        booked_offsets=plain.booked_offsets,
        weights=np.arange(1, len(days) + 1),
        session_ids=plain.session_ids,
        start_us=ts_us[plain.offsets[:-1]] if days else start,
        end_us=ends,
        ts_us=ts_us,
        markets=plain.markets,
    )


@st.composite
def logs(draw: st.DrawFn) -> Sessions:
    n = draw(st.integers(0, 12))
    days = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    return dated(days, draw(st.lists(st.integers(1, 9), min_size=n, max_size=n)))


LEAN = ("tokens", "offsets", "weights", "booked", "booked_offsets")


def assert_are_some_of(mine: Sessions, sessions: Sessions) -> None:
    """Its sessions are those of the same ids (ids are positions here), in the order of their ids."""
    whole = sessions.take(mine.session_ids)
    assert mine.item_ids.equals(sessions.item_ids)
    assert np.all(np.diff(mine.session_ids) > 0)
    for name in LEAN:
        np.testing.assert_array_equal(getattr(mine, name), getattr(whole, name))


@settings(max_examples=60, deadline=None)
@given(logs(), st.integers(1, 6))
def test_shares_are_disjoint_and_hold_everything(sessions: Sessions, size: int) -> None:
    shares = [share(sessions, rank, size) for rank in range(size)]
    for mine in shares:
        assert_are_some_of(mine, sessions)
    found = np.concatenate([mine.session_ids for mine in shares])
    assert sorted(found.tolist()) == list(range(len(sessions)))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@settings(max_examples=80, deadline=None)
@given(logs(), st.integers(1, 5))
def test_shares_of_the_artifact_are_disjoint_and_hold_everything(
    tmp_path_factory: pytest.TempPathFactory, sessions: Sessions, size: int
) -> None:
    path = tmp_path_factory.mktemp("sessions") / "s"
    sessions.save(path)
    shares = [load_share(path, rank, size) for rank in range(size)]
    for mine in shares:
        assert_are_some_of(mine, sessions)
        assert (
            mine.items
            is mine.user_ids
            is mine.ts_us
            is mine.start_us
            is mine.end_us
            is mine.booked_us
            is None
        )
    found = np.concatenate([mine.session_ids for mine in shares])
    assert sorted(found.tolist()) == list(range(len(sessions)))
    if len({*(sessions.start_us // DAY_US).tolist()}) >= 2 * size:
        longest = np.diff(sessions.offsets).max(initial=0)
        for mine in shares:
            assert abs(mine.n_clicks - sessions.n_clicks / size) <= longest


def test_days_are_dealt_out_over_the_whole_period(tmp_path: Path) -> None:
    sessions = dated([day for day in range(12) for _ in range(4)], [5] * 48)
    sessions.save(tmp_path / "s")
    days = [set((load_share(tmp_path / "s", rank, 3).session_ids // 4).tolist()) for rank in range(3)]
    assert days == [{0, 5, 7, 9}, {1, 3, 8, 10}, {2, 4, 6, 11}]
    uneven = dated([day for day in range(12) for _ in range(4)], [50] * 4 + [5] * 44)
    uneven.save(tmp_path / "uneven")
    shares = [load_share(tmp_path / "uneven", rank, 3) for rank in range(3)]
    assert [mine.n_clicks for mine in shares] == [150, 130, 140]  # 140 each, but for whole sessions
    assert set((shares[0].session_ids // 4).tolist()) == {0}


def test_seven_workers_have_all_days_of_the_week(tmp_path: Path) -> None:
    dated(list(range(70)), [5] * 70).save(tmp_path / "s")
    for rank in range(7):
        assert len({*(load_share(tmp_path / "s", rank, 7).session_ids % 7).tolist()}) == 7


def test_a_share_leaves_attributes_on_the_disk_and_keeps_the_markets(tmp_path: Path) -> None:
    items = pa.table({"item_id": ["a", "b"], "market": ["Bern", "Köln"], "title": ["x" * 99, "y"]})
    sessions = Sessions.from_lists([["a", "b"], ["b", "a"]], items=items)
    sessions.save(tmp_path / "s")
    mine = load_share(tmp_path / "s", 1, 2)
    assert mine.items is None
    assert mine.markets.tolist() == sessions.markets.tolist() == [0, 1]
    assert mine.market_names == ("Bern", "Köln")


def test_of_few_days_each_worker_keeps_a_share_of_every_one(tmp_path: Path) -> None:
    sessions = dated([0] * 6 + [1] * 6, [2] * 12)
    sessions.save(tmp_path / "s")
    ids = [load_share(tmp_path / "s", rank, 3).session_ids.tolist() for rank in range(3)]
    assert ids == [[0, 3, 8, 11], [1, 4, 6, 9], [2, 5, 7, 10]]


def test_one_share_is_what_load_gives(tmp_path: Path) -> None:
    sessions = dated([3, 1, 1, 0], [2, 3, 1, 4])
    sessions.save(tmp_path / "s")
    alone, loaded = load_share(tmp_path / "s", 0, 1), Sessions.load(tmp_path / "s")
    assert alone.session_ids.tolist() == loaded.session_ids.tolist() == [0, 1, 2, 3]
    assert alone.tokens.tolist() == loaded.tokens.tolist()


def test_a_worker_reads_no_day_of_the_others(tmp_path: Path) -> None:
    dated([0, 1, 2, 3, 4, 5], [5] * 6).save(tmp_path / "s")
    [other] = (tmp_path / "s" / "clicks" / "date=1970-01-02").iterdir()
    body = bytearray(other.read_bytes())
    body[4:40] = bytes(36)  # pages; the footer is whole
    other.write_bytes(body)
    assert load_share(tmp_path / "s", 0, 3).session_ids.tolist() == [0, 5]
    assert load_share(tmp_path / "s", 2, 3).session_ids.tolist() == [2, 4]
    with pytest.raises(CorruptArtifactError, match="build it again"):
        load_share(tmp_path / "s", 1, 3)


@pytest.mark.parametrize("what", ["footer", "missing", "format"])
def test_an_artifact_that_is_not_whole_is_refused_by_every_worker(tmp_path: Path, what: str) -> None:
    dated([0, 1, 2, 3, 4, 5], [5] * 6).save(tmp_path / "s")
    [other] = (tmp_path / "s" / "clicks" / "date=1970-01-03").iterdir()
    if what == "footer":
        other.write_bytes(other.read_bytes()[:-9])
    elif what == "missing":
        other.unlink()
    else:
        (tmp_path / "s" / "funnel.json").write_text("{}", "utf-8")
    for rank in range(3):
        with pytest.raises(CorruptArtifactError, match="build it again"):
            load_share(tmp_path / "s", rank, 3)
