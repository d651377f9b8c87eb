"""The composition: what is skipped, what runs again, what survives a kill, what load gives back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import item2vec as i2v
from item2vec.artifacts import Release, RunFolder, StageEvent, read_release, release_ids
from item2vec.config import RunConfig
from item2vec.errors import (
    CorruptArtifactError,
    GateError,
    LockedRunError,
    QuarantineError,
    SourceError,
    UsageError,
)
from item2vec.events import Events
from item2vec.run import RUN_STAGES, RunResult, run_pipeline
from item2vec.run.load import open_recommender
from item2vec.run.pipeline import TRAINER, VERSIONS, stage_versions

TINY: dict[str, dict[str, Any]] = {
    "run": {"name": "tiny"},
    "simulate": {"n_users": 120, "n_listings": 40, "n_markets": 2, "days": 20},
    "train": {"vector_size": 8, "epochs": 1, "workers": 1},
    "index": {"n_trees": 5},
    "evaluate": {"n_bootstrap": 100, "embedding_map": "pca"},
}


LEFT = {"objects", "releases", "CURRENT", ".lock"}


def settings(changes: Mapping[str, Mapping[str, Any]] = {}) -> RunConfig:
    sections = {name: dict(values) for name, values in TINY.items()}
    for name, values in changes.items():
        sections.setdefault(name, {}).update(values)
    return RunConfig.from_sections(sections)


def run(runs: Path, changes: Mapping[str, Mapping[str, Any]] = {}) -> tuple[set[str], RunResult]:
    """Run; return the stages that were not skipped, and the result."""
    events: list[StageEvent] = []
    result = run_pipeline(settings(changes), runs, notify=events.append)
    return {event.stage for event in events if event.state == "done"}, result


def first_release(run_folder: Path) -> Release:
    """The release that followed none: a later one also says which one it was compared with."""
    found = [read_release(run_folder, known) for known in release_ids(RunFolder(run_folder))]
    (first,) = (release for release in found if release.gate["follows"] is None)
    return first


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.name != ".lock" and path.is_file()
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with the finished run ``tiny``; its objects are not to be touched."""
    folder = tmp_path_factory.mktemp("runs")
    done, result = run(folder)
    assert done == set(RUN_STAGES)
    assert result.release is not None
    return folder


def test_the_same_run_again_skips_every_stage_and_changes_nothing(runs: Path) -> None:
    before = snapshot(runs)
    done, result = run(runs)
    assert done == set()
    assert result.release is not None
    assert snapshot(runs) == before
    assert len(release_ids(RunFolder(runs / "tiny"))) == 1


LATER = {"index", "recommendations", "evaluation"}
CHANGES = {
    "evaluate": ({"evaluate": {"k": 10}}, {"evaluation"}),
    "split": ({"evaluate": {"test": 0.2}}, {"holdout", "evaluation"}),
    "recommend": ({"recommend": {"N": 3}}, {"recommendations", "evaluation"}),
    "index": ({"index": {"n_trees": 6}}, LATER),
    "train": ({"train": {"seed": 2}}, LATER | {"embeddings", "holdout"}),
    "sessions": ({"sessions": {"gap_minutes": 20}}, set(RUN_STAGES) - {"simulate", "events"}),
    "events": ({"events": {"max_quarantined": 0.5}}, set(RUN_STAGES) - {"simulate"}),
    "simulate": ({"simulate": {"seed": 2}}, set(RUN_STAGES)),
    "workers": ({"train": {"workers": 2}}, set()),
    "checkpoint_every": ({"train": {"checkpoint_every": 3}}, set()),
}


@pytest.mark.parametrize("case", CHANGES)
def test_one_setting_reruns_only_what_depends_on_it(runs: Path, case: str) -> None:
    change, rerun = CHANGES[case]
    done, _ = run(runs, change)
    assert done <= rerun
    assert min(rerun, key=RUN_STAGES.index, default=None) in {*done, None}
    assert run(runs)[0] == set()  # back again: everything is still there
    assert run(runs, change)[0] == set()


def test_a_run_is_reproducible_byte_by_byte_with_one_worker(runs: Path, tmp_path: Path) -> None:
    _, first = run(runs)
    _, second = run(tmp_path)
    assert first.release is not None
    assert second.release is not None
    for stage in first.release.stages:
        one, two = (result.objects[stage].manifest["files"] for result in (first, second))
        assert one == two, stage
    assert first.release.body["stages"] == second.release.body["stages"]
    assert first_release(runs / "tiny").id == second.release.id


