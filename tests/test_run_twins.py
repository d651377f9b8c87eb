"""The measured twins: how many, with which seeds, and which equation of the paper each is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import item2vec as i2v
from item2vec.config import RunConfig
from item2vec.evaluation import split_sessions
from item2vec.run import RunResult, run_pipeline
from item2vec.run.twins import Method, equation_names, equations, open_twins, without_bookings

TINY: dict[str, dict[str, Any]] = {
    "run": {"name": "tiny"},
    "simulate": {"n_users": 120, "n_listings": 40, "n_markets": 2, "days": 20},
    "train": {"vector_size": 8, "epochs": 1, "workers": 1, "negative": 3, "seed": 5},
    "index": {"backend": "exact"},
}


def holdout(runs: Path, **sections: dict[str, Any]) -> RunResult:
    config = {name: {**TINY.get(name, {}), **sections.get(name, {})} for name in {*TINY, *sections}}
    return run_pipeline(RunConfig.from_sections(config), runs, until="holdout")


def training_side(result: RunResult) -> i2v.Sessions:
    sessions = i2v.Sessions.load(result.objects["sessions"].path)
    return split_sessions(sessions, validation=0.1, test=0.1).train


def test_one_twin_is_what_a_run_trains_unless_it_is_asked_for_more(tmp_path: Path) -> None:
    found = holdout(tmp_path).objects["holdout"]
    assert found.figures["trainings"] == 1
    assert found.figures["twins"] == {"item2vec": ["."]}
    assert equation_names(found) == {}


@pytest.mark.parametrize(("market_negative", "is_model", "draws"), [(4, "eq. 5", 4), (0, "eq. 4", 3)])
def test_every_twin_is_trained_as_its_equation_says(
    tmp_path: Path, market_negative: int, is_model: str, draws: int
) -> None:
    """Each against a training by hand: its sessions, its negatives from the market, its seed."""
    asked = {"seeds": 2, "equations": True}
    result = holdout(tmp_path, evaluate=asked, train={"market_negative": market_negative})
    found, train = result.objects["holdout"], training_side(result)
    assert len(train.booked)
    assert found.figures["trainings"] == 6  # three equations, one of them the model, by two seeds
    names = {f"item2vec ({is_model})" if name == is_model else name: name for name in METHODS}
    assert equation_names(found) == names
    for name, (bookings, from_market) in METHODS.items():
        settings = {**TINY["train"], "market_negative": draws if from_market else 0}
        for seed, twin in zip((5, 6), open_twins(found, name, i2v.HistoryScoring()), strict=True):
            model = i2v.Item2Vec(**{**settings, "seed": seed})
            model.fit(train if bookings else without_bookings(train), show_progress=False)
            np.testing.assert_array_equal(twin.vectors.vectors, model.item_vectors_.vectors, name)


METHODS = {"eq. 3": (False, False), "eq. 4": (True, False), "eq. 5": (True, True)}


def test_equations_that_a_log_cannot_tell_apart_are_left_out_with_a_reason() -> None:
    settings = {"negative": 5, "market_negative": 0}
    clicks, markets = [["a", "b"], ["b", "a"]], {"a": "Paris", "b": "Paris"}
    assert equations(settings, i2v.Sessions.from_lists(clicks, markets=markets)) == (
        [],
        ["eq. 3, 4 and 5 are not told apart: no training session has a booked item."],
    )
    booked = i2v.Sessions.from_lists(clicks, booked=[["a"], []])
    found, (reason,) = equations(settings, booked)
    assert [method.name for method in found] == ["eq. 3", "eq. 4"]
    assert "no item has a market" in reason
    both = i2v.Sessions.from_lists(clicks, booked=[["a"], []], markets=markets)
    assert equations(settings, both) == (
        [Method("eq. 3", False, 0), Method("eq. 4", True, 0), Method("eq. 5", True, 5)],
        [],
    )


def test_what_is_left_out_is_told_in_the_report(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = [f"u{user},{1_600_000_000 + 90_000 * user + at},click,{item}\n" for user in range(30)
            for at, item in enumerate("abc")]  # fmt: skip
    log.write_text("user_id,ts,event_type,item_id\n" + "".join(rows))
    sections = {
        "run": {"name": "small"},
        "events": {"path": str(log)},
        "index": {"backend": "exact"},
        "train": {"epochs": 1, "workers": 1},
        "evaluate": {"equations": True, "n_bootstrap": 100, "embedding_map": "pca"},
    }
    result = run_pipeline(RunConfig.from_sections(sections), tmp_path / "runs")
    report = json.loads((result.objects["evaluation"].path / "report.json").read_text())
    assert "eq. 3, 4 and 5 are not told apart: no training session has a booked item." in report["notes"]
    assert result.objects["holdout"].figures["trainings"] == 1


def test_a_kill_between_two_twins_ends_like_an_undisturbed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainings before it go on from their last checkpoint: none is trained twice."""
    asked = {"seeds": 2, "equations": True}
    whole = holdout(tmp_path / "whole", evaluate=asked).objects["holdout"]
    fit, trained = i2v.Item2Vec.fit, []

    def interrupted(model: i2v.Item2Vec, *arguments: Any, **options: Any) -> i2v.Item2Vec:
        trained.append(model.seed)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return fit(model, *arguments, **options)

    holdout(tmp_path / "killed", run={"name": "tiny"})  # up to the stage, with one twin
    monkeypatch.setattr(i2v.Item2Vec, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        holdout(tmp_path / "killed", evaluate=asked)
    kept = tmp_path / "killed" / "tiny" / "checkpoints" / "holdout"
    assert len(list(kept.rglob("checkpoint.json"))) == 3
    epochs: list[int] = []
    monkeypatch.setattr(
        i2v.Item2Vec,
        "fit",
        lambda model, *given, **options: fit(
            model, *given, callbacks=[lambda entry: epochs.append(entry["epoch"])], **options
        ),
    )
    resumed = holdout(tmp_path / "killed", evaluate=asked).objects["holdout"]
    assert resumed.manifest["files"] == whole.manifest["files"]
    assert len(epochs) == 3  # of the six trainings of one epoch each
    assert not kept.exists()
