"""A program: run the tests of each planted fault against a copy of the package that has it.

Faults come on standard input; standard output tells for each which tests failed. What does not change is
imported once, and each fault gets a process of its own that starts from there.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

import hypothesis
import pytest

HEAVY = (
    "numba",
    "numpy",
    "pyarrow.compute",
    "pandas",
    "scipy.sparse",
    "sklearn",
    "pydantic",
    "tqdm",
    "hypothesis",
)


class Failures:
    """Collects the tests that failed, in their body or in a fixture; one not even collected is none."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names.add(report.nodeid.partition("[")[0])
        self.passed += report.when == "call" and report.passed


def run_tests(copy: Path, tests: list[str]) -> dict[str, object]:
    """Run tests in this process, which has not imported the package yet."""
    import item2vec

    assert Path(item2vec.__file__).is_relative_to(copy), item2vec.__file__
    # The first example that fails is enough, and the same ones are tried each time.
    hypothesis.settings.register_profile(
        "faults",
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        derandomize=True,
        database=None,
    )
    hypothesis.settings.load_profile("faults")
    found = Failures()
    code = pytest.main(["-q", "--assert=plain", "-p", "no:cacheprovider", *tests], [found])
    return {"code": int(code), "failed": sorted(found.names), "passed": found.passed}


def in_a_child(copy: Path, tests: list[str]) -> dict[str, object]:
    """Fork, run the tests there with their output thrown away, and read what they came to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        try:
            answer = run_tests(copy, tests)
        except BaseException:
            answer = {"code": -1, "failed": [], "passed": 0, "error": traceback.format_exc()}
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = json.load(pipe)
    os.waitpid(child, 0)
    return answer


def main() -> None:
    folder, faults = json.load(sys.stdin)
    for name in HEAVY:
        importlib.import_module(name)
    from patched_package import patched  # imports the package, in this process only to know its place

    copy = Path(folder)
    answers = []
    for edits, tests in faults:
        with patched(copy, edits):
            answers.append(in_a_child(copy, tests))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
