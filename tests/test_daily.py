"""Ten nights with pipelines/daily.toml: the window moves, lists stay, bad days are refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import item2vec as i2v
from item2vec.artifacts import Release, RunFolder, read_release
from item2vec.cli import app
from item2vec.config import RunConfig
from item2vec.run import run_pipeline
from item2vec.run.stability import compare_vectors

ROOT = Path(__file__).resolve().parents[1]
DAILY = ROOT / "pipelines" / "daily.toml"
SCRIPT = ROOT / "pipelines" / "daily.sh"
WINDOW, NIGHTS = 14, 10
FIRST_DAY = date(2025, 1, 11)  # the simulated world has warmed up by then
FIRST_NIGHT = FIRST_DAY + timedelta(days=WINDOW)
NEXT_NIGHT = FIRST_NIGHT + timedelta(days=NIGHTS)
YESTERDAY = NEXT_NIGHT - timedelta(days=1)
CHANGES = {
    "events.days": WINDOW,
    "sessions.min_dwell_seconds": 5,
    "train.vector_size": 16,
    "train.epochs": 3,
    "train.alpha": 0.025,
    "train.workers": 1,
    "index.backend": "exact",
    "recommend.N": 10,
    "evaluate.n_bootstrap": 200,
    "evaluate.embedding_map": "pca",
    "evaluate.baselines": ["popularity"],
}


class Nights:
    """A warehouse that gets one partition a day, and the nightly run over it."""

    def __init__(self, base: Path) -> None:
        self.logs, self.runs = base / "logs", base / "runs"
        self.logs.mkdir()
        self.controls: list[Path] = []
        world = i2v.simulate(
            base / "world", n_users=2500, n_listings=600, n_markets=3, days=10 + WINDOW + NIGHTS, seed=3
        )
        (self.logs / "items.parquet").write_bytes((world / "items.parquet").read_bytes())
        log = ds.dataset(world / "events").to_table()
        log = log.filter(pc.not_equal(log["event_type"], "impression"))  # most rows, and nothing reads them
        days = log["ts"].to_numpy() // 86_400_000_000
        self.partitions = {
            date(1970, 1, 1) + timedelta(days=int(day)): log.filter(pa.array(days == day))
            for day in np.unique(days)
        }

    @property
    def folder(self) -> Path:
        return self.runs / "daily"

    def path(self, day: date) -> Path:
        return self.logs / f"{day}.parquet"

    def write(self, day: date, table: pa.Table | None = None) -> None:
        pq.write_table(self.partitions[day] if table is None else table, self.path(day))

    def options(self, as_of: date, *more: str) -> list[str]:
        changes = {
            **CHANGES,
            "events.path": self.logs / "{date}.parquet",
            "events.items.path": self.logs / "items.parquet",
            "events.as_of": as_of,
        }
        settings = [f"--set={key}={value}" for key, value in changes.items()]
        return [*settings, "--runs-dir", str(self.runs), *more]

    def run(self, as_of: date, *more: str) -> tuple[int, str]:
        """Run the night; return its exit code and what it said."""
        result = CliRunner().invoke(app, ["run", str(DAILY), *self.options(as_of, *more)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout + result.stderr

    def script(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Start the night as a scheduler does."""
        environment = {**os.environ, "ITEM2VEC": str(Path(sys.executable).with_name("item2vec"))}
        return subprocess.run(
            [SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False, cwd="/"
        )

    def control(self, as_of: date, seed: int) -> Path:
        """Train on the same window from another start; its events and sessions are there already."""
        options = [option.removeprefix("--set=") for option in self.options(as_of) if "--set=" in option]
        config = RunConfig.from_toml(DAILY, [*options, f"train.seed={seed}"])
        return run_pipeline(config, self.runs, until="embeddings").objects["embeddings"].path

    def restore(self) -> None:
        """Put the partitions of the next night's window in their place, whole."""
        for back in range(1, WINDOW + 1):
            self.write(NEXT_NIGHT - timedelta(days=back))


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Ten nights have passed; each got one more partition, and the oldest one was deleted."""
    nights = Nights(tmp_path_factory.mktemp("daily"))
    for back in range(1, WINDOW + 1):
        nights.write(FIRST_NIGHT - timedelta(days=back))
    for number in range(NIGHTS):
        as_of = FIRST_NIGHT + timedelta(days=number)
        if number:
            nights.write(as_of - timedelta(days=1))
            nights.path(as_of - timedelta(days=WINDOW + 1)).unlink()
        code, said = nights.run(as_of)
        assert code == 0, said
        nights.controls.append(nights.control(as_of, seed=100 + number))
    return nights


def history(folder: Path) -> list[Release]:
    """Return the releases in the order in which they followed each other."""
    found = [read_release(folder)]
    while (before := found[0].gate["follows"]) is not None:
        found.insert(0, read_release(folder, before))
    return found


def own_cosine(one: Path, other: Path) -> float:
    """Mean cosine of the items' vectors with their own of the day before."""
    old, new = (i2v.ItemVectors.load(path / "vectors") for path in (one, other))
    both = [item for item in old.ids if item in new]
    return float(np.mean([old.get_vector(i, norm=True) @ new.get_vector(i, norm=True) for i in both]))


def test_ten_nights_pass_the_gate_and_the_window_moves(nights: Nights) -> None:
    releases = history(nights.folder)
    assert len(releases) == NIGHTS
    for number, release in enumerate(releases):
        settings = release.config["events"]
        assert settings["as_of"].startswith(str(FIRST_NIGHT + timedelta(days=number)))
        last = release.figures["events"]["last_day"]
        assert last["day"] == str(FIRST_NIGHT + timedelta(days=number - 1))
        days = [FIRST_NIGHT + timedelta(days=number - back) for back in range(1, WINDOW + 1)]
        assert release.figures["events"]["rows_in"] == sum(nights.partitions[day].num_rows for day in days)
        assert all(check["passed"] for check in release.gate["checks"]), release.gate["checks"]
        assert len(release.gate["checks"]) == (0 if number == 0 else 19)


def test_neighbours_stay_from_night_to_night(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    """Every item starts where it did the night before; the control's items start elsewhere every night.

    A day of clicks and the noise of training move the lists far more than the starts do, so the lists gain
    little from them; the vectors stay in their place, which those of the control never do.
    """
    paths = [release.object_path("embeddings") for release in history(nights.folder)]
    same, drawn = (
        [compare_vectors(*pair).overlap or 0.0 for pair in pairwise(found)]
        for found in (paths, nights.controls)
    )
    own, drawn_own = ([own_cosine(*pair) for pair in pairwise(found)] for found in (paths, nights.controls))
    figures = {
        "top-10 overlap with the night before": same,
        "another seed every night": drawn,
        "cosine with the own vector of the night before": own,
        "another seed each night": drawn_own,
    }
    with capsys.disabled():
        for words, found in figures.items():
            sys.stdout.write(f"\n{words}: {' '.join(f'{figure:.2f}' for figure in found)}")
    reported = [
        check["new"]
        for release in history(nights.folder)[1:]
        for check in release.gate["checks"]
        if check["name"] == "neighbour overlap"
    ]
    assert reported == same
    assert min(same) > 0.3  # by chance 10 of 560: 0.02
    assert np.mean(same) > np.mean(drawn)
    assert np.mean(own) > np.mean(drawn_own) + 0.2


def half_of_the_users(nights: Nights, day: date) -> pa.Table:
    table = nights.partitions[day]
    users = [int(user.lstrip("U")) % 2 == 0 for user in table["user_id"].to_pylist()]
    return table.filter(pa.array(users))


def replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def a_collector_is_lost(nights: Nights) -> None:
    for back in range(1, WINDOW + 1):
        day = NEXT_NIGHT - timedelta(days=back)
        nights.write(day, half_of_the_users(nights, day))


def most_of_yesterday_is_missing(nights: Nights) -> None:
    nights.write(YESTERDAY, nights.partitions[YESTERDAY].slice(0, 100))


def rows_are_refused(nights: Nights) -> None:
    table = nights.partitions[YESTERDAY]
    stamps = table["ts"].to_numpy().copy()
    stamps[::12] = 0
    nights.write(YESTERDAY, replaced(table, "ts", pa.array(stamps)))


def items_are_shuffled(nights: Nights) -> None:
    order = np.random.default_rng(1)
    for back in (1, 2):
        day = NEXT_NIGHT - timedelta(days=back)
        table = nights.partitions[day]
        items = table["item_id"].combine_chunks().take(pa.array(order.permutation(table.num_rows)))
        nights.write(day, replaced(table, "item_id", items))


BAD_DAYS = {
    a_collector_is_lost: "  events click: there are ",
    most_of_yesterday_is_missing: f"  last day click: {YESTERDAY} has ",
    rows_are_refused: "  refused rows: ",
    items_are_shuffled: "  recall: Recall@20 is ",
}


@pytest.mark.parametrize("spoil", BAD_DAYS, ids=lambda spoil: spoil.__name__)
def test_a_bad_day_is_refused_and_the_old_release_serves_on(
    nights: Nights, spoil: Callable[[Nights], None]
) -> None:
    before = read_release(nights.folder).id
    nights.restore()
    spoil(nights)
    code, said = nights.run(NEXT_NIGHT)
    assert code == 5, said
    assert BAD_DAYS[spoil] in said
    assert "--accept" in said
    assert read_release(nights.folder).id == before
    assert i2v.load(nights.folder)


def no_partition(nights: Nights) -> None:
    nights.path(YESTERDAY).unlink()


def an_empty_file(nights: Nights) -> None:
    nights.path(YESTERDAY).write_bytes(b"")


def no_rows(nights: Nights) -> None:
    nights.write(YESTERDAY, nights.partitions[YESTERDAY].slice(0, 0))


def half_a_file(nights: Nights) -> None:
    whole = nights.path(YESTERDAY).read_bytes()
    nights.path(YESTERDAY).write_bytes(whole[: len(whole) // 2])


BAD_FILES = {no_partition: 3, an_empty_file: 3, no_rows: 5, half_a_file: 3}


@pytest.mark.parametrize("spoil", BAD_FILES, ids=lambda spoil: spoil.__name__)
def test_a_partition_that_is_not_there_is_named(nights: Nights, spoil: Callable[[Nights], None]) -> None:
    before = read_release(nights.folder).id
    nights.restore()
    spoil(nights)
    code, said = nights.run(NEXT_NIGHT)
    assert (code, str(YESTERDAY) in said) == (BAD_FILES[spoil], True), said
    assert read_release(nights.folder).id == before


def test_a_killed_night_is_repeated_and_a_night_run_twice_changes_nothing(nights: Nights) -> None:
    """A kill -9 in the middle, a second start meanwhile, the repetition by the script, once more."""
    nights.restore()
    before = read_release(nights.folder).id
    program = (
        "import os, signal, sys\n"
        "import item2vec.artifacts.folder as folder\n"
        "build = folder.build_manifest\n"
        "def killing(path, key, figures):\n"
        "    if key.stage == 'index': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return build(path, key, figures)\n"
        "folder.build_manifest = killing\n"
        "from item2vec.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", program, "run", str(DAILY), *nights.options(NEXT_NIGHT)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert read_release(nights.folder).id == before
    with RunFolder(nights.folder).lock():
        assert nights.script(str(NEXT_NIGHT), *nights.options(NEXT_NIGHT)).returncode == 4
    done = nights.script(str(NEXT_NIGHT), *nights.options(NEXT_NIGHT))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("skipped (already done)") == 3
    release = read_release(nights.folder)
    assert release.gate["follows"] == before
    assert nights.run(NEXT_NIGHT)[0] == 0
    assert read_release(nights.folder).id == release.id


def test_only_what_changed_is_built_again(nights: Nights) -> None:
    nights.restore()
    code, said = nights.run(NEXT_NIGHT, "--set=recommend.N=5")
    assert code == 0, said
    assert [line.split()[0] for line in said.splitlines() if "skipped" in line] == [
        "events",
        "sessions",
        "embeddings",
        "index",
        "holdout",
    ]


def test_the_script_knows_its_date_and_passes_the_exit_code_on(tmp_path: Path) -> None:
    fake = tmp_path / "item2vec"
    fake.write_text('#!/bin/sh\npwd\necho "$@"\nexit 5\n')
    fake.chmod(0o755)

    def start(*arguments: str, **more: str) -> tuple[int, str]:
        environment = {**os.environ, "ITEM2VEC": str(fake), **more}
        found = subprocess.run(
            [SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        return found.returncode, found.stdout

    run = "run --no-progress pipelines/daily.toml --set events.as_of="
    assert start("2025-03-31", "--quiet") == (5, f"{ROOT}\n{run}2025-03-31 --quiet\n")
    today = {str(datetime.now(UTC).date())}
    said = start("--accept", "two words")[1]
    today.add(str(datetime.now(UTC).date()))
    assert said in {f"{ROOT}\n{run}{day} --accept two words\n" for day in today}
    assert start(DAILY="my.toml")[1].split()[3] == "my.toml"
    assert start("yesterday") == (2, "")
