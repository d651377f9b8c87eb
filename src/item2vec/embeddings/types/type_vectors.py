"""Vectors of types: a type's own, or what its relatives say of it."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.types.type_map import ANY, ancestors

if TYPE_CHECKING:
    from item2vec.embeddings.item_vectors import ItemVectors

NO_LENGTH = 1e-6
PREFIXES = {"user": "u:", "listing": "l:"}
"""What a type is called in the one vocabulary of users and listings, before its own name."""


class TypeVectors:
    """Looks up types in the one vocabulary of users and listings.

    Parameters
    ----------
    vectors : ItemVectors
        A user type is called ``"u:" + name``, a listing type ``"l:" + name``.
    """

    def __init__(self, vectors: ItemVectors) -> None:
        self.vectors = vectors
        self._means: dict[tuple[str, bool], npt.NDArray[np.float32]] = {}

    @cached_property
    def _families(self) -> dict[str, list[int]]:
        """The numbers of the types below each ancestor, itself included."""
        families: dict[str, list[int]] = defaultdict(list)
        for number, token in enumerate(self.vectors.index_to_key):
            prefix, name = str(token)[:2], str(token)[2:]
            for ancestor in ancestors(name) if name != ANY else [ANY]:
                families[prefix + ancestor].append(number)
        return dict(families)

    def has_own(self, kind: str, name: str) -> bool:
        """Whether a type was frequent enough for a vector of its own."""
        return PREFIXES[kind] + name in self.vectors.key_to_index

    def vector(self, kind: str, name: str, *, output: bool = False) -> npt.NDArray[np.float32] | None:
        """Return the vector of a type, or of the nearest ancestor of which there is one, float32 (d,).

        An ancestor without a vector of its own, as a market of which nothing else is known, has the mean of
        the types below it, by how often they were seen. None where no type of this kind was learned.
        """
        for ancestor in ancestors(name):
            token = PREFIXES[kind] + ancestor
            number = self.vectors.key_to_index.get(token)
            if number is not None:
                row: npt.NDArray[np.float32] = self._rows(output)[number]
                return row
            if token in self._families:
                return self._mean(token, output)
        return None

    def unit(self, kind: str, name: str, *, output: bool) -> npt.NDArray[np.float32] | None:
        """Return a type's vector at length one; None where there is none."""
        own = self.vector(kind, name, output=output)
        length = 0.0 if own is None else float(np.linalg.norm(own))
        return None if own is None or length < NO_LENGTH else (own / length).astype(np.float32)

    def direction(self, kind: str, name: str, *, output: bool) -> npt.NDArray[np.float32] | None:
        """Return how a type differs from the mean type of its kind, at length one; None where it does not.

        All input vectors share a direction and all output vectors the opposite one: training says of most
        pairs that they do not meet. Less their means, a cosine above 0 is *more than most*.
        """
        own = self.vector(kind, name, output=output)
        if own is None:
            return None
        apart = own.astype(np.float64) - self._mean(PREFIXES[kind] + ANY, output)
        length = float(np.linalg.norm(apart))
        return None if length < NO_LENGTH else (apart / length).astype(np.float32)

    def _mean(self, token: str, output: bool) -> npt.NDArray[np.float32]:
        if (token, output) not in self._means:
            numbers = np.array(self._families[token])
            weights = np.maximum(self.vectors.vocabulary.counts[numbers], 1).astype(np.float64)
            mean = weights @ self._rows(output)[numbers].astype(np.float64) / weights.sum()
            self._means[token, output] = mean.astype(np.float32)
        return self._means[token, output]

    def _rows(self, output: bool) -> npt.NDArray[np.float32]:
        table = self.vectors.context_vectors if output else self.vectors.vectors
        assert table is not None
        rows: npt.NDArray[np.float32] = np.asarray(table)
        return rows
