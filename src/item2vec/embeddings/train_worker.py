"""One worker of a distributed training, started once per process by torchrun or Spark's TorchDistributor.

    torchrun --nproc-per-node 2 --max-restarts 3 -m item2vec.embeddings.train_worker \
        SESSIONS VECTORS --config pipelines/demo.toml --checkpoints CHECKPOINTS

Each worker has a share of the sessions that no other has, trains it, and at the end of each epoch all
exchange what they learned; the first one publishes the vectors in one step. A worker that dies ends the
others, torchrun starts all of them again, and they go on from the last checkpoint. Without torchrun one
worker trains alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tomllib
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from item2vec.artifacts.durable import fsync_path, fsync_tree, make_folder, remove_tree
from item2vec.embeddings.distributed.communicator import Communicator, joined_workers
from item2vec.embeddings.distributed.folders import check_folders, check_writable, scratch_of, taken
from item2vec.errors import ConfigError, Item2VecError, RunError, UsageError
from item2vec.settings import read_toml

if TYPE_CHECKING:
    from item2vec.embeddings.distributed.model import SharedItem2Vec

_log = logging.getLogger(__name__)
HISTORY = "history.json"
LAUNCH = ".launch"  # in the vectors until all workers know of them
EXCHANGES_PER_EPOCH, MOST_EXCHANGES = 1, 1000


def _at_least(low: float, kind: type, high: float = float("inf")) -> Any:
    def number(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high or value == float("inf"):
            raise ValueError(text)
        return value

    number.__name__ = f"{kind.__name__} of at least {low}"  # argparse's message names it
    if high < float("inf"):
        number.__name__ += f" and at most {high:,}"
    return number


def parser() -> argparse.ArgumentParser:
    """Return the command line of a worker."""
    made = argparse.ArgumentParser(
        prog="train_worker", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, whole = made.add_argument, _at_least(1, int)
    add("sessions", type=Path, help="folder of a sessions artifact, which all workers see")
    add("vectors", type=Path, help="folder of vectors that the first worker makes; there must be none yet")
    add("--config", type=Path, metavar="TOML", help="run file whose [train] is used, as far as it says")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a hyper-parameter; goes before it")
    add("--threads", type=whole, default=1, help="per worker; with 1 (default) the same seed and number of"
        " workers give the same bytes")  # fmt: skip
    add("--exchanges-per-epoch", type=_at_least(1, int, MOST_EXCHANGES), default=EXCHANGES_PER_EPOCH,
        help="default: %(default)s; two or more help from 8 workers on, and cost time")  # fmt: skip
    add("--checkpoints", type=Path, metavar="DIR", help="folder which all workers see; without it a restart"
        " begins at the first epoch")  # fmt: skip
    add("--checkpoint-every", type=whole, default=1, metavar="EPOCHS", help="default: %(default)s")
    add("--figures", type=Path, metavar="JSON", help="where the first worker writes what training and"
        " exchanges took")  # fmt: skip
    add("--launch", metavar="ID", help="name that no other start has: a worker that comes again takes"
        " vectors of this launch for its own; default: torchrun's --rdzv-id")  # fmt: skip
    add("--timeout-minutes", type=_at_least(0.01, float), default=10.0, metavar="MINUTES",
        help="a worker that does not answer for so long is lost; default: %(default)s")  # fmt: skip
    return made


def hyperparameters(options: argparse.Namespace) -> dict[str, Any]:
    """Return the hyper-parameters that ``--config``, ``--set`` and ``--threads`` state.

    Raises
    ------
    ConfigError, UsageError
        If the file cannot be read or a part of the command line is no setting.
    """
    params: dict[str, Any] = {}
    if options.config is not None:
        document = read_toml(options.config, "run file", "pipelines/ has some")
        if not isinstance(document.get("train"), dict):
            raise ConfigError(f"{options.config} has no section [train]; pipelines/demo.toml shows one")
        params |= document["train"]
        params.pop("checkpoint_every", None)  # of the run's, not of training
    for setting in options.set:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting!r} is no NAME=VALUE, such as --set vector_size=64")
        if name == "workers":
            raise UsageError("--set workers: torchrun says how many there are, --threads their threads")
        try:
            params[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:  # text needs no quotes
            params[name] = text
    return params | {"workers": options.threads}


def publish(model: SharedItem2Vec, folder: Path, launch: str | None = None) -> None:
    """Put the vectors and their history under their name in one step: there is all of them or nothing.

    The launch, if it is known, lies with them for workers that come again.

    Raises
    ------
    RunError
        If they cannot be written, or there is something under that name by now.
    """
    scratch = scratch_of(folder)
    # No clock in what is published: the same training must write the same bytes.
    history = [{k: e[k] for k in e if k != "tokens_per_second"} for e in model.history_]
    try:
        make_folder(folder.parent)
        remove_tree(scratch)  # a killed worker may have left one
        model.item_vectors_.save(scratch)
        (scratch / HISTORY).write_text(json.dumps(history, indent=1, sort_keys=True), "utf-8")
        if launch is not None:
            (scratch / LAUNCH).write_text(launch, "utf-8")
        fsync_tree(scratch)
        os.rename(scratch, folder)
        fsync_path(folder.parent)
    except OSError as error:
        raise RunError(
            f"the vectors cannot be published as {folder}: {error}; make room, or choose another name"
        ) from error


def _launch(options: argparse.Namespace) -> str | None:
    """Return the name of this launch; None if it has none."""
    return options.launch or os.environ.get("TORCHELASTIC_RUN_ID") or None


def _is_of_one_launch(options: argparse.Namespace) -> bool:
    """Tell whether the next launch has another name for certain, or this start is a restart."""
    if options.launch is not None or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")):
        return True
    try:
        uuid.UUID(os.environ.get("TORCHELASTIC_RUN_ID"))
    except (TypeError, ValueError):
        return False
    return True


def _published(options: argparse.Namespace) -> bool:
    """Tell whether this launch published before this process was started.

    torchrun counts restarts, but not those of a changed membership; a stage that Spark tries again begins at
    none as well. What lay there before the launch has not its name: a restart must not take it for its own.
    """
    folder, launch = options.vectors, _launch(options)
    if not os.path.lexists(folder):
        return False
    with suppress(OSError):  # no file, or no folder
        if launch and _is_of_one_launch(options) and (folder / LAUNCH).read_bytes() == launch.encode():
            return True
    raise taken(folder)


def train(options: argparse.Namespace, communicator: Communicator) -> None:
    """Train this worker's share with the others; the first worker publishes."""
    from item2vec.embeddings.distributed.model import SharedItem2Vec
    from item2vec.sessions.shares import load_share

    model = SharedItem2Vec().set_params(**hyperparameters(options))
    model.join(communicator, options.exchanges_per_epoch)
    model.fit(
        load_share(options.sessions, communicator.rank, communicator.size),
        checkpoint_dir=options.checkpoints,
        checkpoint_every=options.checkpoint_every,
        callbacks=[_tell] if communicator.rank == 0 else [],
        show_progress=False,
    )
    if communicator.rank == 0:
        publish(model, options.vectors, _launch(options))
        _log.info("vectors in %s", options.vectors)
        if options.figures is not None:
            figures = asdict(model.engine_.figures) | {"history": model.history_}
            options.figures.write_text(json.dumps(figures, indent=1), "utf-8")


