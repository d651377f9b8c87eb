"""Nothing that a user can do to a command ends in a traceback: odd files, values, streams and places."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from item2vec.artifacts import RunFolder
from item2vec.artifacts.manifest import canonical_json
from item2vec.config import RunConfig, section_models
from item2vec.errors import ConfigError, UsageError
from item2vec.run.pipeline import plan_stages

TINY = """
[simulate]
n_users = 120
n_listings = 40
n_markets = 2
days = 20
[train]
vector_size = 8
epochs = 1
workers = 1
[index]
backend = "exact"
[evaluate]
n_bootstrap = 100
embedding_map = "pca"
baselines = []
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run file tiny.toml and its finished run."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "tiny.toml").write_text(TINY)
    (folder / "empty.toml").touch()
    found = shell(folder, "run tiny.toml")
    assert found.returncode == 0, found.stderr
    return folder


def shell(
    folder: Path, command: str | bytes, redirection: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command as a shell does, with its redirections; both streams as bytes."""
    command = command.encode() if isinstance(command, str) else command
    line = b"exec " + os.fsencode(sys.executable) + b" -m item2vec.cli " + command + b" "
    return subprocess.run(
        ["bash", "-c", line + redirection.encode()],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


# Command, redirection, exit code, and what stands on standard error.
STREAMS: dict[str, tuple[str, str, int, bytes]] = {
    "stderr closed under bars": ("train tiny.toml --progress --set run.name=a", "2>&-", 0, b""),
    "all closed": ("train tiny.toml --progress --set run.name=b", "<&- >&- 2>&-", 0, b""),
    "stderr's reader gone under bars": (
        "train tiny.toml --progress --set run.name=c",
        "2> >(exec true)",
        0,
        b"",
    ),
    "stderr full": ("train tiny.toml --progress --set run.name=d", "2>/dev/full", 0, b""),
    "stdout's reader gone": ("show tiny", "> >(exec true)", 0, b""),
    "stdout closed": ("show tiny", ">&-", 0, b""),
    "stdout full": ("show tiny", ">/dev/full", 4, b"No space left on device"),
    "help for nobody": ("--help", "> >(exec true)", 0, b""),
    "error for nobody": ("show nope", "2>&-", 2, b""),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams_that_are_closed_gone_or_full(place: Path, case: str) -> None:
    command, redirection, code, says = STREAMS[case]
    found = shell(place, command, redirection)
    assert found.returncode == code, found.stderr
    assert says in found.stderr
    assert b"Traceback" not in found.stderr
    assert b"Exception ignored" not in found.stderr


def test_a_full_standard_output_stops_no_run_and_blames_no_folder(place: Path) -> None:
    found = shell(place, "run tiny.toml --set run.name=f", ">/dev/full")
    lost = b"standard output: No space left on device; the work itself is done, only its output is lost"
    assert (found.returncode, found.stderr.strip()) == (4, b"error: " + lost)
    assert shell(place, "show f --verify").returncode == 0
    failed = shell(place, "run nope.toml", ">/dev/full")
    assert (failed.returncode, failed.stderr.count(b"\n")) == (2, 1)  # nothing was lost, for nothing was said


def test_a_closed_stream_s_number_goes_to_no_file_of_the_run(place: Path) -> None:
    """Else what a library prints would end up in an artifact."""
    assert shell(place, "train tiny.toml --progress --set run.name=e", "2>&- >&-").returncode == 0
    found = shell(place, "run tiny.toml --set run.name=e")
    assert found.returncode == 0, found.stderr
    assert found.stdout.count(b"skipped (already done)") == 4
    assert shell(place, "show e --verify").returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("command", ["run tiny.toml", "show tiny", "run --help", "run tiny.toml --accept é"])
def test_terminals_that_cannot_spell_every_letter(place: Path, encoding: str, command: str) -> None:
    found = shell(place, command, PYTHONIOENCODING=encoding, LC_ALL="C", TERM="dumb")
    assert found.returncode == 0, found.stderr
    assert found.stderr == b""
    assert b"item2vec" in found.stdout


def toml_files(folder: Path) -> dict[str, tuple[bytes | None, str]]:
    """Files that are no run files: their bytes (None: they are there), and what is said about them."""
    return {
        "empty.toml": (b"", "the run has no log"),
        "nul.toml": (b"[run]\nname = 'a\0b'", "is not valid TOML"),
        "nul_escape.toml": (b'[events]\npath = "a\\u0000b"', "events.path holds a NUL character"),
        "surrogate.toml": (b'[events]\npath = "\\ud800"', "is not valid TOML"),
        "latin.toml": (b"[run]\nname = '\xe9'", "is not UTF-8 text (byte 14)"),
        "bom16.toml": ("[run]".encode("utf-16"), "is not UTF-8 text"),
        "deep.toml": (b"a = " + b"[" * 5000 + b"]" * 5000, "nests values too deeply"),
        "digits.toml": (b"[train]\nepochs = " + b"9" * 5000, "is not valid TOML: Exceeds the limit"),
        "large.toml": (b"#" * 1_000_001, "is larger than 1,000,000 bytes"),
        "twice.toml": (b"[run]\nname='a'\n[run]\nname='b'", "is not valid TOML"),
        "/dev/zero": (None, "is larger than 1,000,000 bytes"),
        "/dev/null": (None, "the run has no log"),
        str(folder): (None, "Is a directory"),
        "loop.toml": (None, "Too many levels of symbolic links"),
        "x" * 300: (None, "File name too long"),
    }


@pytest.mark.parametrize("name", toml_files(Path("/")))
def test_files_that_are_no_run_files(tmp_path: Path, name: str) -> None:
    body, says = toml_files(Path("/"))[name]
    path = tmp_path / name
    if body is not None:
        path.write_bytes(body)
    if name == "loop.toml":
        path.symlink_to(path)
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_toml(path)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 2000


ODD = [
    *(float("nan"), float("inf"), -float("inf"), 1e308, -0.0, 2**63, 10**400, -(10**400), -1, 0),
    *("", " ", "\0", "a\0b", "x" * 100_000, "\udcff", "{date}", "99999999999999999999GB"),
    *(datetime.date(1, 1, 1), datetime.datetime(9999, 12, 31, 23), datetime.time(1), True),
    *([], {}, [[]], [{}], [10**400], ["a\0"], [float("nan")], {"a": {}}, {"": ""}, {"path": "x\0"}),
]


def keys() -> Iterator[tuple[str, str]]:
    for section, model in section_models().items():
        for key in model.model_fields:
            yield section, key


def checked(sections: dict[str, Any]) -> tuple[RunConfig | None, str]:
    try:
        return RunConfig.from_sections(sections), ""
    except ConfigError as error:
        return None, str(error)


@pytest.mark.parametrize(("section", "key"), list(keys()))
def test_odd_values_make_a_run_or_a_plain_error(section: str, key: str) -> None:
    """Whatever is accepted can be hashed: no NaN, no lone surrogate, no number beyond 64 bits."""
    for value in ODD:
        sections: dict[str, Any] = {"run": {"name": "odd"}}
        if section != "simulate":
            sections["events"] = {"path": "log.csv"}
        sections.setdefault(section, {})[key] = value
        config, refusal = checked(sections)
        assert len(refusal) < 2000
        if config is None:
            assert key in refusal or section in refusal, value
            continue
        for stage in plan_stages(config, RunFolder("odd")):
            text = canonical_json(stage.config)
            assert len(text) < 1_000_000
        assert value not in (2**63, 10**400, "\0", "a\0b")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.epochs=" + "[" * 5000, "train.epochs must be an integer"),
        ("train.epochs=" + "9" * 5000, "train.epochs must be an integer"),
        ("train.epochs=2025-01-01", "train.epochs must be an integer"),
        ("train.epochs=nan", "train.epochs must be an integer"),
        ("train.alpha=nan", "train.alpha is nan"),
        ("train.negative=99999", "at most 10,000"),
        ("sessions.gap_minutes=1e308", "is a number beyond 64 bits"),
        ("sessions.memory_limit=99999999999999999999GB", "give whole megabytes or gigabytes"),
        ("sessions.booked_weight=1e18", "sessions.booked_weight"),
        ("events.as_of=0001-01-01T00:00:00+14:00", "outside the years 1 to 9999"),
        ("events.path=a\0b", "holds a NUL character"),
        ("=", "is not section.key=value"),
        ("a.b.c.d.=1", "is not section.key=value"),
    ],
)
def test_odd_overrides_are_explained(tmp_path: Path, override: str, says: str) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_toml(tmp_path / "tiny.toml", [override])
    assert says in str(caught.value)
    assert "says: RecursionError" not in str(caught.value)


# Commands in a folder with tiny.toml, latin-\xff.toml (a link to it) and a link to nowhere; exit code, says.
PLACES: dict[str, tuple[bytes, int, bytes]] = {
    "run file of no UTF-8 name": (b"run latin-\xff.toml", 2, b"cannot name a run's folder"),
    "missing file of such a name": (b"run no-\xff.toml", 2, b"cannot read no-\xff.toml"),
    "runs folder of such a name": (b"run tiny.toml --runs-dir r\xff", 2, b"no UTF-8 text"),
    "log of such a name": (b"run empty.toml --set events.path=\xff", 3, b"no such file or folder"),
    "simulate into such a folder": (b"simulate sim\xff --users 5", 2, b"no UTF-8 text"),
    "show such a run": (b"show \xff", 2, b"holds no release"),
    "roll such a run back": (b"rollback \xff", 2, b"holds no release"),
    "runs folder is a dangling link": (
        b"run tiny.toml --runs-dir dangling",
        4,
        b"no writing to dangling/tiny",
    ),
    "show below a dangling link": (b"show tiny --runs-dir dangling", 2, b"holds no release"),
    "rollback below a dangling link": (b"rollback tiny --runs-dir dangling", 2, b"holds no release"),
    "runs folder is a file": (b"show tiny --runs-dir tiny.toml", 2, b"holds no release"),
    "run is a file": (b"show ./tiny.toml", 2, b"holds no release"),
    "no name at all": (b"show ''", 2, b"holds no release"),
    "release of odd letters": (b"show tiny --release '*'", 2, b"no release whose id starts with '*'"),
    "simulate without a place": (b"simulate /proc/x --users 5", 4, b"cannot write /proc/x: No such file"),
    "simulate below a device": (b"simulate /dev/null/x --users 5", 4, b"cannot write /dev/null/x: "),
    "an empty note": (b"run tiny.toml --accept ' '", 2, b"the note is empty"),
    "a long note": (b"run tiny.toml --accept " + b"x" * 2000, 2, b"2,000 characters, 1,000 at most"),
}


@pytest.mark.parametrize("case", PLACES)
def test_odd_places_are_named(place: Path, case: str) -> None:
    command, code, says = PLACES[case]
    for name, target in (("dangling", "nowhere"), (os.fsdecode(b"latin-\xff.toml"), "tiny.toml")):
        if not (place / name).is_symlink():
            (place / name).symlink_to(target)
    found = shell(place, command)
    assert found.returncode == code, found.stderr
    assert says in found.stderr
    assert b"Traceback" not in found.stderr
    assert b"/.x-" not in found.stderr
    assert b"this is a bug" not in found.stderr


def test_not_enough_memory_is_no_bug(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from item2vec.cli import app

    def refuse(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("item2vec.marketplace.simulate", refuse)
    result = CliRunner().invoke(app, ["simulate", str(tmp_path / "log")])
    assert result.exit_code == 4
    assert "not enough memory" in result.stderr


def test_a_note_for_a_run_that_publishes_nothing_is_refused_early(tmp_path: Path) -> None:
    from item2vec.run import run_pipeline

    (tmp_path / "tiny.toml").write_text(TINY)
    with pytest.raises(UsageError, match="the note is empty"):
        run_pipeline(RunConfig.from_toml(tmp_path / "tiny.toml"), tmp_path / "runs", accept="")
    assert not (tmp_path / "runs").exists()
