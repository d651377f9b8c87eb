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

NUMBERS_PER_STEP = 1 << 22  # of one matrix of scores or inputs, 16 MB; wide windows take fewer at a time
TARGETS_TO_SCORES = 4  # so much larger may the gathered targets be


def windows_at_once(size: int, reach: int, n_targets: int, vector_size: int) -> int:
    """Return how many windows a step takes, up to `size`, so that none of its matrices grows too large.

    Parameters
    ----------
    size : int
    reach : int
        The most items that the windows of a chunk may take as their input.
    n_targets : int
        A window's centre and its noise.
    vector_size : int
    """
    targets = n_targets * vector_size // TARGETS_TO_SCORES
    per_window = max(reach * n_targets, reach * vector_size // CHUNK, targets)
    return max(1, min(size, NUMBERS_PER_STEP // per_window))


def widest_reach(left: int, right: int, inputs: int) -> int:
    """Return the most items that the windows of a chunk may take as their input.

    Parameters
    ----------
    left, right : int
        Clicks from a centre to where a window begins and ends.
    inputs : int
        Clicks that a window or a group of its inputs spans.
    """
    return min(CHUNK + left + right, 3 * inputs + 6 * CHUNK)  # a wide window is dealt out in groups


def step_bytes(windows: int, reach: int, n_targets: int, vector_size: int) -> int:
    """Estimate what the matrices of a step of so many windows take at their most."""
    chunks = -(-windows // CHUNK)
    targets, scores = CHUNK * n_targets * vector_size, reach * CHUNK * n_targets
    return 4 * chunks * (3 * targets + 5 * scores + 4 * reach * vector_size)


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
        self._centres = plan.centres[:n].astype(np.int64) if len(plan.centres) else np.arange(n)
        start, stop = plan.contexts[:n].T.astype(np.int64)
        self._start = np.where(stop > start, start, self._centres)
        self._stop = np.where(stop > start, stop, self._centres)
        self.items = send(
            plan.items[: 1 + int(np.maximum(self._centres, self._stop - 1).max())], self.device
        ).long()
        self.contexts = send(plan.contexts[:n], self.device).long()
        self.centres = send(self._centres, self.device)
        self.noise = send(plan.noise[:n], self.device)
        self.markets = send(plan.markets[:n], self.device).long()
        self.rates = rates[0] + (rates[1] - rates[0]) / n * torch.arange(n, device=self.device)

    def batches(self, size: int, vector_size: int) -> Iterator[tuple[Windows | None, tuple[Pairs, ...]]]:
        """Yield the windows and the booked pairs of up to `size` windows at a time, in order."""
        left, right = (self._centres - self._start).max(), (self._stop - self._centres).max()
        reach = widest_reach(max(int(left), 0), max(int(right), 0), int((self._stop - self._start).max()))
        size = windows_at_once(size, reach, 1 + self.plan.noise.shape[1], vector_size)
        for first in range(0, self.n, size):
            last = min(first + size, self.n)
            yield self._windows(first, last), self._booked(first, last)

    def _windows(self, first: int, last: int) -> Windows | None:
        windows, is_there = self._chunks(first, last)
        n_chunks = len(windows)
        lowest = self._start[windows].min(1)
        reach = int((self._stop[windows].max(1) - lowest).max())
        if reach == 0:
            return None
        numbers = send(windows.ravel(), self.device)
        positions = send(lowest, self.device)[:, None] + torch.arange(reach, device=self.device)
        items = self.items[positions.clamp(max=len(self.items) - 1)]

        def per_window(of: Tensor) -> Tensor:
            return of.index_select(0, numbers).view(n_chunks, CHUNK, -1)

        start, stop = per_window(self.contexts).transpose(1, 2)[:, None].unbind(2)
        centres = per_window(self.centres)
        there = send(is_there, self.device).view(n_chunks, CHUNK, 1)
        seen = (positions[:, :, None] >= start) & (positions[:, :, None] < stop)
        seen &= (positions[:, :, None] != centres.transpose(1, 2)) & there.transpose(1, 2)
        targets = torch.cat((self.items[centres], per_window(self.noise)), 2)
        signs = torch.where((targets >= 0) & there, -1.0, 0.0)
        signs[:, :, 0].neg_()
        targets.clamp_(min=0)
        k = 1 + self.negative
        blocks = [Block(targets[:, :, :k], signs[:, :, :k], _unseen(seen))]
        if targets.shape[2] > k:
            markets = per_window(self.markets).transpose(1, 2)
            theirs = self.item_markets[items][:, :, None]
            seen &= (theirs == markets) & (markets >= 0)
            blocks.append(Block(targets[:, :, k:], signs[:, :, k:], _unseen(seen)))
        return Windows(items, tuple(blocks), per_window(self.rates)[:, :, 0])

    def _chunks(self, first: int, last: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Deal the windows out to chunks; return their numbers and which are no filling, (n, CHUNK) each.

        The groups of a wide window reach far and the next window begins far back; so does a new chunk then.
        """
        start = self._start[first:last]
        rows = np.arange(len(start))
        far_back = np.concatenate([[True], start[1:] < start[:-1] - 2 * CHUNK])
        place = (rows - np.maximum.accumulate(np.where(far_back, rows, 0))) % CHUNK
        opens = place == 0
        chunk = np.cumsum(opens) - 1
        windows = np.repeat(first + rows[opens], CHUNK).reshape(-1, CHUNK)
        windows[chunk, place] = first + rows
        is_there = np.zeros(windows.shape, bool)
        is_there[chunk, place] = True
        return windows, is_there

    def _booked(self, first: int, last: int) -> tuple[Pairs, ...]:
        """Eq. 4: each click's input row and its session's booked output rows, 1/n each, but for its own."""
        start, stop = self.plan.booked[first:last].T
        sizes = stop - start
        if not sizes.any():
            return ()
        windows = np.repeat(np.arange(first, last), sizes)
        within = np.arange(len(windows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        clicked = self.plan.items[self._centres[windows]]
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
