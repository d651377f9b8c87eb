"""A run's settings searched on its validation sessions: what lies from T2 on is not opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from item2vec.artifacts import StageEvent
from item2vec.config import RunConfig, section_models
from item2vec.errors import ConfigError, UsageError
from item2vec.run.build import open_sessions
from item2vec.run.pipeline import run_pipeline

if TYPE_CHECKING:
    from item2vec.evaluation import Split
    from item2vec.tuning import TuneConfig, TuneResult

FOLDER = "tuning"  # of the run: the study, and the run file that it ends with


def study_folder(config: RunConfig, runs_dir: str | Path) -> Path:
    """Return where a run's study lies unless another place is named."""
    return Path(runs_dir) / config.name / FOLDER


def base_settings(config: RunConfig) -> dict[str, Any]:
    """Return a run's own settings by their dotted names: where the search starts."""
    found = {f"train.{name}": one for name, one in config.train.items() if name != "checkpoint_every"}
    return found | {f"scoring.{name}": one for name, one in config.stage_config("scoring").items()}


def run_space(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the space of a run: the default one, or the one given; only what a run file can hold.

    Raises
    ------
    ConfigError
        If the space has a section that run files have not.
    """
    from item2vec.tuning import DEFAULT_SPACE

    known = section_models()
    if given is None:
        return {name: one for name, one in DEFAULT_SPACE.items() if name.split(".")[0] in known}
    if unknown := [name for name in given if name.split(".")[0] not in known]:
        raise ConfigError(f"{unknown[0]} is no setting of a run file, so a run cannot be tuned by it")
    return dict(given)


def tune_run(
    config: RunConfig,
    runs_dir: str | Path = "runs",
    *,
    how: TuneConfig,
    space: Mapping[str, Any] | None = None,
    budget_seconds: float | None = None,
    n_trials: int | None = None,
    study_path: str | Path | None = None,
    notify: Callable[[StageEvent], None] = lambda _event: None,
    show_progress: bool = False,
) -> TuneResult:
    """Search the settings of a run, on the sessions before T1, scored on those between T1 and T2.

    Parameters
    ----------
    config : RunConfig
        Its events and sessions are built if they are not there; its ``[train]`` is where the search starts.
    runs_dir : str or Path
        The folder of all runs.
    how, space, budget_seconds, n_trials
        As in :func:`item2vec.tune`.
    study_path : str or Path, optional
        By default ``tuning`` in the run's folder.
    notify : callable
        Told when a stage starts, ends or is skipped.
    show_progress : bool

    Returns
    -------
    TuneResult

    Raises
    ------
    UsageError
        If the run keeps no validation sessions, and what :func:`item2vec.tune` refuses.
    Item2VecError
        What the stages refuse.
    """
    from item2vec.tuning import tune

    searched, base = run_space(space), base_settings(config)
    built = run_pipeline(config, runs_dir, until="sessions", notify=notify, show_progress=show_progress)
    split = _validation_split(config, built.objects)
    return tune(
        split.train,
        split.validation,
        base=base,
        space=searched,
        budget_seconds=budget_seconds,
        n_trials=n_trials,
        study_path=study_folder(config, runs_dir) if study_path is None else study_path,
        first_targets=split.validation_targets,
        config=how,
        show_progress=show_progress,
    )


def _validation_split(config: RunConfig, objects: Mapping[str, Any]) -> Split:
    from item2vec.evaluation import split_sessions

    split = split_sessions(open_sessions(objects), **config.evaluate.split_options())
    if not len(split.validation):
        raise UsageError(
            "the run keeps no validation sessions to choose settings on, and the test sessions are for the"
            " settings that were chosen; set evaluate.validation=0.1"
        )
    return split
