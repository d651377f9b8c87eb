"""One stochastic gradient step over many windows and pairs at once, in torch on any device: eq. 3, 4, 5, 8-9.

Gradients are written out by hand and only rows that take part are read or written. All come from the tables
before the step, so one window changes the tables as the numba engine does. But the gradients of many windows
add up, and a popular item's row would be thrown far beyond where they pointed. Therefore each row has a step
length of its own. On the way down, the loss of row u has a curvature of at most L = Σ c·‖x‖² over the rows x
that u meets, where c is the largest σ′ from the pair's score on; gradient descent is stable up to steps of
2/L, and a learning rate above that is shortened to it, for this row and this step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

LONGEST_STEP = 2.0  # in 1/L
CHUNK = 8  # windows: larger ones waste more of their products, smaller ones make them too small to be fast


class Tables(NamedTuple):
    """The two embedding tables, (n_items, vector_size) float32 each."""

    inputs: Tensor
    outputs: Tensor


class Block(NamedTuple):
    """Targets that every window sets against some of the inputs of its chunk."""

    targets: Tensor  # (n_chunks, CHUNK, k) item numbers; any where the sign is 0
    signs: Tensor  # (n_chunks, CHUNK, k) +1 pulls, −1 pushes, 0 is not there
    unseen: Tensor  # (n_chunks, reach, CHUNK) 0 where the window takes the item as its input, else −∞


class Windows(NamedTuple):
    """Windows in chunks of `CHUNK`, with all the items that some window of the chunk may take as its input.

    Within a chunk every one of them meets every target, in one matrix product; what is no pair is masked.
    """

    items: Tensor  # (n_chunks, reach) item numbers
    blocks: tuple[Block, ...]
    rates: Tensor  # (n_chunks, CHUNK) learning rates


class Pairs(NamedTuple):
    """Input rows set against output rows, one by one."""

    inputs: Tensor  # (n,) item numbers
    outputs: Tensor  # (n,) item numbers
    signs: Tensor  # (n,) +1 pulls, −1 pushes
    weights: Tensor  # (n,) of the pair in the objective
    rates: Tensor  # (n,) learning rates


class Gradients(NamedTuple):
    """What one table's rows should gain, learning rates included, and how curved their losses are."""

    rows: Tensor  # (m,) item numbers, repeats add up
    changes: Tensor  # (m, vector_size)
    curvature: Tensor  # (m,) rate·L of this entry


def step(
    tables: Tables, curvatures: Tables, windows: Windows | None, pairs: tuple[Pairs, ...]
) -> tuple[list[Tensor], list[Tensor]]:
    """Climb the gradient of the objective over all windows and pairs, once, in place.

    Parameters
    ----------
    tables : Tables
    curvatures : Tables
        Room for one float32 per item, (n_items,) each; zeros before and after.
    windows : Windows or None
    pairs : tuple of Pairs

    Returns
    -------
    block_losses : list of Tensor, shape (k,) float64
        −log σ per target column, summed, for each block of `windows`.
    pair_losses : list of Tensor, shape () float64
        The same for each member of `pairs`.
    """
    of_inputs: list[Gradients] = []
    of_outputs: list[Gradients] = []
    block_losses, pair_losses = [], []
    if windows is not None:
        rows = tables.inputs.index_select(0, windows.items.view(-1)).view(*windows.items.shape, -1)
        for block in windows.blocks:
            found, theirs, loss = _block_gradients(tables, rows, windows, block)
            of_inputs.append(found)
            of_outputs.append(theirs)
            block_losses.append(loss)
    for some in pairs:
        found, theirs, loss = _pair_gradients(tables, some)
        of_inputs.append(found)
        of_outputs.append(theirs)
        pair_losses.append(loss)
    _apply(tables.inputs, curvatures.inputs, of_inputs)
    _apply(tables.outputs, curvatures.outputs, of_outputs)
    return block_losses, pair_losses


def _block_gradients(
    tables: Tables, rows: Tensor, windows: Windows, block: Block
) -> tuple[Gradients, Gradients, Tensor]:
    """Return the gradients of the inputs (per chunk), of the targets, and the loss per column."""
    n, reach, _ = block.unseen.shape
    k, d = block.targets.shape[2], rows.shape[2]
    numbers = block.targets.reshape(-1)
    targets = tables.outputs.index_select(0, numbers).view(n, CHUNK * k, d)
    wrong = torch.bmm(rows, targets.transpose(1, 2)).view(n, reach, CHUNK, k)
    wrong.mul_(-block.signs[:, None]).add_(block.unseen[..., None])
    there = block.signs.abs()
    loss = (softplus(wrong).sum(1) * there).sum((0, 1), dtype=torch.float64)
    pull = wrong.sigmoid_()
    curvature = _curvature(pull)
    curvature.mul_((there * windows.rates[:, :, None])[:, None])
    pull.mul_((block.signs * windows.rates[:, :, None])[:, None])
    pull, curvature = pull.view(n, reach, CHUNK * k), curvature.view(n, reach, CHUNK * k)

    changes = torch.bmm(pull, targets).view(-1, d)
    curved = torch.bmm(curvature, targets.square().sum(2, keepdim=True)).view(-1)
    of_inputs = Gradients(windows.items.view(-1), changes, curved)
    changes = torch.bmm(pull.transpose(1, 2), rows).view(-1, d)
    curved = torch.bmm(curvature.transpose(1, 2), rows.square().sum(2, keepdim=True)).view(-1)
    return of_inputs, Gradients(numbers, changes, curved), loss


def _curvature(wrong: Tensor) -> Tensor:
    """The largest σ′ on the way from σ(x) = `wrong` down to 0: ¼ as long as more than half of it is wrong."""
    half = wrong.clamp(max=0.5)
    return half.sub_(half * half)


def _pair_gradients(tables: Tables, pairs: Pairs) -> tuple[Gradients, Gradients, Tensor]:
    """Return the gradients of the input rows, of the output rows, and the loss."""
    v = tables.inputs.index_select(0, pairs.inputs)
    u = tables.outputs.index_select(0, pairs.outputs)
    scores = (v * u).sum(1) * pairs.signs
    loss = (softplus(-scores) * pairs.weights).sum(dtype=torch.float64)
    wrong, rates = torch.sigmoid(-scores), pairs.rates * pairs.weights
    pull, curvature = (wrong * rates * pairs.signs)[:, None], rates * _curvature(wrong)
    of_inputs = Gradients(pairs.inputs, pull * u, curvature * u.square().sum(1))
    of_outputs = Gradients(pairs.outputs, pull * v, curvature * v.square().sum(1))
    return of_inputs, of_outputs, loss


def _apply(table: Tensor, curvature: Tensor, gradients: list[Gradients]) -> None:
    """Add the changes to a table's rows, no row's step longer than `LONGEST_STEP` / L."""
    for some in gradients:
        curvature.index_add_(0, some.rows, some.curvature)
    for some in gradients:
        shorter = LONGEST_STEP / curvature.index_select(0, some.rows).clamp_(min=LONGEST_STEP)
        table.index_add_(0, some.rows, some.changes.mul_(shorter[:, None]))
    for some in gradients:
        curvature.index_fill_(0, some.rows, 0)
