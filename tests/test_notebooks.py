"""The notebooks: every one runs, in its small form, and says something; their two files agree."""

from __future__ import annotations

import ast
import re
import sys
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]_*.py"))
HELPERS = sorted(path for path in FOLDER.glob("*.py") if path not in NOTEBOOKS)
RANKING = [path for path in NOTEBOOKS if "ranking" in path.name]  # run, and its figures tested, elsewhere
MOST_BYTES = 1_000_000


def helper(name: str) -> ModuleType:
    """Import a module of the notebooks' folder without putting the folder on the path."""
    spec = util.spec_from_file_location(f"notebooks_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their own module
    spec.loader.exec_module(module)
    return module


def outputs(notebook: Any) -> list[tuple[str, Any]]:
    """Return (kind of content, content) of every output, in order."""
    found: list[tuple[str, Any]] = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            found += list(output.get("data", {}).items()) or [(output.output_type, output.get("text"))]
    return found


def only_defines(source: str) -> bool:
    """Tell whether a cell holds nothing but functions, so that there is nothing to show."""
    return all(isinstance(statement, ast.FunctionDef) for statement in ast.parse(source).body)


def check_outputs(notebook: Any) -> None:
    """Everything ran, nothing was warned of, and the reader gets pictures and sentences."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    mute = [cell.source for cell in cells if not cell.outputs and not only_defines(cell.source)]
    assert not mute, mute
    streams = [out for cell in cells for out in cell.outputs if out.output_type in ("stream", "error")]
    assert not streams, streams
    kinds = [kind for kind, _ in outputs(notebook)]
    assert {"image/png", "text/markdown"} <= set(kinds)
    sizes = [len(content) for kind, content in outputs(notebook) if kind == "image/png"]
    assert min(sizes) > 5_000  # an empty picture is smaller


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make the notebooks run in their small form, on the simulated marketplace."""
    monkeypatch.setenv("ITEM2VEC_NOTEBOOK", "small")
    monkeypatch.delenv("ITEM2VEC_NOTEBOOK_DATA", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    return monkeypatch


def test_there_are_notebooks() -> None:
    begun = {path.name[0] for path in NOTEBOOKS}
    assert {"1", "2", "3", "4", "5"} <= begun


@pytest.mark.parametrize("path", [*NOTEBOOKS, *HELPERS], ids=lambda path: path.name)
def test_only_public_names_are_used(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert all(alias.name == "item2vec" for alias in node.names if alias.name.startswith("item2vec"))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("item2vec"):
            public = import_module(str(node.module)).__all__
            assert {alias.name for alias in node.names} <= set(public), node.module
        if isinstance(node, ast.Attribute):
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            assert not private or ast.unparse(node.value) == "self", ast.unparse(node)
            if ast.unparse(node.value) == "i2v":
                assert node.attr in import_module("item2vec").__all__, node.attr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_two_files_of_a_notebook_have_the_same_cells(path: Path) -> None:
    source = jupytext.read(path)
    read = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    cells, theirs = ([(cell.cell_type, cell.source) for cell in one.cells] for one in (source, read))
    assert cells == theirs, "run `make notebooks`, or `jupytext --sync` what was edited in Jupyter"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_readers_see_was_run_from_top_to_bottom_on_no_real_log(path: Path) -> None:
    target = path.with_suffix(".ipynb")
    assert target.stat().st_size < MOST_BYTES
    text = target.read_text("utf-8")
    assert not re.search(r"/(?:work|home|root|tmp)/\w", text)
    notebook = nbformat.read(target, as_version=4)
    nbformat.validate(notebook)
    check_outputs(notebook)
    said = "\n".join(content for kind, content in outputs(notebook) if kind == "text/markdown")
    assert "**simulated marketplace** of 6,000 guests" in said or path in RANKING
    assert "is not there" not in said


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path not in RANKING], ids=lambda path: path.stem
)
def test_a_notebook_runs(path: Path, small: pytest.MonkeyPatch) -> None:
    check_outputs(helper("execute").execute(path))


def test_a_cell_that_fails_is_an_error(tmp_path: Path, small: pytest.MonkeyPatch) -> None:
    from nbclient.exceptions import CellExecutionError

    (tmp_path / "9_broken.py").write_text("# %%\n1 / 0\n", "utf-8")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        helper("execute").execute(tmp_path / "9_broken.py")


@pytest.mark.parametrize("name", ["google_merch", "trivago", "airbnb_reviews"])
def test_a_missing_real_log_is_said_and_replaced(
    name: str, small: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small.setenv("ITEM2VEC_NOTEBOOK_DATA", name)
    small.setenv("ITEM2VEC_REAL_DATA", str(tmp_path))
    log = helper("logs").open_log()
    assert log.name == "marketplace"
    assert log.says.startswith(f"**{name} is not there**")
    assert "ITEM2VEC_REAL_DATA" in log.says
    assert str(tmp_path) not in log.says
    assert len(log.sessions()) > 100


def test_the_reader_sees_that_the_real_log_is_missing(small: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sentence is no attribute only: a notebook's first cell shows it."""
    small.setenv("ITEM2VEC_NOTEBOOK_DATA", "trivago")
    small.setenv("ITEM2VEC_REAL_DATA", str(tmp_path / "nowhere"))
    for path in NOTEBOOKS:
        if path not in RANKING:
            opening = next(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code")
            assert "open_log(" in opening
            assert "say(log.says)" in opening
    first = tmp_path / "1_opening.py"
    first.write_text(
        "# %%\nfrom cards import say\nfrom logs import open_log\n\nsay(open_log().says)\n", "utf-8"
    )
    (shown,) = [
        content for kind, content in outputs(helper("execute").execute(first)) if kind == "text/markdown"
    ]
    assert "trivago is not there" in shown
    assert "simulated marketplace" in shown


def test_a_log_without_clicks_is_not_shown_as_if_it_had_some(small: pytest.MonkeyPatch) -> None:
    small.setenv("ITEM2VEC_NOTEBOOK_DATA", "airbnb_reviews")
    log = helper("logs").open_log(unfit=["airbnb_reviews"])
    assert log.name == "marketplace"
    assert log.says.startswith("**airbnb_reviews does not fit this notebook**")


def test_an_unknown_log_is_refused_with_the_choices(small: pytest.MonkeyPatch) -> None:
    small.setenv("ITEM2VEC_NOTEBOOK_DATA", "gogle")
    with pytest.raises(ValueError, match="'gogle'; choose one of marketplace, sample, google_merch"):
        helper("logs").open_log()


def test_the_committed_sample_can_be_chosen(small: pytest.MonkeyPatch) -> None:
    small.setenv("ITEM2VEC_NOTEBOOK_DATA", "sample")
    log = helper("logs").open_log()
    assert log.name == "sample"
    assert log.events.reconciliation.rows_in == 4530
    assert len(log.sessions()) > 20


def test_what_shows_a_real_log_is_never_written_where_git_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    execute, source = helper("execute"), FOLDER / "1_sessions.py"
    for name in ("ITEM2VEC_NOTEBOOK", "ITEM2VEC_NOTEBOOK_DATA"):
        monkeypatch.delenv(name, raising=False)
    assert execute.target_of(source) == FOLDER / "1_sessions.ipynb"
    monkeypatch.setenv("ITEM2VEC_NOTEBOOK", "small")
    assert execute.target_of(source) == ROOT / "runs" / "notebooks" / "1_sessions.ipynb"
    monkeypatch.delenv("ITEM2VEC_NOTEBOOK")
    monkeypatch.setenv("ITEM2VEC_NOTEBOOK_DATA", "trivago")
    assert execute.target_of(source) == ROOT / "runs" / "notebooks" / "1_sessions.ipynb"
    assert "runs/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["google_merch", "trivago", "airbnb_reviews"])
def test_a_real_log_is_read_where_it_lies(name: str, small: pytest.MonkeyPatch, real_data: Path) -> None:
    small.setenv("ITEM2VEC_NOTEBOOK_DATA", name)
    small.setenv("ITEM2VEC_REAL_DATA", str(real_data))
    log = helper("logs").open_log()
    assert log.name == name
    assert log.says.startswith("A **public log**")
    assert log.kind == ("booking" if name == "airbnb_reviews" else "click")
    assert len(log.sessions()) > 3000