def test_load_answers_as_the_written_table_does(runs: Path) -> None:
    import pyarrow.parquet as pq

    _, result = run(runs)
    rec = i2v.load(runs / "tiny")
    table = pq.read_table(result.objects["recommendations"].path / "similar_items").to_pylist()
    target = table[0]["target_item_id"]
    rows = sorted((row for row in table if row["target_item_id"] == target), key=lambda row: row["rank"])
    ids, scores = rec.similar_items(target, N=len(rows))
    assert list(ids) == [row["item_id"] for row in rows]
    np.testing.assert_allclose(scores, [row["score"] for row in rows], rtol=1e-5)
    items = pq.read_table(result.objects["sessions"].path / "items.parquet")
    markets = dict(zip(items["item_id"].to_pylist(), items["market"].to_pylist(), strict=True))
    ids, _ = rec.similar_items(target, N=3, where={"market": markets[target]})
    assert [markets[item] for item in ids] == [markets[target]] * 3


def test_load_and_query_import_nothing_heavy(runs: Path) -> None:
    program = f"""
import sys
import item2vec as i2v
rec = i2v.load({str(runs / "tiny")!r})
item = rec.vocabulary.ids[0].as_py()
ids, scores = rec.similar_items(item, N=3)
assert len(ids) == 3
rec.recommend([[item]], N=3)
heavy = {{"torch", "pandas", "sklearn", "numba", "duckdb", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("stage", ["embeddings", "index"])
def test_load_refuses_a_damaged_file_by_name(tmp_path: Path, stage: str) -> None:
    _, result = run(tmp_path)
    for path in sorted(result.objects[stage].path.rglob("*")):
        if path.is_file():
            whole = path.read_bytes()
            path.chmod(0o644)
            path.write_bytes(whole[:100] + bytes([whole[100] ^ 4]) + whole[101:])
            with pytest.raises(CorruptArtifactError, match=path.name.replace(".", r"\.")):
                i2v.load(tmp_path / "tiny")
            path.write_bytes(whole)
    assert i2v.load(tmp_path / "tiny")


def test_load_hashes_a_file_once_and_a_stage_trusts_no_path(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest covers the index's files: only who did not compare it needs the checksums beside them."""
    _, result = run(runs)
    hashed: list[Path] = []

    def noting(path: Path) -> str:
        hashed.append(path)
        return ""

    monkeypatch.setattr("item2vec.index.storage._sha256", noting)
    assert i2v.load(runs / "tiny")
    assert hashed == []
    with pytest.raises(CorruptArtifactError, match="differs from its checksum"):
        open_recommender(result.objects["embeddings"].path, result.objects["index"].path)
    assert len(hashed) == 1


def test_load_opens_older_releases(runs: Path) -> None:
    _, old = run(runs)
    assert old.release is not None
    run(runs, {"train": {"seed": 2}})
    assert read_release(runs / "tiny").id != old.release.id
    item = i2v.load(runs / "tiny").vocabulary.ids[0].as_py()
    new_ids, _ = i2v.load(runs / "tiny").similar_items(item)
    old_ids, _ = i2v.load(runs / "tiny", release=old.release.id[:10]).similar_items(item)
    assert list(new_ids) != list(old_ids)
    run(runs)


def test_a_stage_that_is_not_there_is_named(runs: Path) -> None:
    with pytest.raises(UsageError, match="no stage 'traning'; it has simulate, events"):
        run_pipeline(settings(), runs, until="traning")


def test_two_writers_are_kept_apart(runs: Path) -> None:
    with RunFolder(runs / "tiny").lock(), pytest.raises(LockedRunError, match="tiny"):
        run(runs)


