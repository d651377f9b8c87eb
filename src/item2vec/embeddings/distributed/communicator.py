"""How workers talk: sums over all of them, and what any of them says, on torch.distributed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from item2vec.embeddings.distributed.meeting import fresh_store
from item2vec.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

    Array = npt.NDArray[Any] | Tensor


class Communicator(Protocol):
    """The narrow door of the exchange."""

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""

    @property
    def size(self) -> int:
        """How many workers there are."""

    def sum(self, array: Array) -> None:
        """Replace a contiguous array by the sum of all workers' arrays, the same bytes on each of them."""

    def any(self, flags: Array) -> None:
        """Set each flag, 0 or 1 (uint8), to 1 where it is so on one worker or more."""


class Alone:
    """One worker without others."""

    rank, size = 0, 1

    def sum(self, array: Array) -> None:
        """Leave the array as it is."""

    def any(self, flags: Array) -> None:
        """Leave the flags as they are."""


class TorchGroup:
    """The workers of torch.distributed's default process group."""

    def __init__(self) -> None:
        import torch.distributed

        self._distributed = torch.distributed
        self.rank: int = torch.distributed.get_rank()
        self.size: int = torch.distributed.get_world_size()

    def sum(self, array: Array) -> None:
        """Sum over the group, in place.

        Raises
        ------
        TrainingError
            If a worker is gone or does not answer in time.
        """
        self._reduce(array, self._distributed.ReduceOp.SUM)

    def any(self, flags: Array) -> None:
        """Combine the group's flags, in place.

        Raises
        ------
        TrainingError
            As for :meth:`sum`.
        """
        self._reduce(flags, self._distributed.ReduceOp.MAX)

    def _reduce(self, array: Array, operation: Any) -> None:
        import torch

        tensor = array if isinstance(array, torch.Tensor) else torch.from_numpy(array)
        try:
            self._distributed.all_reduce(tensor, operation)
        except RuntimeError as error:
            raise TrainingError(
                f"worker {self.rank} of {self.size} lost another one ({str(error).splitlines()[0]}); with"
                " torchrun's --max-restarts and --checkpoints all of them go on from the last checkpoint"
            ) from error


def _backend() -> str:
    """Take the GPU of this worker's number on its machine, if there is any; return what connects workers.

    NCCL refuses two workers on one GPU; there gloo moves what lies on it through the host.
    """
    import torch

    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if n_gpus == 0:
        return "gloo"
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % n_gpus)
    return "cpu:gloo,cuda:nccl" if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= n_gpus else "gloo"


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
    torch.distributed.init_process_group(_backend(), timeout=timeout, store=store, rank=rank, world_size=size)
    try:
        yield TorchGroup()
    finally:
        torch.distributed.destroy_process_group()
