"""What is told about releases: what the gate found, which there are, and a way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from item2vec.cli.options import run_folder
from item2vec.cli.show import number, say

if TYPE_CHECKING:
    from item2vec.artifacts import Collected, Release

_NAME_WIDTH = 16
_MARKS = {True: "ok", False: "WORSE", None: "not compared"}


def gate_summary(gate: Mapping[str, Any]) -> str:
    """Say on one line what the gate found."""
    if not gate:
        return "made before there was a gate"
    if not gate["enabled"]:
        return "switched off: published without a comparison"
    if gate["compared_with"] is None:
        return "first release: nothing to compare with"
    passed = [check["passed"] for check in gate["checks"]]
    counted = [
        f"{passed.count(state)} {word}"
        for state, word in ((True, "ok"), (False, "worse"), (None, "not compared"))
        if passed.count(state)
    ]
    accepted = f", accepted: {gate['accepted']}" if gate["accepted"] is not None else ""
    return f"against release {gate['compared_with'][:12]}: {', '.join(counted)}{accepted}"


def gate_lines(gate: Mapping[str, Any], *, every: bool) -> Iterator[str]:
    """Write the gate's findings, all of them or only those that did not pass or bound nothing."""
    yield f"{'gate':<{_NAME_WIDTH}} {gate_summary(gate)}"
    for check in gate.get("checks", ()):
        if every or not check["passed"] or check["bound"] is None:
            yield f"  {_MARKS[check['passed']]:<{_NAME_WIDTH - 2}} {check['sentence']}"


def print_collected(found: Collected) -> None:
    """Say what was removed, if anything was."""
    if found.releases or found.objects or found.checkpoints:
        counted = [f"{found.releases} releases", f"{found.objects} objects"]
        counted += [f"{found.checkpoints} checkpoints"] if found.checkpoints else []
        say(f"{'removed':<{_NAME_WIDTH}} {', '.join(counted)}: {number(found.bytes / 1e6)} MB freed")


def release_document(release: Release, current: str | None) -> dict[str, Any]:
    """Return one line of the list of releases as JSON values."""
    evaluated = release.figures.get("evaluation", {})
    return {
        "release": release.id,
        "current": release.id == current,
        "written_at": release.written_at.isoformat(timespec="seconds"),
        "k": evaluated.get("k"),
        "recall": evaluated.get("next_item", {}).get("item2vec", {}).get("recall"),
        "as_of": release.config.get("events", {}).get("as_of"),
        "events": release.figures.get("events", {}).get("events"),
        "gate": dict(release.gate),
    }


def print_releases(folder: Path, *, as_json: bool) -> None:
    """List the releases of a run, the newest first; one that is damaged is listed as such.

    Raises
    ------
    UsageError
        If the run has none.
    """
    import json

    from item2vec.artifacts import RunFolder, read_release, release_ids
    from item2vec.errors import CorruptArtifactError, Item2VecError

    run = RunFolder(folder)
    known = release_ids(run)
    if not known:
        read_release(folder)  # says which runs there are
    try:
        current = read_release(folder).id
    except Item2VecError:
        current = None
    documents: list[dict[str, Any]] = []
    for name in known:
        try:
            documents.append(release_document(read_release(folder, name), current))
        except CorruptArtifactError as error:
            documents.append({"release": name, "current": False, "damaged": str(error)})
    if as_json:
        say(json.dumps({"run": folder.name, "current": current, "releases": documents}, indent=1))
        return
    for document in documents:
        say(_release_line(document))
    if current is None:
        say(f"CURRENT names none of them; `item2vec rollback {folder} --to RELEASE` mends that")


def _release_line(found: Mapping[str, Any]) -> str:
    head = f"{found['release'][:12]} {'current' if found['current'] else '':<8}"
    if "damaged" in found:
        return f"{head} damaged: {found['damaged']}"
    recall = found["recall"] or {}
    figure = "no Recall" if recall.get("value") is None else f"Recall@{found['k']} {recall['value']:.2f}"
    night = f"as of {found['as_of']:<13}" if found["as_of"] else ""  # else nights made up for look alike
    when = found["written_at"][:16].replace("T", " ")
    return f"{head} {when}   {night}{figure:<17} {gate_summary(found['gate'])}"


def roll_back(run: str, runs_dir: Path, to: str | None) -> None:
    """Go back to an earlier release, of a run or of an object store, and say so."""
    from item2vec.artifacts import RunFolder, remote_rollback, rollback
    from item2vec.artifacts.object_store import SCHEME

    place: str | Path = run
    if run.startswith(SCHEME):
        before, now = remote_rollback(run, to)
    else:
        place = run_folder(run, runs_dir)
        old, now = rollback(RunFolder(place), to)
        before = None if old is None else old.id
    if before == now.id:
        say(f"{place}: release {now.id[:12]} is current already; every file of it verified, nothing changed")
        return
    left = f"before: {before[:12]}, which is kept" if before is not None else "before: a damaged CURRENT"
    say(f"{place}: release {now.id[:12]} is current now, every file of it verified ({left})")
    say(
        "The next `item2vec run` is compared with it; the same data and settings make the same release again."
    )
