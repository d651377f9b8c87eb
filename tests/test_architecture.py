"""The order of the stages, the size of the modules and the bans: the shape of the tree, tested."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import item2vec
from item2vec import STAGES

PACKAGE = Path(item2vec.__file__).parent
GROUND = ("errors", "settings", "arrow", "vocabulary", "artifacts", "spark")  # what every stage may stand on
ABOVE = ("config", "run", "cli")  # what imports the stages and is imported by none
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """Name the top-level module or package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(tree: ast.AST, path: Path) -> Iterator[str]:
    """Yield the parts of the package that a module imports, at its head or inside a function."""
    package = ("item2vec", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            names = [".".join(filter(None, (base, node.module)))]
            names += [f"{names[0]}.{alias.name}" for alias in node.names] if names[0] == "item2vec" else []
        else:
            continue
        for name in names:
            if name.startswith("item2vec."):
                yield name.split(".")[1]


def allowed(stage: str) -> set[str]:
    """Name the parts that a part may import."""
    if stage in GROUND:
        return set(GROUND)
    if stage == "marketplace":
        return {*GROUND, "marketplace"}
    if stage == "client":  # it speaks HTTP: whoever asks needs nothing of what answers
        return {"errors", "client"}
    if stage in STAGES:
        earlier = STAGES[: STAGES.index(stage) + 1]
        if stage == "serving":  # measuring and serving are two ends: neither imports the other
            earlier = tuple(name for name in earlier if name not in ("evaluation", "tuning"))
        return {*GROUND, *earlier}
    return {*GROUND, *STAGES, *ABOVE, "marketplace", "client"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    known = {part(module) for module in MODULES}
    imports = set(imported_parts(ast.parse(path.read_text()), path)) & known
    assert imports <= allowed(part(path)) | {part(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 40, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_unsafe_formats_and_no_catch_all_modules(path: Path) -> None:
    assert not {"utils", "util", "common", "core", "helpers"} & set(path.with_suffix("").parts[-2:])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {getattr(node, "module", None) or "", *(alias.name for alias in node.names)}
            assert not names & {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "torch.load", "pd.read_pickle", "pandas.read_pickle"}
            for keyword in node.keywords:
                value = getattr(keyword.value, "value", None)
                assert not (keyword.arg in {"allow_pickle", "shell"} and value is True)


def test_every_module_opens_with_a_docstring() -> None:
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_a_planted_violation_is_caught(tmp_path: Path) -> None:
    """The walk sees imports at any depth: a stage that reached forward would be found."""
    source = "def f():\n    from item2vec.evaluation import metrics\n    import item2vec.cli\n"
    path = PACKAGE / "index" / "planted.py"
    assert set(imported_parts(ast.parse(source), path)) == {"evaluation", "cli"}
    assert not set(imported_parts(ast.parse(source), path)) <= allowed("index")
