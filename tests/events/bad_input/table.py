"""All cases, and the table that ``data/README.md`` shows of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

from bad_input.case import ALL, FORMAT_NAMES, Case

MODULES = ("files", "records", "schema", "fields", "times", "attributes", "meaning")


def sections() -> list[ModuleType]:
    """The modules of cases, in the order of the table."""
    return [importlib.import_module(f"bad_input.{name}") for name in MODULES]


def all_cases() -> list[Case]:
    return [case for module in sections() for case in module.CASES]


def table() -> Iterator[str]:
    """Yield the lines of the table; cases of one name and one outcome are one line."""
    yield "| class | formats | outcome |"
    yield "|---|---|---|"
    for module in sections():
        yield f"| **{module.SECTION}** | | |"
        lines: dict[tuple[str, str], set[str]] = {}
        for case in module.CASES:
            lines.setdefault((case.label, case.outcome.words), set()).update(case.formats)
        for (label, outcome), kinds in lines.items():
            names = (
                "all" if kinds == set(ALL) else ", ".join(FORMAT_NAMES[kind] for kind in ALL if kind in kinds)
            )
            yield f"| {label} | {names} | {outcome} |"
