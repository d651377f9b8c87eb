"""The command line: light help, plain errors, distinct exit codes, the whole way on a tiny marketplace."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import item2vec
from item2vec import ItemVectors
from item2vec.artifacts import RunFolder
from item2vec.cli import app
from item2vec.cli.show import booked_lines, brief, headline, long_term_lines, number

HEAVY = {"optuna", "torch", "pandas", "sklearn", "numba", "duckdb", "pyarrow", "numpy", "matplotlib", "annoy"}
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
n_trees = 5
[evaluate]
n_bootstrap = 100
embedding_map = "pca"
"""
COMMANDS = (
    "simulate",
    "import",
    "sessions",
    "train",
    "index",
    "recommend",
    "evaluate",
    "run",
    "show",
    "rollback",
    "tune",
    "compare",
    "export",
    "push",
    "pull",
)


def call(*arguments: object) -> tuple[int, str, str]:
    """Run a command; return its exit code, standard output and standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run file whose run is finished; its runs folder lies beside it."""
    file = tmp_path_factory.mktemp("cli") / "tiny.toml"
    file.write_text(TINY)
    code, _, errors = call("run", file, "--runs-dir", file.parent / "runs")
    assert code == 0, errors
    return file


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["show", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = f"""
import sys
sys.argv = ["item2vec", *{arguments!r}]
from item2vec.cli import main
try:
    main()
except SystemExit as error:
    assert error.code == 0, error.code
heavy = {HEAVY!r} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_every_command_has_help_with_an_example() -> None:
    code, output, _ = call("--help")
    assert code == 0
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", output)
        code, text, _ = call(name, "--help")
        assert code == 0
        assert f"item2vec {name} " in text


def test_completion_is_offered_and_knows_the_runs(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.parent)
    found = subprocess.run(
        [Path(sys.executable).with_name("item2vec")],
        env={
            **os.environ,
            "_ITEM2VEC_COMPLETE": "complete_bash",
            "COMP_WORDS": "item2vec show r",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "runs/tiny" in found.stdout


BAD = {
    "no command": (["rum"], 2, "No such command"),
    "no file": (["run"], 2, "Missing argument"),
    "missing file": (["run", "none.toml"], 2, "cannot read none.toml"),
    "unknown key": (["run", "{file}", "--set", "train.epoch=3"], 2, "did you mean 'epochs'"),
    "bad set": (["run", "{file}", "--set", "epochs=3"], 2, "section.key=value"),
    "no such run": (["show", "nope", "--runs-dir", "{runs}"], 2, r"runs with one: tiny"),
    "no such folder": (["show", "{runs}/nope"], 2, r"/runs/nope holds no release (runs with one: tiny"),
    "show a store": (["show", "s3://bucket/a/shop"], 2, "item2vec pull s3://bucket/a/shop shop first"),
    "simulate set": (["simulate", "{runs}/new", "--set", "train.epochs=3"], 2, "[simulate] only"),
    "simulate range": (["simulate", "{runs}/new", "--listings", "4"], 2, "n_listings"),
    "simulate full": (["simulate", "{runs}"], 2, "not an empty folder"),
    "bad data": (["run", "{log}"], 3, "no such file or folder"),
    "empty log": (["run", "{log}", "--set", "events.path={empty}"], 3, "empty"),
    "simulate below a file": (["simulate", "{file}/x/log"], 4, "tiny.toml"),
    "simulate in no disk": (["simulate", "/proc/x", "--users", "5"], 4, "choose another place"),
    "export to nowhere": (["export", "tiny", "--runs-dir", "{runs}", "--format", "npy"], 2, "--to"),
    "export as what": (["export", "tiny", "--format", "csv", "--to", "{new}"], 2, "parquet"),
    "export no run": (
        ["export", "no", "--runs-dir", "{runs}", "--format", "npy", "--to", "{new}"],
        2,
        "tiny",
    ),
    "export below a file": (
        ["export", "tiny", "--runs-dir", "{runs}", "--format", "parquet", "--to", "{file}/x"],
        4,
        "cannot write {file}/x: {file} is a file, not a folder",
    ),
    "export into a folder": (
        ["export", "tiny", "--runs-dir", "{runs}", "--format", "word2vec", "--to", "{runs}"],
        2,
        "this format is one file",
    ),
    "export over a file": (
        ["export", "tiny", "--runs-dir", "{runs}", "--format", "projector", "--to", "{file}"],
        2,
        "tiny.toml is a file",
    ),
    "export an unknown column": (
        [
            "export",
            "tiny",
            "--runs-dir",
            "{runs}",
            "--format",
            "projector",
            "--to",
            "{new}",
            "--attribute",
            "pric",
        ],
        2,
        "no column 'pric'; it has item_id, market",
    ),
    "export binary parquet": (
        ["export", "tiny", "--format", "parquet", "--binary", "--to", "{new}"],
        2,
        "--binary is of --format word2vec",
    ),
    "export attributes to npy": (
        ["export", "tiny", "--format", "npy", "--attribute", "price", "--to", "{new}"],
        2,
        "--attribute is of --format projector",
    ),
    "export a reading of both": (
        ["export", "tiny", "--format", "npy", "--mode", "next", "--to", "{new}"],
        2,
        "--mode is of --format qdrant",
    ),
    "no runs dir": (["run", "{file}", "--runs-dir", "{file}/x"], 4, "--runs-dir"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_failure_is_one_plain_message_and_its_exit_code(tiny: Path, tmp_path: Path, case: str) -> None:
    arguments, code, message = BAD[case]
    log, empty = tmp_path / "log.toml", tmp_path / "empty.csv"
    log.write_text(f'[events]\npath = "{tmp_path}/none.csv"\n')
    empty.touch()
    names = {"file": tiny, "runs": tiny.parent / "runs", "log": log, "empty": empty, "new": tmp_path / "new"}
    filled = [argument.format(**names) for argument in arguments]
    if filled[0] == "run" and "--runs-dir" not in filled and len(filled) > 1:
        filled += ["--runs-dir", str(tmp_path / "runs")]
    found, output, errors = call(*filled)
    assert (found, "Traceback" in errors) == (code, False), errors
    assert message.format(**names) in errors
    assert "\n" not in errors.strip() or code == 2
    assert output == ""
    assert not names["new"].exists()


def test_the_summary_says_where_everything_is(tiny: Path) -> None:
    code, output, _ = call("run", tiny, "--runs-dir", tiny.parent / "runs")
    assert code == 0
    assert output.count("skipped (already done)") == 8
    for name in ("report.html", "report.json", "similar_items", "quarantine"):
        (path,) = (line.split()[-1] for line in output.splitlines() if line.endswith(name))
        assert Path(path).exists()
    assert "Recall@20" in output
    assert "booked, before its click" in output
    assert 'item2vec.load("' in output


def test_show_looks_where_a_path_says_and_a_name_in_the_runs_folder(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    code, _, errors = call("show", "runs/nope")
    assert code == 2
    assert "error: runs/nope holds no release (runs with one: " in errors
    (tmp_path / "tiny").mkdir()  # a folder of the same name is no reason to look there
    monkeypatch.chdir(tmp_path)
    assert call("show", "tiny", "--runs-dir", tiny.parent / "runs")[0] == 0
    monkeypatch.chdir(tiny.parent / "runs")
    assert call("show", "tiny")[0] == 0
    assert call("show", "tiny/")[0] == 0


@pytest.mark.parametrize("command", ["run", "sessions", "show"])
def test_a_reader_who_goes_away_stops_no_run(tiny: Path, tmp_path: Path, command: str) -> None:
    """As in ``item2vec run … | head -0``: nobody reads, and the work is done all the same."""
    runs = tiny.parent / "runs" if command == "show" else tmp_path / "runs"
    subject = "tiny" if command == "show" else tiny
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [sys.executable, "-m", "item2vec.cli", command, str(subject), "--runs-dir", str(runs)]
    done = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert command == "sessions" or (runs / "tiny" / "CURRENT").is_file()
    assert list((runs / "tiny" / "objects" / "sessions").glob("*/MANIFEST.json"))


def test_quiet_prints_nothing(tiny: Path) -> None:
    assert call("run", tiny, "--runs-dir", tiny.parent / "runs", "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("command", "stage"),
    [
        ("simulate", "simulate"),
        ("import", "events"),
        ("sessions", "sessions"),
        ("train", "embeddings"),
        ("index", "index"),
        ("recommend", "recommendations"),
        ("evaluate", "evaluation"),
    ],
)
def test_a_stage_command_stops_after_its_stage(tiny: Path, command: str, stage: str) -> None:
    code, output, errors = call(command, tiny, "--runs-dir", tiny.parent / "runs")
    assert code == 0, errors
    lines = [line for line in output.splitlines() if line]
    assert lines[-2].startswith(stage)
    assert f"/objects/{stage}/" in lines[-1]


def test_show_prints_json_and_verifies(tiny: Path) -> None:
    code, output, _ = call("show", "tiny", "--runs-dir", tiny.parent / "runs", "--json", "--verify")
    assert code == 0
    shown = json.loads(output)
    assert shown["run"] == "tiny"
    assert shown["verified"] is True
    assert shown["figures"]["events"]["rows_in"] > 0
    assert Path(shown["paths"]["report"]).is_file()
    code, output, _ = call("show", tiny.parent / "runs" / "tiny", "--release", shown["release"][:6])
    assert code == 0
    assert shown["release"] in output


def test_show_verify_names_a_damaged_file(tiny: Path, tmp_path: Path) -> None:
    assert call("run", tiny, "--runs-dir", tmp_path)[0] == 0
    folder = RunFolder(tmp_path / "tiny")
    path = next(folder.objects.glob("recommendations/*/similar_items/*.parquet"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    assert call("show", folder.path)[0] == 0
    code, _, errors = call("show", folder.path, "--verify")
    assert code == 4
    assert str(path) in errors


@pytest.mark.parametrize("format", ["word2vec", "word2vec --binary", "parquet", "npy"])
def test_export_writes_the_vectors_of_the_release(tiny: Path, tmp_path: Path, format: str) -> None:
    runs, to = tiny.parent / "runs", tmp_path / "out" / "vectors"
    arguments = ["--runs-dir", runs, "--format", *format.split(), "--to", to]
    code, output, errors = call("export", "tiny", *arguments)
    assert code == 0, errors
    assert output.split() == [str(len(item2vec.load(runs / "tiny").vectors)), "items", "×", "8", str(to)]
    read = {
        "word2vec": ItemVectors.load_word2vec_format,
        "word2vec --binary": lambda path: ItemVectors.load_word2vec_format(path, binary=True),
        "parquet": ItemVectors.load_parquet,
        "npy": ItemVectors.load_npy,
    }[format]
    released, exported = item2vec.load(runs / "tiny").vectors, read(to)
    assert exported.ids == released.ids
    assert exported.vectors.tobytes() == released.vectors.tobytes()
    if "word2vec" not in format:
        assert exported.counts.tolist() == released.counts.tolist()
        assert exported.context_vectors.tobytes() == released.context_vectors.tobytes()
    assert call("export", "tiny", *arguments, "--quiet") == (0, "", "")


def test_export_colours_the_projector_by_attributes(tiny: Path, tmp_path: Path) -> None:
    runs = tiny.parent / "runs"
    chosen = ["--attribute", "market", "--attribute", "price"]
    code, _, errors = call(
        "export", runs / "tiny", "--format", "projector", "--to", tmp_path / "map", *chosen
    )
    assert code == 0, errors
    head, *rows = (tmp_path / "map" / "metadata.tsv").read_text().splitlines()
    assert head.split("\t") == ["item_id", "count", "market", "price"]
    assert [row.split("\t")[0] for row in rows] == item2vec.load(runs / "tiny").vectors.ids
    (path,) = (runs / "tiny" / "objects").glob("index/*/items.parquet")
    market = {row["item_id"]: row["market"] for row in pq.read_table(path).to_pylist()}
    assert all(market[row.split("\t")[0]] == row.split("\t")[2] for row in rows)
    assert len(set(market.values())) == 2
    assert len((tmp_path / "map" / "vectors.tsv").read_text().splitlines()) == len(rows)


@pytest.mark.parametrize("mode", ["similar", "next"])
@pytest.mark.parametrize("store", ["qdrant", "milvus", "pgvector", "faiss"])
def test_export_writes_what_stores_load(tiny: Path, tmp_path: Path, store: str, mode: str) -> None:
    from item2vec.recommendations import exports

    arguments = [
        "--runs-dir",
        tiny.parent / "runs",
        "--format",
        store,
        "--to",
        tmp_path / "out",
        "--mode",
        mode,
    ]
    code, output, errors = call("export", "tiny", *arguments)
    assert code == 0, errors
    assert str(tmp_path / "out") in output
    rec = item2vec.load(tiny.parent / "runs" / "tiny")
    getattr(exports, f"save_{store}")(rec, tmp_path / "same", mode)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "same")


def files_of(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {"" if path.is_file() else file.name: file.read_bytes() for file in files}


def test_export_refuses_what_is_damaged(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny.parent / "runs" / "tiny", tmp_path / "tiny")
    path = next((tmp_path / "tiny" / "objects").glob("embeddings/*/vectors/vectors.safetensors"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    code, _, errors = call("export", tmp_path / "tiny", "--format", "npy", "--to", tmp_path / "out")
    assert code == 4
    assert str(path) in errors
    assert not (tmp_path / "out").exists()


def test_simulate_writes_a_log_into_a_folder(tmp_path: Path) -> None:
    code, output, errors = call(
        "simulate",
        tmp_path / "log",
        "--users",
        20,
        "--listings",
        10,
        "--markets",
        1,
        "--days",
        7,
        "--seed",
        3,
    )
    assert code == 0, errors
    assert (tmp_path / "log" / "items.parquet").is_file()
    assert str(tmp_path / "log" / "truth") in output


def test_a_second_writer_is_refused_with_exit_code_4(tiny: Path) -> None:
    with RunFolder(tiny.parent / "runs" / "tiny").lock():
        code, _, errors = call("run", tiny, "--runs-dir", tiny.parent / "runs")
    assert code == 4
    assert "another process" in errors


def test_a_bug_is_reported_as_a_bug(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("item2vec.run.pipeline.plan_stages", fail)
    code, _, errors = call("run", tiny)
    assert code == 1
    assert "unexpected ZeroDivisionError: oh" in errors
    assert "Traceback" not in errors
    code, _, errors = call("run", tiny, "--debug")
    assert code == 1


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(28, "No space left on device", "/mnt/log"), 4, "/mnt/log: No space left on device; choose"),
        (PermissionError(13, "Permission denied", "/a", None, "/b"), 4, "/b: Permission denied"),
        (OSError(5, "Input/output error"), 4, "error: Input/output error; choose"),
        (OSError("a library's own"), 1, "this is a bug"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_the_operating_system_refuses_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, says: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("item2vec.marketplace.simulate", refuse)
    found, _, errors = call("simulate", tmp_path / "log")
    assert (found, "Traceback" in errors) == (code, False)
    assert says in errors


def test_an_interrupt_ends_with_130_and_keeps_what_is_done(tmp_path: Path) -> None:
    file = tmp_path / "long.toml"
    file.write_text(TINY.replace("epochs = 1", "epochs = 10000"))
    command = [sys.executable, "-m", "item2vec.cli", "run", str(file), "--runs-dir", str(tmp_path / "runs")]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    ) as process:
        done = tmp_path / "runs" / "long" / "objects" / "sessions"
        while not list(done.glob("*/MANIFEST.json")):
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors


def test_figures_are_written_for_people() -> None:
    assert number(1234567) == "1,234,567"
    assert number(0.123456) == "0.1235"
    figures = {"events": 3, "by_type": {"click": 1}, "rows_in": 1000}
    assert brief("events", figures) == "rows in 1,000 · events 3"
    assert brief("holdout", {"insufficient_data": "no test session"}) == "insufficient data: no test session"


def test_booked_ranks_are_told_a_line_each() -> None:
    rank = {"value": 3.21, "low": 3.0, "high": 3.43}
    search = {"candidates": "search", "cases": 457, "mean_candidates": 9.73, "insufficient": None}
    market = {**search, "candidates": "market", "insufficient": "insufficient data: 3 of 9 cases"}
    lines = {"eq. 3": rank, "production order": {"value": 4.0, "low": None, "high": None}}
    results = [{**search, "lines": lines}, {**market, "lines": {"eq. 3": dict.fromkeys(rank)}}]
    told = list(booked_lines({"booked_rank": results}))
    assert [line.split("   ")[0] for line in told[1:3]] == ["eq. 3", "production order"]
    assert "3.21 [3.00, 3.43]" in told[1]
    assert told[1].endswith(" insufficient")
    assert told[2].split()[-2:] == ["4.00", "–"]
    assert told[3].split("  ")[0] == "by chance"
    assert told[3].split()[-2:] == ["5.37", "insufficient"]
    assert told[4] == "in its search: 457 cases, 9.7 candidates on average, lower is better"
    assert told[5] == "in its market: insufficient data: 3 of 9 cases"
    nothing = {**market, "cases": 0, "mean_candidates": None, "lines": {"eq. 3": None}}
    assert list(booked_lines({"booked_rank": [nothing]}))[-2].split()[-1] == "–"
    assert list(booked_lines({})) == []


def test_the_next_booking_is_told_a_line_each_with_what_had_no_answer() -> None:
    figure = {"value": 20.0, "low": 18.0, "high": 22.5}
    scorer = {"recall": figure, "type_accuracy": dict.fromkeys(figure), "n_empty_answers": 0}
    found = {"k": 10, "n_cases": 1686, "n_users": 901, "insufficient": None}
    scorers = {"item2vec": {**scorer, "n_empty_answers": 598}, "repeat_type": scorer}
    told = list(long_term_lines({"long_term": {**found, "scorers": scorers}}))
    assert told[0].split()[-5:] == ["right", "type", "first", "no", "answer"]
    assert told[1].split()[-3:] == ["no", "case", "598"]
    assert told[2].startswith("repeat type")
    assert "20.00 [18.00, 22.50]" in told[2]
    assert told[3] == "1,686 bookings of 901 users, % with 95 % intervals over users"
    assert told[4].startswith("no answer: cases, each a miss")
    nothing = {**found, "n_cases": 0, "insufficient": "insufficient data: no listing has a known market"}
    assert list(long_term_lines({"long_term": nothing})) == [f"long term: {nothing['insufficient']}"]
    assert list(long_term_lines({"long_term": None})) == list(long_term_lines({})) == []


def test_no_case_has_a_reason() -> None:
    figures = {
        "next_item": {"item2vec": {}},
        "k": 20,
        "prefixes": 0,
        "next_item_insufficient": "of first stays",
    }
    assert list(headline(figures)) == ["next item: no case; of first stays"]


def test_losses_among_attributes_are_told_and_zeros_are_not() -> None:
    from item2vec.cli.show import brief

    figures = {"rows_in": 3, "events": 2, "items": 1, "unreadable_price": 61, "refused_items": 0}
    assert brief("events", figures) == "rows in 3 · events 2 · items 1 · unreadable price 61"
