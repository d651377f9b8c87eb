"""Settings do what they say, bad ones are refused, and the same settings give the same world."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from item2vec.errors import ConfigError, UsageError
from item2vec.marketplace import MarketplaceConfig, simulate
from item2vec.marketplace.sample import write_sample

SMALL = {"n_users": 120, "n_listings": 120, "n_markets": 3, "days": 21}
ROOT = Path(__file__).resolve().parents[2]


def _tables(world: Path) -> dict[str, object]:
    paths = sorted(path for path in world.rglob("*.parquet"))
    return {str(path.relative_to(world)): pq.ParquetFile(path).read() for path in paths}


def _column(world: Path, file: str, column: str) -> np.ndarray:
    return pq.ParquetFile(world / file).read()[column].to_numpy(zero_copy_only=False)


def _styles_of_clicks(world: Path) -> tuple[np.ndarray, np.ndarray]:
    """Style of every clicked listing, and favourite style of who clicked it."""
    events = pq.ParquetFile(world / "events" / "part-00000.parquet").read()
    clicks = np.array(events["event_type"].to_pylist()) == "click"
    styles, tastes = (
        _column(world, "truth/styles.parquet", "style"),
        _column(world, "truth/tastes.parquet", "style"),
    )
    items = np.array([int(item[1:]) for item in np.array(events["item_id"].to_pylist())[clicks]])
    users = np.array([int(user[1:]) for user in np.array(events["user_id"].to_pylist())[clicks]])
    return styles[items], tastes[users]


def test_the_same_settings_give_the_same_files(tmp_path: Path) -> None:
    first, again = simulate(tmp_path / "a", **SMALL), simulate(tmp_path / "b", MarketplaceConfig(**SMALL))
    assert _tables(first) == _tables(again)
    other = simulate(tmp_path / "c", **SMALL, seed=2)
    assert _tables(first)["events/part-00000.parquet"] != _tables(other)["events/part-00000.parquet"]


def test_a_block_of_users_does_not_depend_on_the_blocks_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("item2vec.marketplace.simulation.USERS_PER_BLOCK", 60)
    two, three = simulate(tmp_path / "a", **SMALL), simulate(tmp_path / "b", **{**SMALL, "n_users": 150})
    assert len(list((three / "events").iterdir())) == 3
    for part in ("part-00000.parquet", "part-00001.parquet"):
        assert _tables(two)[f"events/{part}"] == _tables(three)[f"events/{part}"]
    ids: dict[str, set[str]] = {"event_id": set(), "search_id": set(), "user_id": set()}
    for path in (three / "events").iterdir():
        for column, seen in ids.items():
            found = set(pq.ParquetFile(path).read()[column].drop_null().to_pylist())
            assert not found & seen, f"{column} of two blocks"
            seen |= found


def test_trips_of_a_user_do_not_overlap(tmp_path: Path) -> None:
    world = simulate(tmp_path / "w", **{**SMALL, "days": 42, "n_markets": 20, "trips_per_user": 6})
    events = pq.ParquetFile(world / "events" / "part-00000.parquet").read()
    user, market = (np.array(events[name].to_pylist()) for name in ("user_id", "market"))
    moves = (market[1:] != market[:-1]) & (user[1:] == user[:-1])
    most = np.unique(user[1:][moves], return_counts=True)[1].max()
    assert most <= 5  # six weeks, six trips at most


def test_taste_decides_the_clicks_only_when_switched_on(tmp_path: Path) -> None:
    settings = {
        "n_users": 600,
        "n_listings": 120,
        "n_markets": 3,
        "bot_share": 0,
        "style_geography_correlation": 0,
    }
    style, taste = _styles_of_clicks(simulate(tmp_path / "on", **settings))
    assert (style == taste).mean() > 0.4
    style, taste = _styles_of_clicks(simulate(tmp_path / "off", **settings, taste=False))
    by_chance = (np.bincount(style, minlength=5) / len(style)) @ (
        np.bincount(taste, minlength=5) / len(taste)
    )
    assert abs((style == taste).mean() - by_chance) < 4 * np.sqrt(0.16 / len(style)) + 0.005


@pytest.mark.parametrize(
    ("correlation", "low", "high"), [(0.0, 0.15, 0.25), (0.5, 0.3, 0.5), (1.0, 0.75, 1.0)]
)
def test_style_follows_geography_as_far_as_configured(
    tmp_path: Path, correlation: float, low: float, high: float
) -> None:
    settings = {"n_users": 1, "n_listings": 2000, "n_markets": 4}
    world = simulate(tmp_path / "w", **settings, style_geography_correlation=correlation)
    items = pq.ParquetFile(world / "items.parquet").read()
    style = _column(world, "truth/styles.parquet", "style")
    place = np.c_[items["latitude"].to_numpy(), items["longitude"].to_numpy()]
    apart = ((place[:, None] - place[None]) ** 2).sum(-1)
    np.fill_diagonal(apart, np.inf)
    assert low < (style[apart.argmin(axis=1)] == style).mean() < high


def test_popularity_skew_concentrates_the_impressions(tmp_path: Path) -> None:
    shares = []
    for skew in (0.0, 1.5):
        world = simulate(tmp_path / str(skew), **SMALL, popularity_skew=skew, bot_share=0)
        counts = np.unique(_column(world, "events/part-00000.parquet", "item_id"), return_counts=True)[1]
        shares.append(np.sort(counts)[::-1][:12].sum() / counts.sum())
    assert shares[1] > 1.5 * shares[0]


@pytest.mark.parametrize(
    ("settings", "absent", "present"),
    [
        ({"book_share": 0}, {"booking", "rejection"}, {"click", "inquiry"}),
        ({"rejection_rate": 0, "book_share": 1}, {"rejection"}, {"booking"}),
        ({"days": 1, "n_users": 300}, set(), {"click", "booking"}),
        ({"n_markets": 1, "n_listings": 5, "n_styles": 9, "popularity_skew": 0}, set(), {"click"}),
        ({"n_markets": 40, "n_listings": 200, "impressions_per_search": 50}, set(), {"click"}),
        ({"new_listing_share": 0.9, "trips_per_user": 50, "bot_share": 1}, {"booking"}, {"click"}),
    ],
)
def test_extreme_worlds_run(
    tmp_path: Path, settings: dict[str, float], absent: set[str], present: set[str]
) -> None:
    world = simulate(tmp_path / "w", **{**SMALL, **settings})
    types = set(_column(world, "events/part-00000.parquet", "event_type"))
    assert present <= types
    assert not absent & types


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n_users": 0}, "n_users must be at least 1, not 0"),
        ({"n_users": "many"}, "n_users must be an integer, not 'many'"),
        ({"taste": "maybe"}, "taste must be true or false, not 'maybe'"),
        ({"style_geography_correlation": 1.5}, "style_geography_correlation must be at most 1, not 1.5"),
        (
            {"days": -1, "rejection_rate": 2},
            r"2 problems:\n  days must .*not -1\n  rejection_rate must .*not 2",
        ),
        ({"n_listings": 20, "n_markets": 10}, "n_listings=20 is too few"),
        ({"n_user": 5}, "unknown key 'n_user'.*n_users"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"popularity_skew": float("nan")}, "popularity_skew must be .*not nan"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        simulate(tmp_path / "w", **settings)
    assert list(tmp_path.iterdir()) == []


def test_config_and_keywords_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not both"):
        simulate(tmp_path / "w", MarketplaceConfig(), days=3)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not an empty folder"):
        simulate(tmp_path, **SMALL)
    with pytest.raises(UsageError, match="not an empty folder"):
        simulate(tmp_path / "mine.txt", **SMALL)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("item2vec.marketplace.simulation._write_block", fail)
    with pytest.raises(OSError, match="disk full"):
        simulate(tmp_path / "w", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert simulate(tmp_path, **SMALL) == tmp_path
    assert (tmp_path / "items.parquet").is_file()


def test_progress_is_shown_only_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(tmp_path / "quiet", **SMALL)
    assert capsys.readouterr().err == ""
    simulate(tmp_path / "loud", **SMALL, show_progress=True)
    assert "simulate" in capsys.readouterr().err


def test_the_committed_sample_is_what_write_sample_writes(tmp_path: Path) -> None:
    write_sample(tmp_path)
    committed = ROOT / "data" / "sample"
    for name in ("items.csv", "users.csv"):
        assert (tmp_path / name).read_bytes() == (committed / name).read_bytes()
    new, old = (gzip.decompress((where / "events.csv.gz").read_bytes()) for where in (tmp_path, committed))
    assert new == old
    assert sum(path.stat().st_size for path in committed.iterdir()) < 400_000