def test_refused_nights_are_collected_and_the_last_one_waits_for_its_note(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    folder = RunFolder(tmp_path / "runs" / "tiny")
    released = set(folder.objects.glob("embeddings/*"))

    def refused(seed: int) -> Path:
        worse = settings({"train": {"seed": seed}, "gate": {"min_neighbour_overlap": 1.0}})
        with pytest.raises(GateError, match="neighbour overlap"):
            run_pipeline(worse, tmp_path / "runs")
        (made,) = set(folder.objects.glob("embeddings/*")) - released
        for path in (made, made / "MANIFEST.json"):
            os.utime(path, (1e9, 1e9))
        return made

    assert refused(11) == refused(11)  # old by now, and the same night again
    assert refused(12) != refused(13)  # each takes the one before with it
    assert released < set(folder.objects.glob("embeddings/*"))


def test_the_measured_twin_saw_only_sessions_that_end_before_the_first_cut(runs: Path) -> None:
    from item2vec.evaluation import split_sessions

    _, result = run(runs)
    sessions = i2v.Sessions.load(result.objects["sessions"].path)
    train = split_sessions(sessions, validation=0.1, test=0.1).train
    assert train.n_clicks < sessions.n_clicks
    for stage, seen in (("holdout", train), ("embeddings", sessions)):
        vectors = i2v.ItemVectors.load(result.objects[stage].path / "vectors")
        clicks = dict(
            zip(seen.item_ids.to_pylist(), np.bincount(seen.tokens, minlength=seen.n_items), strict=True)
        )
        assert vectors.counts.tolist() == [clicks[item] for item in vectors.ids]
    text = (result.objects["evaluation"].path / "report.html").read_text()
    assert "twin model" in text
    assert "trained on all sessions" in text


def test_a_log_too_small_to_measure_is_still_worth_its_vectors(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = "".join(f"u{n},{1_600_000_000 + n},click,{item}\n" for n in range(2) for item in "ab")
    log.write_text("user_id,ts,event_type,item_id\n" + rows)
    sections = {"run": {"name": "small"}, "events": {"path": str(log)}, "index": {"backend": "exact"}}
    result = run_pipeline(RunConfig.from_sections(sections), tmp_path / "runs")
    assert result.release is not None
    assert "split leaves no" in result.release.figures["evaluation"]["insufficient_data"]
    assert "Insufficient data" in (result.objects["evaluation"].path / "report.html").read_text()
    ids, _ = i2v.load(result.folder).similar_items("a")
    assert list(ids) == ["b"]


def test_refused_rows_of_a_stopped_run_can_be_looked_at(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = "".join(f"u{n},{n if n % 2 else 'soon'},click,a{n}\n" for n in range(40))
    log.write_text("user_id,ts,event_type,item_id\n" + rows)
    config = RunConfig.from_sections({"run": {"name": "bad"}, "events": {"path": str(log)}})
    with pytest.raises(QuarantineError) as caught:
        run_pipeline(config, tmp_path / "runs")
    kept = tmp_path / "runs" / "bad" / "quarantine"
    assert f"the refused rows are in {kept}" in str(caught.value)
    assert "tmp" not in str(caught.value).replace(str(tmp_path), "")
    assert list(kept.glob("*.parquet"))
    assert not (tmp_path / "runs" / "bad" / "CURRENT").exists()


def attributes_config(folder: Path, items: str) -> RunConfig:
    """Write a log of two bad rows in 400, and an item table."""
    rows = "".join(f"u{n % 9},{'soon' if n < 2 else 1_600_000_000 + n},click,a{n % 7}\n" for n in range(400))
    (folder / "log.csv").write_text("user_id,ts,event_type,item_id\n" + rows)
    (folder / "items.csv").write_text(items)
    paths = {"path": str(folder / "log.csv"), "items": {"path": str(folder / "items.csv")}}
    events = {**paths, "max_quarantined": 0.2}
    return RunConfig.from_sections({"run": {"name": "attributes"}, "events": events})


def test_an_error_points_at_no_refused_rows_of_something_else(tmp_path: Path) -> None:
    config = attributes_config(tmp_path, "item_id,market\na1,Paris\na1,Rome\n")
    with pytest.raises(SourceError, match="rows that differ for item_id 'a1'") as caught:
        run_pipeline(config, tmp_path / "runs")
    assert "refused" not in str(caught.value)
    assert not (tmp_path / "runs" / "attributes" / "quarantine").exists()


def test_what_is_lost_among_the_attributes_is_told(tmp_path: Path) -> None:
    items = "item_id,price\na1,5\na2,free\na3,?\na4,7\nelsewhere,1\n,8\n"
    result = run_pipeline(attributes_config(tmp_path, items), tmp_path / "runs", until="sessions")
    figures = result.objects["events"].figures
    assert (figures["items"], figures["refused_items"], figures["unreadable_price"]) == (5, 1, 2)
    assert result.objects["sessions"].figures["items_with_attributes"] == 4
    account = Events.open(result.objects["events"].path).reconciliation.attributes["items"]
    assert (account["items of the events"], account["of these with a row"]) == (7, 4)
    assert not (tmp_path / "runs" / "attributes" / "quarantine").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
import item2vec.artifacts.folder as folder
import item2vec.artifacts.releases as releases
import test_run_pipeline as tests

runs, place = Path(sys.argv[1]), sys.argv[2]
build_manifest, replace_file = folder.build_manifest, releases.replace_file

def killing_manifest(path, key, figures):
    if key.stage == place:
        os.kill(os.getpid(), signal.SIGKILL)
    return build_manifest(path, key, figures)

def killing_replace(path, body, **options):
    if path.name == place or path.suffix == place:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace_file(path, body, **options)

folder.build_manifest, releases.replace_file = killing_manifest, killing_replace
tests.run(runs)
"""


def test_a_run_killed_in_every_stage_ends_like_an_undisturbed_one(runs: Path, tmp_path: Path) -> None:
    """Kill -9 when a stage has written its files and has no name yet, stage after stage, then publishing."""
    for place in (*RUN_STAGES, ".json", "CURRENT"):
        command = [sys.executable, "-c", KILLED, str(tmp_path), place]
        found = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        assert found.returncode == -signal.SIGKILL, found.stderr
        assert not (tmp_path / "tiny" / "objects" / place).exists()
        published = place == "CURRENT"  # its file is there, and nothing tells a lost CURRENT from one to come
        error, says = (CorruptArtifactError, "missing") if published else (UsageError, "holds no release")
        with pytest.raises(error, match=says):
            i2v.load(tmp_path / "tiny")
        assert place not in RUN_STAGES or list((tmp_path / "tiny" / "tmp").iterdir())
        if place in {"embeddings", "recommendations", "holdout"}:  # its work is kept until it has a name
            assert list((tmp_path / "tiny" / "checkpoints" / place).iterdir())
    done, result = run(tmp_path)
    assert done == set()
    whole = first_release(runs / "tiny")
    assert result.release is not None
    assert result.release.id == whole.id
    assert result.release.path.read_bytes() == whole.path.read_bytes()
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == LEFT


def test_a_killed_training_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    """The second start does not train the finished epochs again, and ends with the same bytes."""
    changes = {"train": {"epochs": 4, "checkpoint_every": 3}, "run": {"name": "killed"}}
    program = (
        "import os, signal, sys; from pathlib import Path; import test_run_pipeline as tests\n"
        "import item2vec.embeddings.checkpoint as checkpoint\n"
        "write = checkpoint.write_checkpoint\n"
        "def killing(folder, key, state):\n"
        "    write(folder, key, state)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "checkpoint.write_checkpoint = killing\n"
        f"tests.run(Path(sys.argv[1]), {changes!r})"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert found.returncode == -signal.SIGKILL, found.stderr
    checkpoints = tmp_path / "killed" / "checkpoints" / "embeddings"
    assert list(checkpoints.glob("epoch-00003*"))
    resumed = run_pipeline(settings(changes), tmp_path, until="embeddings")
    whole = run_pipeline(settings({**changes, "run": {"name": "whole"}}), tmp_path, until="embeddings")
    assert not checkpoints.exists()
    files = [result.objects["embeddings"].manifest["files"] for result in (resumed, whole)]
    assert files[0] == files[1]


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_trained_afresh(tmp_path: Path) -> None:
    checkpoints = tmp_path / "tiny" / "checkpoints" / "embeddings"
    checkpoints.mkdir(parents=True)
    (checkpoints / "checkpoint.json").write_text('{"fingerprint": "of another training"}')
    assert run_pipeline(settings(), tmp_path, until="embeddings").objects["embeddings"]
    checkpoints.mkdir(parents=True)
    (checkpoints / "checkpoint.json").write_text("{")
    assert run_pipeline(settings({"train": {"seed": 2}}), tmp_path, until="embeddings").objects["embeddings"]


def test_a_new_trainer_trains_the_measured_twin_again_too() -> None:
    now, then = stage_versions(TRAINER), stage_versions(TRAINER + 1)
    assert now == VERSIONS
    assert {name for name in now if now[name] != then[name]} == {"embeddings", "holdout"}
