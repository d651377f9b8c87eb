"""The run file that a search ends with: the run's own, comments and all, with the settings chosen."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from item2vec.artifacts.durable import replace_file
from item2vec.config import RunConfig, apply_overrides, section_models
from item2vec.errors import MissingDependencyError, RunError, UsageError
from item2vec.run.tuning import base_settings

if TYPE_CHECKING:
    from item2vec.tuning import TuneResult

HEAD = "# Tuned by item2vec tune: "
WIDTH = 110


def check_tuned_file(path: Path, run_file: Path) -> None:
    """Refuse, before the search, to put its result over something else.

    Raises
    ------
    UsageError
        If the file is the run's own, is there and was not written by a search, or cannot be written.
    MissingDependencyError
        Without tomlkit.
    """
    try:
        import tomlkit  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("tuning needs tomlkit: pip install 'item2vec[tune]'") from error
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file, such as {path / 'tuned.toml'}")
    if not path.exists():
        there = next(parent for parent in path.absolute().parents if parent.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise UsageError(
                f"{path} cannot be written, as {there} is no folder to write in; name another file"
            )
        return
    if path.resolve() == run_file.resolve():
        raise UsageError(f"{path} is the run file itself, which stays as it is; name another for the result")
    with open(path, encoding="utf-8", errors="replace") as handle:
        if not handle.readline().startswith(HEAD):
            raise UsageError(f"{path} is there and no search wrote it; name another file for the result")


def write_tuned_file(
    path: Path, run_file: Path, overrides: Sequence[str], name: str, result: TuneResult
) -> Path:
    """Write the run file with the chosen settings.

    Paths in a run file count from the folder where a command is started, so they stay right wherever the file
    lies. It keeps the run's name: what does not depend on the settings is not built again, and the gate
    compares the tuned release with the current one.

    Parameters
    ----------
    path : Path
        Where; what a search wrote there before is replaced.
    run_file : Path
        The run that was tuned.
    overrides : sequence of str
        What ``--set`` replaced in it.
    name : str
        The run's name.
    result : TuneResult

    Returns
    -------
    Path

    Raises
    ------
    RunError
        If the file cannot be written, or would be another run than the one that was chosen.
    """
    import tomlkit

    document: Any = tomlkit.parse(_without_head(run_file.read_text("utf-8-sig")))
    apply_overrides(document, overrides)
    document.setdefault("run", {})["name"] = name
    for dotted, value in result.changed.items():
        section, key = dotted.split(".")
        if section in section_models():
            document.setdefault(section, {})[key] = value
    text = _head(run_file, result) + "\n" + tomlkit.dumps(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    replace_file(path, text.encode(), scratch=scratch)
    _check_written(path, name, result)
    return path


def _check_written(path: Path, name: str, result: TuneResult) -> None:
    """Read it back: the file must be the run that was chosen."""
    tomllib.loads(path.read_text("utf-8"))
    config = RunConfig.from_toml(path)
    found = base_settings(config)
    told = {key: value for key, value in found.items() if value is not None}  # None: by the sessions
    wrong = [key for key, value in told.items() if result.settings.get(key, value) != value]
    if wrong or config.name != name:
        raise RunError(f"{path} does not hold what was chosen ({', '.join(wrong)}); this is a bug, report it")


def _without_head(text: str) -> str:
    """Drop what an earlier search wrote on top."""
    return text.split("\n\n", 1)[-1] if text.startswith(HEAD) else text


def _head(run_file: Path, result: TuneResult) -> str:
    """Say what was searched and found, as comments."""
    lines = [
        f"{run_file.name}, {result.counts()}, {result.cpu_seconds:,.0f} CPU seconds.",
        f"Searched: {', '.join(result.searched)}.",
        f"{result.metric} on {result.n_prefixes:,} prefixes of {result.n_sessions:,} validation sessions, %:"
        f" before {result.base_score}, now {result.score}, gained {result.gain} (paired).",
        *result.warnings(),
    ]
    wrapped = [line for one in lines for line in _wrapped(one)]
    return HEAD + "\n# ".join(wrapped) + "\n"


def _wrapped(line: str) -> list[str]:
    from textwrap import wrap

    return wrap(line, WIDTH - len(HEAD), break_long_words=False, break_on_hyphens=False)
