"""Start the workers of a distributed training from Python: torchrun's processes, or Spark's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from item2vec.embeddings.distributed.folders import check_folders, taken
from item2vec.embeddings.item_vectors import ItemVectors
from item2vec.embeddings.train_worker import EXCHANGES_PER_EPOCH
from item2vec.errors import MissingDependencyError, TrainingError, UsageError

WORKER = "item2vec.embeddings.train_worker"


@dataclass(frozen=True)
class WorkerJob:
    """What every worker is told.

    Attributes
    ----------
    sessions : Path
        Folder of a sessions artifact, which all workers see.
    vectors : Path
        Folder of vectors to be made; there must be none yet.
    params : mapping
        Hyper-parameters of :class:`~item2vec.embeddings.Item2Vec` by name, but `workers`.
    exchanges_per_epoch : int
    threads : int
        Per worker.
    checkpoints : Path, optional
        Folder which all workers see; without it a restart begins at the first epoch.
    figures : Path, optional
        Where the first worker writes what training and exchanges took, JSON.
    """

    sessions: str | Path
    vectors: str | Path
    params: Mapping[str, Any] = field(default_factory=dict)
    exchanges_per_epoch: int = EXCHANGES_PER_EPOCH
    threads: int = 1
    checkpoints: str | Path | None = None
    figures: str | Path | None = None

    def arguments(self) -> list[str]:
        """Return the command line of a worker."""
        options = {"--exchanges-per-epoch": self.exchanges_per_epoch, "--threads": self.threads}
        line = [str(self.sessions), str(self.vectors)]
        for name, value in options.items():
            line += [name, str(value)]
        for name, value in self.params.items():  # JSON's scalars are TOML's
            if value is None:  # TOML has none; it is the default of those that may have it
                continue
            line += ["--set", f"{name}={json.dumps(value)}"]
        for name in ("checkpoints", "figures"):
            if getattr(self, name) is not None:
                line += [f"--{name}", str(getattr(self, name))]
        return line


def train_with_torchrun(job: WorkerJob, n_workers: int, max_restarts: int = 0) -> ItemVectors:
    """Train with so many processes on this machine; return what they published.

    Parameters
    ----------
    job : WorkerJob
    n_workers : int
    max_restarts : int
        How often all workers start again after one of them died.

    Raises
    ------
    UsageError
        If there is something at the place of the vectors.
    TrainingError
        If they fail; what they said is on the error stream.
    """
    _check(job, n_workers)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(n_workers), "--max-restarts", str(max_restarts)),
        *("-m", WORKER, *job.arguments()),
    ]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise TrainingError(f"the {n_workers} workers failed (exit code {code}); their reasons stand above")
    return ItemVectors.load(job.vectors)


def train_with_spark(job: WorkerJob, n_workers: int, use_gpu: bool = False) -> ItemVectors:
    """Train with so many tasks of the active Spark session, one worker each; return what they published.

    Every executor needs this package, and `job`'s paths must be the same for all of them and for the driver.
    The tasks start together or not at all: the cluster needs `n_workers` free slots.

    Parameters
    ----------
    job : WorkerJob
    n_workers : int
    use_gpu : bool
        Whether each worker gets a GPU of Spark's (``spark.task.resource.gpu.amount``), for engine="torch".

    Raises
    ------
    MissingDependencyError
        If PySpark is not installed.
    UsageError
        If no Spark session is active, or there is something at the place of the vectors.
    TrainingError
        If the workers fail.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.ml.torch.distributor import TorchDistributor
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingDependencyError(
            "training on Spark needs PySpark: pip install 'item2vec[spark]'"
        ) from error
    if SparkSession.getActiveSession() is None:
        raise UsageError("no Spark session is active; make one with SparkSession.builder.getOrCreate()")
    _check(job, n_workers)
    # Its defaults are the driver's own processes and GPUs.
    distributor = TorchDistributor(num_processes=n_workers, local_mode=False, use_gpu=use_gpu)
    try:
        # It hands all of this to torchrun; a module's name needs no file at one path on every executor.
        # A stage that Spark tries again has the same launch.
        distributor.run("-m", WORKER, *job.arguments(), "--launch", uuid.uuid4().hex)
    except (PySparkException, RuntimeError) as error:
        raise TrainingError(f"the {n_workers} workers on Spark failed: {error}") from error
    if not os.path.lexists(job.vectors):  # it does not pass on how torchrun ended
        raise TrainingError(
            f"the {n_workers} workers on Spark made no {job.vectors}; their reasons are on the executors'"
            " error streams (of a local Spark, above)"
        )
    return ItemVectors.load(job.vectors)


def _check(job: WorkerJob, n_workers: int) -> None:
    """Refuse what every worker would, and what a restarted one would take for its own."""
    if n_workers < 1:
        raise UsageError(f"{n_workers} workers train nothing; start one or more")
    places = [None if path is None else Path(path) for path in (job.checkpoints, job.figures)]
    check_folders(Path(job.sessions), Path(job.vectors), *places)
    if os.path.lexists(job.vectors):
        raise taken(job.vectors)
