"""What every recommender under test has to answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from item2vec.vocabulary import Vocabulary


@runtime_checkable
class Scorer(Protocol):
    """A model that scores every training item after a history of clicks."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The training items, in the order of the columns of :meth:`scores`."""

    def scores(self, histories: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        """Score all items after each history.

        Parameters
        ----------
        histories : sequence of int32 arrays
            Item numbers of :attr:`vocabulary`, oldest click first; unknown items were already removed,
            so a history may be empty.

        Returns
        -------
        ndarray of float32, shape (len(histories), len(vocabulary))
            Higher is better; ``-inf`` or NaN means "not in the answer", and a row of nothing else is an empty
            answer. ``+inf`` is a score like others, above every finite one; equal ones share their ranks.
        """
