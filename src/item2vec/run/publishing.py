"""From finished stages to a release: past the gate, or with a note that says why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from item2vec.artifacts import Release, RunFolder, StoredObject, latest_release, make_current, publish
from item2vec.errors import GateError, UsageError
from item2vec.run.config import GateConfig
from item2vec.run.gate import Candidate, Check, compare, describe

LONGEST_NOTE = 1000


def checked_note(note: str | None) -> str | None:
    """Return a note on one line.

    Raises
    ------
    UsageError
        If it says nothing, or too much.
    """
    if note is None:
        return None
    found = " ".join(note.split())
    if not found or len(found) > LONGEST_NOTE:
        state = "is empty" if not found else f"has {len(found):,} characters, {LONGEST_NOTE:,} at most"
        raise UsageError(
            f"the note {state}; say why the release is published although the gate refuses it, such as"
            ' --accept "half of the catalogue was withdrawn"'
        )
    return found


def publish_gated(
    folder: RunFolder, objects: Mapping[str, StoredObject], settings: GateConfig, accept: str | None = None
) -> Release:
    """Publish finished stages if they are no worse than the current release; the caller holds the lock.

    Parameters
    ----------
    folder : RunFolder
        The run.
    objects : mapping of str to StoredObject
        All stages of it.
    settings : GateConfig
        What a release may lose.
    accept : str, optional
        Publish what the gate refuses, with this note. It is kept in the release only then: a note on a
        release that nobody refused would accept nothing.

    Returns
    -------
    Release
        The current release itself, neither compared nor written again, if it is made of these objects.

    Raises
    ------
    GateError
        If the candidate is worse and not accepted. Nothing is published, and the objects stay.
    """
    current = latest_release(folder)
    if current is not None and current.is_made_of(objects):
        make_current(current)  # it may have been named by a damaged CURRENT
        return current
    checks: list[Check] = []
    if current is not None and settings.enabled:
        checks = compare(Candidate.of_objects(objects), current, settings)
    refused = [check for check in checks if check.passed is False]
    if current is not None and refused and accept is None:
        raise GateError(_refusal(current, objects, refused))
    note: dict[str, Any] = {
        "enabled": settings.enabled,
        "follows": None if current is None else current.id,
        "compared_with": current.id if current is not None and settings.enabled else None,
        "checks": describe(checks),
        "accepted": accept if refused else None,
    }
    return publish(folder, objects, note)


def _refusal(current: Release, objects: Mapping[str, StoredObject], refused: list[Check]) -> str:
    """Say what is worse, that nothing changed, and the next step."""
    reasons = [f"  {check.name}: {check.sentence}{_bound(check)}" for check in refused]
    return "\n".join(
        [
            f"the new release is worse than the current one, {current.id[:12]}, which stays:",
            *reasons,
            f"its report is {objects['evaluation'].path / 'report.html'}; its files are kept for a day."
            " Mend the data and run again, or publish it as it is with the same `item2vec run` and --accept"
            ' "why"; [gate] in pipelines/reference.toml explains the bounds',
        ]
    )


def _bound(check: Check) -> str:
    if check.bound is None or check.current is None or check.new is None:
        return ""
    return f"; {'at least' if check.new < check.bound else 'at most'} {check.bound:,.4g} is allowed"
