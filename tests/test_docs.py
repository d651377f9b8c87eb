"""The README is run, not believed: its example, its commands, its tree and its table of defaults."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import item2vec
from item2vec import Item2Vec

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PACKAGE = Path(item2vec.__file__).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_example_runs_and_prints_what_it_says() -> None:
    example = next(block for block in blocks("python") if "read_events" in block)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.strip().splitlines()
    assert len(printed) == 2
    assert len(ast.literal_eval(printed[0])) == 5


@pytest.mark.parametrize("number", range(1, len([b for b in blocks("python") if "read_events" in b])))
def test_the_longer_examples_run_too(number: int) -> None:
    example = [block for block in blocks("python") if "read_events" in block][number]
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make ([a-z-]+)", "\n".join(blocks("sh")), re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for name in set(re.findall(r"pipelines/\w+\.(?:toml|sh)", README)):
        assert (ROOT / name).is_file(), name
    ci = (ROOT / ".ci" / "run").read_text()
    assert "make test" in ci


def test_the_commands_have_the_options_that_are_shown() -> None:
    from typer.main import get_command

    from item2vec.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    lines = re.findall(r"^item2vec (\w+)(.*)$", "\n".join(blocks("sh")), re.MULTILINE)
    assert {"run", "show", "rollback"} <= {name for name, _ in lines}
    for name, rest in lines:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--\w[\w-]*", rest.split("#")[0])) <= known, name


def test_the_exit_codes_are_those_of_the_errors() -> None:
    from item2vec.cli import app

    codes = {
        error.exit_code
        for error in vars(item2vec.errors).values()
        if isinstance(error, type) and issubclass(error, item2vec.errors.Item2VecError)
    } | {0, 130}
    sentence = re.search(r"Exit codes: ([^.]*)\.", README)
    assert sentence is not None
    assert set(map(int, re.findall(r"\b\d+\b", sentence[1]))) == codes
    assert set(map(int, re.findall(r"\b\d+\b", str(app.info.epilog)))) == codes
    every_night = README.split("## Every night")[1].split("\n## ")[0]
    assert set(map(int, re.findall(r"^\| (\d+) \|", every_night, re.MULTILINE))) <= codes
    for script in ("run.sh", "daily.sh"):
        text = (ROOT / "pipelines" / script).read_text()
        assert all(str(code) in text.split("set -eu")[0] for code in codes - {1, 130}), script


def test_nothing_is_left_to_fill_in() -> None:
    for name in ("README.md", "CHANGELOG.md", "notebooks/LOG.md", "data/README.md"):
        text = (ROOT / name).read_text()
        assert not re.search(r"```\w*\n```", text), f"{name} has an empty block"
        assert not re.search(r"^[A-Z]{4,}( OUTPUT)?\.?$", text, re.MULTILINE), f"{name} has a placeholder"


def test_the_demo_output_is_a_demo_s() -> None:
    """The block in the README has the lines that a run prints, stage by stage, and no others."""
    from item2vec.run.pipeline import VERSIONS

    shown = next(block for block in blocks("text") if block.startswith("simulate"))
    assert [line.split()[0] for line in shown.splitlines()[: len(VERSIONS)]] == list(VERSIONS)
    assert all(
        word in shown for word in ("Recall@20", "report", "similar items", 'item2vec.load("runs/demo")')
    )


def test_the_tree_is_the_tree() -> None:
    tree = next(block for block in blocks("text") if "src/item2vec" in block)
    shown = set(re.findall(r"[├└]── ([\w.]+)", tree.split("src/item2vec")[1].split("tests/")[0]))
    there = {
        path.name for path in PACKAGE.iterdir() if path.name not in {"__pycache__", "__init__.py", "py.typed"}
    }
    assert shown == there


def test_the_table_of_defaults_is_the_signature() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| `([^`]+)` \|", README, re.MULTILINE)
    assert rows, "the README has a table of the defaults that differ from gensim's"
    from gensim.models import Word2Vec

    ours, theirs = (inspect.signature(cls.__init__).parameters for cls in (Item2Vec, Word2Vec))
    for name, default, gensim_default in rows:
        assert repr(ours[name].default) == default, name
        assert repr(theirs[name].default) == gensim_default, name
    shared = {name for name in ours if name in theirs and name not in {"self", "workers"}}
    differing = {name for name in shared if ours[name].default != theirs[name].default}
    assert differing == {name for name, *_ in rows if name in shared}


def test_every_model_has_arguments_that_exist_and_a_test() -> None:
    rows = re.findall(r"^\|[^|`]+\| `([^`]+)` \|[^|]+\| `(test_\w+)` \|$", README, re.MULTILINE)
    assert len(rows) >= 7
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "embeddings").glob("test_*.py"))
    known = {"Item2Vec": Item2Vec, "Cooccurrence": item2vec.Cooccurrence, "fit": Item2Vec.fit}
    known["Sessions.from_lists"] = item2vec.Sessions.from_lists
    for how, test in rows:
        assert f"def {test}(" in tests, test
        call = ast.parse(how, mode="eval").body
        assert isinstance(call, ast.Call)
        names = inspect.signature(known[ast.unparse(call.func)]).parameters
        assert {keyword.arg for keyword in call.keywords} <= set(names), how


def test_nothing_speaks_of_the_machine_it_was_written_on() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".md", ".py", ".toml", ".sql", ".txt", ".sh", ".yaml"} and path.is_file():
            text = path.read_text()
            assert not re.search(r"/(?:work|home|root)/\w", text.replace("test_docs", "")), name
