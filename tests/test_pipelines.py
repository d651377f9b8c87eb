"""The run files that ship: complete, documented key by key, and running on the logs they are for."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import item2vec as i2v
from item2vec.artifacts import StageEvent
from item2vec.config import RunConfig, section_models
from item2vec.errors import ConfigError
from item2vec.run import run_pipeline
from item2vec.run.pipeline import VERSIONS

ROOT = Path(__file__).resolve().parents[1]
PIPELINES = ROOT / "pipelines"
FILES = sorted(path.name for path in PIPELINES.glob("*.toml"))
REFERENCE = PIPELINES / "reference.toml"
WINDOW = {"path": "logs/{date}.csv", "as_of": date(2025, 3, 31)}  # what the key days cannot be without
NIGHT = {"daily.toml": ["events.as_of=2025-03-31"]}
LOGS = {
    "google_merch": "google_merch/product_events.parquet",
    "trivago": "trivago_rs19/events.parquet",
    "airbnb_reviews": "airbnb_reviews/reviews.parquet",
}


def keys_in_the_reference() -> tuple[dict[str, set[str]], list[str]]:
    """Return the keys that each section names, and the examples of keys without a default as overrides."""
    named: dict[str, set[str]] = {}
    examples = []
    section = ""
    for line in REFERENCE.read_text().splitlines():
        if found := re.match(r"\[(\w+)\]", line):
            section = found[1]
            named[section] = set()
        elif found := re.match(r"(# )?(\w+) = (.+)", line):
            named[section].add(found[2])
            if found[1]:
                examples.append(f"{section}.{found[2]}={found[3]}")
    return named, examples


@pytest.mark.parametrize("name", FILES)
def test_every_run_file_is_valid(name: str) -> None:
    config = RunConfig.from_toml(PIPELINES / name, NIGHT.get(name, ()))
    assert config.name == name.removesuffix(".toml")


def test_the_nightly_run_is_no_run_without_its_date() -> None:
    """Else it would train the same old window every night when somebody starts it by hand."""
    with pytest.raises(ConfigError, match=r"path holds {date}, so it needs days and as_of"):
        RunConfig.from_toml(PIPELINES / "daily.toml")


def test_the_reference_names_every_key_there_is() -> None:
    named, _ = keys_in_the_reference()
    assert named == {name: set(model.model_fields) for name, model in section_models().items()}


def test_the_reference_gives_the_defaults() -> None:
    reference = tomllib.loads(REFERENCE.read_text())
    assert list(reference) == list(section_models())
    bare = RunConfig.from_sections({"run": {"name": "reference"}, "simulate": {}})
    assert RunConfig.from_toml(REFERENCE) == bare


@pytest.mark.parametrize("example", keys_in_the_reference()[1])
def test_the_reference_s_examples_are_valid(example: str) -> None:
    document = {
        key: value for key, value in tomllib.loads(REFERENCE.read_text()).items() if key != "simulate"
    }
    section, key = example.split("=")[0].split(".")
    document["events"] |= WINDOW if example.startswith("events.days") else {"path": "log.csv"}
    document[section][key] = tomllib.loads(f"value = {example.partition('=')[2]}")["value"]
    assert RunConfig.from_sections(document)


def run_file(name: str, runs: Path, changes: dict[str, Any]) -> tuple[dict[str, Any], Path]:
    """Run a shipped file, smaller; return the figures by stage and the run's folder."""
    overrides = [f"{key}={value}" for key, value in changes.items()]
    done: list[StageEvent] = []
    config = RunConfig.from_toml(PIPELINES / f"{name}.toml", overrides)
    result = run_pipeline(config, runs, notify=done.append)
    assert result.release is not None
    optional = {"simulate": config.simulate is not None, "types": config.types.enabled}
    assert [event.stage for event in done if event.state == "done"] == [
        stage for stage in VERSIONS if optional.get(stage, True)
    ]
    return dict(result.release.figures), result.folder


def test_the_demo_runs_and_beats_popularity(tmp_path: Path) -> None:
    changes = {"simulate.n_users": 1500, "simulate.n_listings": 400, "evaluate.embedding_map": "pca"}
    figures, folder = run_file("demo", tmp_path, changes)
    scored = figures["evaluation"]["next_item"]
    assert scored["item2vec"]["recall"]["low"] > scored["popularity"]["recall"]["high"]
    assert figures["events"]["quarantined"] == 0
    assert figures["index"]["recall@10_similar"] >= 0.9
    assert i2v.load(folder)


@pytest.mark.real_data
@pytest.mark.parametrize("name", LOGS)
def test_the_real_pipelines_run_on_the_real_logs(name: str, real_data: Path, tmp_path: Path) -> None:
    changes = {
        "events.path": real_data / LOGS[name],
        "train.epochs": 2,
        "evaluate.embedding_map": "pca",
        "evaluate.n_bootstrap": 100,
        "recommend.N": 10,
    }
    if name == "airbnb_reviews":
        changes["events.items.path"] = real_data / "airbnb_reviews" / "listings.parquet"
    figures, folder = run_file(name, tmp_path, changes)
    expected = {
        "google_merch": {"rows_in": 420_737, "duplicate": 388, "quarantined": 0},
        "trivago": {"rows_in": 100_003, "duplicate": 0},
        "airbnb_reviews": {"rows_in": 124_961, "events": 124_961},
    }[name]
    assert {key: figures["events"][key] for key in expected} == expected
    counted = figures["evaluation"]["next_item"]["item2vec"]["recall"]
    assert counted["low"] <= counted["value"] <= counted["high"]
    if name == "trivago":
        assert figures["sessions"]["sessions"] == 3378
    if name == "airbnb_reviews":
        assert figures["sessions"]["sessions"] == 111_893  # every guest, also those who stayed once
    rec = i2v.load(folder)
    ids, scores = rec.similar_items(rec.vocabulary.ids[0].as_py(), N=5)
    assert len(ids) == len(scores) == 5


def test_the_scheduler_s_script_starts_a_run_from_anywhere(tmp_path: Path) -> None:
    fake = tmp_path / "item2vec"
    fake.write_text('#!/bin/sh\npwd\necho "$@"\nexit 3\n')
    fake.chmod(0o755)
    found = subprocess.run(
        [PIPELINES / "run.sh", "pipelines/demo.toml", "--set", "a.b=1 2"],
        env={**os.environ, "ITEM2VEC": str(fake)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 3
    assert found.stdout == f"{ROOT}\nrun --no-progress pipelines/demo.toml --set a.b=1 2\n"
