"""The trials of a search in a folder: one writer, safe against a kill, and of one search only."""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from item2vec.artifacts.durable import make_folder, remove_tree, replace_file
from item2vec.errors import CorruptArtifactError, LockedRunError, MissingDependencyError, UsageError
from item2vec.tuning.problem import Problem

if TYPE_CHECKING:
    import optuna

    from item2vec.embeddings import ItemVectors

JOURNAL = "journal.log"
SEARCH = "search.json"
NAME = "item2vec"
TOLD = {"config": "metric, k, samples or seed of the search"}
PRUNED_BELOW = 60
"""A training goes on while it is among the best 60 % of the complete ones at the same share of its epochs."""


def check_optuna() -> None:
    """Refuse a search before any work if its library is missing.

    Raises
    ------
    MissingDependencyError
    """
    try:
        with warnings.catch_warnings():  # in a notebook without ipywidgets tqdm, which optuna imports, warns
            warnings.filterwarnings("ignore", message="IProgress not found")
            import optuna  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("tuning needs optuna: pip install 'item2vec[tune]'") from error


class _OneWriter:
    """Optuna's lock of its journal, not needed: the folder has one writer, whose death frees it at once.

    Optuna's own are files, which a killed writer leaves behind.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


@contextmanager
def open_study(folder: Path, problem: Problem) -> Iterator[Study]:
    """Hold a folder for one search.

    Parameters
    ----------
    folder : Path
        New, or that of the same search.
    problem : Problem

    Raises
    ------
    UsageError
        If the folder holds another search, or something else.
    LockedRunError
        If another process is at it.
    CorruptArtifactError
        If its journal cannot be read.
    """
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / ".lock").exists())
    ):
        raise UsageError(f"{folder} is there and holds no study; choose another place, or an empty folder")
    make_folder(folder)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedRunError(
                f"another process tunes in {folder}; wait for it, or choose another"
            ) from error
        _check_same(folder, problem)
        yield Study(folder, _load(folder, problem.config.seed))
    finally:
        os.close(handle)  # closing is what frees an flock


def _check_same(folder: Path, problem: Problem) -> None:
    """Refuse the folder of another search, and say what differs."""
    path = folder / SEARCH
    if not path.exists():
        body = json.dumps(problem.parts, indent=1, sort_keys=True) + "\n"
        scratch = folder / f"{SEARCH}.tmp"
        scratch.unlink(missing_ok=True)  # a killed search may have left one
        replace_file(path, body.encode(), scratch=scratch)
        return
    try:
        before = dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise CorruptArtifactError(
            f"{path} cannot be read: {error}; delete {folder} to start over"
        ) from error
    names = [name for name, one in problem.parts.items() if before.get(name) != one]
    if names:
        told = ", ".join(TOLD.get(name, name) for name in names)
        raise UsageError(
            f"{folder} holds the study of another search: other {told}. Delete the folder to start over, or"
            " name another for this one (study_path, --study)"
        )


def _load(folder: Path, seed: int) -> optuna.Study:
    """Open the journal, without the half line that a killed writer may have left."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal = folder / JOURNAL
    if journal.exists():
        body = journal.read_bytes()
        whole = body.rfind(b"\n") + 1
        if whole < len(body):
            os.truncate(journal, whole)
    pruner = optuna.pruners.PercentilePruner(PRUNED_BELOW, n_startup_trials=1)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=_OneWriter()))
        return optuna.create_study(
            storage=storage, study_name=NAME, direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise CorruptArtifactError(
            f"{journal} cannot be read: {error}; delete {folder} to start over"
        ) from error


class Study:
    """The trials so far, and the vectors of the best of them."""

    def __init__(self, folder: Path, study: optuna.Study) -> None:
        self.folder = folder
        self.optuna = study

    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that ended by themselves, in their order: complete, or given up as hopeless."""
        from optuna.trial import TrialState

        return list(self.optuna.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))

    def complete(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials with a value, in their order."""
        from optuna.trial import TrialState

        return list(self.optuna.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))

    def start(self, base: dict[str, Any]) -> None:
        """Put the base first, and what was interrupted before everything else.

        An interrupted trial is one that somebody left running: it fails now, and its settings are asked
        again.
        """
        from optuna.trial import TrialState

        for trial in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.optuna.tell(trial.number, state=TrialState.FAIL)
        trials = self.optuna.get_trials(deepcopy=False)
        redone = {trial.user_attrs.get("redo_of") for trial in trials}
        for trial in trials:
            if trial.state == TrialState.FAIL and trial.number not in redone:
                first = "base" in trial.user_attrs
                told = {"base": True} if first else {}
                self.optuna.enqueue_trial(base if first else trial.params, {**told, "redo_of": trial.number})
        if not any("base" in trial.user_attrs for trial in trials):
            self.optuna.enqueue_trial(base, {"base": True})

    def vectors_path(self, number: int) -> Path:
        """Return where the vectors of a trial lie, if they are kept."""
        return self.folder / "vectors" / str(number)

    def keep(self, number: int, vectors: ItemVectors) -> None:
        """Keep the vectors of a trial."""
        path = self.vectors_path(number)
        remove_tree(path)
        path.parent.mkdir(exist_ok=True)
        vectors.save(path)

    def keep_only(self, numbers: Sequence[int]) -> None:
        """Remove the vectors of all other trials."""
        for path in (self.folder / "vectors").glob("*"):
            if path.name not in set(map(str, numbers)):
                remove_tree(path)
