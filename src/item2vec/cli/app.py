"""The commands. Heavy libraries are imported inside them, so that ``--help`` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from item2vec.cli.compare import compare
from item2vec.cli.export import export
from item2vec.cli.options import (
    RUNS,
    Debug,
    Overrides,
    Progress,
    Quiet,
    RunFile,
    RunFolderArgument,
    RunsDir,
    plain_errors,
    run_folder,
    wants_bars,
)
from item2vec.cli.remote import pull, push
from item2vec.cli.serve import serve
from item2vec.cli.tune import tune
from item2vec.errors import RunError

app = typer.Typer(
    name="item2vec",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 fine · 1 a bug · 2 wrong usage or settings · 3 bad data · 4 the run failed ·"
        " 5 the gate refused the release · 130 interrupted."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from item2vec import __version__

        typer.echo(f"item2vec {__version__}")
        raise typer.Exit


@app.callback()
def item2vec(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Listing embeddings from session logs: train, index, recommend and measure.

    A run is one TOML file. Start with the simulated marketplace:

        item2vec run pipelines/demo.toml

        item2vec show demo

    Each stage command runs everything up to and including its stage; what is already done is skipped.
    """


def _run(
    file: Path,
    until: str | None,
    runs_dir: Path,
    overrides: list[str] | None,
    quiet: bool,
    progress: bool | None,
    accept: str | None = None,
) -> None:
    from item2vec.cli.releases import print_collected
    from item2vec.cli.show import StagePrinter, print_objects, print_summary
    from item2vec.config import RunConfig
    from item2vec.run import run_pipeline

    config = RunConfig.from_toml(file, overrides or ())
    result = run_pipeline(
        config,
        runs_dir,
        until=until,
        accept=accept,
        notify=StagePrinter(quiet),
        show_progress=wants_bars(progress, quiet),
    )
    if quiet:
        return
    if result.release is None:
        print_objects(result)
    else:
        print_summary(result.release)
        print_collected(result.collected)


def _stage_command(name: str, stage: str, text: str) -> None:
    """Register the command that runs up to and including one stage."""

    @app.command(name, help=f"{text}\n\nExample:\n\n    item2vec {name} pipelines/demo.toml")
    @plain_errors
    def command(
        file: RunFile,
        runs_dir: RunsDir = RUNS,
        overrides: Overrides = None,
        quiet: Quiet = False,
        progress: Progress = None,
        debug: Debug = False,
    ) -> None:
        _run(file, stage, runs_dir, overrides, quiet, progress)


@app.command()
@plain_errors
def simulate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="OUT_DIR|RUN.toml", help="A new folder for the log, or a run with [simulate]."
        ),
    ],
    users: Annotated[int | None, typer.Option(min=1, help="Number of users.")] = None,
    listings: Annotated[int | None, typer.Option(min=1, help="Number of listings.")] = None,
    markets: Annotated[int | None, typer.Option(min=1, help="Number of markets (cities).")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Length of the log in days.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed; the same seed writes the same files.")
    ] = None,
    runs_dir: RunsDir = RUNS,
    overrides: Overrides = None,
    quiet: Quiet = False,
    progress: Progress = None,
    debug: Debug = False,
) -> None:
    """Simulate a marketplace whose hidden truth is known: a log, a catalogue, and the truth beside them.

    Into a folder of your own (every setting of [simulate] works with --set simulate.KEY=VALUE):

        item2vec simulate /tmp/log --users 5000 --markets 4 --seed 7

        item2vec simulate /tmp/log --set simulate.taste=false

    Or as the first stage of a run:

        item2vec simulate pipelines/demo.toml
    """
    sizes = {"n_users": users, "n_listings": listings, "n_markets": markets, "days": days, "seed": seed}
    given = [f"simulate.{key}={value}" for key, value in sizes.items() if value is not None]
    if target.endswith(".toml"):
        _run(Path(target), "simulate", runs_dir, [*(overrides or ()), *given], quiet, progress)
        return
    from item2vec.cli.show import print_places
    from item2vec.config import simulation_config
    from item2vec.marketplace import simulate as write_marketplace

    config = simulation_config([*(overrides or ()), *given])
    folder = write_marketplace(target, config, show_progress=wants_bars(progress, quiet))
    if not quiet:
        print_places(
            {"log": folder / "events", "catalogue": folder / "items.parquet", "truth": folder / "truth"}
        )


