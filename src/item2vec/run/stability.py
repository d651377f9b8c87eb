"""How much of a vocabulary, and of every item's nearest neighbours, is the same in two models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from item2vec.embeddings import ItemVectors
from item2vec.errors import DataError
from item2vec.evaluation.next_item.slices import popularity_slices
from item2vec.evaluation.probes.neighbours import SCORE_BYTES
from item2vec.evaluation.ranks import top_items
from item2vec.run.load import VECTORS
from item2vec.vocabulary import ItemId

NEIGHBOURS = 10
ASKED = 1000  # items: enough for a mean, and a second's work in a catalogue of a million


@dataclass(frozen=True)
class Changed:
    """An item whose neighbours are others: the share that stayed, and both lists, nearest first."""

    item_id: ItemId
    overlap: float
    current: tuple[ItemId, ...]
    new: tuple[ItemId, ...]


@dataclass(frozen=True)
class Stability:
    """What two models have in common.

    Attributes
    ----------
    n_current, n_new, n_both : int
        Items of the one, of the other, and of both.
    overlap : float or None
        Mean share of an item's `k` nearest neighbours (cosine of input vectors, among all items of each
        model) that are its neighbours in the other model too; None if no item is in both.
    n_asked, k : int
        Items it is the mean over, and the length of the lists.
    slices : mapping of str to (float or None)
        The same mean over the asked items of the ``head``, ``torso`` and ``tail`` of the current model.
    changed : tuple of Changed
        The items asked about that kept least, of equals the most clicked first; as many as were wished for.
    """

    n_current: int
    n_new: int
    n_both: int
    overlap: float | None
    n_asked: int
    k: int = NEIGHBOURS
    slices: Mapping[str, float | None] = field(default_factory=dict)
    changed: tuple[Changed, ...] = ()


def compare_vectors(current: Path, new: Path) -> Stability:
    """Compare the vectors of two ``embeddings`` objects.

    Raises
    ------
    DataError
        If their ids are of two types: then no item is in both, whatever its name.
    CorruptArtifactError
        If a file of them cannot be read.
    """
    return stability(ItemVectors.load(current / VECTORS), ItemVectors.load(new / VECTORS))


def stability(
    current: ItemVectors, new: ItemVectors, max_asked: int = ASKED, n_changed: int = 0
) -> Stability:
    """Compare two models.

    Parameters
    ----------
    current, new : ItemVectors
    max_asked : int
        Search the neighbours of this many items, drawn evenly from those in both, from frequent to rare.
    n_changed : int
        Name this many of the items that kept least.

    Returns
    -------
    Stability

    Raises
    ------
    DataError
        If their ids are of two types.
    """
    kinds = current.vocabulary.ids.type, new.vocabulary.ids.type
    if kinds[0] != kinds[1]:
        raise DataError(f"the item ids are {kinds[0]} in the current release and {kinds[1]} in the new one")
    rows = new.key_to_index
    both = np.array([(row, rows[item]) for row, item in enumerate(current.ids) if item in rows], np.int64)
    sizes = len(current), len(new), len(both)
    if not len(both):
        return Stability(*sizes, None, 0, slices=dict.fromkeys(popularity_slices(current.counts)))
    asked = both[np.unique(np.linspace(0, len(both) - 1, max_asked).astype(np.int64))]
    # Neighbours of the current model by their rows in the new one: both lists then speak of the same items.
    translation = np.full(len(current) + 1, -1, np.int64)
    translation[both[:, 0]] = both[:, 1]
    old, found = _neighbours(current, asked[:, 0]), _neighbours(new, asked[:, 1])
    translated = translation[old]
    same = (translated[:, :, None] == found[:, None, :]) & (translated >= 0)[:, :, None]
    lengths = np.maximum((old >= 0).sum(axis=1), (found >= 0).sum(axis=1))
    shares = np.full(len(asked), np.nan)  # an item alone in both models has no neighbour to keep
    np.divide(same.any(axis=2).sum(axis=1), lengths, out=shares, where=lengths > 0)
    slices = {
        name: _mean(shares[mask[asked[:, 0]]]) for name, mask in popularity_slices(current.counts).items()
    }
    least = [at for at in np.argsort(shares, kind="stable")[:n_changed] if shares[at] < 1]
    changed = tuple(
        Changed(
            current.ids[asked[at, 0]], float(shares[at]), _names(current, old[at]), _names(new, found[at])
        )
        for at in least
    )
    return Stability(*sizes, _mean(shares), len(asked), slices=slices, changed=changed)


def _mean(shares: npt.NDArray[np.float64]) -> float | None:
    known = shares[~np.isnan(shares)]
    return float(known.mean()) if len(known) else None


def _names(vectors: ItemVectors, rows: npt.NDArray[np.int32]) -> tuple[ItemId, ...]:
    return tuple(vectors.ids[row] for row in rows if row >= 0)


def _neighbours(vectors: ItemVectors, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return the nearest items of some, exactly, shape (n, NEIGHBOURS), padded with -1."""
    unit = vectors.get_normed_vectors()
    found = np.empty((len(rows), NEIGHBOURS), np.int32)
    batch = max(1, SCORE_BYTES // (4 * len(unit)))
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        cosines = unit[part] @ unit.T
        cosines[np.arange(len(part)), part] = -np.inf
        found[start : start + batch], _ = top_items(cosines, NEIGHBOURS)
    return found
