"""The rows that workers of the torch engine exchange, on the device that trains them."""

from __future__ import annotations

import torch
from torch import Tensor


class DeviceRows:
    """See :class:`item2vec.embeddings.distributed.exchange.Rows`.

    Parameters
    ----------
    table : Tensor of float32, shape (n_items, vector_size)
        As it is trained. It becomes the base now.
    """

    def __init__(self, table: Tensor) -> None:
        self.table, self.base, self.shape = table, table.clone(), tuple(table.shape)

    def touched(self) -> Tensor:
        """Return the flags, on the device."""
        return (self.table != self.base).any(dim=1).to(torch.uint8)

    def numbers(self, touched: Tensor) -> Tensor:
        """Return the numbers of the rows whose flag is 1, int64, on the device."""
        return touched.nonzero().squeeze(1)

    def changes(self, numbers: Tensor) -> Tensor:
        """Return the changes of some rows, on the device."""
        return self.table[numbers] - self.base[numbers]

    def put(self, numbers: Tensor, changes: Tensor, divisor: float) -> None:
        """Merge some rows; see :class:`item2vec.embeddings.distributed.exchange.Rows`."""
        merged = self.base[numbers] + changes / divisor
        self.table[numbers] = self.base[numbers] = merged
