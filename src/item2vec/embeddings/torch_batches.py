"""A plan of windows on a torch device, cut into batches that one gradient step each can take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from item2vec.embeddings.torch_steps import CHUNK, Block, Pairs, Windows
from item2vec.embeddings.windows import Plan

NUMBERS_PER_STEP = 1 << 22  # of one matrix, 16 MB; wide windows take fewer at a time


def send(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; CUDA does not wait for it, and the array may change at once."""
    tensor = torch.from_numpy(array)
    if device.type == "cpu":
        return tensor.clone()
    return tensor.pin_memory().to(device, non_blocking=True)


class PlanOnDevice:
    """The first `n` windows of a plan; the learning rate falls linearly from rates[0] to rates[1].

    Parameters
    ----------
    plan : Plan
    n : int
    rates : (float, float)
    negative : int
        The first so many noise columns are global, the others of the window's market.
    item_markets : Tensor of int64, shape (n_items,)
        −1 unknown; its device is where the batches are made.
    """

    def __init__(
        self, plan: Plan, n: int, rates: tuple[float, float], negative: int, item_markets: Tensor
    ) -> None:
        self.plan, self.n, self.negative = plan, n, negative
        self.item_markets, self.device = item_markets, item_markets.device
        self.items = send(plan.items[:n], self.device).long()
        self.contexts = send(plan.contexts[:n], self.device).long()
        self.noise = send(plan.noise[:n], self.device).long()
        self.markets = send(plan.markets[:n], self.device).long()
        self.rates = rates[0] + (rates[1] - rates[0]) / n * torch.arange(n, device=self.device)
        positions, (start, stop) = np.arange(n), plan.contexts[:n].T
        self._left = np.where(stop > start, np.maximum(positions - start, 0), 0)
        self._right = np.where(stop > start, np.maximum(stop - 1 - positions, 0), 0)

    def batches(self, size: int, vector_size: int) -> Iterator[tuple[Windows | None, tuple[Pairs, ...]]]:
        """Yield the windows and the booked pairs of up to `size` windows at a time, in order."""
        widest = CHUNK + int(self._left.max()) + int(self._right.max())
        per_window = widest * max(1 + self.plan.noise.shape[1], vector_size // CHUNK)
        size = max(1, min(size, NUMBERS_PER_STEP // per_window))
        for first in range(0, self.n, size):
            last = min(first + size, self.n)
            yield self._windows(first, last), self._booked(first, last)

    def _windows(self, first: int, last: int) -> Windows | None:
        left, right = int(self._left[first:last].max()), int(self._right[first:last].max())
        if left + right == 0:
            return None
        n_chunks, reach = -(-(last - first) // CHUNK), left + CHUNK + right
        centres = torch.arange(first, first + n_chunks * CHUNK, device=self.device)
        there = (centres < last).view(n_chunks, CHUNK, 1)
        centres = centres.clamp(max=last - 1)
        stretch = torch.arange(first - left, first + n_chunks * CHUNK + right, device=self.device)
        items = self.items.index_select(0, stretch.clamp(0, self.n - 1))

        def per_window(of: Tensor) -> Tensor:
            return of.index_select(0, centres).view(n_chunks, CHUNK, -1)

        positions = stretch.as_strided((n_chunks, reach, 1), (CHUNK, 1, 1))
        start, stop = per_window(self.contexts).transpose(1, 2)[:, None].unbind(2)
        seen = (positions >= start) & (positions < stop) & there.view(n_chunks, 1, CHUNK)
        seen &= positions != centres.view(n_chunks, 1, CHUNK)
        targets = torch.cat((per_window(self.items), per_window(self.noise)), 2)
        signs = torch.where((targets >= 0) & there, -1.0, 0.0)
        signs[:, :, 0].neg_()
        targets.clamp_(min=0)
        k = 1 + self.negative
        blocks = [Block(targets[:, :, :k], signs[:, :, :k], _unseen(seen))]
        if targets.shape[2] > k:
            markets = per_window(self.markets).transpose(1, 2)
            theirs = self.item_markets.index_select(0, items).as_strided(positions.shape, positions.stride())
            seen &= (theirs == markets) & (markets >= 0)
            blocks.append(Block(targets[:, :, k:], signs[:, :, k:], _unseen(seen)))
        return Windows(items, tuple(blocks), per_window(self.rates)[:, :, 0])

    def _booked(self, first: int, last: int) -> tuple[Pairs, ...]:
        """Eq. 4: each click's input row and its session's booked output rows, 1/n each, but for its own."""
        start, stop = self.plan.booked[first:last].T
        sizes = stop - start
        if not sizes.any():
            return ()
        windows = np.repeat(np.arange(first, last), sizes)
        within = np.arange(len(windows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        clicked = self.plan.items[windows]
        booked = self.plan.booked_items[np.repeat(start, sizes) + within]
        weights = (1.0 / np.repeat(sizes, sizes)).astype(np.float32)
        kept = clicked != booked
        return (
            Pairs(
                inputs=send(clicked[kept], self.device).long(),
                outputs=send(booked[kept], self.device).long(),
                signs=torch.ones(int(kept.sum()), device=self.device),
                weights=send(weights[kept], self.device),
                rates=self.rates[send(windows[kept], self.device)],
            ),
        )


def _unseen(seen: Tensor) -> Tensor:
    return torch.where(seen, 0.0, -math.inf)


def rejected_batches(
    pairs: npt.NDArray[np.int32], rates: tuple[float, float], size: int, device: torch.device
) -> Iterator[Pairs]:
    """Yield both directions of up to `size` rejected pairs (n, 2) at a time, in order.

    The learning rate falls linearly from rates[0] to rates[1].
    """
    falling = (rates[0] + (rates[1] - rates[0]) / max(len(pairs), 1) * np.arange(len(pairs))).astype(
        np.float32
    )
    for first in range(0, len(pairs), size):
        a, b = send(np.ascontiguousarray(pairs[first : first + size].T), device).long()
        rate = send(falling[first : first + size], device)
        there = torch.ones(2 * len(rate), device=device)
        yield Pairs(torch.cat((a, b)), torch.cat((b, a)), -there, there, torch.cat((rate, rate)))
