"""A plan of windows on a torch device, cut into batches that one gradient step each can take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from item2vec.embeddings.torch_steps import Block, Pairs, Windows
from item2vec.embeddings.windows import Plan

FACTORS_PER_STEP = 1 << 24  # one per window, input and target: 64 MB; wide windows take fewer at a time


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

    def batches(self, size: int) -> Iterator[tuple[Windows | None, tuple[Pairs, ...]]]:
        """Yield the windows and the booked pairs of up to `size` windows at a time, in order."""
        widest = 1 + int(self._left.max()) + int(self._right.max())
        size = max(1, min(size, FACTORS_PER_STEP // (widest * (1 + self.plan.noise.shape[1]))))
        for first in range(0, self.n, size):
            last = min(first + size, self.n)
            yield self._windows(first, last), self._booked(first, last)

    def _windows(self, first: int, last: int) -> Windows | None:
        left, right = int(self._left[first:last].max()), int(self._right[first:last].max())
        band = left + 1 + right
        if band == 1:
            return None
        stretch = torch.arange(first - left, last + right, device=self.device)
        items = self.items.index_select(0, stretch.clamp(0, self.n - 1))
        shape, strides = (last - first, band), (1, 1)
        positions, contexts = stretch.as_strided(shape, strides), self.contexts[first:last]
        seen = (positions >= contexts[:, :1]) & (positions < contexts[:, 1:])
        seen[:, left] = False
        noise = self.noise[first:last]
        signs = torch.where(noise < 0, 0.0, -1.0)
        centres = self.items[first:last, None]
        targets = torch.cat((centres, noise.clamp(min=0)), 1)
        signs = torch.cat((torch.ones_like(centres, dtype=signs.dtype), signs), 1)
        k = 1 + self.negative
        blocks = [Block(targets[:, :k], signs[:, :k], seen.float())]
        if noise.shape[1] > self.negative:
            market = self.markets[first:last, None]
            there = self.item_markets.index_select(0, items).as_strided(shape, strides) == market
            blocks.append(Block(targets[:, k:], signs[:, k:], (seen & there & (market >= 0)).float()))
        return Windows(items, tuple(blocks), self.rates[first:last])

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
