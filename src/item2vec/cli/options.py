"""Options that the commands share, and how their failures are told."""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from item2vec.errors import Item2VecError, RunError, UsageError, of_the_system

RUNS = Path("runs")
INTERRUPTED = 130  # 128 + SIGINT, what a shell reports
UNEXPECTED = 1
_FOREIGN = re.compile("[\ud800-\udfff]")  # how Python spells the bytes of a name that is not UTF-8


def _runs(incomplete: str) -> list[str]:
    return sorted(
        str(path.parent) for path in Path("runs").glob("*/CURRENT") if str(path).startswith(incomplete)
    )


RunFile = Annotated[
    Path,
    typer.Argument(
        metavar="RUN.toml", help="The run's settings; pipelines/ holds commented ones to start from."
    ),
]
RunFolderArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's folder (runs/demo) or just its name.", autocompletion=_runs),
]
RunsDir = Annotated[Path, typer.Option("--runs-dir", metavar="DIR", help="The folder that holds the runs.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="Replace one setting of the file; may be repeated."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Progress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--no-progress", help="Bars inside long stages; by default if a person is watching."
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and log more.")]


def wants_bars(progress: bool | None, quiet: bool) -> bool:
    """Decide about progress bars: on request, else when standard error is a terminal."""
    return not quiet and (sys.stderr.isatty() if progress is None else progress)


def run_folder(run: str, runs_dir: Path) -> Path:
    """Return the folder of a run that is given by its name or by its path.

    Raises
    ------
    UsageError
        If it is given by where it lies in an object store.
    """
    if run.startswith("s3://"):
        name = run.rstrip("/").rpartition("/")[2]
        raise UsageError(
            f"{run} lies in an object store, and this command reads local runs:"
            f" item2vec pull {run} {name} first"
        )
    path = Path(run)
    if path.name != run:  # a path: it says itself where the runs lie
        return path
    return path if path.is_dir() and not (runs_dir / run).is_dir() else runs_dir / run


def plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn failures into one message and an exit code.

    0 fine, 1 a bug, 2 bad usage or settings, 3 bad data, 4 the run failed, 5 the gate refused the release,
    130 interrupted.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, debug: bool = False, **options: Any) -> None:
        logging.basicConfig(format="%(levelname)s: %(message)s")
        logging.getLogger("item2vec").setLevel(logging.DEBUG if debug else logging.WARNING)
        try:
            command(*args, **options)
        except KeyboardInterrupt:
            _fail("interrupted; finished stages are kept, run the same command to go on", INTERRUPTED)
        except (typer.Exit, typer.Abort):
            raise
        except MemoryError:
            _fail(
                "not enough memory; give the run more, or less to do at once (memory_limit)",
                RunError.exit_code,
            )
        except Exception as error:
            if debug:
                traceback.print_exception(error)
            if isinstance(error, Item2VecError):
                _fail(str(error), error.exit_code)
            if isinstance(error, UnicodeEncodeError) and _FOREIGN.search(error.object):
                _fail(
                    f"{error.object!r} holds bytes that are no UTF-8 text, which the libraries that write"
                    " files cannot name; rename the file or folder",
                    UsageError.exit_code,
                )
            if isinstance(error, OSError) and of_the_system(error):  # no bug
                _fail(str(_refused(error)), RunError.exit_code)
            _fail(
                f"unexpected {type(error).__name__}: {error}; this is a bug: please report it with the"
                " traceback that --debug shows",
                UNEXPECTED,
            )

    return wrapped


def _refused(error: OSError) -> RunError:
    """Say what the operating system refused, where, and what to try."""
    where = error.filename2 or error.filename
    place = f"{os.fsdecode(where)}: " if isinstance(where, str | bytes | os.PathLike) else ""
    return RunError(
        f"{place}{error.strerror or error}; choose another place, or check its permissions and free space"
        " and run the same command again"
    )


def _fail(message: str, code: int) -> NoReturn:
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(message, err=True)
    raise typer.Exit(code)
