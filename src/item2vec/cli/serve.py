"""``item2vec serve``: a run over HTTP."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from item2vec.cli.options import RUNS, Debug, RunFolderArgument, RunsDir, plain_errors, run_folder
from item2vec.errors import MissingDependencyError, RunError, UsageError

if TYPE_CHECKING:
    from item2vec.serving.settings import ServeSettings

HEADER_SECONDS = 10
DRAIN_SECONDS = 15
_APP = "item2vec.run.server:app"


class Server(StrEnum):
    """What speaks HTTP."""

    granian = "granian"
    uvicorn = "uvicorn"


@plain_errors
def serve(
    run: RunFolderArgument,
    host: Annotated[
        str, typer.Option(help="Address to listen at; other than this machine needs a token.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port.")] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes. Items can be changed live where there is one.")
    ] = 1,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the bearer token; without it ITEM2VEC_TOKEN, if that is set."),
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="SQLite file for users' events; RUN/history.db by default.")
    ] = None,
    redis: Annotated[
        str | None, typer.Option(metavar="URL", help="Users' events in Redis instead: redis://host:6379/0.")
    ] = None,
    served_log: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write what is shown to whom, as Parquet files.")
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Stay with this release; by default the current one is followed.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="RELEASE:SHARE", help="A second release for a share of the users, as 4f1c:0.1."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name that requests may call the server by, beside this machine's own; may be repeated.",
        ),
    ] = None,
    server: Annotated[Server, typer.Option(help="What speaks HTTP.")] = Server.granian,
    poll_seconds: Annotated[
        float, typer.Option(min=0.05, max=3600, help="How often a new release is looked for.")
    ] = 5.0,
    tiles: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Tiles of the explorer's map, with {z}, {x}, {y}; by default none."),
    ] = None,
    tiles_credit: Annotated[str, typer.Option(help="Whose tiles they are, shown on the map.")] = "",
    runs_dir: RunsDir = RUNS,
    debug: Debug = False,
) -> None:
    """Serve a run: similar items, items for users, features for a ranker.

    On this machine, without a token everything can be read and nothing written:

        item2vec serve demo

        curl 'http://127.0.0.1:8000/v1/items?k=3'

        curl 'http://127.0.0.1:8000/v1/items/L0000001/similar?k=5&market=Paris&max_price=90'

    People look at it in a browser, at http://127.0.0.1:8000/explore.

    For others, with a token and what was shown kept for measuring:

        openssl rand -hex 32 > token

        item2vec serve demo --host 0.0.0.0 --token-file token --served-log served

    A release that `item2vec run` publishes is checked, loaded and swapped in while requests are answered; a
    damaged one is refused and the old one stays (`/readyz` tells). Ten percent of the users get another one:

        item2vec serve demo --split 4f1c22aa:0.1

    The routes are in `/openapi.json`; `/livez`, `/readyz` and `/metrics` are for whoever watches it. One JSON
    line per request goes to standard output. SIGTERM ends it when the requests at work are answered.
    """
    from item2vec.artifacts import read_release
    from item2vec.serving.places import check_history, check_served_log
    from item2vec.serving.settings import ServeSettings, Split, check_split, checked_tiles, is_loopback

    folder = run_folder(run, runs_dir)
    token = _token(token_file)
    if not is_loopback(host) and token is None:
        raise UsageError(
            f"{host} can be reached from other machines: give --token-file (make a token with:"
            " openssl rand -hex 32), or listen at 127.0.0.1"
        )
    if history is not None and redis is not None:
        raise UsageError("histories are kept in one place: give --history or --redis")
    several = None if split is None else Split(**_split(split))
    found = [read_release(folder, one) for one in (release, None if several is None else several.release)]
    if several is not None:
        check_split(found[0].id, found[1].id)
    settings = ServeSettings(
        run=folder.absolute(),
        release=release,
        split=several,
        history=redis if history is None else f"sqlite:///{history.absolute()}",
        served_log=None if served_log is None else served_log.absolute(),
        workers=workers,
        poll_seconds=poll_seconds,
        allowed_hosts=_hosts(allowed_host or ()),
        tiles=None if tiles is None else checked_tiles(tiles),
        tiles_credit=tiles_credit,
    )
    if settings.served_log is not None:
        check_served_log(settings.served_log)
    check_history(settings.history_url)
    _check_address(host, port)
    _serve(server, settings, token, host, port)


def _token(path: Path | None) -> str | None:
    from item2vec.run.server import TOKEN
    from item2vec.serving.settings import checked_token

    if path is None:
        text = os.environ.get(TOKEN)
        return checked_token(text) if text else None
    try:
        return checked_token(path.read_text(encoding="ascii"))
    except (OSError, UnicodeError) as error:
        raise UsageError(f"no token can be read from {path}: {error}") from error


def _hosts(names: Sequence[str]) -> tuple[str, ...]:
    from item2vec.serving.settings import checked_host

    return tuple(checked_host(one) for one in names)


def _split(text: str) -> dict[str, Any]:
    name, _, share = text.partition(":")
    try:
        found = float(share)
    except ValueError:
        found = 0.0
    if not name or len(name) > 32 or not 0 < found < 1:
        raise UsageError("--split is RELEASE:SHARE, the share between 0 and 1, as in 4f1c22aa:0.1")
    return {"release": name, "share": found}


def _serve(server: Server, settings: ServeSettings, token: str | None, host: str, port: int) -> None:
    """Run the server until it is told to end; its workers find their settings in the environment."""
    from item2vec.run.server import SETTINGS, TOKEN
    from item2vec.run.shared_figures import figures_folder

    os.environ[SETTINGS] = settings.to_json()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the engine has it; before its buffers are made
    os.environ.pop(TOKEN, None)
    if token is not None:
        os.environ[TOKEN] = token
    start = _granian if server is Server.granian else _uvicorn
    with ExitStack() as until_the_end:
        if settings.workers > 1:
            folder = until_the_end.enter_context(figures_folder())
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        try:
            start(host, port, settings.workers)
        except ImportError as error:
            raise MissingDependencyError(
                f"serving needs a server ({error}); run: pip install 'item2vec[serve]'"
            ) from error
        except SystemExit as end:
            if not end.code:
                return
            raise RunError(
                "the server ended by itself; the last lines of its log say why (a port in use, a damaged"
                " release, a history store that cannot be opened)"
            ) from None


def _granian(host: str, port: int, workers: int) -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    os.register_at_fork(before=_hold_the_end, after_in_parent=_let_go, after_in_child=_let_it_be_ended)
    try:
        Granian(
            _APP,  # only named: found by our own import, or a folder of that name would come first
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            workers=workers,
            http=HTTPModes.http1,
            websockets=False,
            log_level=LogLevels.warning,
            log_access=False,
            http1_settings=HTTP1Settings(header_read_timeout=1000 * HEADER_SECONDS),
            workers_kill_timeout=DRAIN_SECONDS,
            respawn_failed_workers=workers > 1,
        ).serve(target_loader=_application)
    except (OSError, RuntimeError) as error:
        raise _cannot_listen(host, port, error) from error


def _check_address(host: str, port: int) -> None:
    """Refuse an address that is taken: granian shares it (SO_REUSEPORT) with whoever listens there already.

    SO_REUSEADDR never shares with a listener on POSIX; without it, connections of a server that has just
    ended would keep the next one from starting for a minute.
    """
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error


def _cannot_listen(host: str, port: int, error: Exception) -> RunError:
    return RunError(f"cannot listen at {host}:{port}: {error}; choose another --port")


def _hold_the_end() -> None:
    """Keep SIGTERM for later while a worker is forked: one that came now would meet its parent's handler."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_go() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _let_it_be_ended() -> None:
    """Let a worker that is still loading be ended: until it serves it would have its parent's handler."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_go()


def _application(target: str) -> Any:
    """Return the application, in a worker."""
    from item2vec.run.server import app

    return app()


def _uvicorn(host: str, port: int, workers: int) -> None:
    import uvicorn

    uvicorn.run(
        _APP,
        host=host,
        port=port,
        workers=workers,
        factory=True,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
