"""What do listings that nobody has clicked know of the style the simulation hid?

Listings held out of training get their vectors from the nearest of the same type and price bucket. These
share a style only as far as styles lie together: a listing has its neighbourhood's style with the simulator's
``style_geography_correlation`` ρ, so two neighbours agree beyond chance in a share of ρ² of the cases, and no
guess by place alone is right beyond chance in more than ρ. Half of what trained vectors know is therefore
asked for at ρ = 0.9; at the simulator's default, 0.3, there is a tenth of it to be had, and that is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import item2vec as i2v
from item2vec.embeddings import ItemVectors
from item2vec.evaluation import ColdStartReport, cold_start_report, hold_out_items

SEEDS = (1, 2, 3)
WORLD = {"n_users": 15_000, "n_listings": 2400, "n_markets": 3, "book_share": 0.9, "seed": 11}
TRAINING = {"alpha": 0.025, "market_negative": 5, "workers": 1}


@dataclass(frozen=True)
class World:
    """Trainings that each lack other listings, what is public of all listings, and the hidden truth."""

    trained: list[tuple[ItemVectors, pa.Array]]
    items: pa.Table
    truth: pa.Table

    def reports(self, items: pa.Table | None = None) -> list[ColdStartReport]:
        """Report on every training, of listings with at least 20 clicks."""
        items = self.items if items is None else items
        return [
            cold_start_report(vectors, items, held, truth=self.truth, min_clicks=20)
            for vectors, held in self.trained
        ]


def make_world(folder: Path, correlation: float) -> World:
    log = i2v.simulate(folder / "log", **WORLD, style_geography_correlation=correlation)
    events = i2v.read_events(log / "events", items={"path": log / "items.parquet"}, out=folder / "events")
    sessions = i2v.sessionize(events, booked_weight=1, max_clicks_per_user_day=150)
    trained = []
    for seed in SEEDS:
        train, held = hold_out_items(sessions, 0.15, min_clicks=20, seed=seed)
        model = i2v.Item2Vec(seed=seed, **TRAINING).fit(train, show_progress=False)
        trained.append((model.item_vectors_, held))
    truth = pq.ParquetFile(log / "truth" / "styles.parquet").read().select(["item_id", "style"])
    return World(trained, pq.ParquetFile(log / "items.parquet").read(), truth)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("local"), correlation=0.9)


def test_cold_listings_keep_half_of_the_style(world: World) -> None:
    for report in world.reports():
        style = report.quality["style"]
        assert report.coverage["nearest"] > 0.98
        assert style.cold.n > 250
        assert style.warm.score.low > 0.9
        assert style.kept.low > 0.5, style


def test_listings_with_their_places_shuffled_keep_nothing(world: World) -> None:
    """Within the market, so that type, price and market are still shared; only the neighbours are others."""
    rng = np.random.default_rng(0)
    _, market = np.unique(world.items["market"].to_pylist(), return_inverse=True)
    rows = np.arange(len(market))
    for one in np.unique(market):
        rows[market == one] = rng.permutation(rows[market == one])
    shuffled = world.items
    for name in ("latitude", "longitude"):
        column = world.items[name].take(pa.array(rows))
        shuffled = shuffled.set_column(shuffled.column_names.index(name), name, column)
    for report in world.reports(shuffled):
        style = report.quality["style"]
        assert report.coverage["nearest"] > 0.95
        assert abs(style.kept.value) < 0.1, style
        assert style.kept.high < 0.2, style


def test_where_styles_hardly_lie_together_neighbours_cannot_tell_more(tmp_path: Path) -> None:
    correlation = 0.3
    styles = [report.quality["style"] for report in make_world(tmp_path, correlation).reports()]
    kept = np.mean([style.kept.value for style in styles])
    assert kept == pytest.approx(correlation**2, abs=0.04), styles
    assert np.mean([style.kept.low for style in styles]) > 0, styles
