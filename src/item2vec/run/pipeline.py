"""A run on one screen: events → sessions → embeddings → index → recommendations → evaluation → release.

With a section ``[simulate]`` the run makes its own log first. The published model is trained on all sessions;
the figures come from its twin (stage ``holdout``), trained on the sessions that end before the first cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from item2vec.artifacts import (
    Collected,
    Release,
    RunFolder,
    Stage,
    StageEvent,
    StoredObject,
    collect,
    run_stages,
)
from item2vec.artifacts.durable import remove_tree
from item2vec.config import RunConfig
from item2vec.errors import GateError, UsageError
from item2vec.run import build, long_term, measure, tables
from item2vec.run.publishing import checked_note, publish_gated

# Raise it when training gives other bytes: the published vectors and the measured twin are trained by the
# same code, and a twin of an older one would tell the figures of a trainer that is gone.
TRAINER = 5


def stage_versions(trainer: int) -> dict[str, int]:
    """Return each stage's number; raise it when its code changes what it writes: it is then built again."""
    return {
        "simulate": 1,
        "events": 3,
        "sessions": 5,
        "embeddings": trainer,
        "types": 4,
        "index": 5,
        "recommendations": 4,
        "holdout": 2 + trainer,  # both only ever rise, and so does their sum
        "evaluation": 9,
    }


VERSIONS = stage_versions(TRAINER)
RUN_STAGES = tuple(name for name in VERSIONS if name != "types")  # those come with [types] enabled
QUARANTINE = "quarantine"  # what a stopped run refused
MEASURED = ("events", "sessions", "embeddings", "index", "recommendations", "holdout")


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Attributes
    ----------
    folder : Path
        The run's folder.
    objects : mapping of str to StoredObject
        The finished stages in their order.
    release : Release or None
        None if the run stopped before its last stage.
    collected : Collected
        Old releases and objects that were removed after publishing.
    """

    folder: Path
    objects: Mapping[str, StoredObject]
    release: Release | None
    collected: Collected = field(default_factory=Collected)


def run_pipeline(
    config: RunConfig,
    runs_dir: str | Path = "runs",
    *,
    until: str | None = None,
    accept: str | None = None,
    notify: Callable[[StageEvent], None] = lambda _event: None,
    show_progress: bool = False,
) -> RunResult:
    """Run every stage that is not already done, and publish a release at the end if it is no worse.

    The release is compared with the current one, whatever that is: the last one, one that was gone back to
    with :func:`item2vec.artifacts.rollback`, one of other settings. If it is made of the same objects,
    nothing is compared or written.

    Parameters
    ----------
    config : RunConfig
        The settings.
    runs_dir : str or Path
        The folder of all runs; this one lives in ``runs_dir/config.name``.
    until : str, optional
        Stop after this stage and publish nothing.
    accept : str, optional
        Why the release is to be published even if the gate refuses it; the note is kept in it then.
    notify : callable
        Told when a stage starts, ends or is skipped.
    show_progress : bool
        Show bars inside the long stages.

    Returns
    -------
    RunResult

    Raises
    ------
    UsageError
        If `until` names no stage of this run, or `accept` is empty.
    MissingDependencyError
        If the run goes as far as the report and its libraries are not installed.
    LockedRunError
        If another process is writing the same run.
    GateError
        If the release is worse than the current one, which stays; nothing is published, and the objects are
        kept, for a day at least. What is old goes as after publishing.
    Item2VecError
        Whatever a stage refuses; finished stages are kept.
    """
    note = checked_note(accept)
    folder = RunFolder(Path(runs_dir) / config.name)
    stages = plan_stages(config, folder, show_progress)
    names = [stage.name for stage in stages]
    if until is not None and until not in names:
        raise UsageError(f"run {config.name!r} has no stage {until!r}; it has {', '.join(names)}")
    wanted = stages if until is None else stages[: names.index(until) + 1]
    if wanted[-1].name == "evaluation":
        measure.check_report_libraries()

    def told(event: StageEvent) -> None:
        if event.state != "started":  # its object is whole: nobody goes on from what led to it
            remove_tree(folder.checkpoints / event.stage)
            if event.stage == "events":  # or rows refused by an earlier try stay, and seem to be this one's
                remove_tree(folder.path / QUARANTINE)
        notify(event)

    with folder.lock():
        objects = run_stages(folder, wanted, told)
        if until is not None:
            return RunResult(folder.path, objects, None)
        try:
            release = publish_gated(folder, objects, config.gate, note)
        except GateError:  # or weeks of refused nights fill the disk; this one's files wait for --accept
            collect(folder, keep=config.run.keep_releases, also=[one.path for one in objects.values()])
            raise
        remove_tree(folder.checkpoints)  # of trainings that were given up
        collected = collect(folder, keep=config.run.keep_releases)
    return RunResult(folder.path, objects, release, collected)


def plan_stages(config: RunConfig, folder: RunFolder, show_progress: bool = False) -> list[Stage]:
    """List the stages of a run: what each reads, what its key is made of, and what builds it."""
    bars, checkpoints, hashed = show_progress, folder.checkpoints, config.stage_config
    log = () if config.simulate is None else ("simulate",)
    scoring = {"scoring": hashed("scoring")}
    of_types = {"types": long_term.types_settings(config)} if config.types.enabled else {}

    def stage(name: str, settings: dict[str, Any], builder: build.Builder, *inputs: str) -> Stage:
        return Stage(name, VERSIONS[name], settings, builder, inputs)

    trained = build.embeddings(config, bars, checkpoints / "embeddings")
    nightly = tables.recommendations(
        config, bars, checkpoints / "recommendations", VERSIONS["recommendations"]
    )
    twins = measure.holdout(config, bars, checkpoints / "holdout")
    stages = [
        Stage(
            "events",
            VERSIONS["events"],
            build.events_settings(config),
            build.events(config, bars, folder.path / QUARANTINE),
            log,
            None if log else lambda: build.source_files(config),
        ),
        stage("sessions", hashed("sessions"), build.sessions(config, bars), "events"),
        stage("embeddings", hashed("train"), trained, "sessions"),
        *(stage(name, one, long_term.types(config, bars), "events") for name, one in of_types.items()),
        stage("index", {**hashed("index"), **scoring}, build.index(config, bars), "sessions", "embeddings"),
        stage("recommendations", hashed("recommend"), nightly, *tables.inputs(config)),
        stage("holdout", measure.holdout_settings(config), twins, "sessions"),
        stage(
            "evaluation",
            {**hashed("evaluate"), **of_types, **scoring},
            measure.evaluation(config, bars),
            *MEASURED,
        ),
    ]
    if log:
        stages.insert(0, stage("simulate", hashed("simulate"), build.simulated_log(config, bars)))
    return stages
