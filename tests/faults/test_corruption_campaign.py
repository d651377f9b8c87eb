"""Any file of a real release, damaged in any way: refused by name, never a crash, mended by the next run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from item2vec.config import RunConfig
from item2vec.run import run_pipeline

HERE = Path(__file__).parent
SHARES = 2
SETTINGS = """
[run]
name = "tiny"
[simulate]
n_users = 60
n_listings = 30
n_markets = 2
days = 4
[train]
vector_size = 4
epochs = {epochs}
workers = 1
[index]
n_trees = 3
[recommend]
partition_rows = 20
[evaluate]
n_bootstrap = 100
embedding_map = "pca"
[gate]
enabled = false
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two releases, so that there are files of another version."""
    work = tmp_path_factory.mktemp("corruption")
    for epochs in (1, 2):
        (work / "tiny.toml").write_text(SETTINGS.format(epochs=epochs))
        run_pipeline(RunConfig.from_toml(work / "tiny.toml"), work)
    return work


def corrupt(base: Path, work: Path, trials: int, mend_every: int) -> list[dict[str, Any]]:
    """Run the campaign in processes of its own, whose ends are looked at."""
    running, results = [], []
    for share in range(SHARES):
        job = {
            "work": str(work / str(share)),
            "results": str(work / f"{share}.jsonl"),
            "base": str(base / "tiny"),
        }
        job |= {"config": str(base / "tiny.toml")}
        numbers = {"share": share, "of": SHARES, "trials": trials, "mend_every": mend_every}
        (work / f"{share}.json").write_text(json.dumps({**job, **numbers}))
        command = [sys.executable, HERE / "corruption.py", work / f"{share}.json"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        running.append(subprocess.Popen(command, env=environment))
    ends = [process.wait() for process in running]
    for share in range(SHARES):
        results += map(json.loads, (work / f"{share}.jsonl").read_text().splitlines())
    assert ends == [0] * SHARES, f"ended by {ends} after {results[-1:]}"
    return results


def check(results: list[dict[str, Any]], trials: int) -> None:
    wrong = [result for result in results if result["problems"]]
    assert not wrong, f"{len(wrong)} of {len(results)}: {wrong[:5]}"
    assert len(results) == trials


def report(results: list[dict[str, Any]]) -> str:
    """Write the counts of a campaign."""
    counts = Counter((result["kind"], result["file"]) for result in results)
    files = sorted({file for _, file in counts})
    mended = sum(result["mended"] for result in results)
    lines = [f"\n{len(results):,} damaged files, all refused; {mended:,} of the runs mended by the next run"]
    lines.append(f"{'damage':<14}" + "".join(f"{file[-12:]:>14}" for file in files))
    kinds = sorted({kind for kind, _ in counts})
    lines += [f"{kind:<14}" + "".join(f"{counts[kind, file]:>14,}" for file in files) for kind in kinds]
    return "\n".join([*lines, ""])


def test_300_damaged_files_are_refused_by_name(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = corrupt(base, tmp_path, 300, mend_every=15)
    check(results, 300)
    with capsys.disabled():
        sys.stdout.write(report(results))


@pytest.mark.long
def test_3000_damaged_files_are_refused_by_name(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = corrupt(base, tmp_path, 3000, mend_every=12)
    check(results, 3000)
    with capsys.disabled():
        sys.stdout.write(report(results))


FORGED: list[dict[str, Any]] = [
    {"vector_size": 5},
    {"vector_size": 3},
    {"n_items": 7},
    {"mode": "next"},
    {"settings": {"n_trees": 4, "search_k": 30, "seed": 1}},
]


@pytest.mark.parametrize("change", FORGED, ids=lambda change: str(next(iter(change))))
def test_an_index_that_lies_about_itself_is_refused_although_every_checksum_is_right(
    base: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    """The forger wrote all checksums up to CURRENT: only what the files are can tell, and must not crash."""
    shutil.copytree(base / "tiny", tmp_path / "tiny")
    found = subprocess.run(
        [sys.executable, HERE / "corruption.py", "forge", tmp_path / "tiny", json.dumps(change)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "/index/" in found.stdout or "index was built from other vectors" in found.stdout, found.stdout
