"""The door of the search: sessions in, settings out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from item2vec.errors import UsageError
from item2vec.tuning.config import TuneConfig
from item2vec.tuning.result import TuneResult
from item2vec.tuning.study import check_optuna

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from item2vec.sessions import Sessions
    from item2vec.tuning.search import Search, Tick


def tune(
    train: Sessions,
    validation: Sessions,
    *,
    base: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
    budget_seconds: float | None = None,
    n_trials: int | None = None,
    study_path: str | Path | None = None,
    first_targets: npt.NDArray[np.int64] | None = None,
    config: TuneConfig | None = None,
    show_progress: bool = False,
) -> TuneResult:
    """Search the settings of training and scoring that foretell the validation sessions best.

    Trial 0 has the settings of `base`, so the result is never worse than they are on the validation sessions.
    Every further trial is proposed by optuna's TPE sampler, trained on all of `train`, and given up early if
    it is behind after a quarter, half or three quarters of its epochs. Each training is scored in several
    ways (``scoring.…``), and has the value of the best. In the end the best trials and the base are ranked on
    all validation sessions, with paired intervals. With ``train.workers = 1`` and `n_trials` the same seed
    finds the same settings.

    Parameters
    ----------
    train : Sessions
        What is trained on.
    validation : Sessions
        What is foretold. Never the test sessions: keep them for one measurement afterwards.
    base : mapping, optional
        Settings to start from, such as ``{"epochs": 20, "scoring.decay": 0.6}``; the others have their
        defaults. Names without a dot are those of :class:`~item2vec.Item2Vec`.
    space : mapping, optional
        What is searched instead of :data:`~item2vec.tuning.DEFAULT_SPACE`: ``{"window": [3, 5, "session"],
        "alpha": {"low": 0.01, "high": 0.1, "log": True}}``. Ranges and choices are widened to hold the base's
        value.
    budget_seconds : float, optional
        Wall time of the search, of all calls for one `study_path` together. A training that cannot end in
        time is stopped, and redone when the study goes on. The last ranking comes on top.
    n_trials : int, optional
        Trials in all, likewise. One of the two must be given.
    study_path : path, optional
        Folder where the trials are kept: a search that was killed goes on there with the same call. Without
        it they are gone in the end.
    first_targets : ndarray of int64, shape (n_sessions,), optional
        Position of each validation session's first target, of booking sequences
        (``Split.validation_targets``).
    config : TuneConfig, optional
        How it is measured: metric, k, samples, seed.
    show_progress : bool
        Draw a bar with the best score so far.

    Returns
    -------
    TuneResult

    Raises
    ------
    MissingDependencyError
        Without optuna: ``pip install 'item2vec[tune]'``.
    UsageError
        If neither a budget nor a number of trials is given, the budget is too small for one training, or the
        folder holds another study. A ConfigError if settings or space are wrong.
    DataError
        If there is nothing to train on or to score, or `train` knows what happens in `validation`.
    LockedRunError
        If another process is at the study.
    TrainingError
        If training with `base` diverges.
    """
    began_cpu = time.process_time()
    check_optuna()
    _check_limits(budget_seconds, n_trials)
    from item2vec.tuning.finalists import rank_finalists
    from item2vec.tuning.problem import pose
    from item2vec.tuning.search import Search
    from item2vec.tuning.study import open_study

    if not isinstance(config, TuneConfig | None):
        raise UsageError(f"config is a TuneConfig(metric=..., k=...), not {type(config).__name__}")
    problem = pose(train, validation, base, space, first_targets, config or TuneConfig())
    passing = tempfile.TemporaryDirectory() if study_path is None else nullcontext(str(study_path))
    with passing as folder, _quiet_optuna():
        place = Path(folder) / "study" if study_path is None else Path(folder)
        with open_study(place, problem) as study, _bar(budget_seconds, n_trials, show_progress) as tick:
            search = Search(problem, study, budget_seconds, n_trials, tick)
            search.run()
            return rank_finalists(search, began_cpu)


def _check_limits(budget_seconds: Any, n_trials: Any) -> None:
    if budget_seconds is None and n_trials is None:
        raise UsageError("say how long to search: budget_seconds=1800, or n_trials=50")
    numbers = isinstance(budget_seconds, int | float) and not isinstance(budget_seconds, bool)
    if budget_seconds is not None and not (numbers and 0 < budget_seconds < float("inf")):
        raise UsageError(f"budget_seconds is {budget_seconds!r}; it must be a number of seconds above 0")
    whole = isinstance(n_trials, int) and not isinstance(n_trials, bool)
    if n_trials is not None and not (whole and n_trials >= 1):
        raise UsageError(f"n_trials is {n_trials!r}; it must be a whole number, at least 1")


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Leave the telling to us, and optuna's logging as it was."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def _bar(budget_seconds: float | None, n_trials: int | None, wanted: bool) -> Iterator[Tick]:
    """Draw how far the search is, with the best score so far."""
    by_trials = n_trials is not None
    total, unit = (n_trials, " trials") if by_trials else (round(budget_seconds or 0), " s")
    shape = "{desc} {percentage:3.0f} % |{bar}| {n_fmt} of {total_fmt}{unit}{postfix}"
    with tqdm(total=total, unit=unit, desc="tuning", disable=not wanted, bar_format=shape) as bar:

        def tick(search: Search) -> None:
            done = len(search.study.finished())
            at = done if by_trials else round(search.seconds)
            bar.update(min(max(at - bar.n, 0), total - bar.n))
            best = search.best
            if best is not None:
                found = {"best": f"{best.value:.2f} (trial {best.number})"}
                bar.set_postfix(found if by_trials else {"trials": done, **found}, refresh=False)

        yield tick
