"""One stochastic gradient step over many windows and pairs at once, in torch on any device: eq. 3, 4, 5, 8-9.

Gradients are written out by hand and only rows that take part are read or written. All come from the tables
before the step, so one window changes the tables as the numba engine does. Many windows at once would add up
thousands of stale gradients of a popular item's row. Therefore each row has a step length of its own: the
logistic loss of row u has a curvature of at most L = ¼ Σ ‖x‖² over the rows x that u meets (σ′ ≤ ¼), and a
step of `rate` is shortened to 1/L where it is longer. Rows with rate·L ≤ 1 take the plain step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


class Tables(NamedTuple):
    """The two embedding tables, (n_items, vector_size) float32 each."""

    inputs: Tensor
    outputs: Tensor


class Block(NamedTuple):
    """Targets that every window of a batch sets against some of its inputs."""

    targets: Tensor  # (n, k) item numbers; any where the sign is 0
    signs: Tensor  # (n, k) +1 pulls, −1 pushes, 0 is not there
    inputs: Tensor  # (n, band) 1 where the input takes part, else 0


class Windows(NamedTuple):
    """A stretch of n windows; window i may see the positions i .. i + band − 1 of `items`."""

    items: Tensor  # (n + band − 1,) item numbers
    blocks: tuple[Block, ...]
    rates: Tensor  # (n,) learning rates


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
        rows = tables.inputs.index_select(0, windows.items)
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
    """Return the gradients of the inputs (per position), of the targets, and the loss per column."""
    n, k = block.targets.shape
    band, d = block.inputs.shape[1], rows.shape[1]
    targets = tables.outputs.index_select(0, block.targets.reshape(-1)).view(n, k, d)
    views = rows.as_strided((n, band, d), (d, d, 1))
    scores = torch.bmm(views, targets.transpose(1, 2)).mul_(block.signs[:, None])
    there = block.signs.abs()
    losses = torch.matmul(block.inputs[:, None], logsigmoid(scores)).squeeze(1)
    loss = -(losses * there).sum(0, dtype=torch.float64)
    rates = block.inputs * windows.rates[:, None]
    pull = torch.sigmoid(scores.neg_()).mul_(rates[:, :, None]).mul_(block.signs[:, None])

    norms = (targets.square().sum(2) * there).sum(1, keepdim=True)
    curved = _per_position((rates * norms)[:, :, None], torch.ones_like(norms)[:, :, None])[:, 0]
    of_inputs = Gradients(windows.items, _per_position(pull, targets), curved / 4)

    norms = rows.square().sum(1).as_strided((n, band), (1, 1))
    curved = (rates * norms).sum(1, keepdim=True) * there
    changes = torch.bmm(pull.transpose(1, 2), views)
    of_outputs = Gradients(block.targets.reshape(-1), changes.view(n * k, d), curved.reshape(-1) / 4)
    return of_inputs, of_outputs, loss


def _per_position(factors: Tensor, targets: Tensor) -> Tensor:
    """Sum over the windows i that see a position p: factors[i, p − i] @ targets[i], (n + band − 1, d).

    Factors (n, band, k) and targets (n, k, d) are padded with empty windows on either side; then what belongs
    to one position is a regular pattern in memory, and no row per window and position is ever written.
    """
    n, band, k = factors.shape
    d = targets.shape[2]
    padded = factors.new_zeros((n + 2 * band - 2, band, k))
    padded[band - 1 : band - 1 + n] = factors
    skewed = padded.as_strided(
        (n + band - 1, band, k), (band * k, (band - 1) * k or k, 1), (band - 1) * k
    ).reshape(n + band - 1, 1, band * k)
    beside = targets.new_zeros((n + 2 * band - 2, k, d))
    beside[band - 1 : band - 1 + n] = targets
    views = beside.as_strided((n + band - 1, band * k, d), (k * d, d, 1))
    return torch.bmm(skewed, views).squeeze(1)


def _pair_gradients(tables: Tables, pairs: Pairs) -> tuple[Gradients, Gradients, Tensor]:
    """Return the gradients of the input rows, of the output rows, and the loss."""
    v = tables.inputs.index_select(0, pairs.inputs)
    u = tables.outputs.index_select(0, pairs.outputs)
    scores = (v * u).sum(1) * pairs.signs
    loss = -(logsigmoid(scores) * pairs.weights).sum(dtype=torch.float64)
    rates = pairs.rates * pairs.weights
    pull = (torch.sigmoid(-scores) * rates * pairs.signs)[:, None]
    of_inputs = Gradients(pairs.inputs, pull * u, rates * u.square().sum(1) / 4)
    of_outputs = Gradients(pairs.outputs, pull * v, rates * v.square().sum(1) / 4)
    return of_inputs, of_outputs, loss


def _apply(table: Tensor, curvature: Tensor, gradients: list[Gradients]) -> None:
    """Add the changes to a table's rows, each row's step shortened to 1/L where it would be longer."""
    for some in gradients:
        curvature.index_add_(0, some.rows, some.curvature)
    for some in gradients:
        shorter = curvature.index_select(0, some.rows).clamp_(min=1).reciprocal_()
        table.index_add_(0, some.rows, some.changes.mul_(shorter[:, None]))
    for some in gradients:
        curvature.index_fill_(0, some.rows, 0)
