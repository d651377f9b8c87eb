"""Which days are read, which times are accepted, and what settings say that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from event_logs import event_row

from item2vec.errors import ConfigError, SourceError
from item2vec.events import EventsConfig, read_events
from item2vec.events.read import source_files

MARCH_31 = 1_743_379_200_000_000  # 2025-03-31T00:00:00Z
DAY = 86_400_000_000


@pytest.fixture
def days(write: Callable[..., Path], tmp_path: Path) -> Path:
    """Partitions of 2025-03-27 to 2025-03-31, one event each."""
    for back in range(5):
        day = date(2025, 3, 31) - timedelta(days=back)
        row = event_row(back, event_id=f"e{day}", ts=MARCH_31 - back * DAY)
        write(f"{day}/log.csv", [row])
    return tmp_path


@pytest.mark.parametrize(
    "as_of",
    [
        date(2025, 3, 31),
        "2025-03-31",
        datetime(2025, 3, 31, 6),
        datetime(2025, 3, 31, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(2025, 3, 31, 23, 59, tzinfo=UTC),
    ],
)
@pytest.mark.parametrize("pattern", ["{date}/log.csv", "{date}", "{date}/*.csv"])
def test_the_window_ends_on_the_day_before_as_of(as_of: Any, pattern: str, days: Path) -> None:
    config = EventsConfig(path=str(days / pattern), as_of=as_of, days=3)
    wanted = ["2025-03-28", "2025-03-29", "2025-03-30"]
    assert [path.parent.name for path in source_files(config)] == wanted
    assert sorted(read_events(config=config).to_table()["event_id"].to_pylist()) == [f"e{d}" for d in wanted]


def test_a_missing_day_is_named_with_its_path(days: Path) -> None:
    with pytest.raises(SourceError, match=r"of 2025-03-26 .*days = 5.*2025-03-26/log\.csv.*no such"):
        read_events(days / "{date}/log.csv", as_of="2025-03-31", days=5)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"path": "{date}.csv"}, "needs days and as_of"),
        ({"path": "{date}.csv", "days": 3}, "needs days and as_of"),
        ({"path": "{date}.csv", "as_of": "2025-03-31"}, "needs days and as_of"),
        ({"path": "a.csv", "days": 3, "as_of": "2025-03-31"}, "days needs {date} in path"),
        ({"path": "{date}.csv", "days": 0, "as_of": "2025-03-31"}, "days must be at least 1"),
        ({"path": "a.csv", "as_of": 20250331}, "20250331 is no date; give one such as 2025-03-31"),
        ({"path": "a.csv", "as_of": "yesterday"}, "as_of"),
        ({"path": "a.csv", "as_of": "1970-06-01"}, "must lie after earliest"),
        ({"path": "a.csv", "earliest": "1969-12-31"}, "must lie between 1970 and 2100"),
        ({"path": "a.csv", "earliest": "2100-01-01"}, "must lie between 1970 and 2100"),
        ({"path": "a.csv", "memory_limit": "lots"}, "'lots' is no size; give whole megabytes or gigabytes"),
        ({"path": "a.csv", "memory_limit": "1.5GB"}, 'such as "900MB" or "4GB"'),
        ({"path": "a.csv", "delimiter": ";;"}, "';;' cannot separate fields; give one ASCII character"),
        ({"path": "a.csv", "delimiter": "§"}, "'§' cannot separate fields"),
        ({"path": "a.csv", "delimiter": ""}, "'' cannot separate fields"),
    ],
)
def test_what_is_allowed_is_said(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_events(**keys)
    assert message in str(caught.value)
    assert "^[" not in str(caught.value)


def test_earliest_moves_the_first_accepted_instant(write: Callable[..., Path]) -> None:
    path = write("a.csv", [event_row(0), event_row(1)])
    second = datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)
    events = read_events(path, earliest=second, max_quarantined=1)
    assert events.to_table()["event_id"].to_pylist() == ["e0001"]
    assert events.reconciliation.quarantined == {"timestamp out of range": 1}
