"""Shares of sessions: each session in one of them, about as many clicks in each, only its days read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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


@settings(max_examples=60, deadline=None)
@given(logs(), st.integers(1, 6))
def test_shares_are_disjoint_hold_everything_and_are_about_equal(sessions: Sessions, size: int) -> None:
    found: list[int] = []
    for rank in range(size):
        mine = share(sessions, rank, size)
        assert mine.item_ids.equals(sessions.item_ids)
        whole = sessions.take(mine.session_ids)  # ids are positions here
        for name in ("tokens", "weights", "ts_us"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(whole, name))
        assert abs(mine.n_clicks - sessions.n_clicks / size) <= np.diff(sessions.offsets).max(initial=0)
        found += mine.session_ids.tolist()
    assert found == list(range(len(sessions)))


@settings(max_examples=40, deadline=None)
@given(logs(), st.integers(1, 5))
def test_a_share_of_the_artifact_is_that_of_its_sessions_by_day(
    tmp_path_factory: pytest.TempPathFactory, sessions: Sessions, size: int
) -> None:
    path = tmp_path_factory.mktemp("sessions") / "s"
    sessions.save(path)
    by_day = sessions.take(np.argsort(sessions.start_us // DAY_US, kind="stable"))
    for rank in range(size):
        mine, wanted = load_share(path, rank, size), share(by_day, rank, size)
        assert mine.session_ids.tolist() == sorted(wanted.session_ids.tolist())
        whole = sessions.take(mine.session_ids)
        for name in ("tokens", "offsets", "weights", "booked", "booked_offsets"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(whole, name))
        assert mine.user_ids is mine.ts_us is mine.start_us is mine.end_us is mine.booked_us is None


def test_one_share_is_what_load_gives(tmp_path: Path) -> None:
    sessions = dated([3, 1, 1, 0], [2, 3, 1, 4])
    sessions.save(tmp_path / "s")
    alone, loaded = load_share(tmp_path / "s", 0, 1), Sessions.load(tmp_path / "s")
    assert alone.session_ids.tolist() == loaded.session_ids.tolist() == [0, 1, 2, 3]
    assert alone.tokens.tolist() == loaded.tokens.tolist()


def test_a_worker_reads_no_day_of_the_others(tmp_path: Path) -> None:
    dated([0, 0, 1, 1, 2, 2], [5] * 6).save(tmp_path / "s")
    [other] = (tmp_path / "s" / "clicks" / "date=1970-01-02").iterdir()
    body = bytearray(other.read_bytes())
    body[4:40] = bytes(36)  # pages; the footer is whole
    other.write_bytes(body)
    assert load_share(tmp_path / "s", 0, 3).session_ids.tolist() == [0, 1]
    assert load_share(tmp_path / "s", 2, 3).session_ids.tolist() == [4, 5]
    with pytest.raises(CorruptArtifactError, match="build it again"):
        load_share(tmp_path / "s", 1, 3)


@pytest.mark.parametrize("what", ["footer", "missing", "format"])
def test_an_artifact_that_is_not_whole_is_refused_by_every_worker(tmp_path: Path, what: str) -> None:
    dated([0, 1, 2], [5] * 3).save(tmp_path / "s")
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
