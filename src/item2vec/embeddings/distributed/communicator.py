"""How workers talk: one verb, the sum over all of them, on torch.distributed (gloo)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import numpy.typing as npt

from item2vec.embeddings.distributed.meeting import fresh_store
from item2vec.errors import TrainingError


class Communicator(Protocol):
    """The narrow door of the exchange."""

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""

    @property
    def size(self) -> int:
        """How many workers there are."""

    def sum(self, array: npt.NDArray[Any]) -> None:
        """Replace a contiguous array by the sum of all workers' arrays, the same bytes on each of them."""


class Alone:
    """One worker without others."""

    rank, size = 0, 1

    def sum(self, array: npt.NDArray[Any]) -> None:
        """Leave the array as it is."""


class TorchGroup:
    """The workers of torch.distributed's default process group."""

    def __init__(self) -> None:
        import torch.distributed

        self._distributed = torch.distributed
        self.rank: int = torch.distributed.get_rank()
        self.size: int = torch.distributed.get_world_size()

    def sum(self, array: npt.NDArray[Any]) -> None:
        """Sum over the group, in place.

        Raises
        ------
        TrainingError
            If a worker is gone or does not answer in time.
        """
        import torch

        try:
            self._distributed.all_reduce(torch.from_numpy(array))
        except RuntimeError as error:
            raise TrainingError(
                f"worker {self.rank} of {self.size} lost another one ({str(error).splitlines()[0]}); with"
                " torchrun's --max-restarts and --checkpoints all of them go on from the last checkpoint"
            ) from error


@contextmanager
def joined_workers(timeout_minutes: float) -> Iterator[Communicator]:
    """Join the workers that torchrun or TorchDistributor started; without them, be one alone.

    Parameters
    ----------
    timeout_minutes : float
        How long to wait for the slowest worker before it counts as lost.
    """
    if "WORLD_SIZE" not in os.environ:
        yield Alone()
        return
    import torch.distributed

    timeout = timedelta(minutes=timeout_minutes)
    meeting = torch.distributed.rendezvous("env://", timeout=timeout)  # type: ignore[attr-defined]
    store, rank, size = next(meeting)
    store = fresh_store(store, rank, size, timeout.total_seconds())
    torch.distributed.init_process_group("gloo", timeout=timeout, store=store, rank=rank, world_size=size)
    try:
        yield TorchGroup()
    finally:
        torch.distributed.destroy_process_group()
