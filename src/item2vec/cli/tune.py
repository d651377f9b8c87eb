"""``item2vec tune``: the settings of a run, searched on its validation sessions."""

from __future__ import annotations

import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from item2vec.cli.options import (
    RUNS,
    Debug,
    Overrides,
    Progress,
    Quiet,
    RunFile,
    RunsDir,
    plain_errors,
    wants_bars,
)
from item2vec.errors import UsageError

_BUDGET = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")
DEFAULT_BUDGET = "30m"


class Metric(StrEnum):
    """What is to be as high as can be."""

    recall = "recall"
    mrr = "mrr"


def budget_seconds(text: str) -> float:
    """Return the seconds of ``"90s"``, ``"30m"`` or ``"1h30m"``.

    Raises
    ------
    UsageError
        If that is no time.
    """
    found = _BUDGET.fullmatch(text.strip())
    hours, minutes, seconds = (float(one or 0) for one in found.groups()) if found else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise UsageError(f"--budget {text!r} is no time to search; write 90s, 30m or 1h30m")
    return total


@plain_errors
def tune(
    file: RunFile,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"Wall time: 90s, 30m, 1h30m; by default {DEFAULT_BUDGET}."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Trials, instead of a time or beside it.")
    ] = None,
    metric: Annotated[
        Metric, typer.Option(help="What is to be as high as can be, at k of [evaluate].")
    ] = Metric.recall,
    max_sessions: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Train on about so many sessions, whole users at random, of a large log."
        ),
    ] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="SPACE.toml", help="Search this instead of the default space.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="TUNED.toml", help="The run file to write; by default tuned.toml in the study."),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the trials are kept; by default tuning in the run's folder."),
    ] = None,
    runs_dir: RunsDir = RUNS,
    overrides: Overrides = None,
    quiet: Quiet = False,
    progress: Progress = None,
    debug: Debug = False,
) -> None:
    """Search better settings for a run, and write them as a run file.

    Trainings see the sessions before T1 and are scored on those between T1 and T2 (validation of [evaluate]).
    The test sessions stay closed: they say in the end what the settings are worth.

        item2vec tune pipelines/demo.toml --budget 10m

        item2vec run runs/demo/tuning/tuned.toml

    Trial 0 is the run as it is, so the result is no worse on the validation sessions. Every trial is kept: a
    search that was killed, or should go on longer, is the same command again (with a larger --budget, which
    is that of all calls together). Other settings, data or spaces need another place:

        item2vec tune my.toml --trials 60 --metric mrr --study runs/my/mrr --out my_mrr.toml

    Only what a file names is searched by --space; the rest stays as the run has it:

        [train]

        window = { low = 1, high = 15, beyond = "session" }

        alpha = { low = 0.005, high = 0.2, log = true }

        vector_size = [32, 64]

    Of a large log a sample will do, though its best number of epochs is too high for all of it:

        item2vec tune my.toml --max-sessions 200000 --budget 2h
    """
    from item2vec.cli.show import StagePrinter, say
    from item2vec.config import RunConfig
    from item2vec.run.tuned_file import check_tuned_file, write_tuned_file
    from item2vec.run.tuning import study_folder, tune_run
    from item2vec.tuning import TuneConfig, read_space
    from item2vec.tuning.study import check_optuna

    if budget is None and trials is None:
        budget = DEFAULT_BUDGET
    seconds = None if budget is None else budget_seconds(budget)
    config = RunConfig.from_toml(file, overrides or ())
    check_optuna()
    place = study_folder(config, runs_dir) if study is None else study
    target = place / "tuned.toml" if out is None else out
    check_tuned_file(target, file)
    how = TuneConfig(
        metric=metric.value,
        max_sessions=max_sessions,
        **{name: getattr(config.evaluate, name) for name in ("k", "n_bootstrap", "seed")},
    )
    result = tune_run(
        config,
        runs_dir,
        how=how,
        space=None if space is None else read_space(space),
        budget_seconds=seconds,
        n_trials=trials,
        study_path=place,
        notify=StagePrinter(quiet),
        show_progress=wants_bars(progress, quiet),
    )
    written = write_tuned_file(target, file, overrides or (), config.name, result)
    if not quiet:
        ways = f"run file      {written}", f"next          item2vec run {shlex.quote(str(written))}"
        for line in ("", *result.lines(), "", *ways):
            say(line)
