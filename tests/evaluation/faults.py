"""Faults for :mod:`test_planted_faults`: what is broken, and the tests that must say so."""

from __future__ import annotations

from dataclasses import dataclass

from patched_package import Edits


@dataclass(frozen=True)
class Fault:
    """A fault that somebody could write: one line on what it would do, and where it is noticed.

    `tests` are functions, ``"splits::test_no_leak"`` for one in ``test_evaluation_splits.py`` of this folder;
    each of them must fail, with one of its parameters at least.
    """

    why: str
    edits: Edits
    tests: tuple[str, ...]
    slow: bool = False

    @property
    def node_ids(self) -> list[str]:
        return [
            f"{path if path.endswith('.py') else f'tests/evaluation/test_evaluation_{path}.py'}::{name}"
            for path, _, name in (test.partition("::") for test in self.tests)
        ]


def fault(why: str, file: str, old: str, new: str, *tests: str, slow: bool = False) -> Fault:
    return Fault(why, ((file, old, new),), tests, slow)
