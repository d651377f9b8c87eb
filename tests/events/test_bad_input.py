"""The bad-input table: every class of bad input, in every format, has its one declared outcome."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from bad_input.case import Case, run

MODULES = ("files", "records", "schema", "fields", "meaning")
HERE = Path(__file__).parent / "bad_input"


def sections() -> list[ModuleType]:
    """The modules of cases, in the order of the table."""
    return [
        importlib.import_module(f"bad_input.{name}") for name in MODULES if (HERE / f"{name}.py").exists()
    ]


CASES: list[Case] = [case for module in sections() for case in module.CASES]


@pytest.mark.parametrize(
    ("case", "kind"),
    [pytest.param(case, kind, id=f"{case.name}-{kind}") for case in CASES for kind in case.formats],
)
def test_bad_input_has_its_declared_outcome(case: Case, kind: str, tmp_path: Path) -> None:
    run(case, kind, tmp_path)


def test_every_case_has_its_own_name() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
