"""The README's five lines of the lookup API: run by a shell, against a server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving_world import HEADERS, ServerProcess

from item2vec.artifacts import RunFolder, publish
from item2vec.config import RunConfig
from item2vec.run import run_pipeline

ROOT = Path(__file__).resolve().parents[2]


def shown_lines() -> list[tuple[str, Any]]:
    """The commands, each with the reply below it."""
    block = re.search(r"```console\n(\$ curl .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    lines = block[1].splitlines()
    commands, replies = lines[::2], lines[1::2]
    assert all(command.startswith("$ curl ") for command in commands)
    return [(one.removeprefix("$ "), json.loads(reply)) for one, reply in zip(commands, replies, strict=True)]


def asked(server: ServerProcess, command: str) -> Any:
    """What a command prints."""
    names = {
        "H": f"Authorization: {HEADERS['Authorization']}",
        "J": "Content-Type: application/json",
        "U": server.url,
    }
    path = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", command.replace("curl", "curl --silent", 1)],
        env=names | path,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def shape(value: Any) -> Any:
    """A reply without what is otherwise in another catalogue: ids, scores, sizes, and how it was searched."""
    if isinstance(value, dict):
        kinds = {key: shape(one) for key, one in value.items()}
        return {key: "…" if key in ("item_id", "score", "path", "n_items") else kinds[key] for key in kinds}
    return [shape(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(autouse=True)
def _needs_curl() -> None:
    if shutil.which("curl") is None:
        pytest.fail("the README's lines are not tested: curl is missing")


def test_the_lines_print_replies_like_those_shown(server: ServerProcess) -> None:
    """On a small catalogue, whose ids and markets stand in for the demo's."""
    lines = shown_lines()
    assert len(lines) == 5
    for command, reply in lines:
        own = (
            command.replace("l00012", "l00000").replace("L0001222", "L0000001").replace("Barcelona", "Paris")
        )
        assert shape(asked(server, own.replace("&max_price=90", ""))) == shape(reply), command


@pytest.mark.long
def test_the_lines_print_what_is_shown(start: Callable[..., ServerProcess], tmp_path: Path) -> None:
    """On the demo. Training on several threads differs a little from run to run."""
    config = RunConfig.from_toml(ROOT / "pipelines" / "demo.toml", ())
    result = run_pipeline(config, tmp_path, until="index")
    folder = RunFolder(result.folder)
    with folder.lock():
        publish(folder, result.objects, {"follows": None})
    server = start(str(result.folder))
    for command, reply in shown_lines():
        found = asked(server, command)
        assert shape(found) == shape(reply), command
        for given, expected in zip(items_of(found), items_of(reply), strict=True):
            if "score" not in expected:
                assert given == expected
            else:
                assert abs(given["score"] - expected["score"]) < 0.05, command


def items_of(reply: dict[str, Any]) -> list[dict[str, Any]]:
    several = [one["items"] for one in reply.get("results", [reply]) if "items" in one]
    return [item for items in several for item in items]