_stage_command(
    "import", "events", "Read a raw log into the typed event table; refused rows keep their reason."
)
_stage_command("sessions", "sessions", "Cut the events into click sessions or booking sequences.")
_stage_command("train", "embeddings", "Train the item vectors on the sessions.")
_stage_command("index", "index", "Build the nearest-neighbour index and measure its recall.")
_stage_command("recommend", "recommendations", "Write the table of similar items of every item.")
_stage_command("evaluate", "evaluation", "Measure a twin model on held-out sessions and write the report.")


@app.command()
@plain_errors
def run(
    file: RunFile,
    runs_dir: RunsDir = RUNS,
    overrides: Overrides = None,
    accept: Annotated[
        str | None,
        typer.Option(metavar="NOTE", help="Publish what the gate refuses; the note is kept in the release."),
    ] = None,
    quiet: Quiet = False,
    progress: Progress = None,
    debug: Debug = False,
) -> None:
    """Run every stage that is not already done, then publish the release if it is no worse.

    The whole way on a simulated marketplace, then once more under another name, with other settings:

        item2vec run pipelines/demo.toml

        item2vec run pipelines/demo.toml --set train.epochs=3 --set run.name=short

    Before publishing, the gate compares the release with the current one: Recall, coverage, items gone and
    new, the index, refused rows, events by type. If it is worse, nothing is published, the reasons are told
    and the exit code is 5. What is worse on purpose is accepted with a note; the finished stages are there:

        item2vec run my.toml --accept "the Paris catalogue was withdrawn"

    Every night, over a window of days (pipelines/daily.sh passes the date):

        item2vec run pipelines/daily.toml --set events.as_of=2025-03-31
    """
    _run(file, None, runs_dir, overrides, quiet, progress, accept)


@app.command()
@plain_errors
def rollback(
    run: RunFolderArgument,
    to: Annotated[
        str | None, typer.Option(metavar="RELEASE", help="The release, or the first digits of its id.")
    ] = None,
    runs_dir: RunsDir = RUNS,
    debug: Debug = False,
) -> None:
    """Go back to an earlier release: the one before the current one, or the one that is named.

    Every file of it is verified first; then readers see it from one moment to the next. Nothing is removed.

        item2vec rollback demo

        item2vec show demo --releases

        item2vec rollback demo --to a226beda

        item2vec rollback s3://bucket/demo

    The next `item2vec run` is compared with the release you went back to. The same data and settings as
    before make the same release again: mend what was wrong first.
    """
    from item2vec.cli.releases import roll_back

    roll_back(run, runs_dir, to)


@app.command()
@plain_errors
def show(
    run: RunFolderArgument,
    runs_dir: RunsDir = RUNS,
    release: Annotated[str | None, typer.Option(help="Another release than the current one.")] = None,
    releases: Annotated[
        bool, typer.Option("--releases", help="List all releases: time, Recall, gate, notes.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its manifest.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Show a run's release: its stages, figures, what the gate found, and where its files are.

    item2vec show demo

    item2vec show runs/demo --verify --json

    item2vec show demo --releases
    """
    from item2vec.errors import UsageError

    folder = run_folder(run, runs_dir)
    if releases:
        if release is not None or verify:
            raise UsageError("--releases lists all of them; --release and --verify are about one")
        from item2vec.cli.releases import print_releases

        print_releases(folder, as_json=as_json)
        return
    from item2vec.artifacts import read_release
    from item2vec.cli.show import print_release

    print_release(read_release(folder, release), verify=verify, as_json=as_json)


for command in (tune, compare, export, serve, push, pull):
    app.command()(command)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line (the ``item2vec`` script)."""
    from item2vec.cli.streams import prepare_streams

    lost = prepare_streams()
    try:
        return app(arguments)
    except SystemExit as end:
        if (reason := lost()) is None:
            raise
        done = "the work itself is done, only its output is lost" if not end.code else "its output is lost"
        typer.echo(f"error: standard output: {reason}; {done}", err=True)
        raise SystemExit(end.code or RunError.exit_code) from None
