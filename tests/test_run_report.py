"""What the report of a run says about itself: its counts in words, what is left out, what made it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import item2vec as i2v
from item2vec.config import RunConfig
from item2vec.errors import MissingDependencyError
from item2vec.run import measure, run_pipeline
from item2vec.run.measure import _without_vector

TINY = {
    "run": {"name": "tiny"},
    "simulate": {"n_users": 120, "n_listings": 40, "n_markets": 2, "days": 20},
    "train": {"vector_size": 8, "epochs": 1, "workers": 1},
    "index": {"backend": "exact"},
    "evaluate": {"n_bootstrap": 100, "embedding_map": "pca"},
}


def test_the_report_names_what_it_counts_and_what_it_was_made_from(tmp_path: Path) -> None:
    result = run_pipeline(RunConfig.from_sections(TINY), tmp_path)
    report = json.loads((result.objects["evaluation"].path / "report.json").read_text())
    sessions = i2v.Sessions.load(result.objects["sessions"].path)
    vectors = i2v.ItemVectors.load(result.objects["embeddings"].path / "vectors")
    assert report["facts"]["booked items in sessions"] == len(sessions.booked)
    assert report["facts"]["items in sessions"] == sessions.n_items
    assert report["facts"]["items with a vector"] == len(vectors.ids)
    assert report["provenance"]["item2vec"] == i2v.__version__
    inputs = {stage: stored.path.name for stage, stored in result.objects.items()}
    assert report["provenance"]["inputs"] == {
        stage: name for stage, name in inputs.items() if stage not in {"simulate", "evaluation"}
    }
    names = list(report["next_item"]["scorers"])
    baselines = ["popularity", "market_popularity", "item_knn", "sequential_rules", "session_knn"]
    assert names == ["item2vec", "item2vec_similar", *baselines]
    assert report["verdict"]["recall"]["baseline"] in names[2:]  # the other reading is no baseline
    assert report["config"]["evaluation"]["n_bootstrap"] == 100


@pytest.mark.parametrize(("min_count", "n_vectors"), [(1, 3), (2, 2)])
def test_items_without_a_vector_are_explained(min_count: int, n_vectors: int) -> None:
    sessions = i2v.Sessions.from_lists([["a", "b"], ["a", "b", "c"]], booked=[["a", "d"], []])
    config = RunConfig.from_sections({**TINY, "train": {"min_count": min_count}})
    counted = SimpleNamespace(vocabulary=range(n_vectors))
    booked, *rare = _without_vector(config, sessions, counted)  # type: ignore[arg-type]
    assert booked.startswith("1 of the 4 items in sessions were booked there but never clicked")
    assert len(rare) == min_count - 1
    assert all(note.startswith("1 items were clicked fewer than 2 times") for note in rare)


def test_a_missing_market_and_unreadable_attributes_are_explained(tmp_path: Path) -> None:
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    rows = [
        f"u{user},{1_600_000_000 + 90_000 * user + at},click,{item}"
        for user in range(30)
        for at, item in enumerate("abc")
    ]
    log.write_text("\n".join(["user_id,ts,event_type,item_id", *rows]) + "\n")
    items.write_text("item_id,price\na,1\nb,2\nc,many\n")
    sections = {
        "run": {"name": "small"},
        "events": {"path": str(log), "items": {"path": str(items)}},
        "index": {"backend": "exact"},
        "train": {"epochs": 1, "workers": 1},
    }
    result = run_pipeline(RunConfig.from_sections(sections), tmp_path / "runs")
    report = json.loads((result.objects["evaluation"].path / "report.json").read_text())
    assert "No item has a market, so there is no baseline market popularity." in report["notes"]
    baselines = ["popularity", "item_knn", "sequential_rules", "session_knn"]
    assert list(report["next_item"]["scorers"]) == ["item2vec", "item2vec_similar", *baselines]
    assert report["reconciliation"]["attributes"]["items"]["unreadable price"] == 1
    assert "unreadable price" in (result.objects["evaluation"].path / "report.html").read_text()


def test_a_missing_report_library_stops_the_run_before_it_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "find_spec", lambda name: None if name == "matplotlib" else object())
    config = RunConfig.from_sections({"run": {"name": "bare"}, "simulate": {"n_users": 50}})
    with pytest.raises(MissingDependencyError, match=r"needs matplotlib: pip install 'item2vec\[report\]'"):
        run_pipeline(config, tmp_path)
    assert not (tmp_path / "bare" / "objects").exists()
