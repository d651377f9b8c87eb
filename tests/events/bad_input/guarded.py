"""A program: run the cases named on standard input and print those that fail, one JSON list each.

It runs against a copy of the package that comes first on the path and lacks a guard.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import warnings
from pathlib import Path

from bad_input.case import run

import item2vec


def main() -> None:
    copy, wanted = json.load(sys.stdin)
    assert Path(item2vec.__file__).is_relative_to(copy), item2vec.__file__
    warnings.simplefilter("error")
    failed = []
    for module, name, kind in wanted:
        case = next(case for case in importlib.import_module(module).CASES if case.name == name)
        with tempfile.TemporaryDirectory() as folder:
            try:
                run(case, kind, Path(folder))
            except Exception:  # a check of the case may end in an error of its own
                failed.append([module, name, kind])
    json.dump(failed, sys.stdout)


if __name__ == "__main__":
    main()
