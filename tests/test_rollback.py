"""The way back: to the release before, or to a named one, verified first, in one step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from item2vec.artifacts import Release, RunFolder, collect, read_release, rollback
from item2vec.cli import app
from item2vec.errors import CorruptArtifactError, GateError, UsageError
from test_gate import RECALL, Runs, recall


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def three(runs: Runs) -> list[Release]:
    return [runs.publish({"events/rows_in": 10_100 + number}) for number in range(3)]


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout + result.stderr


def current(runs: Runs) -> str:
    return read_release(runs.folder.path).id


def test_one_step_back_and_another_and_no_further(runs: Runs) -> None:
    first, second, third = three(runs)
    before, now = rollback(runs.folder)
    assert before is not None
    assert (before.id, now.id, current(runs)) == (third.id, second.id, second.id)
    rollback(runs.folder)
    assert current(runs) == first.id
    with pytest.raises(UsageError, match=f"{first.id[:12]} is the first release"):
        rollback(runs.folder)
    assert current(runs) == first.id
    assert third.path.is_file()


def test_back_is_what_was_current_before_not_what_is_older(runs: Runs) -> None:
    first, _, third = three(runs)
    rollback(runs.folder, to=first.id[:10])
    fourth = runs.publish({"events/rows_in": 20_000})
    assert fourth.gate["follows"] == first.id
    assert rollback(runs.folder)[1].id == first.id
    assert rollback(runs.folder, to=third.id)[1].id == third.id  # and forth


def test_the_same_release_twice_is_no_error(runs: Runs) -> None:
    _, second, _ = three(runs)
    rollback(runs.folder, to=second.id)
    stamp = runs.folder.current.stat().st_mtime_ns
    before, now = rollback(runs.folder, to=second.id)
    assert before is not None
    assert before.id == now.id
    assert runs.folder.current.stat().st_mtime_ns == stamp


def test_the_next_run_is_compared_with_the_release_gone_back_to(runs: Runs) -> None:
    """And the release that was left comes back if it is made again and passes."""
    first = runs.publish()
    second = runs.publish({RECALL: recall(60.0)})
    with pytest.raises(GateError, match=second.id[:12]):
        runs.publish({RECALL: recall(45.0)})
    rollback(runs.folder)
    third = runs.publish({RECALL: recall(45.0)})
    assert third.gate["compared_with"] == first.id
    rollback(runs.folder)
    assert runs.publish({RECALL: recall(60.0)}).id == second.id


@pytest.mark.parametrize("stage", ["events", "embeddings", "evaluation"])
def test_a_damaged_release_is_not_gone_back_to(runs: Runs, stage: str) -> None:
    _, second, third = three(runs)
    path = next(path for path in second.object_path(stage).rglob("*") if path.is_file())
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptArtifactError, match=path.name):
        rollback(runs.folder)
    assert current(runs) == third.id


def test_after_a_rollback_and_a_collection_there_is_still_a_way_back(runs: Runs) -> None:
    from datetime import UTC, datetime, timedelta

    first, *_ = three(runs)
    runs.publish({"events/rows_in": 10_104})
    rollback(runs.folder, to=first.id)
    runs.publish({"events/rows_in": 10_105})
    with runs.folder.lock():
        assert collect(runs.folder, keep=3, now=datetime.now(UTC) + timedelta(days=3)).releases > 0
    assert rollback(runs.folder)[1].id == first.id


@pytest.mark.parametrize("missing", [False, True])
def test_a_damaged_current_is_mended_by_naming_a_release(runs: Runs, missing: bool) -> None:
    _, second, _ = three(runs)
    if missing:
        runs.folder.current.unlink()
    else:
        runs.folder.current.write_text("nothing\n")
    with pytest.raises(CorruptArtifactError, match=r"CURRENT is .*rollback .* --to RELEASE"):
        rollback(runs.folder)
    with pytest.raises(CorruptArtifactError, match=r"CURRENT is .*rollback .* --to RELEASE"):
        read_release(runs.folder.path)
    assert read_release(runs.folder.path, second.id).id == second.id
    code, said = call("show", runs.folder.path, "--releases")
    assert code == 0
    assert "CURRENT names none of them" in said
    code, said = call("rollback", runs.folder.path, "--to", second.id[:8])
    assert code == 0
    assert "a damaged CURRENT" in said
    assert current(runs) == second.id


def test_a_release_without_a_note_goes_back_by_time(runs: Runs) -> None:
    from item2vec.artifacts import publish

    first = runs.publish()
    objects = {stage: first.open(stage) for stage in first.stages}
    with runs.folder.lock():
        publish(runs.folder, {name: objects[name] for name in list(objects)[:2]})
    assert rollback(runs.folder)[1].id == first.id


def test_a_release_that_was_removed_is_said_so(runs: Runs) -> None:
    _, second, third = three(runs)
    second.path.unlink()
    with pytest.raises(UsageError, match=rf"{second.id[:12]}, which {third.id[:12]} followed, was removed"):
        rollback(runs.folder)


COMMANDS: dict[str, tuple[list[str], int, str]] = {
    "no such run": (["rollback", "{runs}/nope"], 2, "holds no release (runs with one: run)"),
    "no such release": (["rollback", "{run}", "--to", "ffff"], 2, "no release whose id starts with 'ffff'"),
    "two of them": (["rollback", "{run}", "--to", ""], 2, "3 releases whose id starts with ''"),
    "show both": (["show", "{run}", "--releases", "--verify"], 2, "--releases lists all of them"),
    "list of none": (["show", "{runs}/nope", "--releases"], 2, "holds no release"),
    "back": (["rollback", "{run}"], 0, "is current now, every file of it verified (before: "),
    "there already": (["rollback", "{run}", "--to", "{third}"], 0, "nothing changed"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_the_commands_say_what_they_did(runs: Runs, case: str) -> None:
    arguments, code, says = COMMANDS[case]
    third = three(runs)[-1]
    names = {"run": runs.folder.path, "runs": runs.folder.path.parent, "third": third.id}
    found, said = call(*[argument.format(**names) for argument in arguments])
    assert (found, "Traceback" in said) == (code, False), said
    assert says in said
    assert not (runs.folder.path.parent / "nope").exists()


def test_a_run_that_is_being_written_is_not_moved(runs: Runs) -> None:
    third = three(runs)[-1]
    with RunFolder(runs.folder.path).lock():
        assert call("rollback", runs.folder.path)[0] == 4
    assert current(runs) == third.id


def test_the_list_says_which_is_current_and_what_the_gate_found(runs: Runs) -> None:
    first = runs.publish()
    second = runs.publish({RECALL: recall(10.0)}, accept="the winter catalogue")
    damaged = runs.publish({"events/rows_in": 10_101}, accept="and back")
    rollback(runs.folder)
    damaged.path.chmod(0o644)
    damaged.path.write_text("{")
    code, said = call("show", runs.folder.path, "--releases")
    assert code == 0
    lines = {line.split()[0]: line for line in said.splitlines()}
    assert set(lines) == {release.id[:12] for release in (first, second, damaged)}
    assert "Recall@20 40.00 " in lines[first.id[:12]]
    assert "first release: nothing to compare with" in lines[first.id[:12]]
    assert " current " in lines[second.id[:12]]
    assert "1 worse, accepted: the winter catalogue" in lines[second.id[:12]]
    assert "damaged" in lines[damaged.id[:12]]
    code, said = call("show", runs.folder.path, "--releases", "--json")
    document: dict[str, Any] = json.loads(said)
    assert document["current"] == second.id
    assert [entry["current"] for entry in document["releases"] if entry["release"] == second.id] == [True]


def test_collection_leaves_the_current_release_to_go_on_from(runs: Runs) -> None:
    from datetime import UTC, datetime, timedelta

    first, *_ = three(runs)
    rollback(runs.folder, to=first.id)
    with runs.folder.lock():
        collect(runs.folder, keep=1, now=datetime.now(UTC) + timedelta(days=9))
    assert rollback(runs.folder, to=first.id)[1].id == first.id