def _end_together(folder: Path, communicator: Communicator) -> None:
    communicator.sum(np.zeros(1))  # a worker that ended before would count as lost
    if communicator.rank == 0:
        with suppress(NotADirectoryError):
            (folder / LAUNCH).unlink(missing_ok=True)  # the same training publishes the same bytes


def _tell(epoch: dict[str, float]) -> None:
    _log.info(
        *("epoch %d: loss %.4f, %s clicks/s",),
        *(epoch["epoch"], epoch["loss"], f"{epoch['tokens_per_second']:,.0f}"),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one worker; return its exit code."""
    options = parser().parse_args(arguments)
    rank = os.environ.get("RANK", "0")
    level = logging.INFO if rank == "0" else logging.WARNING
    logging.basicConfig(level=level, format=f"worker {rank}: %(message)s", stream=sys.stderr)
    try:
        check_folders(options.sessions, options.vectors, options.checkpoints, options.figures)
        published = _published(options)
        if rank == "0" and not published:
            check_writable(options.vectors)
        with joined_workers(options.timeout_minutes) as communicator:
            if not published:
                train(options, communicator)
            _end_together(options.vectors, communicator)
    except Item2VecError as error:
        _log.error("%s: %s", type(error).__name__, error)
        return error.exit_code
    except KeyboardInterrupt:
        _log.error("interrupted%s", "; the same command goes on" if options.checkpoints else "")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
