"""Structure check of an Annoy file in numpy: Annoy itself checks almost nothing and crashes on a damaged
file.

Layout of the ``angular`` metric (annoylib.h, 1.17): nodes of ``12 + 4 f`` bytes, first one per item, then the
trees, last a copy of every root. A node is ``int32 n_descendants``, two int32 children (an item keeps its
squared norm in the first), ``f`` float32. Up to ``f + 2`` descendants a node is a leaf and its item numbers
fill the node from the children on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from item2vec.errors import CorruptArtifactError

TOLERANCE = 1e-4
"""How far a stored unit vector may be from ours: rounding differs between processors, damage does not hide
here."""


def check_annoy_file(file: Path, points: npt.NDArray[np.float32], n_trees: int) -> None:
    """Refuse a file that is not a forest of `n_trees` trees over exactly `points`.

    Parameters
    ----------
    file : Path
        An Annoy file of the angular metric.
    points : ndarray of float32, shape (n_items, f)
        The unit vectors it must hold.
    n_trees : int
        The number of trees it must hold.

    Raises
    ------
    CorruptArtifactError
        If a count, a child, a vector or the file's size does not fit; the message names the file.
    """
    try:
        size = file.stat().st_size
        nodes = _map_nodes(file, size, points.shape)
        _check_items(nodes, points)
        _check_trees(nodes, len(points), n_trees)
    except OSError as error:
        raise CorruptArtifactError(f"cannot read the index file {file}: {error}") from error
    except _DamageError as damage:
        raise CorruptArtifactError(
            f"{file} is not the Annoy file of this index: {damage}; build it again"
        ) from None


class _DamageError(Exception):
    """What is wrong with the file."""


def _map_nodes(file: Path, size: int, shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    node_bytes = 12 + 4 * shape[1]
    if size == 0 or size % node_bytes:
        raise _DamageError(f"{size} bytes are no whole number of {node_bytes}-byte nodes")
    if size // node_bytes >= 2**31 or size // node_bytes < shape[0] + 2:
        raise _DamageError(f"{size // node_bytes} nodes do not fit {shape[0]} items")
    return np.memmap(file, np.int32, "r").reshape(-1, node_bytes // 4)


def _check_items(nodes: npt.NDArray[np.int32], points: npt.NDArray[np.float32]) -> None:
    """Compare the item nodes with the vectors they were made from."""
    items = nodes[: len(points)]
    if (items[:, 0] != 1).any():
        raise _DamageError("an item node counts more or less than itself")
    floats = items.view(np.float32)
    norms, vectors = floats[:, 1], floats[:, 3:]
    if not (np.abs(norms - 1.0) < TOLERANCE).all() or not (np.abs(vectors - points) < TOLERANCE).all():
        raise _DamageError("an item vector differs from the vector table")


def _check_trees(nodes: npt.NDArray[np.int32], n_items: int, n_trees: int) -> None:
    """Check that every tree reaches every item exactly once and no link leaves the file or points forward."""
    n_inner = len(nodes) - n_items - n_trees
    if n_inner < n_trees:
        raise _DamageError(f"too few nodes for {n_trees} trees")
    sizes = nodes[n_items:, 0]
    roots = nodes[len(nodes) - n_trees :]
    if (sizes < 1).any() or (sizes > n_items).any() or (roots[:, 0] != n_items).any():
        raise _DamageError("a node's number of descendants is impossible")
    capacity = nodes.shape[1] - 1
    is_leaf = sizes <= capacity
    leaves, splits = nodes[n_items:][is_leaf], nodes[n_items:][~is_leaf]
    split_nums = np.flatnonzero(~is_leaf) + n_items
    children = splits[:, 1:3]
    if (children < 0).any() or (children >= split_nums[:, None]).any():
        raise _DamageError("a split node's child lies outside the nodes before it")
    if (nodes[children[:, 0], 0].astype(np.int64) + nodes[children[:, 1], 0] != splits[:, 0]).any():
        raise _DamageError("a split node's descendants are not those of its children")
    if not np.isfinite(splits.view(np.float32)[:, 3:]).all():
        raise _DamageError("a splitting plane is not finite")
    live = np.arange(capacity) < leaves[:, :1]
    members = leaves[:, 1:][live]
    if (members < 0).any() or (members >= n_items).any():
        raise _DamageError("a leaf lists an unknown item")
    _check_coverage(nodes, n_items, n_trees, is_leaf)


def _check_coverage(
    nodes: npt.NDArray[np.int32], n_items: int, n_trees: int, is_leaf: npt.NDArray[np.bool_]
) -> None:
    """Count how often trees reach each item and each inner node, the copied roots left out."""
    inner = nodes[n_items : len(nodes) - n_trees]
    leaf = is_leaf[: len(inner)]
    leaves = inner[leaf]
    live = np.arange(nodes.shape[1] - 1) < leaves[:, :1]
    links = np.concatenate([leaves[:, 1:][live], inner[~leaf][:, 1:3].ravel()])
    reached = np.bincount(links, minlength=len(nodes))
    if (reached[:n_items] != n_trees).any():
        raise _DamageError("a tree misses an item or lists it twice")
    roots = np.flatnonzero(reached[n_items : n_items + len(inner)] == 0) + n_items
    if (reached[n_items:] > 1).any() or len(roots) != n_trees or (nodes[roots, 0] != n_items).any():
        raise _DamageError("a node belongs to no tree or to two")
    if not np.array_equal(nodes[np.sort(roots)], nodes[len(nodes) - n_trees :]):
        raise _DamageError("the copied roots differ from the trees' roots")
