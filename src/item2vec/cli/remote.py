"""``item2vec push`` and ``item2vec pull``: a run's release on an object store."""

from __future__ import annotations

from typing import Annotated

import typer

from item2vec.cli.options import RUNS, Debug, RunFolderArgument, RunsDir, plain_errors, run_folder
from item2vec.cli.show import number, say

Url = Annotated[str, typer.Argument(metavar="s3://BUCKET/PREFIX", help="Where the run lies in the store.")]
Wanted = Annotated[str | None, typer.Option(help="Another release than the current one.")]


@plain_errors
def push(
    run: RunFolderArgument,
    url: Url,
    release: Wanted = None,
    runs_dir: RunsDir = RUNS,
    debug: Debug = False,
) -> None:
    """Publish a run's release on an object store: S3, or what speaks its language.

        item2vec push demo s3://bucket/demo

    Readers see the old release there until all of the new one is written and read back. Of two pushes at once
    exactly one wins; the other is told so. Credentials and address are every AWS tool's: AWS_PROFILE or
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL for another store than Amazon's.

    i2v.load("s3://bucket/demo") and `item2vec pull` read it; `item2vec rollback s3://bucket/demo` goes back.
    """
    from item2vec.artifacts import RunFolder
    from item2vec.artifacts import push as push_release

    done = push_release(RunFolder(run_folder(run, runs_dir)), url, release)
    name = done.release.id[:12]
    if done.before == done.release.id:
        say(
            f"{url}: release {name} is current already; every file of it verified,"
            f" {done.files} files written again"
        )
        return
    sent = f"{done.files} files sent, {number(done.bytes / 1e6)} MB"
    left = "" if done.before is None else f"; before: {done.before[:12]}, which is kept"
    say(f"{url}: release {name} is current now, every file of it verified ({sent}{left})")


@plain_errors
def pull(
    url: Url,
    run: RunFolderArgument,
    release: Wanted = None,
    runs_dir: RunsDir = RUNS,
    debug: Debug = False,
) -> None:
    """Fetch a release of an object store into a run's folder and make it the current one there.

        item2vec pull s3://bucket/demo demo

    Every file is compared with its manifest; what lies there already is not fetched again. `item2vec serve`
    on that folder follows.
    """
    from item2vec.artifacts import RunFolder
    from item2vec.artifacts import pull as pull_release

    folder = run_folder(run, runs_dir)
    pulled = pull_release(url, RunFolder(folder), release)
    say(f"{folder}: release {pulled.id[:12]} of {url} is current now, every file of it verified")
