"""What the blend of interests knows of every item, items that lie close together side by side."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.errors import UsageError
from item2vec.recommendations.blocks import Balls, Floats, highest_of, side_by_side

if TYPE_CHECKING:
    from item2vec.embeddings import ItemVectors
    from item2vec.index.space import Mode
    from item2vec.recommendations.type_interest import TypeInterest

Nums = npt.NDArray[np.int32]


class InterestTables:
    """Vectors, popularity and types of the items of one model, by place: see :mod:`.blocks` for the order.

    Parameters
    ----------
    vectors : ItemVectors
    types : TypeInterest, optional

    Attributes
    ----------
    nums : ndarray of int32, shape (n_items,)
        The item at each place.
    places : ndarray of int64, shape (n_items,)
        The place of each item.
    units : ndarray of float32, shape (n_items, d)
        Input vectors at length one, by place.
    outputs : ndarray of float32, shape (n_items, d), or None
        Output vectors by place, the longest at length one: products keep which items attract more.
    popularity : ndarray of float32, shape (n_items,)
        Logarithm of the count by place, that of the most popular item 1.
    type_codes : ndarray of int64, shape (n_items,), or None
        The listing type by place.
    """

    def __init__(self, vectors: ItemVectors, types: TypeInterest | None = None) -> None:
        units = _at_one(np.asarray(vectors.vectors, np.float32))
        context = vectors.context_vectors
        outputs = None if context is None else _longest_at_one(np.asarray(context, np.float32))
        logs = np.log1p(vectors.vocabulary.counts.astype(np.float64))
        popularity = (logs / max(float(logs.max(initial=0.0)), 1e-12)).astype(np.float32)
        known = [one for one in (units, outputs, popularity[:, None]) if one is not None]
        self.nums: Nums = side_by_side(np.column_stack(known))
        self.places = np.empty(len(self.nums), np.int64)
        self.places[self.nums] = np.arange(len(self.nums))
        self.units: Floats = units[self.nums]
        self.outputs: Floats | None = None if outputs is None else outputs[self.nums]
        self.popularity: Floats = popularity[self.nums]
        self.type_codes = None if types is None else types.codes[self.nums]

    def __len__(self) -> int:
        return len(self.nums)

    def targets(self, mode: Mode) -> Floats:
        """Return the table that short-term interest is multiplied with.

        Raises
        ------
        UsageError
            If the mode is unknown, or ``next`` and the model has no output vectors.
        """
        if mode not in ("similar", "next"):
            raise UsageError(f"{mode=} is unknown; read the vectors as 'similar' or 'next'")
        if mode == "similar":
            return self.units
        if self.outputs is None:
            raise UsageError("mode 'next' needs output vectors, which this model does not have")
        return self.outputs

    def balls(self, mode: Mode) -> Balls:
        """Return the balls around the blocks of :meth:`targets`."""
        return self._unit_balls if mode == "similar" else self._output_balls

    @cached_property
    def _unit_balls(self) -> Balls:
        return Balls.around(self.units)

    @cached_property
    def _output_balls(self) -> Balls:
        return Balls.around(self.targets("next"))

    @cached_property
    def most_popular(self) -> Floats:
        """The highest popularity in each block."""
        return highest_of(self.popularity)


def _at_one(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Floats = np.divide(rows, np.where(lengths > 0, lengths, 1), dtype=np.float32)
    return scaled


def _longest_at_one(rows: Floats) -> Floats:
    longest = np.linalg.norm(rows, axis=1).max(initial=0.0)
    scaled: Floats = rows / np.float32(max(float(longest), 1e-12))
    return scaled
