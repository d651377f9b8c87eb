"""``item2vec tune``: a run's settings from its validation days alone, and a run file that runs."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from planted_walks import walks
from typer.testing import CliRunner

from item2vec.cli import app
from item2vec.cli.tune import budget_seconds
from item2vec.config import RunConfig
from item2vec.errors import ConfigError, UsageError
from item2vec.run.tuning import run_space
from item2vec.tuning import DEFAULT_SPACE, Choice, Range, read_space

DAY_US = 86_400_000_000
NEW_YEAR_US = 1_735_689_600_000_000  # 2025
RUN = """\
# A walk around a ring.
[events]
path = "{log}"                # one line per click

[train]                       # what the search starts from
vector_size = 8
epochs = 8
alpha = 0.1
workers = 1
window = 4                    # both sides

[evaluate]
validation_from = 2025-01-31
test_from = 2025-02-06
k = 2
n_bootstrap = 100
embedding_map = "pca"
[index]
n_trees = 5
"""
SPACE = """
[train]
forward_only = [true, false]
window = { low = 1, high = 4, beyond = "session" }
negative = 5
"""


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def write_log(path: Path, lists: Sequence[Sequence[str]]) -> Path:
    """Write sessions as clicks, twelve sessions a day from 2025-01-01 on."""
    rows = ["user_id,ts_us,event_type,item_id"]
    for number, items in enumerate(lists):
        start = NEW_YEAR_US + number * DAY_US // 12 + 1
        rows += [f"user-{number},{start + at * 1_000_000},click,{item}" for at, item in enumerate(items)]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of 40 days, a run file, and its study of six trials."""
    place = tmp_path_factory.mktemp("tuned run")
    log = write_log(place / "log.csv", walks(480, 1).to_lists())
    (place / "walk.toml").write_text(RUN.format(log=log))
    (place / "space.toml").write_text(SPACE)
    code, output, errors = tune(place)
    assert code == 0, errors
    (place / "output.txt").write_text(output)
    return place


def tune(folder: Path, *more: object, run: str = "walk.toml") -> tuple[int, str, str]:
    space = ("--space", folder / "space.toml", "--trials", 6)
    return call("tune", folder / run, "--runs-dir", folder / "runs", *space, *more)


def test_it_tells_what_it_found(folder: Path) -> None:
    output = (folder / "output.txt").read_text()
    assert output.startswith("events ")
    for words in ("Recall@2", "forward_only true", "gained", "(paired)", "the test sessions", "item2vec run"):
        assert words in output, words


def test_the_run_file_runs_and_is_what_was_chosen(folder: Path) -> None:
    target = folder / "runs" / "walk" / "tuning" / "tuned.toml"
    text = target.read_text()
    assert text.startswith("# Tuned by item2vec tune: walk.toml, 6 trials")
    assert max(map(len, text.splitlines())) <= 110
    for words in (
        "# A walk around a ring.",
        "# one line per click",
        "# what the search starts from",
        "(paired)",
    ):
        assert words in text
    before, after = RunConfig.from_toml(folder / "walk.toml"), RunConfig.from_toml(target)
    assert after.name == "walk"
    assert after.train["forward_only"] is True
    assert {**after.train, "forward_only": False, "window": 4} == before.train
    assert after.events == before.events
    code, output, errors = call("run", target, "--runs-dir", folder / "runs")
    assert code == 0, errors
    assert output.count("skipped (already done)") == 2  # events and sessions are the run's own
    assert list((folder / "runs").iterdir()) == [folder / "runs" / "walk"]
    code, _, errors = call("run", folder / "walk.toml", "--runs-dir", folder / "other runs")
    assert code == 0, errors
    # Planted: only the order of time tells the successor, in the test sessions, opened at last, as well.
    assert _test_recall(folder / "runs" / "walk") > _test_recall(folder / "other runs" / "walk") + 10


def _test_recall(run: Path) -> float:
    shown = json.loads(call("show", run, "--json")[1])
    return float(shown["figures"]["evaluation"]["next_item"]["item2vec"]["recall"]["value"])


def test_the_same_command_goes_on_and_writes_its_file_again(folder: Path) -> None:
    code, output, errors = tune(folder)
    assert code == 0, errors
    told = (folder / "output.txt").read_text()
    assert _figures(output) == _figures(told)


def _figures(output: str) -> list[str]:
    return [
        line for line in output.splitlines() if line.startswith(("  start", "  chosen", "  gained", "chosen"))
    ]


def test_the_test_days_are_not_opened(folder: Path) -> None:
    """A log whose test days are other ones, strangers included, is tuned to the same figures."""
    lists = walks(480, 1).to_lists()
    other = [
        ["stranger", "item-00", "nobody"] if number >= 36 * 12 else one for number, one in enumerate(lists)
    ]
    log = write_log(folder / "other.csv", other)
    (folder / "other.toml").write_text(RUN.format(log=log))
    code, output, errors = tune(folder, run="other.toml")
    assert code == 0, errors
    assert _figures(output) == _figures((folder / "output.txt").read_text())
    short = write_log(folder / "short.csv", lists[: 36 * 12 + 12])
    (folder / "short.toml").write_text(RUN.format(log=short))
    code, output, errors = tune(folder, run="short.toml")
    assert code == 0, errors
    assert _figures(output) == _figures((folder / "output.txt").read_text())


