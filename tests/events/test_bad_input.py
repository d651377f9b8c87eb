"""The bad-input table: every class of bad input, in every format, has its one declared outcome."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_input.case import Case, run
from bad_input.table import all_cases

CASES = all_cases()


@pytest.mark.parametrize(
    ("case", "kind"),
    [pytest.param(case, kind, id=f"{case.name}-{kind}") for case in CASES for kind in case.formats],
)
def test_bad_input_has_its_declared_outcome(case: Case, kind: str, tmp_path: Path) -> None:
    run(case, kind, tmp_path)


def test_every_case_has_its_own_name() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
