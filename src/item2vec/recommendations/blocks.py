"""Items in small blocks that lie close together, so that most of them need no look: as exact as a scan.

A ball around each block bounds what a product with any of its items can be (Omohundro 1989, *Five balltree
construction algorithms*); a block whose bound is below what was found elsewhere is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

BLOCK = 16
"""Items in a block: smaller ones bound better, and there are more of them to bound."""
_STEPS, _SAMPLE = 5, 1024
_FEW_QUERIES = 3


def side_by_side(points: Floats) -> npt.NDArray[np.int32]:
    """Order points so that each run of :data:`BLOCK` lies close together.

    Halves them along the direction in which they differ most, and the halves again.

    Parameters
    ----------
    points : ndarray of float32, shape (n, d)

    Returns
    -------
    ndarray of int32, shape (n,)
    """
    finished, waiting = [np.zeros(0, np.int64)], [np.arange(len(points))]
    while waiting:
        rows = waiting.pop()
        n_blocks = -(-len(rows) // BLOCK)
        if n_blocks < 2:
            finished.append(rows)
            continue
        half = n_blocks // 2 * BLOCK
        axis = _main_axis(points[rows[:: -(-len(rows) // _SAMPLE)]])
        chunks = np.split(
            rows, range(_SAMPLE, len(rows), _SAMPLE)
        )  # large copies would stay with the process
        order = np.argpartition(np.concatenate([points[one] @ axis for one in chunks]), half)
        waiting += [rows[order[half:]], rows[order[:half]]]
    return np.concatenate(finished).astype(np.int32)


def _main_axis(points: Floats) -> Floats:
    """Return the direction in which points vary most, nearly: a few steps of the power method."""
    centred = points - points.mean(axis=0)
    axis = np.zeros(points.shape[1], np.float32)
    axis[np.einsum("ij,ij->j", centred, centred).argmax()] = 1.0
    for _ in range(_STEPS):
        longer = (centred @ axis) @ centred
        length = float(np.linalg.norm(longer))
        if length == 0.0:  # they are all one point
            break
        axis = longer / np.float32(length)
    return axis


def places_of(blocks: Places, n: int) -> Places:
    """Return the places of the items of some blocks (ascending), of n items in all."""
    places: Places = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
    return places[: np.searchsorted(places, n)]


def nearest_products(rows: Floats, vectors: Floats) -> Floats:
    """Return each row's product with the nearest of some vectors, shape (n,).

    A reduction over a short axis would take longer than the products; OpenBLAS takes a matrix of two or
    three columns more slowly than as many vectors.
    """
    if len(vectors) <= _FEW_QUERIES:
        nearest: Floats = rows @ vectors[0]
        for vector in vectors[1:]:
            np.maximum(nearest, rows @ vector, out=nearest)
        return nearest
    products = rows @ vectors.T
    nearest = products[:, 0].copy()
    for column in range(1, len(vectors)):
        np.maximum(nearest, products[:, column], out=nearest)
    return nearest


def highest_of(values: Floats) -> Floats:
    """Return the highest value of each block, shape (n_blocks,)."""
    highest: Floats = np.maximum.reduceat(values, np.arange(0, len(values), BLOCK))
    return highest


class Balls(NamedTuple):
    """The balls around the blocks of a table: a product with any row of a block is at most that with the
    centre and, of a vector as long as 1, the radius.

    Attributes
    ----------
    centres : ndarray of float32, shape (n_blocks, d)
    radii : ndarray of float32, shape (n_blocks,)
    """

    centres: Floats
    radii: Floats

    @classmethod
    def around(cls, rows: Floats) -> Balls:
        """Return the balls around each run of :data:`BLOCK` rows; there is one row at least."""
        starts = np.arange(0, len(rows), BLOCK)
        sizes = np.diff(starts, append=len(rows))
        sums: Floats = np.add.reduceat(rows, starts, axis=0)
        centres: Floats = sums / sizes.astype(np.float32)[:, None]
        away = rows - np.repeat(centres, sizes, axis=0)
        lengths: Floats = np.sqrt((away * away).sum(axis=1))
        return cls(centres, highest_of(lengths))