def test_what_the_command_line_changed_is_in_the_file(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "mine.toml"
    changed = ("--set", "train.alpha=0.02", "--set", "gate.enabled=false", "--set", "evaluate.k=1")
    code, _, errors = tune(
        folder, *changed, "--trials", 2, "--study", tmp_path / "study", "--out", target, "-q"
    )
    assert code == 0, errors
    document = tomllib.loads(target.read_text())
    assert document["train"]["alpha"] == 0.02
    assert document["gate"] == {"enabled": False}
    assert document["evaluate"]["k"] == 1
    assert "Recall@1" in target.read_text()
    code, _, errors = call(
        "tune", target, "--runs-dir", folder / "runs", "--trials", 1, "--study", tmp_path / "b"
    )
    assert code == 0, errors
    again = (tmp_path / "b" / "tuned.toml").read_text()
    assert again.count("# Tuned by") == 1  # one head, not two


def test_a_sample_is_told(folder: Path, tmp_path: Path) -> None:
    code, output, errors = tune(
        folder, "--max-sessions", 150, "--metric", "mrr", "--trials", 1, "--study", tmp_path / "study"
    )
    assert code == 0, errors
    assert "MRR@2" in output
    assert "of the sessions: all of them show an item more often" in output
    assert "of the sessions" in (tmp_path / "study" / "tuned.toml").read_text()


REFUSED = {
    "no time": (["--budget", "soon"], "write 90s, 30m or 1h30m"),
    "nothing to choose on": (
        ["--set", "evaluate.validation_from=2025-02-06", "--set", "evaluate.test_from=2025-02-06"],
        "validation_from",
    ),
    "no validation": (["--set", "evaluate.validation=0"], "keeps no validation sessions"),
    "the run file": (["--out", "{folder}/walk.toml"], "the run file itself"),
    "another file": (["--out", "{folder}/space.toml"], "no search wrote it"),
    "a folder": (["--out", "{folder}"], "is a folder"),
    "in a file": (["--out", "{folder}/walk.toml/tuned.toml"], "is no folder to write in"),
    "other settings": (["--set", "train.alpha=0.03"], "study of another search: other settings"),
    "no space": (["--space", "{folder}/none.toml"], "cannot read"),
    "too little time": (
        ["--set", "train.epochs=1000000", "--study", "{folder}/s", "--budget", "0.5s"],
        "too small",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str, folder: Path) -> None:
    more, words = REFUSED[case]
    if case == "no validation":
        text = (folder / "walk.toml").read_text().replace("validation_from = 2025-01-31\n", "")
        (folder / "none.toml").write_text(text)
        more = ["--set", "evaluate.validation=0", "--set", "run.name=none"]
    given = [one.replace("{folder}", str(folder)) for one in more]
    run = "none.toml" if case == "no validation" else "walk.toml"
    if case == "no space":
        given[1] = str(folder / "nowhere.toml")
    code, _, errors = tune(folder, *given, run=run)
    assert code == 2, errors
    assert words in errors


def test_without_its_libraries_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("optuna", "tomlkit"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            code, _, errors = tune(folder)
            assert code == 2
            assert "pip install 'item2vec[tune]'" in errors


def test_times_are_read() -> None:
    given = {"90s": 90, "90": 90, "30m": 1800, "1h30m": 5400, "2h": 7200, "0.5h": 1800, "1m30s": 90}
    assert {text: budget_seconds(text) for text in given} == given
    for text in ("", "0s", "m", "1d", "-5m", "30 m"):
        with pytest.raises(UsageError, match="is no time to search"):
            budget_seconds(text)


def test_a_space_is_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(SPACE + "[scoring]\ndecay = { low = 0.1, high = 1.0 }\npopularity = 0.5\n")
    assert read_space(file) == {
        "train.forward_only": Choice((True, False)),
        "train.window": Range(1, 4, beyond="session"),
        "train.negative": Choice((5,)),
        "scoring.decay": Range(0.1, 1.0),
        "scoring.popularity": Choice((0.5,)),
    }
    file.write_text("[train]\nwindows = [1]\nalpha = [0]\n[index]\nn_trees = [5]\n")
    with pytest.raises(ConfigError) as told:
        read_space(file)
    for words in ("3 problems", "did you mean 'train.window'", "train.alpha: alpha is 0", "'index.n_trees'"):
        assert words in str(told.value)
    file.write_text("[scoring]\ndecay = [0, 1]\n")
    with pytest.raises(ConfigError, match=r"space.toml: scoring.decay is a number above 0"):
        read_space(file)
    with pytest.raises(ConfigError, match="item2vec tune --help shows one"):
        read_space(tmp_path / "nowhere.toml")
    file.write_text("window = [1]\n")
    with pytest.raises(ConfigError, match="stands outside"):
        read_space(file)


@pytest.mark.parametrize("name", DEFAULT_SPACE)
def test_values_survive_their_encoding(name: str) -> None:
    one = DEFAULT_SPACE[name]
    for value in one.ends():
        decoded = one.decode(one.encode(value))
        assert decoded == value or (value, decoded) == (
            1.0,
            0.0,
        )  # a sample of 1 keeps every click, as 0 does
    inside = one.distribution()
    for value in one.ends():
        assert inside._contains(inside.to_internal_repr(one.encode(value)))


def test_a_run_is_searched_by_what_its_file_can_hold() -> None:
    from item2vec.config import section_models

    assert {name.split(".")[0] for name in run_space(None)} <= set(section_models())
    with pytest.raises(ConfigError, match="no setting of a run file"):
        run_space({"nothing.x": [1]})
