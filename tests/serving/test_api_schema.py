"""schemathesis on the whole document, against the running server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from serving_world import TOKEN, ServerProcess, told

SETTINGS = """
[checks]
# Columns, modes and the length of vectors are the release's: what the schema allows may not fit it.
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]
negative_data_rejection.expected-statuses = [
  "400", "401", "403", "404", "405", "409", "413", "414", "415", "422"]
"""


def schemathesis(server: ServerProcess, folder: Path, examples: int) -> subprocess.CompletedProcess[str]:
    (folder / "schemathesis.toml").write_text(SETTINGS)
    command = [
        *(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(folder / "schemathesis.toml"),
            "run",
        ),
        *(f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", "--checks", "all"),
        *("--max-examples", str(examples), "--seed", "1", "--generation-database", ":memory:", "--no-color"),
        *("--suppress-health-check", "all"),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def check(server: ServerProcess, folder: Path, examples: int) -> None:
    done = schemathesis(server, folder, examples)
    told(done.stdout.split("Test cases:")[-1])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.lines("error") == []
    assert not [row for row in server.lines("request") if row["status"] >= 500]


def test_the_document_holds(start: Callable[..., ServerProcess], shop: Path, tmp_path: Path) -> None:
    check(start(str(shop)), tmp_path, 2)


@pytest.mark.long
def test_the_document_holds_for_long(start: Callable[..., ServerProcess], shop: Path, tmp_path: Path) -> None:
    check(start(str(shop)), tmp_path, 250)
