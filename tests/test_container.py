"""The container's files, without a container engine: linted, and held to the package they are about."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
TRAINING_ONLY = {"duckdb", "numba", "pandas", "scikit-learn", "torch"}


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    return list(DockerfileParser(str(ROOT / "Dockerfile")).structure)


def values(steps: list[dict[str, Any]], instruction: str) -> list[str]:
    return [step["value"] for step in steps if step["instruction"] == instruction]


def commands_of_the_image(steps: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The command lines that are run in a container, by who says so."""
    entry, default = (json.loads(values(steps, name)[-1]) for name in ("ENTRYPOINT", "CMD"))
    return {"Dockerfile": entry + default, "compose.yaml": entry + COMPOSE["services"]["api"]["command"]}


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    done = tool("hadolint", "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr
    worse = tmp_path / "Dockerfile"
    worse.write_text((ROOT / "Dockerfile").read_text().replace("--no-install-recommends", ""))
    assert "DL3015" in tool("hadolint", str(worse)).stdout


def test_compose_fits_its_schema(tmp_path: Path) -> None:
    check = ("--builtin-schema", "vendor.compose-spec")
    done = tool("check-jsonschema", *check, "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    worse = tmp_path / "compose.yaml"
    worse.write_text((ROOT / "compose.yaml").read_text().replace("read_only:", "readonly:"))
    assert tool("check-jsonschema", *check, str(worse)).returncode == 1


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0].lower()


def test_what_is_installed_is_what_the_package_asks_for() -> None:
    lines = (ROOT / "docker" / "requirements.txt").read_text().splitlines()
    shown = [line for line in lines if line and not line.startswith("#")]
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["serve"], *extras["redis"]]
    left_out = {name_of(one) for one in asked} & TRAINING_ONLY
    assert left_out == TRAINING_ONLY
    assert shown == sorted(one for one in asked if name_of(one) not in TRAINING_ONLY)
    pinned = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert {name_of(one) for one in shown} - pinned == set()


def test_the_python_is_one_that_the_package_allows(steps: list[dict[str, Any]]) -> None:
    stated = dict(one.split("=", 1) for one in values(steps, "ARG"))["PYTHON_VERSION"]
    assert f"Programming Language :: Python :: {stated}" in PROJECT["classifiers"]
    bases = values(steps, "FROM")
    assert [base.split()[0] for base in bases] == ["python:${PYTHON_VERSION}-slim-bookworm"] * 2  # one ABI


def test_annoy_is_compiled_for_every_machine(steps: list[dict[str, Any]]) -> None:
    (flags,) = [
        one.partition("=")[2] for one in values(steps, "ENV") if one.startswith("ANNOY_COMPILER_ARGS")
    ]
    assert "native" not in flags
    assert "-ffast-math" not in flags
    assert "-march=${MARCH}" in flags.split(",")
    assert "-DANNOYLIB_MULTITHREADED_BUILD" in flags.split(",")
    names = [step["instruction"] for step in steps]
    installs = [one for one in values(steps, "RUN") if "pip install" in one]
    assert [("--no-binary annoy" in one, "--no-cache-dir" in one) for one in installs] == [
        (True, True),
        (False, True),
    ]
    first_install = next(place for place, step in enumerate(steps) if "pip install" in step["value"])
    assert names.index("ENV") < first_install


def test_what_is_copied_is_there_and_reaches_the_builder(steps: list[dict[str, Any]]) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"  # nothing by itself: neither a token nor a run
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {source for one in values(steps, "COPY") if "--from" not in one for source in one.split()[:-1]}
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_it_runs_as_nobody_and_asks_whether_it_is_ready(steps: list[dict[str, Any]]) -> None:
    names = [step["instruction"] for step in steps]
    user = values(steps, "USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert not {"RUN", "COPY"} & set(names[names.index("USER") :])
    (health,) = values(steps, "HEALTHCHECK")
    program = json.loads(health.partition("CMD ")[2])[2]
    compile(program, "HEALTHCHECK", "exec")
    port = values(steps, "EXPOSE")[0]
    assert f"'127.0.0.1', {port}" in program
    assert "'/readyz'" in program
    for line in commands_of_the_image(steps).values():
        assert re.search(rf"--port[= ]{port}\b", shlex.join(line))


@pytest.mark.parametrize("where", ["Dockerfile", "compose.yaml"])
def test_the_command_is_one_that_the_command_line_takes(steps: list[dict[str, Any]], where: str) -> None:
    from typer.main import get_command

    from item2vec.cli import app

    line = commands_of_the_image(steps)[where]
    assert line[0] in PROJECT["scripts"]
    command = get_command(app).commands[line[1]]  # type: ignore[attr-defined]
    parsed = command.make_context(line[1], line[2:]).params
    assert str(parsed["run"]) == "/runs/demo"
    assert parsed["host"] == "0.0.0.0"
    assert parsed["workers"] == 1  # items can be changed live
    assert (parsed["history"] is None) == (parsed["redis"] is not None)
    with pytest.raises(Exception, match="No such option"):
        command.make_context(line[1], [*line[2:], "--no-such-option"])


def test_compose_shuts_what_can_be_shut() -> None:
    api, redis = (COMPOSE["services"][name] for name in ("api", "redis"))
    for service in (api, redis):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp"]
    assert all(port.startswith("127.0.0.1:") for port in api["ports"])
    assert "ports" not in redis
    assert all(mount.endswith(":ro") for mount in api["volumes"])
    (secret,) = api["secrets"]
    assert f"--token-file=/run/secrets/{secret}" in api["command"]
    assert secret in COMPOSE["secrets"]
    assert any(one.startswith("--redis=redis://redis:") for one in api["command"])
    from item2vec.cli.serve import DRAIN_SECONDS

    assert int(api["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
