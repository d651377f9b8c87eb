"""How much of a vocabulary, and of every item's nearest neighbours, is the same in two models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from item2vec.embeddings import ItemVectors
from item2vec.errors import DataError
from item2vec.evaluation.neighbours import SCORE_BYTES
from item2vec.evaluation.ranks import top_items
from item2vec.run.load import VECTORS

NEIGHBOURS = 10
ASKED = 1000  # items: enough for a mean, and a second's work in a catalogue of a million


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
    """

    n_current: int
    n_new: int
    n_both: int
    overlap: float | None
    n_asked: int
    k: int = NEIGHBOURS


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


def stability(current: ItemVectors, new: ItemVectors, max_asked: int = ASKED) -> Stability:
    """Compare two models.

    Parameters
    ----------
    current, new : ItemVectors
    max_asked : int
        Search the neighbours of this many items, drawn evenly from those in both, from frequent to rare.

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
        return Stability(*sizes, None, 0)
    asked = both[np.unique(np.linspace(0, len(both) - 1, max_asked).astype(np.int64))]
    # Neighbours of the current model by their rows in the new one: both lists then speak of the same items.
    translation = np.full(len(current) + 1, -1, np.int64)
    translation[both[:, 0]] = both[:, 1]
    old, found = _neighbours(current, asked[:, 0]), _neighbours(new, asked[:, 1])
    translated = translation[old]
    same = (translated[:, :, None] == found[:, None, :]) & (translated >= 0)[:, :, None]
    lengths = np.maximum((old >= 0).sum(axis=1), (found >= 0).sum(axis=1))
    shares = same.any(axis=2).sum(axis=1)[lengths > 0] / lengths[lengths > 0]
    return Stability(*sizes, float(shares.mean()) if len(shares) else None, len(asked))


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
